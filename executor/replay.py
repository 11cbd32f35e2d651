"""The executor's scheduler on a modelled clock: what requests meet at one or more replicas.

Each replica runs the same ``Scheduler`` as the engine; a step takes the time that ``BatchTime`` gives its
batch. Two forms with one result: step by step, and from event to event, where a stretch of steps in which
nothing arrives, ends or runs out of pages is one arithmetic series. No torch here.
"""

from __future__ import annotations

import dataclasses
import gc
import math
from array import array
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from executor.arrivals import Arrivals, Floats, Ints
from executor.batchtime import VECTOR_STEPS, BatchTime
from executor.errors import BadInputError, UnknownNameError
from executor.metrics import Bounds
from executor.ratesearch import bracket, narrowed
from executor.replayed import Replayed, Spans
from executor.scheduler import Limits, Request, Scheduler, Step
from executor.scheduler import Sequence as Running

Route = Literal["round-robin", "least-loaded"]
ROUTES: tuple[Route, ...] = ("round-robin", "least-loaded")
RESERVE_SHARE = 0.01
"""Share of the pages, one a sequence at most, that an admission leaves free; as the engine does."""


def replica_limits(
    time: BatchTime, page_size: int = 64, max_batch: int = 256, prefix_caching: bool = True
) -> Limits:
    """What a replica with that step time holds and does at once, as its engine would set it."""
    pages = time.kv_tokens // page_size
    if pages < 1:
        raise BadInputError(f"the KV cache holds {time.kv_tokens} tokens, less than one page of {page_size}")
    return Limits(
        pages=pages,
        page_size=page_size,
        max_batch=max_batch,
        token_budget=max(time.chunk_tokens, max_batch),
        prefix_caching=prefix_caching,
        reserve_pages=min(max_batch, int(pages * RESERVE_SHARE)),
        prefill_first=time.prefill_first,
    )


def replay(
    arrivals: Arrivals,
    time: BatchTime,
    limits: Limits | None = None,
    replicas: int = 1,
    route: Route = "least-loaded",
    jump: bool = True,
    computed: Ints | None = None,
) -> Replayed:
    """Serve the requests on equal replicas; ``jump`` False takes every step by itself.

    A request that no replica can ever hold is refused and counted. ``round-robin`` deals requests out in
    turn; ``least-loaded`` gives each to the replica with the fewest unfinished ones, the first of equals.
    ``computed``: prompt tokens of each request whose KV comes with it.
    """
    if replicas < 1:
        raise BadInputError(f"replicas must be at least 1 (got {replicas})")
    if route not in ROUTES:
        raise UnknownNameError("router", str(route), ROUTES)
    found = limits or replica_limits(time, arrivals.block_tokens)
    servers = [_Replica(found, time, jump) for _ in range(replicas)]
    requests = _requests(arrivals, found.page_size)
    if computed is not None:
        requests = [
            dataclasses.replace(request, computed=tokens)
            for request, tokens in zip(requests, computed.tolist(), strict=True)
        ]
    offers = zip(arrivals.arrival_s.tolist(), requests, strict=True)
    choose = _dealer(servers) if route == "round-robin" or replicas == 1 else _least_loaded(servers)
    placed = array("q", (-1,)) * len(arrivals)
    with _without_collector():
        for at, (arrival, request) in enumerate(offers):
            number = choose(arrival)
            if servers[number].offer(request, arrival):
                placed[at] = number
        for server in servers:
            server.run_until(math.inf)
    return _replayed(arrivals, time, found, servers, np.array(placed))


