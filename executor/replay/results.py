"""What a replay's requests met: token times, latencies, metrics under the names of ``vllm bench serve``."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from executor.arithmetic_series import Floats, Ints, Ramps
from executor.replay.arrivals import Arrivals
from executor.scheduler.sequence import ROUNDING
from executor.serving_metrics import Bounds, Latencies, bench_metrics


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
    pace: float = 1.0
    """Tokens of a decode step."""

    @property
    def steps(self) -> Ints:
        """Decode steps of each stretch: all its tokens but the first, ``pace`` a step."""
        return np.ceil((self.count - 1) / self.pace - ROUNDING).astype(np.int64)


@dataclass(frozen=True)
class Line:
    """When the decode steps of a replica ended, by stretch of steps: step i of one takes first + growth i.

    last    number of each stretch's last step; steps count from 1
    start   when its first step began
    """

    last: Ints
    start: Floats
    first: Floats
    growth: Floats

    @property
    def begin(self) -> Ints:
        """Number of each stretch's first step."""
        return np.concatenate([[0], self.last[:-1]]) + 1

    def ends(self, steps: Ints) -> Floats:
        """When the steps of those numbers ended, seconds."""
        at = np.searchsorted(self.last, steps)
        place = steps - self.last[at - 1] * (at > 0)
        return self.start[at] + place * self.first[at] + self.growth[at] * (place * (place - 1) / 2)


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
    _lines: tuple[Line, ...]
    _spans: tuple[Spans, ...]

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
        return Latencies(
            ttft=self.first_token_s[served] - arrival,
            e2el=self.end_s[served] - arrival,
            prompt=self.arrivals.prompt[served],
            output=self.arrivals.output[served],
            itl=Ramps.joined(_gaps(*each) for each in zip(self._lines, self._spans, strict=True)),
        )

    def metrics(self, bounds: Bounds | None = None) -> dict[str, float]:
        """Counts, rates and percentiles under the names of ``vllm bench serve``, of all replicas together."""
        return bench_metrics(self.latencies, self.duration, self.refused, bounds, concurrent=self.most_in_flight())

    def attained(self, bounds: Bounds, counted: tuple[float, float] = (0.0, 1.0)) -> tuple[float, float]:
        """Shares of the requests that meet the TTFT bound, and the TPOT bound; refused ones meet neither.

        ``counted``: from which share of the requests to which, in order of arrival, are looked at.
        """
        first, stop = (round(share * len(self.arrivals)) for share in counted)
        ttft = self.first_token_s - self.arrivals.arrival_s
        output = self.arrivals.output
        tpot = np.where(output > 1, (self.end_s - self.first_token_s) / np.maximum(output - 1, 1), 0.0 * ttft)
        met = ((1e3 * ttft <= bounds.ttft_ms), (1e3 * tpot <= bounds.tpot_ms))  # NaN, a refused one, meets nothing
        return float(met[0][first:stop].mean()), float(met[1][first:stop].mean())

    def most_in_flight(self) -> int:
        """Most requests between arrival and last token at once."""
        served = self.replica >= 0
        times = np.concatenate([self.arrivals.arrival_s[served], self.end_s[served]])
        change = np.repeat([1, -1], served.sum())
        return int(np.cumsum(change[np.lexsort((change, times))]).max(initial=0))


def _gaps(line: Line, spans: Spans) -> Ramps:
    """One replica's gaps: within a stretch of tokens from step to step, and those where one begins.

    The step after the first token of a stretch is counted by itself: with prompts in steps of their own, that
    token did not come at the end of a decode step. Tokens of one step come together.
    """
    steps = spans.steps
    second = spans.count > 1
    after_first = line.ends(spans.step[second] + 1) - spans.time[second]
    resumed = np.flatnonzero(spans.before > 0)
    earlier = resumed - 1
    latest = spans.time[earlier]
    later = spans.count[earlier] > 1
    latest[later] = line.ends((spans.step[earlier] + steps[earlier])[later])
    alone = Ramps.of(np.concatenate([after_first, spans.time[resumed] - latest]))
    one, none = np.ones(1, dtype=np.int64), np.zeros(1)
    together = Ramps(none, none, one, one * int((spans.count - 1 - steps).sum()))
    return Ramps.joined([_gaps_inside(line, spans), alone, together.where(together.count > 0)])


def _gaps_inside(line: Line, spans: Spans) -> Ramps:
    """From the second token of a stretch of tokens on, gaps between ends of steps that follow one another.

    Within a stretch of steps nobody comes or goes, so all its gaps but the first, across what happened since the
    stretch before, form one series with one count.
    """
    size = line.last.size
    steps = line.last - line.begin + 1
    ends = line.start + steps * line.first + line.growth * (steps * (steps - 1) / 2)
    before = np.concatenate([[0.0], ends[:-1]])
    across, zero = line.start + line.first - before, np.zeros(size)
    long = spans.steps > 1
    change = np.zeros(2 * size + 1, dtype=np.int64)  # first step of a stretch, the others, the next stretch ..
    for numbers, sign in ((spans.step[long] + 2, 1), (spans.step[long] + spans.steps[long] + 1, -1)):
        at = np.searchsorted(line.last, numbers)
        part = 2 * at
        part[at < size] += numbers[at < size] > line.begin[at[at < size]]
        change += sign * np.bincount(part, minlength=change.size)
    count = np.cumsum(change)[:-1].reshape(size, 2)
    parts = [
        Ramps(across, zero, np.ones(size, dtype=np.int64), count[:, 0]),
        Ramps(line.first + line.growth, line.growth, steps - 1, count[:, 1]),
    ]
    met = [(part.count > 0) & (part.steps > 0) for part in parts]
    return Ramps.joined(part.where(which) for part, which in zip(parts, met, strict=True))
