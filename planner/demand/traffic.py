"""The traffic of a pool: its trace, looked up or read, under the figures that the scenario sets."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from executor.errors import FileError, MissingFigureError, Problem, did_you_mean
from executor.user_files import inside
from planner.demand.readers.lengths import fixed_lengths, read_cdf_pair
from planner.demand.readers.reader import read_trace
from planner.demand.readers.textfile import MAX_BYTES, Budget
from planner.demand.summary import (
    Cell,
    JointLengths,
    Margin,
    Origin,
    TraceSummary,
    joint_lengths,
    shipped_summary,
    summarise,
    summary_of,
    summary_of_json,
    users_own,
)
from planner.reference.demand_series import demand_series
from planner.reference.traces import trace_names
from planner.scenario.checks import like_a_path
from planner.scenario.errors import ScenarioError
from planner.scenario.pools import Pool

PARTS = {
    "rhythm": ("rhythm", "peak_10min", "peak_minute", "burst"), "lengths": ("lengths",), "prefix": ("prefix",),
}  # fmt: skip
"""A trace put together from others says from which one each part comes -> fields of the summary that it gives."""
PAIR = ("input_tokens", "output_tokens")
"""Every request alike."""
CDFS = ("input_cdf", "output_cdf")
"""Files of [[tokens, cumulative], ..], input and output independent."""


@dataclass(frozen=True)
class Figure:
    """A figure and where it comes from."""

    value: float
    label: str


@dataclass(frozen=True)
class Traffic:
    """What the requests of a pool look like.

    mean_rps     requests/s, mean of the first month
    busy_hour    busiest hour of the week over the mean
    input, output    lengths of a request, tokens
    cells        joint law of the lengths; empty where only the margins are known
    pairing      how input and output go together
    prefix_reuse share of input tokens that a prefix cache serves
    """

    pool: str
    mean_rps: float
    busy_hour: Figure
    input: Margin
    output: Margin
    cells: tuple[Cell, ...]
    pairing: str
    prefix_reuse: Figure
    trace: TraceSummary


def traffic(pool: Pool, folder: Path | None = None, max_bytes: int = MAX_BYTES) -> Traffic:
    """The traffic of a pool in its first month; ``folder`` is where the scenario and its trace files lie.

    UnknownNameError, FileError, ScenarioError or MissingFigureError where the trace cannot be had or lacks what
    planning needs.
    """
    load = pool.load
    trace = trace_summary(load.trace, folder, max_bytes)
    lengths = _scaled(trace, load.input_tokens, load.output_tokens)
    return Traffic(
        pool=pool.name,
        mean_rps=load.requests_per_second * load.scale,
        busy_hour=_busy_hour(trace, load.busy_hour),
        input=lengths.input,
        output=lengths.output,
        cells=lengths.cells,
        pairing=lengths.pairing,
        prefix_reuse=_prefix_reuse(trace, load.prefix_reuse),
        trace=trace,
    )


def trace_summary(
    trace: str | Mapping[str, Any], folder: Path | None = None, max_bytes: int = MAX_BYTES
) -> TraceSummary:
    """The summary that a scenario's ``load.trace`` means.

    A name of a shipped trace; a file in ``folder`` or below, a summary (.json) or any trace that can be read; {rhythm,
    lengths, prefix}: the parts of other traces; {input_tokens, output_tokens}: every request alike; {input_cdf,
    output_cdf}: two files of lengths; or a whole summary written out. A file may unpack to ``max_bytes``.
    """
    if isinstance(trace, Mapping):
        return _written(trace, folder, max_bytes)
    if not isinstance(trace, str):
        raise ScenarioError("load.trace", [Problem("trace", "must be a name or a trace", found=trace)])
    if trace in trace_names() or not like_a_path(trace):
        return shipped_summary(trace)
    path = _inside(trace, folder)
    if path.name.endswith(".json"):
        return summary_of_json(path, Budget(max_bytes))
    return summarise(read_trace(path, max_bytes=max_bytes), users_own(f"the file {path.name}"))


def _written(trace: Mapping[str, Any], folder: Path | None, max_bytes: int) -> TraceSummary:
    keys = set(trace)
    if keys and keys <= PARTS.keys():
        return _put_together(trace, folder, max_bytes)
    if keys == set(PAIR):
        origin = users_own("one input and one output length")
        return summarise(fixed_lengths("fixed lengths", *(_tokens(trace, field) for field in PAIR)), origin)
    if keys == set(CDFS):
        inputs, outputs = (_inside(trace[field], folder) for field in CDFS)
        name = f"{inputs.name} and {outputs.name}"
        return summarise(read_cdf_pair(inputs, outputs, name, max_bytes), users_own(f"the files {name}"))
    if "schema_version" in keys:
        return summary_of(dict(trace), "load.trace")
    known = (*PARTS, *PAIR, *CDFS, "schema_version")
    raise ScenarioError(
        "load.trace",
        [Problem(str(key), "is no part of a trace", mend=_meant(key, known)) for key in trace]
        or [Problem("trace", "is empty", mend=_meant("", known))],
    )


def _put_together(parts: Mapping[str, Any], folder: Path | None, max_bytes: int) -> TraceSummary:
    """A trace whose rhythm, lengths and reuse come from others; the origin names each of them."""
    if again := [part for part, trace in parts.items() if isinstance(trace, Mapping) and PARTS.keys() & trace.keys()]:
        said = "is put together of parts itself"
        raise ScenarioError("load.trace", [Problem(part, said, mend="name the trace it comes from") for part in again])
    found = {part: trace_summary(parts[part], folder, max_bytes) for part in PARTS if part in parts}
    said = "; ".join(f"{part} of {summary.name} ({summary.origin.source})" for part, summary in found.items())
    origins = [summary.origin for summary in found.values()]
    return TraceSummary(
        name=" + ".join(dict.fromkeys(summary.name for summary in found.values())),
        origin=Origin(
            title="put together from other traces",
            source=said,
            date=max(origin.date for origin in origins),
            licence="; ".join(dict.fromkeys(origin.licence for origin in origins)),
            attribution="; ".join(dict.fromkeys(origin.attribution for origin in origins)),
            evidence="estimate",
            note="parts of different services are assumed to go together",
        ),
        **{field: getattr(found.get(part), field, None) for part, fields in PARTS.items() for field in fields},
    )


def _scaled(trace: TraceSummary, input_tokens: float | None, output_tokens: float | None) -> JointLengths:
    """The trace's lengths, stretched to the means that the scenario sets."""
    lengths = trace.lengths
    if lengths is None:
        if input_tokens is None or output_tokens is None:
            mend = "give load.input_tokens and load.output_tokens, or write trace: {rhythm: .., lengths: ..}"
            raise MissingFigureError(f"trace {trace.name!r}", "lengths", mend)
        alike = fixed_lengths(trace.name, input_tokens, output_tokens).lengths
        assert alike is not None
        return joint_lengths(alike)
    by_input = _stretch(trace.name, "input", input_tokens, lengths.input.mean)
    by_output = _stretch(trace.name, "output", output_tokens, lengths.output.mean)
    return JointLengths(
        input=lengths.input.scaled(by_input),
        output=lengths.output.scaled(by_output),
        cells=tuple(
            Cell(weight=cell.weight, input=cell.input * by_input, output=cell.output * by_output)
            for cell in lengths.cells
        ),
        pairing=lengths.pairing,
        coverage=lengths.coverage,
    )


