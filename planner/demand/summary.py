"""The summary of a trace: what planning needs of it, small enough to ship and to write into a scenario."""

import itertools
import json
import math
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, ValidationError, model_validator

from executor.errors import Problem
from planner.demand.prefix import distinct_blocks, reuse_share
from planner.demand.readers.textfile import LARGEST, Budget, read_json
from planner.demand.readers.trace import HOUR_S, MINUTE_S, Floats, Histogram, Lengths, RateSeries, Requests, Trace
from planner.reference.traces import trace_file
from planner.scenario.errors import ScenarioError
from planner.scenario.fields import Model, Positive, Share

INPUT_STEPS, OUTPUT_STEPS = 12, 8
"""The joint law of lengths: equal steps of input length, and within each equal steps of output length."""

HOURS_OF_DAY, HOURS_OF_WEEK = 24, 168

NotNegative = Annotated[float, Field(ge=0, le=LARGEST, allow_inf_nan=False)]
Evidence = Literal["official", "reported", "estimate"]


class Origin(Model):
    """Where a trace comes from."""

    title: str
    """What it is, in a line."""
    source: str
    """Publisher, file and version."""
    date: str
    """When the traffic was recorded or published."""
    licence: str
    """Licence of the data."""
    attribution: str
    """Whom to name."""
    evidence: Evidence
    """official: rows or totals by the publisher; estimate: read off a figure, or generated."""
    note: str = ""
    """What to beware of."""


def users_own(source: str) -> Origin:
    """The origin of a trace of the user's own, of which nothing else is known."""
    unknown = "not stated"
    return Origin(
        title="the user's own trace", source=source, date=unknown, licence=unknown,
        attribution="the user", evidence="reported",
    )  # fmt: skip


class Margin(Model):
    """One length, tokens: its mean and quantiles. None: not published."""

    mean: NotNegative
    p10: NotNegative | None = None
    p25: NotNegative | None = None
    p50: NotNegative | None = None
    p75: NotNegative | None = None
    p90: NotNegative | None = None
    p95: NotNegative | None = None
    p99: NotNegative | None = None
    largest: NotNegative | None = None

    def scaled(self, factor: float) -> "Margin":
        """Every figure times ``factor``."""
        return Margin(**{name: value * factor for name, value in self.model_dump().items() if value is not None})


class Cell(Model):
    """One cell of the joint law: its share of requests and its mean lengths, tokens."""

    weight: Share
    input: NotNegative
    output: NotNegative


class JointLengths(Model):
    """Input and output lengths, tokens, and how they go together."""

    input: Margin
    output: Margin
    cells: tuple[Cell, ...] = ()
    """Joint law; the weights add to 1. Empty: only the margins are published."""
    pairing: str
    """How input and output were paired."""
    coverage: Share = 1.0
    """Share of the trace's requests behind these figures."""

    @model_validator(mode="after")
    def _adds_up(self) -> "JointLengths":
        total = math.fsum(cell.weight for cell in self.cells)
        if self.cells and abs(total - 1) > 1e-3:
            raise ValueError(f"the weights of the cells must add to 1 (they add to {total:g})")
        return self


class PrefixPoint(Model):
    """Reuse at one size of cache."""

    cache_tokens: Positive
    share: Share


class PrefixReuse(Model):
    """Share of input tokens that a prefix cache serves."""

    share: Share
    """At the largest cache looked at."""
    label: str
    """Which cache, and whether counted or published."""
    curve: tuple[PrefixPoint, ...] = ()
    """At smaller caches."""


class Rhythm(Model):
    """The rhythm of a trace. Ratios are to the trace's mean, gaps left out."""

    unit: str
    """What is counted."""
    clock: str
    """Clock of the hours."""
    hours: tuple[NotNegative | None, ...]
    """Load of each hour of the week (168, from Monday 00:00 of the clock) or of the day (24). None: a gap."""
    peak_hour: NotNegative
    """Busiest hour."""
    lowest_hour: NotNegative
    """Quietest hour."""
    hourly_cv: NotNegative
    """Standard deviation of the hours over their mean."""

    @model_validator(mode="after")
    def _whole_days(self) -> "Rhythm":
        if len(self.hours) not in (HOURS_OF_DAY, HOURS_OF_WEEK):
            raise ValueError(f"hours must have 24 or 168 entries (it has {len(self.hours)})")
        return self


class Burstiness(Model):
    """Standard deviation over mean of the time between requests."""

    cv: NotNegative
    kind: str


class DayTotals(Model):
    """Tokens of a whole day."""

    input_tokens: Positive
    cached_input_tokens: NotNegative
    output_tokens: Positive


