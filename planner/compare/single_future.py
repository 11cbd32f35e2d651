"""A plan's own orders carried through single futures: the pipeline by month, and one future as a story.

The random numbers are those of the plan's validation: future 17 here is future 17 there.
"""

import datetime as dt
from dataclasses import dataclass

import numpy as np

from planner.clock import day_of, month_label, month_starts
from planner.compare.rows import Row
from planner.record.models import PlanRecord
from planner.sampling import Key
from planner.scenario.models import Scenario
from planner.supply.gates.paths import draw_paths
from planner.supply.network.from_scenario import supply_spec
from planner.supply.network.spec import SupplySpec
from planner.supply.order_lines import OrderLine, orders_of
from planner.supply.outcomes import UNSEEN, Deliveries, Outcome
from planner.supply.simulate import simulate

PLACES = ("waiting for acceptance", "in the factory", "under way", "serving", "ended by a gate")
"""Where an ordered GPU can be, in order."""


@dataclass(frozen=True)
class Happening:
    """Something that happened on a day; ``rank`` 0 weighs most."""

    day: dt.date
    rank: int
    what: str
    """A wording's text with places for ``figures``."""
    figures: dict[str, str]


@dataclass(frozen=True)
class Story:
    """One future: where each order was when, how each gate stood, and what happened, dated."""

    future: int
    visits: tuple[Row, ...]
    """order, place, kind (work, wait or end), start, end."""
    gates: tuple[Row, ...]
    """gate, state, start, end."""
    happenings: tuple[Happening, ...]
    """What happened, in order."""

    def told(self) -> list[Happening]:
        """About ten happenings in order of their dates: the first few of each kind, the weighty kinds first."""
        few: list[Happening] = []
        for rank, most in _TOLD.items():
            few += [item for item in self.happenings if item.rank == rank][:most]
        return sorted(few, key=lambda item: (item.day, item.rank))


_TOLD = {0: 2, 1: 4, 2: 3, 3: 2}
"""How many happenings of each rank a story tells."""


def order_lines(record: PlanRecord) -> tuple[OrderLine, ...]:
    """The plan's orders as the supply engines take them."""
    months = [month.month for month in record.months]
    return tuple(
        OrderLine(order.pool, order.source, months.index(order.month), order.gpus)
        for order in record.orders
        if order.gpus > 0
    )


def pipeline(record: PlanRecord, futures: int = 400) -> list[Row]:
    """Mean GPUs by place at the start of each month, over the first ``futures`` of the validation."""
    lines = order_lines(record)
    if not lines:
        return []
    spec, made = _carried(record, lines, range(futures), trace=False)
    gpus, placed = made.orders.gpus, made.orders.placed_at
    days = month_starts(record.scenario.start, record.scenario.horizon_months)
    rows: list[Row] = []
    for minute, day in zip(spec.month_minutes, days, strict=False):
        place = _place(made, placed, minute)
        for code, name in enumerate(PLACES):
            held = made.brought if name == "serving" else gpus  # what was scrapped on the way serves nowhere
            mean = float(((place == code) * held).sum(axis=1).mean())
            rows.append({"month": month_label(day), "place": name, "gpus": mean})
    return rows


def _place(made: Deliveries, placed: np.ndarray, minute: int) -> np.ndarray:
    """Index into PLACES of every lot at a minute, [replication, lot]; -1: not placed yet."""

    def by(when: np.ndarray) -> np.ndarray:
        return (when != UNSEEN) & (when <= minute)

    place = np.where(placed[None, :] <= minute, 0, -1)
    place = np.where(by(made.accepted_at), 1, place)
    place = np.where(by(made.released_at), 2, place)
    place = np.where(by(made.delivered_at), 3, place)
    return np.where(by(made.ended_at), 4, place)


