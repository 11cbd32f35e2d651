"""Prices, terms and volumes of accelerators, as reported on a day."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from executor.errors import UnknownNameError, UserMistakeError
from executor.reference.csv_table import Row, read_rows
from planner.reference import SHIPPED

CHANNELS = ("list", "street", "grey", "rental", "accounts", "term")
"""list: asked by the seller or its dealers; street: small lots in shops; grey: goods that passed no gate, a
signal and no source to buy from; rental: per hour or month; accounts: implied by accounts or a bank's view of
cost; term: a share or ratio that belongs to a contract or a rule."""

PRICE_COLUMNS = (
    "item", "date", "channel", "unit", "gpus_per_unit", "low", "typical", "high", "currency", "evidence",
    "confidence", "source", "note",
)  # fmt: skip
VOLUME_COLUMNS = (
    "series", "period", "low", "typical", "high", "unit", "date", "evidence", "source", "note",
)  # fmt: skip


@dataclass(frozen=True)
class Price:
    """What one unit cost on a day; ``currency`` is empty for a share or ratio."""

    item: str
    date: dt.date
    channel: str
    unit: str
    gpus_per_unit: int | None
    low: float
    typical: float
    high: float
    currency: str
    evidence: str
    confidence: str
    source: str
    note: str

    @property
    def per_gpu(self) -> float:
        """Typical price of one GPU's share of the unit, in ``currency``."""
        assert self.gpus_per_unit, f"{self.item} is no price of GPUs"
        return self.typical / self.gpus_per_unit


@dataclass(frozen=True)
class Volume:
    """How many in a period; low and high are what other sources say. None: nobody says."""

    series: str
    period: str
    low: float | None
    typical: float
    high: float | None
    unit: str
    date: str
    evidence: str
    source: str
    note: str


class NothingPublishedError(UserMistakeError):
    """An item whose first price is later than the day asked for."""

    def __init__(self, item: str, as_of: dt.date, first: dt.date) -> None:
        super().__init__(f"no price of {item!r} was published by {as_of}; the first is of {first}")


def price(item: str, as_of: dt.date | None = None) -> Price:
    """The latest price of an item, or the latest published by a day.

    UnknownNameError for an item that is not in the table, NothingPublishedError before its first price.
    """
    known = [entry for entry in prices() if entry.item == item]
    if not known:
        raise UnknownNameError("price item", item, dict.fromkeys(entry.item for entry in prices()))
    in_time = [entry for entry in known if as_of is None or entry.date <= as_of]
    if not in_time:
        assert as_of is not None
        raise NothingPublishedError(item, as_of, known[0].date)
    return in_time[-1]


@cache
def prices() -> tuple[Price, ...]:
    """Every price, by item and date."""
    return read_prices(SHIPPED / "prices.csv")


def volume_series(name: str) -> tuple[Volume, ...]:
    """The volumes of one series by period; UnknownNameError for one that does not exist."""
    chosen = tuple(volume for volume in volumes() if volume.series == name)
    if not chosen:
        raise UnknownNameError("volume series", name, dict.fromkeys(volume.series for volume in volumes()))
    return chosen


@cache
def volumes() -> tuple[Volume, ...]:
    """Every volume, by series and period."""
    return read_volumes(SHIPPED / "volumes.csv")


def read_prices(path: Path) -> tuple[Price, ...]:
    """The rows of a price table by item and date; FileError where a cell is wrong."""
    return tuple(sorted(map(_price, read_rows(path, PRICE_COLUMNS)), key=lambda p: (p.item, p.date)))


def read_volumes(path: Path) -> tuple[Volume, ...]:
    """The rows of a volume table by series and period; FileError where a cell is wrong."""
    return tuple(sorted(map(_volume, read_rows(path, VOLUME_COLUMNS)), key=lambda v: (v.series, v.period)))


def _price(row: Row) -> Price:
    low, typical, high = row.figure("low"), row.figure("typical"), row.figure("high")
    if not low <= typical <= high:
        row.fault("typical", f"must lie between {low:g} and {high:g}")
    gpus = row.number_or_none("gpus_per_unit")
    return Price(
        item=row.needed("item"),
        date=row.day("date"),
        channel=row.choice("channel", CHANNELS),
        unit=row.needed("unit"),
        gpus_per_unit=None if gpus is None else int(gpus),
        low=low,
        typical=typical,
        high=high,
        currency=row.choice("currency", ("", "CNY", "USD")),
        evidence=row.evidence(),
        confidence=row.choice("confidence", ("high", "medium", "low")),
        source=row.needed("source"),
        note=row.text("note"),
    )


def _volume(row: Row) -> Volume:
    return Volume(
        series=row.needed("series"),
        period=row.needed("period"),
        low=row.number_or_none("low"),
        typical=row.figure("typical"),
        high=row.number_or_none("high"),
        unit=row.needed("unit"),
        date=row.month_or_day("date"),
        evidence=row.evidence(),
        source=row.needed("source"),
        note=row.text("note"),
    )
