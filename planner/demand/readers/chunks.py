"""Where ServeGen's rows and records stand: one file for all clients, or a folder with two files a client."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from executor.errors import FileError
from planner.demand.readers.textfile import MAX_BYTES, cells, json_of, read_json, read_lines, rows_under

Cells = tuple[Path, int, list[str]]
"""File, row, and the cells of one client and window, the client first."""
Record = tuple[Path, int | None, object]
"""File, row, and the length histograms of one client and six hours."""

CHUNK_COLUMNS = ("timestamp", "rate", "cv", "pat_name", "pat_arg1", "pat_arg2")
"""Columns of chunk-N-trace.csv, which has no header; N is the client."""


def table_rows(path: Path, header: tuple[str, ...], max_bytes: int = MAX_BYTES) -> Iterator[Cells]:
    """The rows of a table of all clients."""
    return ((path, row, found) for row, found in rows_under(path, header, max_bytes))


def line_records(path: Path | None, max_bytes: int = MAX_BYTES) -> Iterator[Record]:
    """The records of a file of JSON lines; none where there is no file."""
    if path is not None:
        yield from ((path, row, json_of(path, line, row)) for row, line in read_lines(path, max_bytes))


def chunk_rows(folder: Path, max_bytes: int = MAX_BYTES) -> Iterator[Cells]:
    """The rows of every chunk-N-trace.csv of a folder; FileError where there is none."""
    files = _numbered(folder, "trace", "csv")
    if not files:
        raise FileError(folder, "has no chunk-N-trace.csv")
    for client, path in files:
        for row, line in read_lines(path, max_bytes):
            yield path, row, [str(client), *cells(path, row, line, CHUNK_COLUMNS)]


def chunk_records(folder: Path, max_bytes: int = MAX_BYTES) -> Iterator[Record]:
    """The records of every chunk-N-dataset.json: {second: {field: {length: probability}}}.

    A histogram may be an object or, as published, an object written as a string.
    """
    for client, path in _numbered(folder, "dataset", "json"):
        found = read_json(path, max_bytes)
        if not isinstance(found, dict):
            raise FileError(path, "must map seconds to histograms", found=found)
        for second, histograms in found.items():
            if not isinstance(histograms, dict):
                raise FileError(path, f"second {second} must map fields to histograms", found=histograms)
            read = {field: _object(path, field, table) for field, table in histograms.items()}
            yield path, None, {**read, "client_id": client, "timestamp": second}


def _numbered(folder: Path, kind: str, ending: str) -> list[tuple[int, Path]]:
    pattern = re.compile(rf"chunk-(\d{{1,9}})-{kind}\.{ending}(\.gz)?")
    matches = ((pattern.fullmatch(path.name), path) for path in folder.iterdir())
    return sorted((int(match[1]), path) for match, path in matches if match)


def _object(path: Path, field: str, table: object) -> object:
    if not isinstance(table, str):
        return table
    try:
        return ast.literal_eval(table)
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError) as error:
        raise FileError(path, f"{field} is no histogram", found=table) from error
