"""From a scenario to what is simulated: the supply spec, and one candidate lot for every order that is allowed."""

import datetime as dt
import math
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from executor.errors import Problem, did_you_mean
from executor.reference import accelerators
from planner.clock import minutes, month_starts
from planner.reference import gate_history
from planner.sampling import Constant, Exponential, Law, Triangular
from planner.scenario.errors import ScenarioError
from planner.scenario.gates import Dwell as DwellModel
from planner.scenario.gates import Gate as GateModel
from planner.scenario.gates import GateState
from planner.scenario.lines import Line as LineModel
from planner.scenario.models import Scenario
from planner.scenario.pools import Pool
from planner.scenario.sources import Purchase, Rental, StageLaw
from planner.supply.gates.posterior import GATES, Entry, Priors, Record, SystemPosterior, learn
from planner.supply.network import shipped_routes as chains
from planner.supply.network.allocation import allocate
from planner.supply.network.gate import (
    Always,
    Dwell,
    Effect,
    FirstDelivery,
    FromHistory,
    Gate,
    GateLaw,
    OwnLaw,
    Passage,
    Scripted,
    State,
)
from planner.supply.network.gate_effects import effects_of
from planner.supply.network.route import Route, Stage
from planner.supply.network.spec import Allotment, Cap, Capacity, Line, Orders, Source, SupplySpec, While

FOREIGN = ("Nvidia", "AMD", "Intel")
"""Makers whose goods come into the country through freight and customs."""


def supply_spec(scenario: Scenario) -> SupplySpec:
    """The supply side of a scenario; ``sources`` are its purchases in the file's order.

    Gates that stand for a first delivery come after those of the file. ScenarioError where a gate's history does not
    know a state on the day it is asked for, or where a line is meant for a stage that the route does not have.
    """
    last = month_starts(scenario.start, scenario.horizon_months + 1)[-1]
    return SupplySpec(
        start=scenario.start,
        horizon_minutes=minutes(scenario.start, last),
        sources=tuple(
            _source(scenario, place, source)
            for place, source in enumerate(scenario.sources)
            if isinstance(source, Purchase)
        ),
        gates=(
            *(_gate(scenario, place, gate) for place, gate in enumerate(scenario.gates)),
            *_first_delivery_gates(scenario),
        ),
        lines=tuple(_line(scenario, place, line) for place, line in enumerate(scenario.lines)),
    )


LAST_LOT = 1_000_000
"""Number of the lot that stands for an order which several lots make up."""