class TraceSummary(Model):
    """What planning needs of a trace."""

    schema_version: Literal[1] = 1
    name: str
    origin: Origin
    requests: int | None = None
    """Requests in the trace."""
    duration_s: Positive | None = None
    """Span of the trace."""
    mean_rps: Positive | None = None
    """Mean arrival rate, requests/s; of a sample, so trust its shape more than its size."""
    rhythm: Rhythm | None = None
    """Rhythm over the day or week. None: the trace is shorter than a day."""
    peak_10min: Positive | None = None
    """Busiest ten minutes over the mean."""
    peak_minute: Positive | None = None
    """Busiest minute over the mean."""
    burst: Burstiness | None = None
    lengths: JointLengths | None = None
    prefix: PrefixReuse | None = None
    day: DayTotals | None = None

    def to_json(self) -> str:
        """The summary as a JSON text; what is not known is left out."""
        return json.dumps(self.model_dump(mode="json", exclude_none=True), ensure_ascii=False, indent=1) + "\n"


def summarise(
    trace: Trace, origin: Origin, lengths: JointLengths | None = None, prefix: PrefixReuse | None = None,
    day: DayTotals | None = None,
) -> TraceSummary:  # fmt: skip
    """The summary of a trace.

    ``lengths``, ``prefix`` and ``day`` are what the publisher states beside the trace; the trace's own
    lengths and hashes come first.
    """
    requests, rates = trace.requests, trace.rates
    duration = _duration(trace)
    return TraceSummary(
        name=trace.name,
        origin=origin,
        requests=trace.total_requests,
        duration_s=duration,
        mean_rps=_mean_rps(trace, duration),
        rhythm=None if rates is None else _rhythm(rates),
        peak_10min=None
        if rates is None or rates.window_s == HOUR_S or np.isnan(rates.rate).all()
        else _digits(float(np.nanmax(rates.rate) / rates.mean)),
        peak_minute=_peak_minute(trace),
        burst=None if trace.burst is None else Burstiness(cv=_digits(trace.burst.cv), kind=trace.burst.kind),
        lengths=lengths if trace.lengths is None else joint_lengths(trace.lengths),
        prefix=prefix if requests is None or requests.blocks is None else _prefix(requests),
        day=day,
    )


def summary_of_json(path: Path, budget: Budget | None = None) -> TraceSummary:
    """The summary in a JSON file; FileError where it is no JSON, ScenarioError where a field is wrong."""
    return summary_of(read_json(path, budget), str(path))


@cache
def shipped_summary(name: str) -> TraceSummary:
    """The shipped summary of that name; UnknownNameError where there is none."""
    return summary_of_json(trace_file(name))


def summary_of(written: object, place: str) -> TraceSummary:
    """The summary that a dictionary spells out; ScenarioError tells every field that is wrong."""
    try:
        return TraceSummary.model_validate_json(json.dumps(written, default=str))
    except TypeError as error:  # a key that YAML reads as a date
        raise ScenarioError(place, [Problem("trace", f"cannot be written as JSON: {error}")]) from error
    except ValidationError as error:
        problems = [
            Problem(
                place=".".join(map(str, fault["loc"])) or "trace",
                message=fault["msg"],
                found=fault["input"] if isinstance(fault["input"], str | int | float | bool) else None,
            )
            for fault in error.errors()
        ]
        raise ScenarioError(place, problems) from error


def joint_lengths(lengths: Lengths) -> JointLengths:
    """Margins and the joint law of a mixture of length histograms; every cell has the same weight.

    The mass is cut into INPUT_STEPS equal steps of input length, and each of them into OUTPUT_STEPS equal steps of
    output length; a length with more mass than a step is shared among steps. So the cells keep both means.
    """
    cells: list[Cell] = []
    weight = lengths.weight / lengths.weight.sum()
    for step in _steps(lengths.input, weight, INPUT_STEPS):
        share = lengths.input.weights(weight) * step
        of_record = np.bincount(lengths.input.record, share, weight.size).astype(np.float64)
        mass = np.bincount(lengths.input.record, share * lengths.input.value, weight.size)
        for part in _steps(lengths.output, of_record, OUTPUT_STEPS):
            out_share = lengths.output.share * part
            total = float((of_record[lengths.output.record] * out_share).sum())
            inputs = float((mass[lengths.output.record] * out_share).sum())
            outputs = float((of_record[lengths.output.record] * out_share * lengths.output.value).sum())
            cells.append(Cell(weight=round(total, 9), input=_digits(inputs / total), output=_digits(outputs / total)))
    return JointLengths(
        input=margin(lengths.input, weight),
        output=margin(lengths.output, weight),
        cells=tuple(cells),
        pairing=lengths.pairing,
        coverage=_digits(min(lengths.coverage, 1.0)),
    )


