"""Published demand: tokens served by the large hosts and nationally, spending, and the default growth."""

import datetime as dt
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from executor.errors import UnknownNameError
from executor.reference.csv_table import Row, read_rows
from planner.reference import SHIPPED

COLUMNS = ("series", "date", "value", "unit", "scope", "evidence", "confidence", "source", "note")

DAYS: dict[str, float] = {
    "tokens_per_minute": 1 / 1440,
    "tokens_per_day": 1.0,
    "tokens_per_week": 7.0,
    "tokens_per_month": 365.25 / 12,
    "tokens_per_quarter": 365.25 / 4,
}
"""Length in days of the span that a token figure counts."""


@dataclass(frozen=True)
class Observation:
    """One published figure. ``date`` is the day, or the middle or end of the span, that it speaks of."""

    series: str
    date: dt.date
    value: float
    unit: str
    scope: str
    evidence: str
    confidence: str
    source: str
    note: str

    @property
    def tokens_per_day(self) -> float:
        """The figure as tokens a day."""
        assert self.unit in DAYS, f"{self.series} counts {self.unit}, not tokens"
        return self.value / DAYS[self.unit]


def demand_series(name: str) -> tuple[Observation, ...]:
    """The observations of a series by date; UnknownNameError for one that does not exist."""
    if name not in series_names():
        raise UnknownNameError("demand series", name, series_names())
    return tuple(entry for entry in observations() if entry.series == name)


@cache
def series_names() -> tuple[str, ...]:
    """Names of the series, in alphabetical order."""
    return tuple(sorted({entry.series for entry in observations()}))


@cache
def observations(path: Path = SHIPPED / "demand.csv") -> tuple[Observation, ...]:
    """The rows of a demand table by series and date; FileError where a cell is wrong."""
    return tuple(sorted(map(_observation, read_rows(path, COLUMNS)), key=lambda o: (o.series, o.date)))


def _observation(row: Row) -> Observation:
    return Observation(
        series=row.needed("series"),
        date=row.day("date"),
        value=row.figure("value"),
        unit=row.needed("unit"),
        scope=row.needed("scope"),
        evidence=row.evidence(),
        confidence=row.choice("confidence", ("high", "medium", "low")),
        source=row.needed("source"),
        note=row.text("note"),
    )