def candidate_orders(scenario: Scenario, volume: NDArray[np.int64] | None = None) -> Orders:
    """One lot of every purchase for every month in which it can be ordered, in the order source, month.

    ``volume`` [source, month]: GPUs that are ordered in fact; as many lots as that takes travel then, and one where
    none is ordered. The last of them has the same random numbers whatever the volume.

    An order is placed on the first day of its month (the scenario's start in the first), so a month is allowed when
    that day lies between the source's earliest and latest order.
    """
    days = month_starts(scenario.start, scenario.horizon_months)
    rows = []
    for place, purchase in enumerate(scenario.purchases):
        pool = next((p for p, pool in enumerate(scenario.pools) if serves(purchase, pool)), 0)
        for month, day in enumerate(days):
            if takes_orders_on(purchase, day):
                placed = minutes(scenario.start, day)
                if volume is None:
                    lots = [0]
                else:
                    before = max(0, -(-int(volume[place, month]) // purchase.lot_gpus) - 1)
                    lots = [*range(before), LAST_LOT]
                rows += [(place, month, lot, pool, purchase.lot_gpus, placed) for lot in lots]
    return Orders.of(rows)


def record(as_of: dt.date, reading: str = "main") -> Record:
    """What the public knew of all gates and products on a day, as the gate law counts it."""
    found = {}
    for product in gate_history.products():
        for gate in GATES:
            states = gate_history.states(product, gate, as_of, reading)
            if states:
                found[product, gate] = [
                    Entry(row.from_date, None if row.state == "na" else int(State.named(row.state))) for row in states
                ]
    return found


@lru_cache(maxsize=64)
def posterior(
    as_of: dt.date, reading: str = "main", own: tuple[tuple[tuple[str, int], float], ...] = ()
) -> SystemPosterior:
    """The gate law learnt from what was public on a day; ``own`` prior median stays, days, by (gate, state)."""
    return learn(record(as_of, reading), as_of, Priors(own_median_days=dict(own)))


def takes_orders_on(purchase: Purchase, day: dt.date) -> bool:
    """Whether a day lies between the earliest and the latest order that a source takes."""
    return (purchase.earliest_order or day) <= day <= (purchase.latest_order or day)


def serves(source: Purchase | Rental, pool: Pool) -> bool:
    """Whether a pool can use what a source offers and the source names it, or names none."""
    return source.sku in pool.layouts and (source.pools is None or pool.name in source.pools)


def _source(scenario: Scenario, place: int, purchase: Purchase) -> Source:
    first = _first_delivery_name(scenario, purchase)
    return Source(
        name=purchase.name,
        sku=purchase.sku,
        route=_route(scenario, place, purchase),
        gates=(*purchase.gates, *([first] if first else [])),
        prepayment=purchase.prepayment,
        refund=purchase.refund,
        order_valid_days=purchase.order_valid_days,
        binding=purchase.binding,
    )


def _route(scenario: Scenario, place: int, purchase: Purchase) -> Route:
    card = accelerators.accelerator(purchase.sku)
    own = None if purchase.route is None else [_own_stage(stage) for stage in purchase.route]
    route = chains.route(
        purchase.entry,
        product=accelerators.gate_product(purchase.sku),
        own_stages=own,
        imported=purchase.entry != "domestic" and card.vendor in FOREIGN,
        supplier=card.vendor,
    )
    if purchase.lead_time_factor != 1:
        route = _stretched(route, purchase.lead_time_factor)
    names = [stage.name for stage in route.stages]
    problems = [
        Problem(f"sources.{place}.lines", "no such stage on this route", stage, _one_of(stage, names))
        for stage in purchase.lines
        if stage not in names
    ]
    if problems:
        raise ScenarioError(scenario.name, problems)
    steps = (
        replace(step, line=purchase.lines.get(step.name)) if isinstance(step, Stage) else step for step in route.steps
    )
    return replace(route, steps=tuple(steps))


def _stretched(route: Route, factor: float) -> Route:
    """The route with every law of a duration, the total's too, ``factor`` times as long at the same random numbers."""

    def longer(law: Law) -> Law:
        assert isinstance(law, Triangular), "routes of a scenario are made of triangular laws"
        return Triangular(factor * law.low, factor * law.mode, factor * law.high)

    def stage(step: Stage) -> Stage:
        return replace(step, law=longer(step.law))

    return replace(
        route,
        steps=tuple(stage(step) if isinstance(step, Stage) else step for step in route.steps),
        sides=tuple(replace(side, stage=stage(side.stage)) for side in route.sides),
        total=None if route.total is None else longer(route.total),
    )


def _own_stage(stage: StageLaw) -> Stage:
    low, mode, high = stage.yields
    yields = None if low == 1.0 else Constant(mode) if low == high else Triangular(low, mode, high)
    return Stage(stage.name, Triangular(stage.low, stage.mode, stage.high), yields=yields)


def _one_of(found: str, names: list[str]) -> str:
    near = did_you_mean(found, names)
    return f"did you mean {near}?" if near else f"it has {', '.join(names)}"


def _line(scenario: Scenario, place: int, line: LineModel) -> Capacity:
    if line.servers is not None:
        return Line(line.name, line.servers, line.backlog_lots, Constant(line.backlog_days))
    ours = our_part(line)
    binds = None if line.gate is None else While(line.gate, tuple(State.named(state) for state in line.states))
    if line.gpus_total is not None:
        return Cap(line.name, ours, binds)
    if ours == 0:
        problem = Problem(f"lines.{place}", "leaves nothing for us in any period", line.name)
        raise ScenarioError(scenario.name, [problem])
    return Allotment(line.name, ours, line.period_days, binds)


def our_part(line: LineModel) -> int:
    """GPUs of a quantity that fall to us once it is divided among all who ask for it."""
    whole = line.gpus_per_period if line.gpus_total is None else line.gpus_total
    assert whole is not None, "servers are not divided"
    quantity = math.floor(line.share * whole)
    return allocate(quantity, [*line.others, quantity if line.asked is None else line.asked], line.allocation)[-1]


def first_delivery(product: str | None, as_of: dt.date, of: tuple[str, ...]) -> FirstDelivery:
    """The law of the first delivery after both governments' gates let goods pass, with at least one case by case.

    Lomax(1, 60 d + days seen in that condition without a delivery): the prior is one delivery in 60 days, ours
    (estimate, Nov 2026). H200 saw 107 such days from 28 Jan to 15 May 2026.
    """
    known = record(as_of) if product else {}
    seen = 0
    day = dt.date(2025, 4, 9)
    while day < as_of:
        states = [_on(known.get((product or "", gate), ()), day) for gate in ("us", "cn")]
        seen += (
            all(state is not None and state >= State.CONDITIONAL for state in states) and State.CONDITIONAL in states
        )
        day += dt.timedelta(days=1)
    return FirstDelivery(of, shape=1.0, days=60.0 + seen)


def _on(entries: Sequence[Entry], day: dt.date) -> int | None:
    """The state in force on a day."""
    in_force = [entry.state for entry in entries if entry.from_date <= day]
    return in_force[-1] if in_force else None


def _government_gates(scenario: Scenario, purchase: Purchase) -> tuple[str, ...]:
    return tuple(g.name for g in scenario.gates if g.name in purchase.gates and g.authority in ("us", "cn"))


def _first_delivery_name(scenario: Scenario, purchase: Purchase) -> str | None:
    """The name of the gate that a purchase waits at for its first delivery; None: it does not ask for one."""
    of = _government_gates(scenario, purchase)
    return f"first delivery through {' and '.join(of)}" if purchase.first_delivery and of else None


def _first_delivery_gates(scenario: Scenario) -> tuple[Gate, ...]:
    """One gate for each set of government gates whose first delivery some purchase waits for."""
    found: dict[str, Gate] = {}
    for purchase in scenario.purchases:
        name, of = _first_delivery_name(scenario, purchase), _government_gates(scenario, purchase)
        if name is not None and name not in found:
            law = first_delivery(accelerators.gate_product(purchase.sku), scenario.start, of)
            closed = Effect(release=Passage.HOLD)
            found[name] = Gate(name, "vendor", law, (closed, closed, Effect(), Effect()))
    return tuple(found.values())


def _gate(scenario: Scenario, place: int, gate: GateModel) -> Gate:
    as_of = gate.as_of or scenario.start
    announced = _announced(scenario, gate, as_of)
    events = announced + [Scripted(minutes(scenario.start, e.date), State.named(e.state)) for e in gate.events]
    return Gate(
        name=gate.name,
        authority=gate.authority,
        law=_law(scenario, place, gate, as_of),
        effects=effects_of(gate, as_of),
        events=tuple(sorted(events, key=lambda event: event.minute)),
    )


def _law(scenario: Scenario, place: int, gate: GateModel, as_of: dt.date) -> GateLaw:
    if gate.always is not None:
        return Always(State.named(gate.always))
    state = State.named(gate.state or _known_state(scenario, place, gate, as_of))
    if gate.law is not None:
        return OwnLaw(state, {State.named(name): _dwell(dwell) for name, dwell in gate.law.items()})
    assert gate.product is not None, "the scenario's checks ask for a product"
    recorded = gate.state is None or gate.state == _known_state(scenario, place, gate, as_of)
    return FromHistory(
        system=posterior(as_of, gate.reading, _own_medians(scenario, gate, as_of)),
        product=gate.product,
        state=state,
        reading=gate.reading,
        as_of_minute=0 if gate.state else minutes(scenario.start, as_of),
        rule=gate_history.rule_of(gate.product, gate.authority, as_of, gate.reading) if recorded else "",
    )


def _own_medians(scenario: Scenario, gate: GateModel, as_of: dt.date) -> tuple[tuple[tuple[str, int], float], ...]:
    """Prior medians that the scenario gives to any gate of the same product, reading and day: they move together."""
    same = (gate.product, gate.reading, as_of)
    return tuple(
        ((other.authority, int(State.named(state))), days)
        for other in scenario.gates
        if (other.product, other.reading, other.as_of or scenario.start) == same
        for state, days in other.prior_median_days.items()
    )


def _dwell(dwell: DwellModel) -> Dwell:
    return Dwell(Exponential(dwell.mean_days), {State.named(name): share for name, share in dwell.next.items()})


def _known_state(scenario: Scenario, place: int, gate: GateModel, as_of: dt.date) -> GateState:
    """The last state that was in force and public on the day."""
    states = gate_history.states(gate.product, gate.authority, as_of, gate.reading) if gate.product else ()
    if not states or states[-1].state == "na":
        problem = Problem(
            f"gates.{place}",
            f"the history knows no state of the {gate.authority} gate for {gate.product} on {as_of}",
            mend="give `state`, or leave the gate out",
        )
        raise ScenarioError(scenario.name, [problem])
    return states[-1].state  # type: ignore[return-value]


def _announced(scenario: Scenario, gate: GateModel, as_of: dt.date) -> list[Scripted]:
    """Changes that were public on the day and take effect later."""
    if gate.product is None or gate.always is not None or gate.law is not None:
        return []
    return [
        Scripted(minutes(scenario.start, row.from_date), State.named(row.state))
        for row in gate_history.announced(gate.product, gate.authority, as_of, gate.reading)
        if row.state != "na"
    ]
