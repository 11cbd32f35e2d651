"""The published traces that Waferlag ships a summary of: their files, owners and what to beware of.

``python -m tools.summarise_traces`` makes the summaries from them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from executor.errors import FileError
from executor.reference.csv_table import Row, read_rows
from planner.demand.readers.reader import FORMATS, read_trace
from planner.demand.summary import DayTotals, JointLengths, Margin, Origin, PrefixReuse, TraceSummary, summarise
from planner.reference.traces import SHIPPED

COLUMNS = (
    "name", "format", "file", "lengths_file", "title", "source", "date", "licence", "attribution", "evidence",
    "note",
)  # fmt: skip
STATS_COLUMNS = (
    "trace", "requests", "duration_s", "mean_rps", "peak_minute_to_mean", "peak_10min_to_mean",
    "peak_hour_to_mean", "min_hour_to_mean", "hourly_cov", "interarrival_cv", "interarrival_cv_kind",
    "input_mean", "input_p50", "input_p90", "input_p99", "output_mean", "output_p50", "output_p90",
    "output_p99", "input_to_output_ratio", "prefix_reuse_token_share", "length_coverage", "note",
)  # fmt: skip

PUBLISHED_LENGTHS = {"azure-code-2024": "azure2024_code", "azure-conversation-2024": "azure2024_conv"}
"""Traces whose rows nobody may have, but whose lengths were published: name -> row of trace_stats.csv."""

DEEPSEEK_DAY = DayTotals(input_tokens=608e9, cached_input_tokens=342e9, output_tokens=168e9)
"""27 February 2025 12:00 to 28 February 12:00 in Beijing, as DeepSeek published them (open-infra-index)."""


@dataclass(frozen=True)
class Entry:
    """One published trace; file names are below the folder in which the traces lie."""

    name: str
    format: str
    file: str
    lengths_file: str | None
    origin: Origin


@cache
def catalogue() -> tuple[Entry, ...]:
    """Every published trace with a shipped summary."""
    return tuple(_entry(row) for row in read_rows(SHIPPED / "catalogue.csv", COLUMNS))


def summaries_of(folder: Path) -> Iterator[TraceSummary]:
    """The summaries of all published traces, made from the files in a folder, one after another."""
    for entry in catalogue():
        lengths = None if entry.lengths_file is None else folder / entry.lengths_file
        trace = read_trace(folder / entry.file, entry.format, lengths=lengths, name=entry.name)
        yield summarise(
            trace,
            entry.origin,
            lengths=_published_lengths(folder, entry.name),
            prefix=_published_reuse(entry.name),
            day=DEEPSEEK_DAY if entry.name == "deepseek-online" else None,
        )


def _published_reuse(name: str) -> PrefixReuse | None:
    if name != "deepseek-online":
        return None
    share = round(DEEPSEEK_DAY.cached_input_tokens / DEEPSEEK_DAY.input_tokens, 4)
    return PrefixReuse(share=share, label="published: hits in an on-disk cache, share of input tokens")


def _published_lengths(folder: Path, name: str) -> JointLengths | None:
    if name not in PUBLISHED_LENGTHS:
        return None
    wanted = PUBLISHED_LENGTHS[name]
    path = folder / "trace_stats.csv"
    for row in read_rows(path, STATS_COLUMNS):
        if row.text("trace") == wanted:
            return JointLengths(input=_margin(row, "input"), output=_margin(row, "output"), pairing="not published")
    raise FileError(path, f"has no row for {wanted}")


def _margin(row: Row, which: str) -> Margin:
    return Margin(**{name: row.figure(f"{which}_{name}") for name in ("mean", "p50", "p90", "p99")})


def _entry(row: Row) -> Entry:
    origin = {field: row.needed(field) for field in ("title", "source", "licence", "attribution")}
    return Entry(
        name=row.needed("name"),
        format=row.choice("format", FORMATS),
        file=row.needed("file"),
        lengths_file=row.text("lengths_file") or None,
        origin=Origin.model_validate(
            {**origin, "date": row.month_or_day("date"), "evidence": row.evidence(), "note": row.text("note")}
        ),
    )
