"""Order lines as a file or a plan gives them, and as the supply engines take them."""

import csv
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from planner.clock import minutes, month_label, month_starts
from planner.errors import FileError, did_you_mean
from planner.scenario.models import Scenario
from planner.supply.spec import Orders

COLUMNS = ("pool", "source", "month", "gpus")
MAX_BYTES = 20_000_000
MAX_GPUS = 10_000_000


@dataclass(frozen=True)
class OrderLine:
    """GPUs ordered for one pool from one source in one month (counted from 0)."""

    pool: str
    source: str
    month: int
    gpus: int


def read_order_lines(path: Path, scenario: Scenario) -> tuple[OrderLine, ...]:
    """Lines of a CSV file with the columns pool, source, month (YYYY-MM) and gpus; others are ignored.

    :raises FileError: with row, value and mend.
    """
    rows = list(csv.DictReader(io.StringIO(_text(path), newline="")))
    missing = [name for name in COLUMNS if rows and name not in rows[0]]
    if not rows or missing:
        said = f"lacks the column {missing[0]}" if missing else "has no rows"
        raise FileError(path, said, row=1, mend=f"columns are {', '.join(COLUMNS)}")
    return tuple(_line(path, number, row, scenario) for number, row in enumerate(rows, start=2))


def lines_of_plan(path: Path, scenario: Scenario) -> tuple[OrderLine, ...]:
    """The order lines that a plan's JSON holds.

    :raises FileError: the file is no plan, or one of its lines does not fit its scenario.
    """
    try:
        orders = json.loads(_text(path))["orders"]
        rows = [{name: str(order[name]) for name in COLUMNS} for order in orders]
    except (ValueError, KeyError, TypeError):
        raise FileError(path, "is not a plan: it has no list of orders") from None
    return tuple(_line(path, number, row, scenario) for number, row in enumerate(rows, start=1))


def orders_of(lines: Sequence[OrderLine], scenario: Scenario) -> Orders:
    """The lines as lots: one line travels as one lot, placed on the first day of its month."""
    pools = {pool.name: at for at, pool in enumerate(scenario.pools)}
    sources = {source.name: at for at, source in enumerate(scenario.purchases)}
    days = month_starts(scenario.start, scenario.horizon_months)
    return Orders.of(
        (
            sources[line.source],
            line.month,
            0,
            pools[line.pool],
            line.gpus,
            minutes(scenario.start, days[line.month]),
        )
        for line in lines
    )


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise FileError(path, f"is larger than {MAX_BYTES:,} bytes", found=path.stat().st_size)
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise FileError(path, f"cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise FileError(path, f"is not UTF-8 (byte {error.start})", mend="save it as UTF-8") from None


def _line(path: Path, number: int, row: dict[str, str], scenario: Scenario) -> OrderLine:
    pool = _named(path, number, "pool", row["pool"], [pool.name for pool in scenario.pools])
    source = _named(path, number, "source", row["source"], [source.name for source in scenario.purchases])
    months = [month_label(day) for day in month_starts(scenario.start, scenario.horizon_months)]
    month = _named(path, number, "month", row["month"], months)
    sold = next(item for item in scenario.purchases if item.name == source)
    serves = next(item for item in scenario.pools if item.name == pool)
    if sold.sku not in serves.layouts or (sold.pools is not None and pool not in sold.pools):
        raise FileError(path, f"source {source} does not serve pool {pool}", row=number, found=source)
    return OrderLine(pool, source, months.index(month), _gpus(path, number, row["gpus"]))


def _named(path: Path, number: int, kind: str, found: str | None, known: Iterable[str]) -> str:
    names = list(known)
    word = (found or "").strip()
    if word in names:
        return word
    near = did_you_mean(word, names)
    mend = f"did you mean {near}?" if near else f"known: {', '.join(names)}"
    raise FileError(path, f"no such {kind}", row=number, found=found, mend=mend)


def _gpus(path: Path, number: int, found: str | None) -> int:
    try:
        gpus = int((found or "").strip())
    except ValueError:
        raise FileError(path, "gpus must be a whole number", row=number, found=found) from None
    if not 0 < gpus <= MAX_GPUS:
        raise FileError(path, f"gpus must lie between 1 and {MAX_GPUS:,}", row=number, found=gpus)
    return gpus
