"""What happened to the gates: dated events, and the state of each gate for each product.

A gate is the US export licence (us), the Chinese import blessing (cn) or the vendor's production (vendor).
Its states are ordered:

closed       blocked, stopped, turned back
promised     announced; nothing can be ordered or moved yet
conditional  case by case: licensed buyers, small batches, advice against
open         free
na           the question is no longer put for this product (outside the order)

Every entry has two dates: the day the act took effect and the day it became public. What was known on a day
is cut by the second. A few entries can be read in more than one way; each such reading has a name.
"""

import datetime as dt
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from executor.errors import UnknownNameError
from executor.reference.csv_table import Row, read_rows
from planner.reference import SHIPPED

STATES = ("closed", "promised", "conditional", "open")
"""Ordered, the worst first."""

GATES = ("us", "cn", "vendor")
JURISDICTIONS = ("US", "CN", "vendor", "market")
PRECISIONS = ("day", "week", "month")

READINGS = ("main", "literal", "paper", "mild")
"""main: an ambiguous entry without an act behind it leaves the state as it was.
literal: "paused" counts as closed and "unclear" as promised.
paper: a rule or an approval opens nothing before the first licence or order under it.
mild: Chinese notices are advice until a binding directive; a supplier's pause counts as a vendor's stop."""

EVENT_COLUMNS = (
    "date", "published", "precision", "jurisdiction", "products", "event", "effect_on_orders",
    "effect_on_shipping", "effect_on_goods_under_way", "evidence", "confidence", "source",
)  # fmt: skip
STATE_COLUMNS = ("product", "gate", "from_date", "published", "state", "evidence", "source", "note")
READING_COLUMNS = (
    "reading", "product", "gate", "from_date", "published", "state", "evidence", "source", "why",
)  # fmt: skip


@dataclass(frozen=True)
class GateEvent:
    """One dated event. ``precision`` is that of ``date``: the day, or the week or month around it."""

    date: dt.date
    published: dt.date
    precision: str
    jurisdiction: str
    products: tuple[str, ...]
    event: str
    effect_on_orders: str
    effect_on_shipping: str
    effect_on_goods_under_way: str
    evidence: str
    confidence: str
    source: str


@dataclass(frozen=True)
class GateState:
    """From ``from_date`` on, the gate is in ``state`` for the product; public since ``published``."""

    product: str
    gate: str
    from_date: dt.date
    published: dt.date
    state: str
    evidence: str
    source: str
    note: str


def events(product: str | None = None, until: dt.date | None = None) -> tuple[GateEvent, ...]:
    """Events in order of their date: those that touch the product, and among them those public by ``until``.

    Part of a joint name counts (A100/H100 finds the events of either), and so does an act on all products.
    """
    return tuple(
        event
        for event in read_events()
        if (product is None or _touches(event, product)) and (until is None or event.published <= until)
    )


def states(product: str, gate: str, as_of: dt.date | None = None, reading: str = "main") -> tuple[GateState, ...]:
    """The states one after another, as far as they were both in force and public on ``as_of``.

    The last one is the state on that day as the public knew it. UnknownNameError for an unknown name.
    """
    return tuple(
        state
        for state in _history(product, gate, reading)
        if as_of is None or (state.published <= as_of and state.from_date <= as_of)
    )


def announced(product: str, gate: str, as_of: dt.date, reading: str = "main") -> tuple[GateState, ...]:
    """States that were public on ``as_of`` and take effect only later."""
    return tuple(state for state in _history(product, gate, reading) if state.published <= as_of < state.from_date)


def rule_of(product: str, gate: str, as_of: dt.date, reading: str = "main") -> str:
    """The product first named by the last act that put several products under one rule, this one among them.

    Only acts of the gate's jurisdiction count that were in force and public on ``as_of``, and only while the products
    stand in one state: the US rule of 15 January 2026 covers H200 and H20. A product that shares no rule is its own.
    """
    known = products()
    for event in reversed(events(product, as_of)):
        covered = [name for name in event.products if name in known]
        act = event.jurisdiction == gate.upper() and event.date <= as_of
        if act and product in covered and len(covered) > 1:
            record = [states(name, gate, as_of, reading) for name in covered]
            alike = all(record) and len({entries[-1].state for entries in record}) == 1
            return covered[0] if alike else product
    return product


@cache
def products() -> tuple[str, ...]:
    """Products with a gate on record, in the table's order."""
    return tuple(dict.fromkeys(state.product for state in read_states()))


@cache
def read_events(path: Path = SHIPPED / "gate_events.csv") -> tuple[GateEvent, ...]:
    """The rows of an event table in order of their date; FileError where a cell is wrong."""
    return tuple(sorted(map(_event, read_rows(path, EVENT_COLUMNS)), key=lambda event: event.date))


@cache
def read_states(path: Path = SHIPPED / "gate_states.csv") -> tuple[GateState, ...]:
    """The rows of a state table; FileError where a cell is wrong or a state starts twice on one day."""
    found: dict[tuple[str, str, dt.date], GateState] = {}
    for row in read_rows(path, STATE_COLUMNS):
        state = _state(row, row.choice("state", (*STATES, "na")), row.text("note"))
        if _start(state) in found:
            row.fault("from_date", f"{state.product} {state.gate} has two states from this day")
        found[_start(state)] = state
    return tuple(found.values())


@cache
def read_readings(path: Path = SHIPPED / "gate_readings.csv") -> tuple[tuple[str, GateState], ...]:
    """(reading, state) for each row where a reading differs; an empty state takes the main entry away."""
    return tuple(
        (row.choice("reading", READINGS[1:]), _state(row, row.choice("state", ("", *STATES)), row.needed("why")))
        for row in read_rows(path, READING_COLUMNS)
    )


@cache
def _history(product: str, gate: str, reading: str) -> tuple[GateState, ...]:
    """All states of one gate for one product under a reading, in order of the day they took effect."""
    for kind, found, known in (
        ("product of the gate history", product, products()),
        ("gate", gate, GATES),
        ("reading of the gate history", reading, READINGS),
    ):
        if found not in known:
            raise UnknownNameError(kind, found, known)
    by_start = {_start(state): state for state in read_states()}
    by_start.update({_start(state): state for name, state in read_readings() if name == reading})
    chosen = (state for state in by_start.values() if (state.product, state.gate) == (product, gate) and state.state)
    return tuple(sorted(chosen, key=lambda state: state.from_date))


def _touches(event: GateEvent, product: str) -> bool:
    return any(name.startswith("all ") or name in product.split("/") for name in event.products)


def _start(state: GateState) -> tuple[str, str, dt.date]:
    return state.product, state.gate, state.from_date


def _event(row: Row) -> GateEvent:
    return GateEvent(
        date=row.day("date"),
        published=row.day("published"),
        precision=row.choice("precision", PRECISIONS),
        jurisdiction=row.choice("jurisdiction", JURISDICTIONS),
        products=tuple(row.needed("products").split(";")),
        event=row.needed("event"),
        effect_on_orders=row.needed("effect_on_orders"),
        effect_on_shipping=row.needed("effect_on_shipping"),
        effect_on_goods_under_way=row.needed("effect_on_goods_under_way"),
        evidence=row.evidence(),
        confidence=row.choice("confidence", ("high", "medium", "low")),
        source=row.needed("source"),
    )


def _state(row: Row, state: str, note: str) -> GateState:
    return GateState(
        product=row.needed("product"),
        gate=row.choice("gate", GATES),
        from_date=row.day("from_date"),
        published=row.day("published"),
        state=state,
        evidence=row.evidence(),
        source=row.needed("source"),
        note=note,
    )