def story(record: PlanRecord, future: int) -> Story:
    """One future of the validation, told from the event trace of the SimPy engine."""
    lines = order_lines(record)
    scenario = record.scenario
    spec, made = _carried(record, lines, [future], trace=True)
    paths = draw_paths(spec.gates, spec.horizon_minutes, Key(record.judging_root), [future])
    gates: list[Row] = []
    happened: list[Happening] = []
    for gate, path in zip(spec.gates, paths, strict=True):
        changes = path.changes(0)
        ends = [minute for minute, _ in changes[1:]] + [spec.horizon_minutes]
        for at, ((minute, state), end) in enumerate(zip(changes, ends, strict=True)):
            name = state.name.lower()
            gates.append(
                {"gate": gate.name, "state": name, "start": _day(scenario, minute), "end": _day(scenario, end)}
            )
            if at:
                figures = {"gate": gate.name, "state": name}
                happened.append(Happening(_day(scenario, minute), 1, "The gate {gate} is now {state}.", figures))
    visits = _visits(scenario, spec, lines, made)
    happened += _fates(scenario, lines, made)
    return Story(future, tuple(visits), tuple(gates), tuple(sorted(happened, key=lambda item: (item.day, item.rank))))


def _carried(
    record: PlanRecord, lines: tuple[OrderLine, ...], futures: range | list[int], trace: bool
) -> tuple[SupplySpec, Deliveries]:
    spec = supply_spec(record.scenario)
    orders = orders_of(lines, record.scenario)
    return spec, simulate(spec, orders, Key(record.judging_root), futures, engine="simpy", trace=trace)


def _visits(scenario: Scenario, spec: SupplySpec, lines: tuple[OrderLine, ...], made: Deliveries) -> list[Row]:
    """Stretches of waiting and of work, in the order of the trace."""
    assert made.events is not None
    rows: list[Row] = []
    for event in made.events:
        line = lines[int(event["lot"])]
        name = spec.sources[spec.source_index(line.source)].route.visits[int(event["visit"])]
        place = name.strip("[]")
        enter, start, leave = (int(event[field]) for field in ("enter", "start", "leave"))
        ended = int(made.ended_at[0, int(event["lot"])])
        last = spec.horizon_minutes if ended == UNSEEN else ended  # an order that ends breaks its visits off
        began = start if start != UNSEEN else last
        left = leave if leave != UNSEEN else last
        shared = {"order": _title(line, scenario), "lot": int(event["lot"]), "place": place}
        if began > enter or name.startswith("["):
            wait_end = left if name.startswith("[") else began
            if wait_end > enter:
                rows.append({**shared, "kind": "wait", **_span(scenario, enter, wait_end)})
        if not name.startswith("[") and left > began:
            rows.append({**shared, "kind": "work", **_span(scenario, began, left)})
    return rows


def _fates(scenario: Scenario, lines: tuple[OrderLine, ...], made: Deliveries) -> list[Happening]:
    happened = []
    for at, line in enumerate(lines):
        name = {"order": _title(line, scenario)}
        waited = int(made.accepted_at[0, at]) > int(made.orders.placed_at[at])
        fate = Outcome(int(made.outcome[0, at])).name.lower()
        moments = (
            (made.ended_at[0, at], 0, "{order}: " + fate + "."),
            (made.delivered_at[0, at], 2, "{order}: serves."),
            (made.accepted_at[0, at], 3 if waited else 5, "{order}: accepted."),
            (made.released_at[0, at], 4, "{order}: leaves the factory."),
        )
        happened += [
            Happening(_day(scenario, int(when)), rank, what, name) for when, rank, what in moments if when != UNSEEN
        ]
    return happened


def _title(line: OrderLine, scenario: Scenario) -> str:
    day = month_starts(scenario.start, scenario.horizon_months)[line.month]
    return f"{line.gpus} from {line.source} of {month_label(day)} for {line.pool}"


def _day(scenario: Scenario, minute: int) -> dt.date:
    return day_of(scenario.start, minute)


def _span(scenario: Scenario, start: int, end: int) -> Row:
    return {"start": _day(scenario, start), "end": _day(scenario, end)}