def _stretch(name: str, side: str, given: float | None, mean: float) -> float:
    if given is None:
        return 1.0
    if not mean:
        raise MissingFigureError(f"trace {name!r}", f"{side} tokens to stretch", f"leave load.{side}_tokens out")
    return given / mean


def _busy_hour(trace: TraceSummary, given: float | None) -> Figure:
    if given is not None:
        return Figure(given, "given in the scenario")
    if trace.rhythm is not None:
        span = "week" if len(trace.rhythm.hours) == 168 else "day"
        return Figure(trace.rhythm.peak_hour, f"busiest hour of the {span} in {trace.name}")
    default = demand_series("peak_to_mean")[-1]
    return Figure(default.value, f"{default.evidence}: the trace is shorter than a day; {default.source}")


def _prefix_reuse(trace: TraceSummary, given: float | None) -> Figure:
    if given is not None:
        return Figure(given, "given in the scenario")
    if trace.prefix is not None:
        return Figure(trace.prefix.share, f"{trace.name}, {trace.prefix.label}")
    return Figure(0.0, "not known for this trace: every input token is computed")


def _inside(name: object, folder: Path | None) -> Path:
    if not isinstance(name, str):
        raise ScenarioError("load.trace", [Problem("trace", "must be the name of a file", found=name)])
    if folder is None:
        mend = "use a shipped trace, or write the summary out"
        raise FileError(name, "cannot be looked for: the scenario has no folder", mend=mend)
    return inside(folder, name, "trace").resolve()


def _tokens(trace: Mapping[str, Any], field: str) -> float:
    found = trace[field]
    if isinstance(found, bool) or not isinstance(found, int | float) or not 1 <= found <= 1e9:
        raise ScenarioError("load.trace", [Problem(field, "must be a number of tokens, 1 or more", found=found)])
    return float(found)


def _meant(key: object, known: tuple[str, ...]) -> str:
    near = did_you_mean(key, known)
    forms = "{rhythm, lengths, prefix}, {input_tokens, output_tokens}, {input_cdf, output_cdf} or a summary"
    return f"did you mean {near}?" if near else f"write {forms}"
