"""Mooncake's JSON lines: {"timestamp": ms, "input_length", "output_length", "hash_ids"}."""

from array import array
from pathlib import Path
from typing import Any

import numpy as np

from executor.errors import FileError
from planner.demand.readers.textfile import (
    LONGEST_S,
    MAX_BYTES,
    MOST_TOKENS,
    Budget,
    json_of,
    number,
    read_lines,
    whole,
)
from planner.demand.readers.trace import Requests, Trace, trace_of

BLOCK_TOKENS = 512
FIELDS = ("timestamp", "input_length", "output_length")
MAX_HASHES = 10_000_000
"""Prefix hashes of one trace; the published ones have less than a million. Each is looked up seven times."""


def read_mooncake(path: Path, name: str | None = None, max_bytes: int = MAX_BYTES) -> Trace:
    """The requests of a Mooncake trace, with prefix blocks if every line has ``hash_ids``.

    FileError with row and mend for a missing or wrong field, a timestamp that falls, or too many hashes.
    """
    times, inputs, outputs = array("d"), array("q"), array("q")
    blocks: list[tuple[int, ...]] = []
    hashes = 0
    for row, line in read_lines(path, Budget(max_bytes)):
        found = _fields(path, row, line)
        times.append(number(path, row, "timestamp", found["timestamp"]))
        if len(times) > 1 and times[-1] < times[-2]:
            mend = "sort the lines by timestamp"
            raise FileError(path, "timestamp falls", row=row, found=times[-1], mend=mend)
        if times[-1] - times[0] > LONGEST_S * 1000:
            message = "timestamp is more than ten years after the first"
            raise FileError(path, message, row=row, found=times[-1], mend="write timestamps in milliseconds")
        inputs.append(whole(path, row, "input_length", found["input_length"], least=1, most=MOST_TOKENS))
        outputs.append(whole(path, row, "output_length", found["output_length"], most=MOST_TOKENS))
        if "hash_ids" in found:
            blocks.append(_blocks(path, row, found["hash_ids"]))
            hashes += len(blocks[-1])
        if hashes > MAX_HASHES:
            raise FileError(path, f"has more than {MAX_HASHES:,} hash_ids", row=row, mend="give a part of the trace")
    requests = Requests(
        arrival_s=(np.array(times) - times[0]) / 1000.0,
        input_tokens=np.array(inputs),
        output_tokens=np.array(outputs),
        blocks=tuple(blocks) if len(blocks) == len(times) else None,
        block_tokens=BLOCK_TOKENS,
    )
    return trace_of(name or path.name, requests)


def _fields(path: Path, row: int, line: str) -> dict[str, Any]:
    found = json_of(path, line, row)
    if not isinstance(found, dict):
        raise FileError(path, "must be a JSON object", row=row, found=found)
    for field in FIELDS:
        if field not in found:
            mend = f"each line needs {', '.join(FIELDS)}"
            raise FileError(path, f"has no {field}", row=row, found=list(found), mend=mend)
    return found


def _blocks(path: Path, row: int, found: object) -> tuple[int, ...]:
    if not isinstance(found, list) or not all(type(block) is int for block in found):
        raise FileError(path, "hash_ids must be a list of whole numbers", row=row, found=found)
    return tuple(found)
