"""The executor's scheduler on a modelled clock: what requests meet at one or more replicas.

Each replica runs the same ``Scheduler`` as the engine; a step takes the time that ``BatchTime`` gives its
batch. Two forms with one result: step by step, and from event to event, where a stretch of steps in which
nothing arrives, ends or runs out of pages is one arithmetic series. No torch here.
"""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from heapq import heappop, heappush
from itertools import count, repeat
from typing import Literal, get_args

import numpy as np

from executor.arithmetic_series import Floats, Ints
from executor.errors import BadInputError, UnknownNameError
from executor.portable.elementary import log1p
from executor.portable.normal import uniforms
from executor.replay.arrivals import Arrivals
from executor.replay.rate_search import highest_good
from executor.replay.results import Line, Replayed, Spans
from executor.scheduler.kv_pages import CountedPages
from executor.scheduler.scheduler import Limits, Scheduler
from executor.scheduler.sequence import Request
from executor.scheduler.sequence import Sequence as Running
from executor.serving_metrics import Bounds
from executor.steptime.batch import VECTOR_STEPS, BatchTime

Route = Literal["round-robin", "least-loaded", "cache-aware"]
ROUTES: tuple[Route, ...] = get_args(Route)
IMBALANCE = 1.5
"""A cache-aware router leaves the replica that knows a prefix when it has so many times the load of the least loaded
one, and LEAD requests more: the two thresholds of SGLang's router (balance_rel_threshold; its balance_abs_threshold is
32 there, meant for batches of hundreds)."""
LEAD = 4
RESERVE_SHARE = 0.01
"""Share of the pages, one a sequence at most, that an admission leaves free; as the engine does."""


