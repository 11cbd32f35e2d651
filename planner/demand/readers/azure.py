"""Azure's CSV files of requests one by one (2023, 2024)."""

import datetime as dt
from pathlib import Path

import numpy as np

from executor.errors import FileError
from planner.demand.readers.hourly import time_of
from planner.demand.readers.textfile import LONGEST_S, MAX_BYTES, MOST_TOKENS, rows_under, whole
from planner.demand.readers.trace import Requests, Trace, trace_of

HEADER = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")


def read_azure(path: Path, name: str | None = None, max_bytes: int = MAX_BYTES) -> Trace:
    """The requests of an Azure LLM inference trace; the wall clock is kept.

    FileError with row and mend for a wrong cell, and for a timestamp that falls.
    """
    times: list[dt.datetime] = []
    inputs: list[int] = []
    outputs: list[int] = []
    for row, (when, context, generated) in rows_under(path, HEADER, max_bytes):
        times.append(time_of(path, row, "TIMESTAMP", when, dt.UTC).replace(tzinfo=None))
        if len(times) > 1 and times[-1] < times[-2]:
            raise FileError(path, "TIMESTAMP falls", row=row, found=when, mend="sort the rows by TIMESTAMP")
        if (times[-1] - times[0]).total_seconds() > LONGEST_S:
            raise FileError(path, "TIMESTAMP is more than ten years after the first", row=row, found=when)
        inputs.append(whole(path, row, "ContextTokens", context, least=1, most=MOST_TOKENS))
        outputs.append(whole(path, row, "GeneratedTokens", generated, most=MOST_TOKENS))
    requests = Requests(
        arrival_s=np.array([(time - times[0]).total_seconds() for time in times]),
        input_tokens=np.array(inputs, dtype=np.int64),
        output_tokens=np.array(outputs, dtype=np.int64),
        start=times[0],
    )
    return trace_of(name or path.name, requests)
