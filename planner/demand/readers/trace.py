"""A trace: requests one by one, or rates over time, or lengths alone; whatever its publisher let out."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

HOUR_S = 3600.0
TEN_MINUTES_S = 600.0
MINUTE_S = 60.0


@dataclass(frozen=True)
class Requests:
    """Requests in order of arrival.

    arrival_s       seconds since the first second of the trace, never falling
    input_tokens, output_tokens    tokens, same length as arrival_s
    start           wall clock of second 0; None: not published
    blocks          per request the hashes of its prefix blocks, first block first; None: not published
    block_tokens    tokens in one block
    """

    arrival_s: Floats
    input_tokens: Ints
    output_tokens: Ints
    start: dt.datetime | None = None
    blocks: tuple[tuple[int, ...], ...] | None = None
    block_tokens: int = 512


@dataclass(frozen=True)
class RateSeries:
    """Load per window of equal length; NaN where the publisher's record has a gap.

    rate        mean load in each window, in ``unit``
    first_hour  hour of the week (0: Monday 00:00) or, for one day, of the day in which the first window falls
    clock       what the hours are counted by: UTC, Beijing, or the trace's own clock
    minute_peak highest rate over one minute within each window, same unit; None: not published
    """

    window_s: float
    rate: Floats
    first_hour: int
    clock: str
    unit: str = "requests/s"
    minute_peak: Floats | None = None

    @property
    def mean(self) -> float:
        """Mean load, gaps left out."""
        return float(np.nanmean(self.rate))


@dataclass(frozen=True)
class Burst:
    """Variability of the time between requests: standard deviation over mean, and how it was got."""

    cv: float
    kind: str


@dataclass(frozen=True)
class Histogram:
    """Flat histograms of many records: entry e gives record ``record[e]`` the ``value[e]`` with ``share[e]``.

    The shares of one record add to 1.
    """

    record: Ints
    value: Floats
    share: Floats

    @classmethod
    def of_points(cls, values: Sequence[float] | Ints) -> "Histogram":
        """One record a value, each certain."""
        found = np.asarray(values, dtype=np.float64)
        return cls(np.arange(found.size), found, np.ones(found.size))

    def weights(self, record_weight: Floats) -> Floats:
        """Weight of each entry when record r counts ``record_weight[r]``."""
        return record_weight[self.record] * self.share


@dataclass(frozen=True)
class Lengths:
    """Joint lengths as a mixture of records; within a record, input and output are independent.

    A request is a record with one input and one output. A client's histograms over a time window are a record
    that weighs as many requests as the client sent in it: what is joint then is which client sends what.

    weight      requests behind each record
    coverage    share of the trace's requests that these records stand for
    """

    weight: Floats
    input: Histogram
    output: Histogram
    pairing: str
    coverage: float = 1.0


@dataclass(frozen=True)
class Trace:
    """What one reader got out of its files."""

    name: str
    requests: Requests | None = None
    rates: RateSeries | None = None
    lengths: Lengths | None = None
    burst: Burst | None = None
    total_requests: int | None = None


def rates_of(requests: Requests, window_s: float) -> RateSeries:
    """Requests counted in windows that begin at a full hour where the wall clock is known.

    A window that the first or the last request cuts short is a gap (NaN), so a trace shorter than one window
    has no mean.
    """
    start = requests.start
    late = 0.0 if start is None else (start - start.replace(minute=0, second=0, microsecond=0)).total_seconds()
    at = requests.arrival_s + late
    counts = np.bincount((at // window_s).astype(np.int64)).astype(np.float64)
    edge = np.arange(counts.size) * window_s
    cut = (edge < at[0]) | (edge + window_s > at[-1])
    clock = "the trace's own clock" if start is None else "the trace's wall clock"
    hour = 0 if start is None else start.weekday() * 24 + start.hour
    return RateSeries(window_s, np.where(cut, np.nan, counts) / window_s, hour, clock)


def interarrival_cv(arrival_s: Floats) -> float:
    """Standard deviation of the gaps between requests over their mean; NaN where all came at once."""
    gaps = np.diff(arrival_s)
    return float(gaps.std() / gaps.mean()) if gaps.size and gaps.mean() > 0 else float("nan")


DISTINCT = 0.5
"""Below this share of distinct arrival times the clock is too coarse to see the gaps."""


def trace_of(name: str, requests: Requests) -> Trace:
    """The trace of requests seen one by one: their lengths are joint as observed, their gaps measured."""
    count = requests.arrival_s.size
    coarse = np.unique(requests.arrival_s).size < DISTINCT * count
    gaps_seen = count > 2 and requests.arrival_s[-1] > requests.arrival_s[0]
    return Trace(
        name=name,
        requests=requests,
        rates=rates_of(requests, TEN_MINUTES_S),
        lengths=Lengths(
            weight=np.ones(count),
            input=Histogram.of_points(requests.input_tokens),
            output=Histogram.of_points(requests.output_tokens),
            pairing="observed request by request",
        ),
        burst=Burst(
            interarrival_cv(requests.arrival_s),
            "artefact of coarse timestamps: an upper bound" if coarse else "measured between requests",
        )
        if gaps_seen
        else None,
        total_requests=count,
    )
