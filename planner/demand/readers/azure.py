"""Azure's CSV files: requests one by one (2023, 2024), and hourly counts read off a figure (2024)."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np

from executor.errors import FileError
from planner.demand.readers.textfile import LONGEST_S, MAX_BYTES, MOST_TOKENS, number, rows_under, whole
from planner.demand.readers.trace import HOUR_S, MINUTE_S, RateSeries, Requests, Trace, trace_of

HEADER = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")
HOURLY_HEADER = ("hour_start_utc", "requests", "peak_requests_per_minute")


def read_azure(path: Path, name: str | None = None, max_bytes: int = MAX_BYTES) -> Trace:
    """The requests of an Azure LLM inference trace; the wall clock is kept.

    FileError with row and mend for a wrong cell, and for a timestamp that falls.
    """
    times: list[dt.datetime] = []
    inputs: list[int] = []
    outputs: list[int] = []
    for row, (when, context, generated) in rows_under(path, HEADER, max_bytes):
        times.append(_time(path, row, "TIMESTAMP", when))
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


def read_azure_hourly(path: Path, name: str | None = None, max_bytes: int = MAX_BYTES) -> Trace:
    """Requests an hour and the highest minute of each hour, UTC; FileError where an hour is missing."""
    times: list[dt.datetime] = []
    counts: list[float] = []
    peaks: list[float] = []
    for row, (when, count, peak) in rows_under(path, HOURLY_HEADER, max_bytes):
        times.append(_time(path, row, "hour_start_utc", when))
        if len(times) > 1 and times[-1] - times[-2] != dt.timedelta(hours=1):
            raise FileError(path, "hour_start_utc must follow the row before by one hour", row=row, found=when)
        counts.append(number(path, row, "requests", count))
        peaks.append(number(path, row, "peak_requests_per_minute", peak))
    if not sum(counts):
        raise FileError(path, "has no requests in any hour")
    rates = RateSeries(
        window_s=HOUR_S,
        rate=np.array(counts) / HOUR_S,
        first_hour=times[0].weekday() * 24 + times[0].hour,
        clock="UTC",
        minute_peak=np.array(peaks) / MINUTE_S,
    )
    return Trace(name or path.name, rates=rates, total_requests=round(sum(counts)))


def _time(path: Path, row: int, column: str, found: str) -> dt.datetime:
    try:
        return dt.datetime.fromisoformat(found).replace(tzinfo=None)
    except ValueError as error:
        mend = "write it as 2024-05-10 00:00:00.123456"
        raise FileError(path, f"{column} must be a date and time", row=row, found=found, mend=mend) from error
