"""CSV tables: Azure's requests one by one (2023, 2024), its hourly counts read off a figure (May 2024), and DeepSeek's
day hour by hour (27-28 February 2025).
"""

import datetime as dt
from array import array
from pathlib import Path

import numpy as np

from executor.errors import FileError
from planner.demand.readers.textfile import LONGEST_S, MAX_BYTES, MOST_TOKENS, Budget, number, rows_under, whole
from planner.demand.readers.trace import HOUR_S, MINUTE_S, Floats, RateSeries, Requests, Trace, trace_of

BEIJING = dt.timezone(dt.timedelta(hours=8))
AZURE_HEADER = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")
AZURE_HOURLY_HEADER = ("hour_start_utc", "requests", "peak_requests_per_minute")
DEEPSEEK_HEADER = ("hour_start_beijing", "theoretical_income_usd", "mean_h800_nodes")


def read_azure(path: Path, name: str | None = None, max_bytes: int = MAX_BYTES) -> Trace:
    """The requests of an Azure LLM inference trace; the wall clock is kept.

    FileError with row and mend for a wrong cell, and for a timestamp that falls.
    """
    start: dt.datetime | None = None
    arrivals, inputs, outputs = array("d"), array("q"), array("q")
    for row, (when, context, generated) in rows_under(path, AZURE_HEADER, Budget(max_bytes)):
        time = _time_of(path, row, "TIMESTAMP", when, dt.UTC).replace(tzinfo=None)
        start = start or time
        arrivals.append((time - start).total_seconds())
        if arrivals[-1] < (arrivals[-2] if len(arrivals) > 1 else 0.0):
            raise FileError(path, "TIMESTAMP falls", row=row, found=when, mend="sort the rows by TIMESTAMP")
        if arrivals[-1] > LONGEST_S:
            raise FileError(path, "TIMESTAMP is more than ten years after the first", row=row, found=when)
        inputs.append(whole(path, row, "ContextTokens", context, least=1, most=MOST_TOKENS))
        outputs.append(whole(path, row, "GeneratedTokens", generated, most=MOST_TOKENS))
    return trace_of(name or path.name, Requests(np.array(arrivals), np.array(inputs), np.array(outputs), start))


def read_azure_hourly(path: Path, name: str | None = None, max_bytes: int = MAX_BYTES) -> Trace:
    """Requests an hour and the highest minute of each hour, UTC; FileError where an hour is missing."""
    first, counts, peaks = _hours(path, AZURE_HOURLY_HEADER, dt.UTC, max_bytes)
    hour = first.weekday() * 24 + first.hour
    rates = RateSeries(HOUR_S, counts / HOUR_S, hour, "UTC", minute_peak=peaks / MINUTE_S)
    return Trace(name or path.name, rates=rates, total_requests=round(sum(counts.tolist())))


def read_deepseek(path: Path, name: str | None = None, max_bytes: int = MAX_BYTES) -> Trace:
    """Hourly load of a day; FileError where an hour is missing.

    The income is every token at its price (cached input, other input, output), so it is a weighted token
    load: its shape counts, its unit does not.
    """
    first, income, _ = _hours(path, DEEPSEEK_HEADER, BEIJING, max_bytes)
    rates = RateSeries(HOUR_S, income / HOUR_S, first.hour, "Beijing", unit="weighted tokens, USD/s")
    return Trace(name or path.name, rates=rates)


def _hours(path: Path, header: tuple[str, ...], zone: dt.tzinfo, max_bytes: int) -> tuple[dt.datetime, Floats, Floats]:
    """The first hour and the two columns of figures; ``zone`` is that of hours written without one."""
    hours: list[dt.datetime] = []
    figures: list[list[float]] = []
    for row, (when, *cells) in rows_under(path, header, Budget(max_bytes)):
        hours.append(_time_of(path, row, header[0], when, zone))
        if len(hours) > 1 and hours[-1] - hours[-2] != dt.timedelta(hours=1):
            raise FileError(path, f"{header[0]} must follow the row before by one hour", row=row, found=when)
        figures.append([number(path, row, column, cell) for column, cell in zip(header[1:], cells, strict=True)])
    load, beside = np.array(figures).T
    if not load.any():
        raise FileError(path, f"has no {header[1]} in any hour")
    return hours[0], load, beside


def _time_of(path: Path, row: int, column: str, found: str, zone: dt.tzinfo) -> dt.datetime:
    """The time in a cell, in ``zone`` where it names none; FileError where it is no time."""
    try:
        when = dt.datetime.fromisoformat(found)
    except ValueError as error:
        mend = "write it as 2024-05-10 00:00:00.123456"
        raise FileError(path, f"{column} must be a date and time", row=row, found=found, mend=mend) from error
    return when if when.tzinfo is not None else when.replace(tzinfo=zone)