def replica_limits(time: BatchTime, page_size: int = 64, max_batch: int = 256) -> Limits:
    """What a replica with that step time holds and does at once, as its engine would set it."""
    pages = time.kv_tokens // page_size
    if pages < 1:
        raise BadInputError(f"the KV cache holds {time.kv_tokens} tokens, less than one page of {page_size}")
    return Limits(
        pages=pages,
        page_size=page_size,
        max_batch=max_batch,
        token_budget=max(time.chunk_tokens, max_batch),
        reserve_pages=min(max_batch, int(pages * RESERVE_SHARE)),
        prefill_first=time.prefill_first,
        tokens_per_step=time.emitted,
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
    turn; ``least-loaded`` gives each to the replica with the fewest unfinished ones, the first of equals;
    ``cache-aware`` to the one whose cache was sent the longest part of its prefix, unless that is overloaded.
    ``computed``: prompt tokens of each request whose KV comes with it.
    """
    if replicas < 1:
        raise BadInputError(f"replicas must be at least 1 (got {replicas})")
    if route not in ROUTES:
        raise UnknownNameError("router", str(route), ROUTES)
    limits = limits or replica_limits(time, arrivals.block_tokens)
    with _without_collector():  # all that a replay made is gone again before it is back
        servers = [_Replica(limits, time, jump) for _ in range(replicas)]
        requests = _requests(arrivals, limits.page_size)
        if computed is not None:
            known = zip(requests, computed.tolist(), strict=True)
            requests = (request._replace(computed=tokens) for request, tokens in known)
        router = _ROUTERS["round-robin" if replicas == 1 else route](servers)
        placed = list(map(router.offer, requests, arrivals.arrival_s.tolist()))
        for server in servers:
            server.run_until(math.inf)
        return _replayed(arrivals, time, limits, servers, np.array(placed))


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


def _requests(arrivals: Arrivals, page_size: int) -> Iterator[Request]:
    """The requests as the scheduler takes them, one after the other; blocks are named page by page.

    One is made when it arrives: those that ended have left their room to it, and the processor's cache still has it.
    """
    prompts, outputs = arrivals.prompt.tolist(), arrivals.output.tolist()
    names: Iterable[Sequence[Hashable]] = repeat(())
    if arrivals.blocks is not None:
        if arrivals.block_tokens % page_size:
            raise BadInputError(
                f"pages of {page_size} tokens do not divide the trace's blocks of {arrivals.block_tokens};"
                " choose a page size that does"
            )
        parts, each = arrivals.block_tokens // page_size, zip(arrivals.blocks, prompts, strict=True)
        names = (_page_names(blocks, parts, prompt // page_size) for blocks, prompt in each)
    stop: frozenset[int] = frozenset()
    rows = zip(count(), prompts, outputs, repeat(stop), repeat(0), names, repeat(0), strict=False)
    return map(Request._make, rows)  # by place: half a microsecond each less than by name


def _page_names(blocks: Sequence[Hashable], parts: int, full: int) -> Sequence[Hashable]:
    """A name for each full page of a prompt."""
    if parts == 1:
        return blocks[:full]
    return [(block, part) for block in blocks for part in range(parts)][:full]


class _RoundRobin:
    """Requests are dealt out in turn."""

    def __init__(self, servers: Sequence[_Replica]) -> None:
        self.servers = servers
        self.turn = 0

    def offer(self, request: Request, arrival: float) -> int:
        """The number of the replica that takes the request, -1 where it refuses."""
        number = self.turn
        self.turn = (number + 1) % len(self.servers)
        return number if self.servers[number].offer(request, arrival) else -1


class _LeastLoaded:
    """Each request goes to the replica with the fewest unfinished ones, the first of equals."""

    def __init__(self, servers: Sequence[_Replica]) -> None:
        self.servers = servers
        self.loads = [0] * len(servers)
        """Unfinished requests of each replica, right until its ``due``."""
        self.due = [math.inf] * len(servers)
        self.queue: list[tuple[float, int]] = []
        """Heap of (due, replica); an entry whose time is no longer the replica's is stale."""

    def offer(self, request: Request, arrival: float) -> int:
        """The number of the replica that takes the request, -1 where it refuses."""
        queue = self.queue
        while queue and queue[0][0] < arrival:
            due, number = heappop(queue)
            if due == self.due[number]:
                self._settle(number, arrival)
        number = self.choose(request)
        server = self.servers[number]
        if not server.offer(request, arrival):
            return -1
        self.loads[number] += 1
        self.due[number] = server.clock
        heappush(queue, (server.clock, number))
        return number

    def choose(self, request: Request) -> int:
        """The replica for the next request; the loads are right."""
        return self.loads.index(min(self.loads))

    def _settle(self, number: int, until: float) -> None:
        server = self.servers[number]
        server.run_until(until)
        self.loads[number] = server.unfinished
        self.due[number] = math.inf
        if server.unfinished:
            due = self.due[number] = server.next_end()
            heappush(self.queue, (due, number))


class _CacheAware(_LeastLoaded):
    """Each request goes where the longest part of its prefix went before, unless that replica is overloaded.

    The router knows what it sent, not what a replica has evicted since, as routers outside the engine do.
    """

    def __init__(self, servers: Sequence[_Replica]) -> None:
        super().__init__(servers)
        self.sent: dict[Hashable, int] = {}
        """Where a block went last."""

    def choose(self, request: Request) -> int:
        """The replica for the next request; the loads are right."""
        least = min(self.loads)
        number = self.loads.index(least)
        known = None
        for name in request.block_hashes:  # up to the first block that was never sent
            where = self.sent.get(name)
            if where is None:
                break
            known = where
        if known is not None and not self.loads[known] > max(IMBALANCE * least, least + LEAD):
            number = known
        self.sent.update(dict.fromkeys(request.block_hashes, number))
        return number


_ROUTERS: dict[str, type[_RoundRobin] | type[_LeastLoaded]] = {
    "round-robin": _RoundRobin,
    "least-loaded": _LeastLoaded,
    "cache-aware": _CacheAware,
}


class _Replica:
    """One scheduler with its clock, and what happened on it."""

    def __init__(self, limits: Limits, time: BatchTime, jump: bool) -> None:
        self.scheduler = Scheduler(limits, CountedPages(limits.pages) if jump else None)
        self.time = time
        self.jump = jump
        self.arithmetic = time.is_arithmetic
        self.unfinished = 0
        """Requests taken in and not ended."""
        self.clock = 0.0
        self.busy = 0.0
        self.page_seconds = 0.0
        self.line = _Line()
        self.firsts: list[float] = []
        """Request, tokens before, time and number of the step of every token sampled after a prompt."""
        self.ends: list[float] = []
        """Request, time of its last token and preemptions, of every request that ended."""

    def offer(self, request: Request, arrival: float) -> bool:
        """Take in a request that arrives now; False where it could never run."""
        if self.clock < arrival:
            if self.unfinished:
                self.run_until(arrival)
            if self.clock < arrival:
                self.clock = arrival
        try:
            self.scheduler.add(request)
        except BadInputError:
            return False
        self.unfinished += 1
        return True

    def next_end(self) -> float:
        """Until when no request ends, as far as is known and unless another one arrives."""
        scheduler = self.scheduler
        steps = scheduler.quiet_at_most - 1
        if steps < 1 or not self.jump or not self.arithmetic or not scheduler.is_quiet:
            return self.clock
        sequences = scheduler.decoding
        first, growth, most = self.time.run(sequences, scheduler.context)
        gained = steps * scheduler.limits.tokens_per_step
        room = sequences * (int(gained) // scheduler.limits.page_size + 1)
        if steps > most or scheduler.pool.available < room:
            return self.clock  # the pace changes on the way
        return self.clock + steps * first + growth * (steps * (steps - 1) / 2)

    def run_until(self, until: float) -> None:
        """Compute every step that starts before ``until``."""
        scheduler = self.scheduler
        jump = self.jump and (self._jump if self.arithmetic else self._jump_by_steps)
        while self.clock < until and self.unfinished:
            if not (jump and scheduler.is_quiet and jump(until)):
                self._compute()

    def _jump(self, until: float) -> int:
        """Take the decode steps that start before ``until`` and change nothing else; how many."""
        scheduler = self.scheduler
        first, growth, most = self.time.run(scheduler.decoding, scheduler.context)
        left, most = until - self.clock, min(most, scheduler.quiet_at_most)
        if (most - 1) * first + growth * ((most - 1) * (most - 2) / 2) >= left:
            most = _steps_before(left, first, growth)
        held = scheduler.pool.held
        taken, ended = scheduler.advance(most)
        if taken:
            self.line.run(taken, self.clock, first, growth)
            self._pass(taken * first + growth * (taken * (taken - 1) / 2), held)
            self._note(ended)
        return taken

    def _jump_by_steps(self, until: float) -> int:
        """The same where step times form no arithmetic series."""
        scheduler = self.scheduler
        most = min(VECTOR_STEPS, scheduler.quiet_at_most)
        if most < 1:
            return 0
        seconds = self.time.decode_many(scheduler.decoding, scheduler.context, most)
        ends = np.cumsum(np.concatenate([[self.clock], seconds]))
        held = scheduler.pool.held
        taken, ended = scheduler.advance(int(np.searchsorted(ends[:-1], until)))
        if taken:
            self.line.steps(ends[:taken], seconds[:taken])
            self._pass(float(ends[taken]) - self.clock, held)
            self._note(ended)
        return taken

    def _compute(self) -> None:
        """One step: its time passes, first tokens and ends are noted."""
        step = self.scheduler.schedule()
        assert step is not None, "a scheduler with unfinished sequences and no step would never end"
        tokens, square, completed = 0, 0.0, []
        for chunk in step.chunks:
            size = chunk.count
            tokens += size
            square += size * (2.0 * chunk.start + size)
            if chunk.samples:
                completed.append(chunk.sequence)
        number = step.number
        seconds = self.time.step(len(step.decodes), step.decode_context, tokens, square, len(completed))
        if number > self.line.number:
            self.line.run(1, self.clock, seconds, 0.0)
        self._pass(seconds, self.scheduler.pool.held)
        for sequence in completed:
            before = sequence.length - sequence.prompt_length
            self.firsts.extend((sequence.request.id, before, self.clock, number))  # type: ignore[arg-type]
        if step.closing:
            self._note(self.scheduler.finish(step))

    def _note(self, ended: Sequence[Running]) -> None:
        self.unfinished -= len(ended)
        for sequence in ended:
            self.ends.extend((sequence.request.id, self.clock, sequence.preemptions))  # type: ignore[arg-type]

    def _pass(self, seconds: float, held: int) -> None:
        self.page_seconds += held * seconds
        self.busy += seconds
        self.clock += seconds


class _Line:
    """When each decode step ended, kept as arithmetic series."""

    def __init__(self) -> None:
        self.number = 0
        self.series: list[float] = []
        """Number of the last step, start, first step and growth of each series, one after the other."""

    def run(self, count: int, start: float, first: float, growth: float) -> None:
        """``count`` steps from ``start`` on; step i takes first + growth i."""
        self.number += count
        self.series.extend((self.number, start, first, growth))

    def steps(self, begins: Floats, seconds: Floats) -> None:
        """Steps that begin and take so long."""
        numbers = self.number + 1 + np.arange(begins.size)
        self.series += np.stack([numbers, begins, seconds, np.zeros(begins.size)], axis=1).ravel().tolist()
        self.number += begins.size

    def line(self) -> Line:
        """All of it, to be asked."""
        last, *rest = np.array(self.series).reshape(-1, 4).T.copy()
        return Line(last.astype(np.int64), *rest)


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
    spans = [_spans(server, arrivals.output, limits.tokens_per_step) for server in servers]
    for server, span in zip(servers, spans, strict=True):
        begun = span.before == 0
        first[span.request[begun]] = span.time[begun] + delay
        request, when, times = np.array(server.ends).reshape(-1, 3).T
        end[request.astype(np.int64)] = when + delay
        preemptions[request.astype(np.int64)] = times
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
        _lines=tuple(server.line.line() for server in servers),
        _spans=tuple(spans),
    )


def _spans(server: _Replica, output: Ints, pace: float) -> Spans:
    """The replica's stretches of tokens in order of request; each ends where the next begins."""
    request, before, time, step = np.array(server.firsts).reshape(-1, 4).T
    order = np.lexsort((before, request))
    request, before, step = (column[order].astype(np.int64) for column in (request, before, step))
    following = np.append(before[1:], 0)
    count = np.where(np.append(request[1:], -1) == request, following, output[request]) - before
    return Spans(request, before, time[order], step, count, pace)


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

    ``at_rate`` gives the requests at a rate; with the same random numbers at every rate (common random numbers) the
    shares fall almost monotonously. TTFT and TPOT must each be met by ``share`` of the requests that are ``counted``
    (as in ``attained``); ``computed`` as in ``replay``. Ends when the bracket is within ``precision`` of its upper end.
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

    low, high = highest_good(good, start, precision)
    if high is None:
        return Peak(low, tuple(tried), "every rate tried keeps the bounds", kept.get(low))
    if not low:
        _, ttft, tpot = tried[-1]
        reason = (
            f"at {tried[-1][0]:.3g} requests/s {ttft:.1%} meet the TTFT bound and {tpot:.1%} the TPOT bound,"
            f" {share:.1%} should"
        )
        return Peak(0.0, tuple(tried), reason, None)
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
    start: float = 1.0,
    paired: bool = False,
) -> Peak:
    """The highest Poisson rate that one replica serves with TTFT and TPOT each met by ``share`` of requests.

    The same meaning as the planner's closed-form goodput. ``prompt`` and ``output`` are equally likely lengths, drawn
    independently of one another, or together where they are ``paired``; the random numbers are the same at every rate.
    The first fifth of the requests (warm-up) and the last tenth (the load ends) are served and not counted.
    ``prefix_reuse`` of every prompt need not be computed; its pages are held all the same.
    """
    if not 0 <= prefix_reuse < 1:
        raise BadInputError(f"prefix_reuse must be at least 0 and below 1 (got {prefix_reuse!r})")
    chance = np.random.default_rng([20251127, 0])
    unit = np.cumsum(-log1p(-uniforms(chance, requests)))
    if paired:
        chosen = chance.integers(0, prompt.size, requests)
        prompts, outputs = prompt[chosen], output[chosen]
    else:
        prompts, outputs = chance.choice(prompt, requests), chance.choice(output, requests)

    def at_rate(rate: float) -> Arrivals:
        return Arrivals(unit / rate, prompts, outputs)

    computed = np.minimum((prefix_reuse * prompts).astype(np.int64), prompts - 1) if prefix_reuse else None
    return highest_rate(at_rate, time, bounds, share, limits, start=start, counted=STEADY, computed=computed)
