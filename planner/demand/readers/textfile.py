"""Text files from outside, plain or gzip, read line by line and never trusted."""

import gzip
import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from executor.errors import FileError, LimitError
from executor.user_files import json_value, opened

MAX_BYTES = 1 << 30
"""Unpacked bytes that a trace may hold; the setting WAFERLAG_MAX_TRACE_BYTES of the front door."""

SETTING = "WAFERLAG_MAX_TRACE_BYTES"

MAX_ROWS = 50_000_000
"""Rows of one trace; Azure's week of 2024, the largest published, has 27 million."""

MAX_DOCUMENT = 32 << 20
"""Bytes of one JSON document or one line: unlike rows it is held whole, at some fifteen times its size."""

LARGEST = 1e15
"""No figure of a trace is above this; and below it a float holds every whole number."""

LONGEST_S = 10 * 365 * 86_400.0
"""A trace that spans more than ten years has its times in another unit."""

MOST_TOKENS = 1e9
"""No request is longer."""

_GZIP = b"\x1f\x8b"


@dataclass
class Budget:
    """Bytes, unpacked, and rows that the files of one trace may still hold together."""

    max_bytes: int = MAX_BYTES
    bytes: int = 0
    rows: int = 0

    def take(self, path: Path, size: int) -> None:
        """Count a line.

        :raises LimitError: more bytes than the setting allows.
        :raises FileError: a line or a number of rows that no trace has.
        """
        self.bytes += size
        self.rows += 1
        if self.bytes > self.max_bytes:
            raise LimitError(f"{path}, unpacked bytes", self.bytes, self.max_bytes, SETTING)
        if size > MAX_DOCUMENT:
            raise FileError(path, f"has a line of more than {MAX_DOCUMENT:,} bytes")
        if self.rows > MAX_ROWS:
            raise FileError(path, f"has more than {MAX_ROWS:,} rows", mend="give a part of it; a summary needs no more")


def read_lines(path: Path, budget: Budget | None = None) -> Iterator[tuple[int, str]]:
    """(row from 1, line without its end) for each line that is not blank.

    FileError: missing, no file, cut-off or broken gzip, not UTF-8, empty. Errors of ``Budget``: too much of it.
    """
    budget = budget or Budget()
    longest = min(budget.max_bytes, MAX_DOCUMENT) + 1
    rows = 0
    try:
        with opened(path) as packed, _unpacked(packed) as file:
            for row, raw in enumerate(iter(lambda: file.readline(longest), b""), start=1):
                budget.take(path, len(raw))
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


def read_json(path: Path, budget: Budget | None = None) -> Any:
    """The JSON document in a file; errors as ``read_lines``, and FileError above MAX_DOCUMENT bytes."""
    lines: list[str] = []
    size = 0
    for _, line in read_lines(path, budget):
        size += len(line)
        if size > MAX_DOCUMENT:
            raise FileError(path, f"is a JSON document of more than {MAX_DOCUMENT:,} bytes")
        lines.append(line)
    return json_of(path, "\n".join(lines), row=None)


def json_of(path: Path, text: str, row: int | None) -> Any:
    """The JSON value of a text; FileError where it is none."""
    try:
        return json_value(text)
    except ValueError as error:
        raise FileError(path, f"is no JSON: {getattr(error, 'msg', error)}", row=row, found=text[:60]) from error


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
        message = f"has {len(found)} cells instead of {len(columns)}"
        raise FileError(path, message, row=row, found=line, mend=f"columns: {','.join(columns)}")
    return found


def rows_under(path: Path, header: tuple[str, ...], budget: Budget | None = None) -> Iterator[tuple[int, list[str]]]:
    """(row, cells) of a CSV file that begins with this header; FileError otherwise."""
    lines = read_lines(path, budget)
    row, first = next(lines)
    if first != ",".join(header):
        mend = f"expected {','.join(header)}"
        raise FileError(path, "has another header than expected", row=row, found=first, mend=mend)
    seen = False
    for row, line in lines:
        seen = True
        yield row, cells(path, row, line, header)
    if not seen:
        raise FileError(path, "has a header and no rows")


def _unpacked(file: BinaryIO) -> BinaryIO | gzip.GzipFile:
    """The file, or what it holds if it is a gzip file."""
    packed = file.read(2) == _GZIP
    file.seek(0)
    return gzip.GzipFile(fileobj=file) if packed else file


def _decoded(path: Path, row: int, raw: bytes) -> str:
    try:
        return raw.decode("utf-8-sig" if row == 1 else "utf-8")
    except UnicodeDecodeError as error:
        raise FileError(path, "is not UTF-8 text", row=row, mend="save it as UTF-8") from error
