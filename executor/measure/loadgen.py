"""A load on anything that answers requests with a stream of tokens: closed loop or open, and what came back.

The open loop keeps its arrival times whatever the server does: every request is sent when it is due, however
many are under way, and its TTFT counts from then, so a slow server cannot thin out its own load. Nothing that
went wrong is left out of the record: each kind of failure is counted.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np

from executor.arithmetic_series import Floats, Ramps
from executor.errors import BadInputError
from executor.serving_metrics import Bounds, Latencies, bench_metrics

Outcome = Literal["completed", "refused", "slow", "broken-off", "malformed"]
"""refused: no connection, or an HTTP status other than 200. slow: not done within the time allowed.
broken-off: the stream ended before the answer did. malformed: the answer is no stream of tokens."""
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
SAMPLE_MESSAGES = 5
"""Messages of failures that a record keeps."""


@dataclass(frozen=True)
class Prompt:
    """What is asked: token ids, or text, and how many tokens the answer may have."""

    content: str | tuple[int, ...]
    tokens: int
    """Tokens of the prompt, as far as the asker knows; the server's count comes first."""
    max_tokens: int


@dataclass(frozen=True)
class Answer:
    """What came back for one request. Times in seconds on the event loop's clock."""

    outcome: Outcome
    times: tuple[float, ...] = ()
    """When each piece of text arrived; a piece may hold several tokens."""
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    """As the server counted them; None: it did not say."""
    message: str = ""


Ask = Callable[[Prompt], Awaitable[Answer]]


@dataclass(frozen=True)
class Sent:
    """One request of a run: when it was due, when it was sent, what came back."""

    prompt: Prompt
    due: float
    sent: float
    answer: Answer

    @property
    def tokens(self) -> int:
        """Output tokens: the server's count, else the pieces of text."""
        counted = self.answer.output_tokens
        return len(self.answer.times) if counted is None else counted


@dataclass(frozen=True)
class Run:
    """All requests of one measurement, in the order in which they were due."""

    requests: tuple[Sent, ...]
    duration: float
    """From the first request to the last token, seconds."""
    concurrency: int | None = None
    """Clients of a closed loop; None: an open loop."""
    rate: float | None = None
    """Mean requests/s of an open loop."""
    most_in_flight: int = 0
    counted_pieces: bool = field(default=False)
    """The server did not count tokens, so each piece of text counts as one."""

    @property
    def outcomes(self) -> dict[Outcome, int]:
        """How many requests ended in each way."""
        found = [sent.answer.outcome for sent in self.requests]
        return {outcome: found.count(outcome) for outcome in OUTCOMES}

    @property
    def lateness_ms(self) -> float:
        """99th percentile of how much later than due the load generator sent a request, ms."""
        late = [sent.sent - sent.due for sent in self.requests]
        return 1e3 * float(np.quantile(late, 0.99))

    @property
    def messages(self) -> tuple[str, ...]:
        """A few of the failures' messages, each once."""
        found = dict.fromkeys(s.answer.message for s in self.requests if s.answer.outcome != "completed")
        return tuple(found)[:SAMPLE_MESSAGES]

    @property
    def latencies(self) -> Latencies:
        """TTFT and E2EL from the time when a request was due; gaps between pieces; completed ones only."""
        done = [sent for sent in self.requests if sent.answer.outcome == "completed"]
        gaps = [np.diff(sent.answer.times) for sent in done]
        return Latencies(
            ttft=np.array([sent.answer.times[0] - sent.due for sent in done]),
            e2el=np.array([sent.answer.times[-1] - sent.due for sent in done]),
            prompt=np.array([sent.answer.prompt_tokens or sent.prompt.tokens for sent in done], dtype=np.int64),
            output=np.array([sent.tokens for sent in done], dtype=np.int64),
            itl=Ramps.of(np.concatenate(gaps) if gaps else np.zeros(0)),
        )

    def metrics(self, bounds: Bounds | None = None) -> dict[str, float]:
        """Counts, rates and percentiles under the names of ``vllm bench serve``."""
        failed = len(self.requests) - self.outcomes["completed"]
        return bench_metrics(self.latencies, self.duration, failed, bounds, self.most_in_flight)

    def attained(self, bounds: Bounds) -> float:
        """Share of all requests that were completed within every bound."""
        return int(self.latencies.good(bounds).sum()) / len(self.requests)


class _Ledger:
    """Counts what is under way while the requests of a run come and go."""

    def __init__(self, ask: Ask) -> None:
        self.ask = ask
        self.sent: list[Sent] = []
        self.in_flight = self.most = 0

    async def send(self, prompt: Prompt, due: float) -> None:
        """Ask, wait for the end of the answer, and note it; no failure of one request ends the run."""
        started = asyncio.get_running_loop().time()
        self.in_flight += 1
        self.most = max(self.most, self.in_flight)
        try:
            answer = await self.ask(prompt)
        finally:
            self.in_flight -= 1
        self.sent.append(Sent(prompt, due, started, answer))

    def run(self, begin: float, concurrency: int | None, rate: float | None) -> Run:
        """The record, once everything has come back."""
        requests = tuple(sorted(self.sent, key=lambda sent: sent.due))
        done = [sent for sent in requests if sent.answer.outcome == "completed"]
        last = max((sent.answer.times[-1] for sent in done), default=begin)
        pieces = any(sent.answer.output_tokens is None for sent in done)
        return Run(requests, last - begin, concurrency, rate, self.most, pieces)


async def closed_loop(ask: Ask, prompts: Sequence[Prompt], concurrency: int) -> Run:
    """``concurrency`` clients, each sending its next request when the one before has come back."""
    if not prompts or concurrency < 1:
        raise BadInputError("a closed loop needs at least one request and one client")
    ledger, waiting = _Ledger(ask), iter(prompts)
    clock = asyncio.get_running_loop().time
    begin = clock()

    async def client() -> None:
        for prompt in waiting:
            await ledger.send(prompt, clock())

    await asyncio.gather(*(client() for _ in range(min(concurrency, len(prompts)))))
    return ledger.run(begin, concurrency, None)


async def open_loop(ask: Ask, prompts: Sequence[Prompt], arrival_s: Floats) -> Run:
    """Each request at its own time, counted in seconds from the start, whatever is still under way."""
    if not prompts or len(prompts) != arrival_s.size:
        raise BadInputError(f"an open loop needs one arrival time a request (got {arrival_s.size} for {len(prompts)})")
    ledger = _Ledger(ask)
    clock = asyncio.get_running_loop().time
    begin = clock() - float(arrival_s[0])
    sending: list[asyncio.Task[None]] = []
    for prompt, arrival in zip(prompts, arrival_s.tolist(), strict=True):
        wait = begin + arrival - clock()
        if wait > 0:
            await asyncio.sleep(wait)
        sending.append(asyncio.create_task(ledger.send(prompt, begin + arrival)))
    await asyncio.gather(*sending)
    span = float(arrival_s[-1] - arrival_s[0])
    rate = (len(prompts) - 1) / span if span > 0 else None
    return ledger.run(begin + float(arrival_s[0]), None, rate)