@contextmanager
def _without_collector() -> Iterator[None]:
    """No cycle of references arises here, and the collector would walk all requests again and again."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _requests(arrivals: Arrivals, page_size: int) -> list[Request]:
    """The requests as the scheduler takes them, by place; blocks are named page by page."""
    prompts, outputs = arrivals.prompt.tolist(), arrivals.output.tolist()
    if arrivals.blocks is None:
        return [Request(*each) for each in zip(range(len(prompts)), prompts, outputs, strict=True)]
    if arrivals.block_tokens % page_size:
        raise BadInputError(
            f"pages of {page_size} tokens do not divide the trace's blocks of {arrivals.block_tokens};"
            " choose a page size that does"
        )
    parts = arrivals.block_tokens // page_size
    return [
        Request(at, prompt, output, block_hashes=_page_names(blocks, parts, prompt // page_size))
        for at, (prompt, output, blocks) in enumerate(zip(prompts, outputs, arrivals.blocks, strict=True))
    ]


def _page_names(blocks: Sequence[Hashable], parts: int, full: int) -> Sequence[Hashable]:
    """A name for each full page of a prompt."""
    if parts == 1:
        return blocks[:full]
    return [(block, part) for block in blocks for part in range(parts)][:full]


def _dealer(servers: Sequence[_Replica]) -> Callable[[float], int]:
    turn = iter(range(1 << 62))
    return lambda _: next(turn) % len(servers)


def _least_loaded(servers: Sequence[_Replica]) -> Callable[[float], int]:
    def choose(arrival: float) -> int:
        chosen, least = 0, servers[0].unfinished + 1
        for number, server in enumerate(servers):
            if server.quiet_until < arrival:
                server.settle(arrival)
            if server.unfinished < least:
                chosen, least = number, server.unfinished
        return chosen

    return choose


class _Replica:
    """One scheduler with its clock, and what happened on it."""

    def __init__(self, limits: Limits, time: BatchTime, jump: bool) -> None:
        self.scheduler = Scheduler(limits)
        self.time = time
        self.jump = jump
        self.arithmetic = time.is_arithmetic
        self.unfinished = 0
        """Requests taken in and not ended."""
        self.clock = 0.0
        self.quiet_until = 0.0
        """Before then no sequence ends, unless another request arrives."""
        self.busy = 0.0
        self.page_seconds = 0.0
        self.line = _Line()
        self.firsts: list[tuple[int, int, float, int]] = []
        """(request, tokens before, time, number of the step) for every token sampled after a prompt."""
        self.ends: list[tuple[int, float, int]] = []
        """(request, time of the last token, preemptions)."""

    def offer(self, request: Request, arrival: float) -> bool:
        """Take in a request that arrives now; False where it could never run."""
        self.run_until(arrival)
        self.quiet_until = 0.0
        if self.clock < arrival:
            self.clock = arrival
        try:
            self.scheduler.add(request)
        except BadInputError:
            return False
        self.unfinished += 1
        return True

    def settle(self, until: float) -> None:
        """Run far enough that ``unfinished`` is right at ``until``."""
        if self.clock < until and self.unfinished:
            self.run_until(until)
            if self.jump:
                self.quiet_until = self._next_end()

    def _next_end(self) -> float:
        """When the step begins in which the next sequence ends; 0 where that is not known yet."""
        scheduler = self.scheduler
        steps = scheduler.quiet_at_most - 1
        if steps < 1 or not scheduler.is_quiet or not self.arithmetic:
            return 0.0
        sequences = scheduler.decoding
        room = sequences * (steps // scheduler.limits.page_size + 1)
        pace = self.time.run(sequences, scheduler.context)
        if steps > pace.most or scheduler.pool.available < room:
            return 0.0  # the pace changes on the way
        return self.clock + steps * pace.first + pace.growth * (steps * (steps - 1) / 2)

    def run_until(self, until: float) -> None:
        """Compute every step that starts before ``until``."""
        scheduler = self.scheduler
        while self.clock < until and self.unfinished:
            if not (self.jump and self._jump(until)):
                step = scheduler.schedule()
                assert step is not None, "a scheduler with unfinished sequences and no step would never end"
                self._compute(step)

    def _jump(self, until: float) -> int:
        """Take the decode steps that start before ``until`` and change nothing else; how many."""
        scheduler = self.scheduler
        if not scheduler.is_quiet:
            return 0
        sequences = scheduler.decoding
        if not self.arithmetic:
            return self._jump_by_steps(sequences, until)
        pace = self.time.run(sequences, scheduler.context)
        most = pace.most
        if until < math.inf:
            most = min(most, _steps_before(until - self.clock, pace.first, pace.growth))
        held = scheduler.pool.held
        taken, ended = scheduler.advance(most)
        if taken:
            self.line.run(taken, self.clock, pace.first, pace.growth)
            self._pass(taken * pace.first + pace.growth * (taken * (taken - 1) / 2), held)
            self._note(ended)
        return taken

    def _jump_by_steps(self, sequences: int, until: float) -> int:
        """The same where step times form no arithmetic series."""
        scheduler = self.scheduler
        most = min(VECTOR_STEPS, scheduler.quiet_at_most)
        if most < 1:
            return 0
        seconds = self.time.decode_many(sequences, scheduler.context, most)
        ends = np.cumsum(np.concatenate([[self.clock], seconds]))
        held = scheduler.pool.held
        taken, ended = scheduler.advance(int(np.searchsorted(ends[:-1], until)))
        if taken:
            self.line.steps(ends[1 : taken + 1])
            self._pass(float(ends[taken]) - self.clock, held)
            self._note(ended)
        return taken

    def _compute(self, step: Step) -> None:
        """One step: its time passes, first tokens and ends are noted."""
        tokens = completed = 0
        square = 0.0
        for chunk in step.chunks:
            count = chunk.count
            tokens += count
            square += count * (2.0 * chunk.start + count)
            completed += chunk.samples
        sequences = len(step.decodes)
        seconds = self.time.step(sequences, step.decode_context, tokens, square, completed)
        if step.number > self.line.number:
            self.line.run(1, self.clock, seconds, 0.0)
        self._pass(seconds, self.scheduler.pool.held)
        if completed:
            for chunk in step.chunks:
                if chunk.samples:
                    sequence = chunk.sequence
                    before = sequence.length - sequence.prompt_length
                    self.firsts.append((sequence.request.id, before, self.clock, step.number))  # type: ignore[arg-type]
        if step.closing:
            self._note(self.scheduler.finish(step))

    def _note(self, ended: Sequence[Running]) -> None:
        self.unfinished -= len(ended)
        for sequence in ended:
            self.ends.append((sequence.request.id, self.clock, sequence.preemptions))  # type: ignore[arg-type]

    def _pass(self, seconds: float, held: int) -> None:
        self.page_seconds += held * seconds
        self.busy += seconds
        self.clock += seconds


class _Line:
    """When each decode step ended, kept as arithmetic series and written out when asked."""

    def __init__(self) -> None:
        self.number = 0
        self.series = array("d")
        """Count, start, first step and growth of each series, one after the other."""

    def run(self, count: int, start: float, first: float, growth: float) -> None:
        """``count`` steps from ``start`` on; step i takes first + growth i."""
        self.number += count
        self.series.extend((count, start, first, growth))

    def steps(self, ends: Floats) -> None:
        """Steps that end at these times."""
        self.number += ends.size
        series = np.zeros((ends.size, 4))
        series[:, 0], series[:, 1] = 1, ends
        self.series.frombytes(series.tobytes())

    def ends(self) -> Floats:
        """End of each decode step in seconds; entry n is step number n, entry 0 is never asked for."""
        count, *rest = np.array(self.series).reshape(-1, 4).T
        counts = count.astype(np.int64)
        place = np.arange(1, self.number + 1) - np.repeat(np.cumsum(counts) - counts, counts)
        start, pace, growth = (np.repeat(values, counts) for values in rest)
        return np.concatenate([[0.0], start + place * pace + growth * (place * (place - 1) / 2)])


def _steps_before(seconds: float, first: float, growth: float) -> int:
    r"""Steps that start before ``seconds`` have passed: the least k with k a + g k (k-1)/2 >= seconds.

    k = ceil( 2 s / (b + sqrt(b^2 + 2 g s)) ),  b = a - g/2     the root without cancellation, then put right
    """
    b = first - growth / 2
    steps = max(1, math.ceil(2 * seconds / (b + math.sqrt(b * b + 2 * growth * seconds))))
    if (steps - 1) * first + growth * ((steps - 1) * (steps - 2) / 2) >= seconds:
        return steps - 1
    if steps * first + growth * (steps * (steps - 1) / 2) < seconds:
        return steps + 1
    return steps


def _replayed(
    arrivals: Arrivals, time: BatchTime, limits: Limits, servers: Sequence[_Replica], placed: Ints
) -> Replayed:
    size, delay = len(arrivals), time.first_token
    first, end = np.full(size, np.nan), np.full(size, np.nan)
    preemptions = np.zeros(size, dtype=np.int64)
    spans = [_spans(server, arrivals.output) for server in servers]
    for server, span in zip(servers, spans, strict=True):
        begun = span.before == 0
        first[span.request[begun]] = span.time[begun] + delay
        if server.ends:
            request, when, times = zip(*server.ends, strict=True)
            end[list(request)] = np.array(when) + delay
            preemptions[list(request)] = times
    busy = sum(server.busy for server in servers)
    last = max(server.clock for server in servers) - float(arrivals.arrival_s[0])
    counters = [server.scheduler.counters for server in servers]
    return Replayed(
        arrivals=arrivals,
        first_token_s=first,
        end_s=end,
        replica=placed,
        preemptions=preemptions,
        replicas=len(servers),
        steps=sum(counter.steps for counter in counters),
        prompt_tokens_cached=sum(counter.prompt_tokens_cached for counter in counters),
        prompt_tokens_computed=sum(counter.prompt_tokens_computed for counter in counters),
        kv_mean=sum(server.page_seconds for server in servers) / (limits.pages * busy) if busy else 0.0,
        kv_peak=max(server.scheduler.pool.most_held for server in servers) / limits.pages,
        busy=busy / (last * len(servers)) if last > 0 else 0.0,
        _lines=tuple(server.line.ends() for server in servers),
        _spans=tuple(spans),
        _delay=delay,
    )


def _spans(server: _Replica, output: Ints) -> Spans:
    """The replica's stretches of tokens in order of request; each ends where the next begins."""
    if not server.firsts:
        none = np.zeros(0, dtype=np.int64)
        return Spans(none, none, np.zeros(0), none, none)
    columns = [np.array(column) for column in zip(*server.firsts, strict=True)]
    request, before, time, step = (column[np.lexsort((columns[1], columns[0]))] for column in columns)
    following = np.append(before[1:], 0)
    count = np.where(np.append(request[1:], -1) == request, following, output[request]) - before
    return Spans(request, before, time, step, count)


