"""What a replay's requests met: token times, latencies, metrics under the names of ``vllm bench serve``."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from executor.arrivals import Arrivals, Floats, Ints
from executor.metrics import Bounds, Latencies, bench_metrics


@dataclass(frozen=True)
class Spans:
    """Stretches of tokens of all requests of a replica, in order of request and token.

    A stretch begins with a token sampled after a prompt (or after what a preemption made it compute again)
    and goes on with one token a decode step.
    """

    request: Ints
    before: Ints
    """Tokens of the request that came earlier."""
    time: Floats
    """When the stretch's first token came."""
    step: Ints
    """Number of the decode step after which it goes on."""
    count: Ints
    """Tokens in it."""


@dataclass(frozen=True)
class Replayed:
    """What the requests met. Arrays are by request, in order of arrival; NaN where one was refused.

    first_token_s, end_s   seconds on the clock of the arrivals, the client's end of the line
    replica                which one served it; -1: refused
    """

    arrivals: Arrivals
    first_token_s: Floats
    end_s: Floats
    replica: Ints
    preemptions: Ints
    replicas: int
    steps: int
    prompt_tokens_cached: int
    prompt_tokens_computed: int
    kv_mean: float
    """Share of the KV pages held, mean over the time that the replicas worked; the pages that decoding
    sequences take within a jump count from its end."""
    kv_peak: float
    busy: float
    """Share of the duration that a replica worked, mean over replicas."""
    _lines: tuple[Floats, ...]
    _spans: tuple[Spans, ...]
    _delay: float

    @property
    def refused(self) -> int:
        """Requests that no replica could ever hold."""
        return int((self.replica < 0).sum())

    @property
    def duration(self) -> float:
        """From the first arrival to the last token, seconds."""
        served = self.replica >= 0
        last = float(self.end_s[served].max()) if served.any() else float(self.arrivals.arrival_s[-1])
        return last - float(self.arrivals.arrival_s[0])

    @cached_property
    def latencies(self) -> Latencies:
        """TTFT and E2EL of the requests served, and every gap between tokens, seconds."""
        served = self.replica >= 0
        arrival = self.arrivals.arrival_s[served]
        values, counts = self._gaps()
        return Latencies(
            ttft=self.first_token_s[served] - arrival,
            e2el=self.end_s[served] - arrival,
            prompt=self.arrivals.prompt[served],
            output=self.arrivals.output[served],
            itl=values,
            itl_count=counts,
        )

    def token_times(self, request: int) -> Floats:
        """When each token of a request reached the client, seconds; empty where it was refused."""
        number = int(self.replica[request])
        if number < 0:
            return np.zeros(0)
        spans, ends = self._spans[number], self._lines[number]
        first, last = np.searchsorted(spans.request, [request, request + 1])
        found = [
            np.concatenate([[spans.time[at]], ends[spans.step[at] + 1 : spans.step[at] + spans.count[at]]])
            for at in range(first, last)
        ]
        return np.concatenate(found) + self._delay

    def metrics(self, bounds: Bounds | None = None) -> dict[str, float]:
        """Counts, rates and percentiles under the names of ``vllm bench serve``, of all replicas together."""
        return bench_metrics(
            self.latencies, self.duration, self.refused, bounds, concurrent=self.most_in_flight()
        )

    def attained(self, bounds: Bounds, counted: tuple[float, float] = (0.0, 1.0)) -> tuple[float, float]:
        """Shares of the requests that meet the TTFT bound, and the TPOT bound; refused ones meet neither.

        ``counted``: from which share of the requests to which, in order of arrival, are looked at.
        """
        first, stop = (round(share * len(self.arrivals)) for share in counted)
        ttft = self.first_token_s - self.arrivals.arrival_s
        output = self.arrivals.output
        tpot = np.where(output > 1, (self.end_s - self.first_token_s) / np.maximum(output - 1, 1), 0.0 * ttft)
        met = (
            (1e3 * ttft <= bounds.ttft_ms),
            (1e3 * tpot <= bounds.tpot_ms),
        )  # NaN, a refused one, meets nothing
        return float(met[0][first:stop].mean()), float(met[1][first:stop].mean())

    def most_in_flight(self) -> int:
        """Most requests between arrival and last token at once."""
        served = self.replica >= 0
        times = np.concatenate([self.arrivals.arrival_s[served], self.end_s[served]])
        change = np.repeat([1, -1], served.sum())
        return int(np.cumsum(change[np.lexsort((change, times))]).max(initial=0))

    def _gaps(self) -> tuple[Floats, Ints]:
        """Gaps between tokens and how often each occurred, over all replicas."""
        found = [_gaps_of(ends, spans) for ends, spans in zip(self._lines, self._spans, strict=True)]
        return np.concatenate([gap for gap, _ in found]), np.concatenate([count for _, count in found])


def _gaps_of(ends: Floats, spans: Spans) -> tuple[Floats, Ints]:
    """One replica's gaps: within a stretch from step to step, and those where a stretch begins.

    The step after the stretch's first token is counted by itself: with prompts in steps of their own, the
    first token did not come at the end of a decode step.
    """
    size = ends.size
    long = spans.count > 2
    change = np.bincount(spans.step[long] + 2, minlength=size + 1)
    change = change - np.bincount(spans.step[long] + spans.count[long], minlength=change.size)
    counts = np.cumsum(change)[:size]
    steps = np.flatnonzero(counts)
    second = spans.count > 1
    after_first = ends[spans.step[second] + 1] - spans.time[second]
    resumed = np.flatnonzero(spans.before > 0)
    earlier = resumed - 1
    alone = spans.count[earlier] == 1
    last = np.where(alone, spans.time[earlier], ends[spans.step[earlier] + spans.count[earlier] - 1])
    values = np.concatenate([ends[steps] - ends[steps - 1], after_first, spans.time[resumed] - last])
    ones = np.ones(after_first.size + resumed.size, dtype=np.int64)
    return values, np.concatenate([counts[steps], ones])
