"""DeepSeek's day: hourly load as theoretical income, and the nodes that served it (27-28 February 2025)."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import numpy as np

from executor.errors import FileError
from planner.demand.readers.textfile import MAX_BYTES, number, rows_under
from planner.demand.readers.trace import HOUR_S, RateSeries, Trace

BEIJING = dt.timezone(dt.timedelta(hours=8))
"""Of hours that are written without a zone."""
HEADER = ("hour_start_beijing", "theoretical_income_usd", "mean_h800_nodes")


def read_deepseek(path: Path, name: str | None = None, max_bytes: int = MAX_BYTES) -> Trace:
    """Hourly load of a day; FileError where an hour is missing.

    The income is every token at its price (cached input, other input, output), so it is a weighted token
    load: its shape counts, its unit does not.
    """
    hours: list[dt.datetime] = []
    income: list[float] = []
    for row, (when, usd, nodes) in rows_under(path, HEADER, max_bytes):
        hours.append(_hour(path, row, when))
        if len(hours) > 1 and hours[-1] - hours[-2] != dt.timedelta(hours=1):
            raise FileError(path, "hour_start_beijing must follow the row before by one hour", row=row, found=when)
        income.append(number(path, row, "theoretical_income_usd", usd))
        number(path, row, "mean_h800_nodes", nodes)
    if not sum(income):
        raise FileError(path, "has no load in any hour")
    rates = RateSeries(HOUR_S, np.array(income) / HOUR_S, hours[0].hour, "Beijing", unit="weighted tokens, USD/s")
    return Trace(name or path.name, rates=rates)


def _hour(path: Path, row: int, found: str) -> dt.datetime:
    try:
        when = dt.datetime.fromisoformat(found)
        return when if when.tzinfo is not None else when.replace(tzinfo=BEIJING)
    except ValueError as error:
        mend = "write it as 2025-02-27T12:00+08:00"
        message = "hour_start_beijing must be a date and time"
        raise FileError(path, message, row=row, found=found, mend=mend) from error