@dataclass(frozen=True)
class Peak:
    """The highest rate at which a share of the requests meets the bounds.

    ``rate`` requests/s of all replicas together, 0 where no rate does; ``tried`` every (rate, share that
    meets TTFT, share that meets TPOT) looked at, in order.
    """

    rate: float
    tried: tuple[tuple[float, float, float], ...]
    reason: str
    at_peak: Replayed | None


def highest_rate(
    at_rate: Callable[[float], Arrivals],
    time: BatchTime,
    bounds: Bounds,
    share: float = 0.9,
    limits: Limits | None = None,
    replicas: int = 1,
    route: Route = "least-loaded",
    start: float = 1.0,
    precision: float = 0.01,
    counted: tuple[float, float] = (0.0, 1.0),
    computed: Ints | None = None,
) -> Peak:
    """The highest rate that keeps the bounds, by doubling or halving from ``start`` and then bisection.

    ``at_rate`` gives the requests at a rate; with the same luck at every rate (common random numbers) the
    shares fall almost monotonously. TTFT and TPOT must each be met by ``share`` of the requests that are
    ``counted`` (as in ``attained``); ``computed`` as in ``replay``. Ends when the bracket is within
    ``precision`` of its upper end.
    """
    if not 0 < share <= 1:
        raise BadInputError(f"share must be above 0 and at most 1 (got {share!r})")
    tried: list[tuple[float, float, float]] = []
    kept: dict[float, Replayed] = {}

    def good(rate: float) -> bool:
        found = replay(at_rate(rate), time, limits, replicas, route, computed=computed)
        met = found.attained(bounds, counted)
        tried.append((rate, *met))
        if min(met) >= share:
            kept[rate] = found
        return min(met) >= share

    low, high = bracket(good, start)
    if high is None:
        return Peak(low, tuple(tried), "every rate tried keeps the bounds", kept.get(low))
    if not low:
        _, ttft, tpot = tried[-1]
        reason = (
            f"at {tried[-1][0]:.3g} requests/s {ttft:.1%} meet the TTFT bound and {tpot:.1%} the TPOT bound,"
            f" {share:.1%} should"
        )
        return Peak(0.0, tuple(tried), reason, None)
    low, high = narrowed(good, low, high, precision)
    broken = next(each for each in reversed(tried) if each[0] == high)
    name = "TTFT" if broken[1] < share else "TPOT"
    return Peak(low, tuple(tried), f"{name} bound: above it {min(broken[1:]):.1%} meet it", kept[low])


