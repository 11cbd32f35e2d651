"""Order lines as a file or a plan gives them, and as the supply engines take them."""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from executor.errors import FileError, did_you_mean
from executor.user_files import json_value, read_text
from planner.clock import minutes, month_label, month_starts
from planner.scenario.models import Scenario
from planner.supply.network.from_scenario import our_part, serves, takes_orders_on
from planner.supply.network.spec import Orders

COLUMNS = ("pool", "source", "month", "gpus")
MAX_BYTES = 20_000_000
MAX_GPUS = 10_000_000
MAX_LINES = 10_000
"""More lines than any calendar holds; each is carried through every replication."""


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
    reader = csv.reader(io.StringIO(read_text(path, MAX_BYTES), newline=""))
    try:
        rows = [(reader.line_num, cells) for cells in reader if any(cell.strip() for cell in cells)]
    except csv.Error as error:
        raise FileError(path, f"is not valid CSV: {error}", row=reader.line_num) from None
    if len(rows) < 2:
        raise FileError(path, "has no rows", mend=f"columns are {', '.join(COLUMNS)}")
    if len(rows) - 1 > MAX_LINES:
        raise FileError(path, f"has more than {MAX_LINES:,} order lines", found=len(rows) - 1)
    (at, head), *body = rows
    names = _columns(path, at, head)
    lines = []
    for number, cells in body:
        if len(cells) > len(head):
            mend = "write numbers without separators"
            raise FileError(path, f"has {len(cells)} cells for {len(head)} columns", row=number, mend=mend)
        lines.append(_line(path, number, dict(zip(names, cells, strict=False)), scenario))
    return tuple(lines)


def _columns(path: Path, row: int, head: Sequence[str]) -> list[str]:
    """The names of the columns, blanks and capitals aside."""
    names = [name.strip().casefold() for name in head]
    for name in COLUMNS:
        if names.count(name) != 1:
            said = f"lacks the column {name}" if name not in names else f"has the column {name} twice"
            raise FileError(path, said, row=row, mend=f"columns are {', '.join(COLUMNS)}, with commas between")
    return names


def lines_of_plan(path: Path, scenario: Scenario) -> tuple[OrderLine, ...]:
    """The order lines that a plan's JSON holds.

    :raises FileError: the file is no plan, or one of its lines does not fit its scenario.
    """
    try:
        orders = json_value(read_text(path, MAX_BYTES))["orders"]
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
        (sources[line.source], line.month, 0, pools[line.pool], line.gpus, minutes(scenario.start, days[line.month]))
        for line in lines
    )


def departures(lines: Sequence[OrderLine], scenario: Scenario) -> list[str]:
    """Where lines go beyond what their source offers; they are carried all the same, for a trial may ask
    what would come of them."""
    days = month_starts(scenario.start, scenario.horizon_months)
    told = []
    for source in scenario.purchases:
        own = [line for line in lines if line.source == source.name]
        by_month = Counter[int]()
        for line in own:
            by_month[line.month] += line.gpus
            if line.gpus % source.lot_gpus:
                told.append(f"{line.gpus} GPUs from {source.name} are no whole lots of {source.lot_gpus}")
        cap, total = source.max_gpus_per_month, sum(by_month.values())
        for month, gpus in sorted(by_month.items()):
            label, day = month_label(days[month]), days[month]
            if cap is not None and gpus > cap:
                told.append(f"{gpus} GPUs from {source.name} in {label} are above its {cap} a month")
            if not takes_orders_on(source, day):
                told.append(f"{source.name} takes no orders on {day}")
        if source.max_gpus_total is not None and total > source.max_gpus_total:
            told.append(f"{total} GPUs from {source.name} are above its {source.max_gpus_total} in all")
    return [*told, *_above_caps(lines, scenario)]


def _above_caps(lines: Sequence[OrderLine], scenario: Scenario) -> list[str]:
    """Where sources that share a cap bring more together than it leaves for us; what comes last is turned away."""
    told = []
    for cap in scenario.lines:
        through = {source.name for source in scenario.purchases if cap.name in source.lines.values()}
        total = sum(line.gpus for line in lines if line.source in through)
        if cap.gpus_total is not None and total > our_part(cap):
            told.append(f"{total} GPUs come to {cap.name}, which leaves {our_part(cap)} in all for us")
    return told


def _line(path: Path, number: int, row: dict[str, str], scenario: Scenario) -> OrderLine:
    pool = _named(path, number, "pool", row.get("pool"), [pool.name for pool in scenario.pools])
    source = _named(path, number, "source", row.get("source"), [source.name for source in scenario.purchases])
    months = [month_label(day) for day in month_starts(scenario.start, scenario.horizon_months)]
    month = _named(path, number, "month", row.get("month"), months)
    sold = next(item for item in scenario.purchases if item.name == source)
    if not serves(sold, next(item for item in scenario.pools if item.name == pool)):
        raise FileError(path, f"source {source} does not serve pool {pool}", row=number, found=source)
    return OrderLine(pool, source, months.index(month), _gpus(path, number, row.get("gpus")))


def _named(path: Path, number: int, kind: str, found: str | None, known: Iterable[str]) -> str:
    names = list(known)
    word = (found or "").strip()
    if word in names:
        return word
    if not word:
        raise FileError(path, f"names no {kind}", row=number, mend=f"known: {', '.join(names)}")
    near = did_you_mean(word, names)
    mend = f"did you mean {near}?" if near else f"known: {', '.join(names)}"
    raise FileError(path, f"no such {kind}", row=number, found=found, mend=mend)


def _gpus(path: Path, number: int, found: str | None) -> int:
    word = (found or "").strip()
    if re.fullmatch(r"[+-]?[0-9]{1,30}", word) is None:
        raise FileError(path, "gpus must be a whole number", row=number, found=found)
    gpus = int(word)
    if not 0 < gpus <= MAX_GPUS:
        raise FileError(path, f"gpus must lie between 1 and {MAX_GPUS:,}", row=number, found=gpus)
    return gpus
