"""Any trace file: the reader that fits its first line, or the one that is named."""

from collections.abc import Callable
from os.path import exists, isdir
from pathlib import Path

from executor.errors import FileError, UnknownNameError
from executor.user_files import json_value
from planner.demand.readers import servegen, tables
from planner.demand.readers.mooncake import read_mooncake
from planner.demand.readers.servegen import read_servegen
from planner.demand.readers.textfile import MAX_BYTES, Budget, read_lines
from planner.demand.readers.trace import Trace

HEADERS = {
    tables.AZURE_HEADER: "azure",
    tables.AZURE_HOURLY_HEADER: "azure-hourly",
    tables.DEEPSEEK_HEADER: "deepseek",
    servegen.RATES_HEADER: "servegen",
}
"""First line of a CSV file -> its format."""

READERS: dict[str, Callable[[Path, str | None, int], Trace]] = {
    "mooncake": read_mooncake,
    "azure": tables.read_azure,
    "azure-hourly": tables.read_azure_hourly,
    "deepseek": tables.read_deepseek,
}
FORMATS = (*READERS, "servegen")


def read_trace(
    path: Path,
    format: str | None = None,
    *,
    lengths: Path | None = None,
    name: str | None = None,
    max_bytes: int = MAX_BYTES,
) -> Trace:
    """The trace in a file, or in a folder as ServeGen publishes it.

    format      one of FORMATS; None: told from the first line
    lengths     ServeGen's length file; None: the one beside a rates file, if there is one
    max_bytes   unpacked size allowed

    FileError with row and mend where the file is broken, UnknownNameError for a format that is not known.
    """
    kind = format_of(path, max_bytes) if format is None else format
    if kind == "servegen":
        return read_servegen(path, lengths or _lengths_beside(path), name, max_bytes)
    if kind not in READERS:
        raise UnknownNameError("trace format", kind, FORMATS)
    return READERS[kind](path, name, max_bytes)


def format_of(path: Path, max_bytes: int = MAX_BYTES) -> str:
    """The format that the first line of a file shows, or a folder is; FileError where it shows none."""
    if isdir(path):  # unlike Path.is_dir, never raises on a name that cannot be
        return "servegen"
    row, line = next(read_lines(path, Budget(max_bytes)))
    header = tuple(line.split(","))
    if header in HEADERS:
        return HEADERS[header]
    if line.startswith("{") and "input_length" in _fields(line):
        return "mooncake"
    known = "; ".join(("a JSON object with timestamp, input_length, output_length", *map(",".join, HEADERS)))
    raise FileError(path, "is no trace format that is known", row=row, found=line, mend=f"first lines known: {known}")


def _fields(line: str) -> set[str]:
    try:
        found = json_value(line)
    except ValueError:
        return set()
    return set(found) if isinstance(found, dict) else set()


def _lengths_beside(rates: Path) -> Path | None:
    """ServeGen's length file beside its rates; one that is elsewhere, behind a link, is none of this trace."""
    beside = rates.with_name(rates.name.replace("-rates.csv", "-lengths.jsonl"))
    if beside == rates or not exists(beside):
        return None
    return beside if beside.resolve().parent == rates.resolve().parent else None