STEADY = (0.2, 0.9)
"""Share of the requests of a run that meet the load as it is, neither its beginning nor its end."""


def goodput_by_replay(
    time: BatchTime,
    prompt: Ints,
    output: Ints,
    bounds: Bounds,
    share: float = 0.9,
    *,
    requests: int = 4000,
    limits: Limits | None = None,
    prefix_reuse: float = 0.0,
    seed: int = 0,
    start: float = 1.0,
) -> Peak:
    """The highest Poisson rate that one replica serves with TTFT and TPOT each met by ``share`` of requests.

    The same meaning as the planner's closed-form goodput. ``prompt`` and ``output`` are equally likely
    lengths, drawn independently of one another; the luck is the same at every rate. The first fifth of the
    requests (warm-up) and the last tenth (the load ends) are served and not counted. ``prefix_reuse`` of every
    prompt need not be computed; its pages are held all the same.
    """
    if not 0 <= prefix_reuse < 1:
        raise BadInputError(f"prefix_reuse must be at least 0 and below 1 (got {prefix_reuse!r})")
    chance = np.random.default_rng([20251127, seed])
    unit = np.cumsum(chance.exponential(1.0, requests))
    prompts, outputs = chance.choice(prompt, requests), chance.choice(output, requests)

    def at_rate(rate: float) -> Arrivals:
        return Arrivals(unit / rate, prompts, outputs)

    computed = np.minimum((prefix_reuse * prompts).astype(np.int64), prompts - 1) if prefix_reuse else None
    return highest_rate(at_rate, time, bounds, share, limits, start=start, counted=STEADY, computed=computed)


def with_kv_tokens(time: BatchTime, kv_tokens: int) -> BatchTime:
    """The same step times over a KV cache of that size, for example from an engine's start-up log."""
    if kv_tokens < 1:
        raise BadInputError(f"kv_tokens must be at least 1 (got {kv_tokens})")
    return replace(time, kv_tokens=kv_tokens)
