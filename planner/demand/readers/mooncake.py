"""Mooncake's JSON lines: {"timestamp": ms, "input_length", "output_length", "hash_ids"}."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from executor.errors import FileError
from planner.demand.readers.textfile import LONGEST_S, MAX_BYTES, MOST_TOKENS, json_of, number, read_lines, whole
from planner.demand.readers.trace import Requests, Trace, trace_of

BLOCK_TOKENS = 512
FIELDS = ("timestamp", "input_length", "output_length")


class _Entry(NamedTuple):
    timestamp_ms: float
    input_tokens: int
    output_tokens: int
    blocks: tuple[int, ...] | None


def read_mooncake(path: Path, name: str | None = None, max_bytes: int = MAX_BYTES) -> Trace:
    """The requests of a Mooncake trace, with prefix blocks if every line has ``hash_ids``.

    FileError with row and mend for a missing or wrong field, and for a timestamp that falls.
    """
    entries: list[_Entry] = []
    for row, line in read_lines(path, max_bytes):
        entry = _entry(path, row, line)
        if entries and entry.timestamp_ms < entries[-1].timestamp_ms:
            mend = "sort the lines by timestamp"
            raise FileError(path, "timestamp falls", row=row, found=entry.timestamp_ms, mend=mend)
        if entries and entry.timestamp_ms - entries[0].timestamp_ms > LONGEST_S * 1000:
            mend = "write timestamps in milliseconds"
            message = "timestamp is more than ten years after the first"
            raise FileError(path, message, row=row, found=entry.timestamp_ms, mend=mend)
        entries.append(entry)
    blocks = tuple(entry.blocks for entry in entries if entry.blocks is not None)
    times, inputs, outputs, _ = zip(*entries, strict=True)
    requests = Requests(
        arrival_s=(np.array(times) - times[0]) / 1000.0,
        input_tokens=np.array(inputs, dtype=np.int64),
        output_tokens=np.array(outputs, dtype=np.int64),
        blocks=blocks if len(blocks) == len(entries) else None,
        block_tokens=BLOCK_TOKENS,
    )
    return trace_of(name or path.name, requests)


def _entry(path: Path, row: int, line: str) -> _Entry:
    found = json_of(path, line, row)
    if not isinstance(found, dict):
        raise FileError(path, "must be a JSON object", row=row, found=found)
    for field in FIELDS:
        if field not in found:
            mend = f"each line needs {', '.join(FIELDS)}"
            raise FileError(path, f"has no {field}", row=row, found=list(found), mend=mend)
    return _Entry(
        number(path, row, "timestamp", found["timestamp"]),
        whole(path, row, "input_length", found["input_length"], least=1, most=MOST_TOKENS),
        whole(path, row, "output_length", found["output_length"], most=MOST_TOKENS),
        _blocks(path, row, found["hash_ids"]) if "hash_ids" in found else None,
    )


def _blocks(path: Path, row: int, found: object) -> tuple[int, ...]:
    if not isinstance(found, list) or not all(type(block) is int for block in found):
        raise FileError(path, "hash_ids must be a list of whole numbers", row=row, found=found)
    return tuple(found)
