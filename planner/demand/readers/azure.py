"""Azure's CSV files of requests one by one (2023, 2024)."""

import datetime as dt
from array import array
from pathlib import Path

import numpy as np

from executor.errors import FileError
from planner.demand.readers.hourly import time_of
from planner.demand.readers.textfile import LONGEST_S, MAX_BYTES, MOST_TOKENS, Budget, rows_under, whole
from planner.demand.readers.trace import Requests, Trace, trace_of

HEADER = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")


def read_azure(path: Path, name: str | None = None, max_bytes: int = MAX_BYTES) -> Trace:
    """The requests of an Azure LLM inference trace; the wall clock is kept.

    FileError with row and mend for a wrong cell, and for a timestamp that falls.
    """
    start: dt.datetime | None = None
    arrivals, inputs, outputs = array("d"), array("q"), array("q")
    for row, (when, context, generated) in rows_under(path, HEADER, Budget(max_bytes)):
        time = time_of(path, row, "TIMESTAMP", when, dt.UTC).replace(tzinfo=None)
        start = start or time
        arrivals.append((time - start).total_seconds())
        if arrivals[-1] < (arrivals[-2] if len(arrivals) > 1 else 0.0):
            raise FileError(path, "TIMESTAMP falls", row=row, found=when, mend="sort the rows by TIMESTAMP")
        if arrivals[-1] > LONGEST_S:
            raise FileError(path, "TIMESTAMP is more than ten years after the first", row=row, found=when)
        inputs.append(whole(path, row, "ContextTokens", context, least=1, most=MOST_TOKENS))
        outputs.append(whole(path, row, "GeneratedTokens", generated, most=MOST_TOKENS))
    return trace_of(name or path.name, Requests(np.array(arrivals), np.array(inputs), np.array(outputs), start))