def margin(histogram: Histogram, record_weight: Floats) -> Margin:
    """Mean and quantiles: the smallest length that so much of the weight does not exceed."""
    order = np.argsort(histogram.value, kind="stable")
    value = histogram.value[order]
    weight = histogram.weights(record_weight)[order]
    until = np.cumsum(weight) / weight.sum()
    quantiles = {
        f"p{percent}": float(value[min(int(np.searchsorted(until, percent / 100 - 1e-12)), value.size - 1)])
        for percent in (10, 25, 50, 75, 90, 95, 99)
    }
    mean = _digits(float((value * weight).sum() / weight.sum()))
    return Margin(mean=mean, largest=float(value[weight > 0][-1]), **quantiles)


def _steps(histogram: Histogram, record_weight: Floats, steps: int) -> Iterator[Floats]:
    """For each of so many equal steps of the mass, in order of length, the share of each entry in it.

    One after another: all at once take a dozen times the memory of the trace.
    """
    values, at = np.unique(histogram.value, return_inverse=True)
    mass = np.bincount(at, histogram.weights(record_weight), values.size)
    edges = np.concatenate([[0.0], np.cumsum(mass)])
    bounds = np.linspace(0.0, edges[-1], steps + 1)
    for low, high in itertools.pairwise(bounds):
        inside = np.maximum(np.minimum(edges[1:], high) - np.maximum(edges[:-1], low), 0.0)
        yield np.divide(inside, mass, out=np.zeros_like(inside), where=mass > 0)[at]


def _rhythm(rates: RateSeries) -> Rhythm | None:
    """Hourly ratios: of the week where there is a whole one, else of the day; None below a day and without a full hour.

    An hour with a gap in it is a gap: windows at the edge of a gap are often cut short.
    """
    per_hour = round(HOUR_S / rates.window_s)
    whole = rates.rate.size // per_hour
    if whole < HOURS_OF_DAY:
        return None
    hourly = rates.rate[: whole * per_hour].reshape(whole, per_hour).mean(axis=1) / rates.mean
    if np.isnan(hourly).all():
        return None
    period = HOURS_OF_WEEK if whole >= HOURS_OF_WEEK else HOURS_OF_DAY
    slot = (rates.first_hour + np.arange(whole)) % period
    hours = np.array([_mean_without_gaps(hourly[slot == hour]) for hour in range(period)])
    return Rhythm(
        unit=rates.unit,
        clock=rates.clock,
        hours=tuple(None if math.isnan(hour) else _digits(hour) for hour in hours),
        peak_hour=_digits(float(np.nanmax(hours))),
        lowest_hour=_digits(float(np.nanmin(hours))),
        hourly_cv=_digits(float(np.nanstd(hourly) / np.nanmean(hourly))),
    )


def _mean_without_gaps(values: Floats) -> float:
    """Mean of what is there; NaN where nothing is."""
    there = ~np.isnan(values)
    return float(np.where(there, values, 0.0).sum() / there.sum()) if there.any() else math.nan


def _duration(trace: Trace) -> float | None:
    if trace.requests is not None:
        span = float(trace.requests.arrival_s[-1] - trace.requests.arrival_s[0])
        return span or None
    return None if trace.rates is None else trace.rates.rate.size * trace.rates.window_s


def _mean_rps(trace: Trace, duration: float | None) -> float | None:
    if trace.rates is not None and trace.requests is None and trace.rates.unit == "requests/s":
        return _digits(trace.rates.mean)
    return None if duration is None or trace.total_requests is None else _digits(trace.total_requests / duration)


def _peak_minute(trace: Trace) -> float | None:
    if trace.requests is not None and trace.requests.arrival_s[-1] >= 2 * MINUTE_S:
        minutes = (trace.requests.arrival_s // MINUTE_S).astype(np.int64)
        counts = np.bincount(minutes)
        mean = trace.requests.arrival_s.size / (trace.requests.arrival_s[-1] / MINUTE_S)
        return _digits(float(counts.max() / mean))
    if trace.rates is not None and trace.rates.minute_peak is not None:
        return _digits(float(trace.rates.minute_peak.max() / trace.rates.mean))
    return None


def _prefix(requests: Requests) -> PrefixReuse:
    blocks = distinct_blocks(requests)
    sizes = [size for size in (1_000, 3_000, 10_000, 30_000, 100_000, 300_000) if size < blocks]
    return PrefixReuse(
        share=_digits(reuse_share(requests)),
        label=f"counted: one cache that never evicts, blocks of {requests.block_tokens} tokens",
        curve=tuple(
            PrefixPoint(cache_tokens=float(size * requests.block_tokens), share=_digits(reuse_share(requests, size)))
            for size in sizes
        ),
    )


def _digits(value: float) -> float:
    """Six significant digits: more than the traces carry."""
    return float(f"{value:.6g}")
