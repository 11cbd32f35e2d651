"""From a scenario to what is simulated: the supply spec, and one candidate lot for every order that is
allowed."""

from __future__ import annotations

import datetime as dt
from functools import lru_cache

from planner.chance import Exponential, Triangular
from planner.clock import minutes, month_starts
from planner.errors import Problem, ScenarioError
from planner.reference import accelerators, gate_history
from planner.scenario.models import Dwell as DwellModel
from planner.scenario.models import Gate as GateModel
from planner.scenario.models import GateState, Purchase, Scenario
from planner.supply import chains
from planner.supply.effects import effects_of
from planner.supply.gate import Always, Dwell, FromHistory, Gate, GateLaw, OwnLaw, Scripted, State
from planner.supply.posterior import GATES, Entry, Record, SystemPosterior, learn
from planner.supply.route import Route, Stage
from planner.supply.spec import Orders, Source, SupplySpec

FOREIGN = ("Nvidia", "AMD", "Intel")
"""Makers whose goods come into the country through freight and customs."""


def supply_spec(scenario: Scenario) -> SupplySpec:
    """The supply side of a scenario; ``sources`` are its purchases in the file's order.

    ScenarioError where a gate's history does not know a state on the day it is asked for.
    """
    last = month_starts(scenario.start, scenario.horizon_months + 1)[-1]
    return SupplySpec(
        start=scenario.start,
        horizon_minutes=minutes(scenario.start, last),
        sources=tuple(_source(purchase) for purchase in scenario.purchases),
        gates=tuple(_gate(scenario, place, gate) for place, gate in enumerate(scenario.gates)),
    )


def candidate_orders(scenario: Scenario) -> Orders:
    """One lot of every purchase for every month in which it can be ordered, in the order source, month.

    An order is placed on the first day of its month (the scenario's start in the first), so a month is
    allowed
    when that day lies between the source's earliest and latest order.
    """
    days = month_starts(scenario.start, scenario.horizon_months)
    rows = []
    for place, purchase in enumerate(scenario.purchases):
        for month, day in enumerate(days):
            if _allowed(purchase, day):
                pool, placed = _first_pool(scenario, purchase), minutes(scenario.start, day)
                rows.append((place, month, 0, pool, purchase.lot_gpus, placed))
    return Orders.of(rows)


def record(as_of: dt.date, reading: str = "main") -> Record:
    """What the public knew of all gates and products on a day, as the gate law counts it."""
    found = {}
    for product in gate_history.products():
        for gate in GATES:
            states = gate_history.states(product, gate, as_of, reading)
            if states:
                found[product, gate] = [
                    Entry(row.from_date, None if row.state == "na" else int(State.named(row.state)))
                    for row in states
                ]
    return found


@lru_cache(maxsize=64)
def posterior(as_of: dt.date, reading: str = "main") -> SystemPosterior:
    """The gate law learnt from what was public on a day, with the shipped priors."""
    return learn(record(as_of, reading), as_of)


def _allowed(purchase: Purchase, day: dt.date) -> bool:
    early = purchase.earliest_order is not None and day < purchase.earliest_order
    late = purchase.latest_order is not None and day > purchase.latest_order
    return not (early or late)


def _first_pool(scenario: Scenario, purchase: Purchase) -> int:
    """The first pool that the purchase may serve."""
    for place, pool in enumerate(scenario.pools):
        named = purchase.pools is None or pool.name in purchase.pools
        if named and purchase.sku in pool.layouts:
            return place
    return 0


def _source(purchase: Purchase) -> Source:
    return Source(
        name=purchase.name,
        sku=purchase.sku,
        route=_route(purchase),
        gates=tuple(purchase.gates),
        prepayment=purchase.prepayment,
        refund=purchase.refund,
        order_valid_days=purchase.order_valid_days,
    )


def _route(purchase: Purchase) -> Route:
    card = accelerators.accelerator(purchase.sku)
    own = None
    if purchase.route is not None:
        own = [Stage(stage.name, Triangular(stage.low, stage.mode, stage.high)) for stage in purchase.route]
    return chains.route(
        purchase.entry,
        product=accelerators.gate_product(purchase.sku),
        own_stages=own,
        imported=purchase.entry != "domestic" and card.vendor in FOREIGN,
        supplier=card.vendor,
    )


def _gate(scenario: Scenario, place: int, gate: GateModel) -> Gate:
    as_of = gate.as_of or scenario.start
    announced = _announced(scenario, gate, as_of)
    events = announced + [
        Scripted(minutes(scenario.start, e.date), State.named(e.state)) for e in gate.events
    ]
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
    return FromHistory(
        system=posterior(as_of, gate.reading),
        product=gate.product,
        state=state,
        reading=gate.reading,
        as_of_minute=0 if gate.state else minutes(scenario.start, as_of),
    )


def _dwell(dwell: DwellModel) -> Dwell:
    following = {State.named(name): share for name, share in dwell.next.items()}
    return Dwell(Exponential(dwell.mean_days), following)


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
