"""Text files from outside, plain or gzip, read line by line and never trusted."""

import gzip
import io
import json
import math
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from executor.errors import FileError, LimitError

MAX_BYTES = 1 << 30
"""Unpacked bytes that a trace file may hold; the setting WAFERLAG_MAX_TRACE_BYTES of the front door."""

SETTING = "WAFERLAG_MAX_TRACE_BYTES"

LARGEST = 1e15
"""No figure of a trace is above this; and below it a float holds every whole number."""

LONGEST_S = 10 * 365 * 86_400.0
"""A trace that spans more than ten years has its times in another unit."""

MOST_TOKENS = 1e9
"""No request is longer."""

_GZIP = b"\x1f\x8b"


def read_lines(path: Path, max_bytes: int = MAX_BYTES) -> Iterator[tuple[int, str]]:
    """(row from 1, line without its end) for each line that is not blank.

    FileError: missing, no file, cut-off or broken gzip, not UTF-8, empty. LimitError: more than ``max_bytes``
    after unpacking.
    """
    rows = 0
    read = 0
    try:
        with _opened(path) as file:
            for row, raw in enumerate(iter(lambda: file.readline(max_bytes + 1), b""), start=1):
                read += len(raw)
                if read > max_bytes:
                    raise LimitError(f"{path}, unpacked bytes", read, max_bytes, SETTING)
                line = _decoded(path, row, raw).strip()
                if line:
                    rows += 1
                    yield row, line
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise FileError(path, f"is a broken gzip file: {error}", mend="fetch or copy it again") from error
    except OSError as error:
        raise FileError(path, f"cannot be read: {error.strerror or error}") from error
    if not rows:
        raise FileError(path, "is empty")


def read_json(path: Path, max_bytes: int = MAX_BYTES) -> Any:
    """The JSON document in a file; FileError and LimitError as ``read_lines``."""
    return json_of(path, "\n".join(line for _, line in read_lines(path, max_bytes)), row=None)


def json_of(path: Path, text: str, row: int | None) -> Any:
    """The JSON value of a text; FileError where it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        reason = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
        raise FileError(path, f"is no JSON: {reason}", row=row, found=text[:60]) from error


def number(
    path: Path, row: int | None, name: str, found: object, *, least: float = 0.0, most: float = LARGEST
) -> float:
    """A finite number from ``least`` to ``most`` out of a JSON value or a CSV cell; FileError otherwise."""
    if isinstance(found, bool) or not isinstance(found, int | float | str):
        raise FileError(path, f"{name} must be a number", row=row, found=found)
    try:
        value = float(found)
    except (ValueError, OverflowError) as error:
        raise FileError(path, f"{name} must be a number", row=row, found=found) from error
    if not math.isfinite(value) or value < least:
        raise FileError(path, f"{name} must be a finite number of {least:g} or more", row=row, found=found)
    if value > most:
        raise FileError(path, f"{name} must be at most {most:g}", row=row, found=found)
    return value


def whole(path: Path, row: int | None, name: str, found: object, *, least: int = 0, most: float = LARGEST) -> int:
    """A whole number from ``least`` to ``most``; FileError otherwise."""
    value = number(path, row, name, found, least=least, most=most)
    if value != int(value):
        raise FileError(path, f"{name} must be a whole number", row=row, found=found)
    return int(value)


def cells(path: Path, row: int, line: str, columns: tuple[str, ...]) -> list[str]:
    """The cells of a CSV line without quoting; FileError where their number is not that of the columns."""
    found = line.split(",")
    if len(found) != len(columns):
        raise FileError(
            path,
            f"has {len(found)} cells instead of {len(columns)}",
            row=row,
            found=line,
            mend=f"columns: {','.join(columns)}",
        )
    return found


def rows_under(path: Path, header: tuple[str, ...], max_bytes: int = MAX_BYTES) -> Iterator[tuple[int, list[str]]]:
    """(row, cells) of a CSV file that begins with this header; FileError otherwise."""
    lines = read_lines(path, max_bytes)
    row, first = next(lines)
    if first != ",".join(header):
        raise FileError(
            path, "has another header than expected", row=row, found=first, mend=f"expected {','.join(header)}"
        )
    seen = False
    for row, line in lines:
        seen = True
        yield row, cells(path, row, line, header)
    if not seen:
        raise FileError(path, "has a header and no rows")


def _opened(path: Path) -> io.BufferedIOBase:
    with path.open("rb") as file:
        packed = file.read(2) == _GZIP
    return gzip.open(path, "rb") if packed else path.open("rb")


def _decoded(path: Path, row: int, raw: bytes) -> str:
    try:
        return raw.decode("utf-8-sig" if row == 1 else "utf-8")
    except UnicodeDecodeError as error:
        raise FileError(path, "is not UTF-8 text", row=row, mend="save it as UTF-8") from error
