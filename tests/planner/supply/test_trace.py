"""The trace of a run: what stands where on any date, waits, and what a gate breaks off."""

import numpy as np
import pytest

from planner.clock import MINUTES_PER_DAY
from planner.sampling import Constant, Key
from planner.scenario.load import load
from planner.supply.network.from_scenario import candidate_orders, supply_spec
from planner.supply.network.gate import Effect, Fate, Passage, Point, State
from planner.supply.network.route import Side, Stage
from planner.supply.simulate import simulate


@pytest.fixture(scope="module")
def july():
    scenario = load("2-h20-july-2025").scenario
    spec, orders = supply_spec(scenario), candidate_orders(scenario)
    return spec, simulate(spec, orders, Key(9), range(5, 25), trace=True)


def told(spec, made):
    """(stage or point, day entered, day of the beginning, day left) of every visit of one replication's one lot."""
    visits = spec.sources[0].route.visits
    return [
        (visits[event["visit"]], *(int(event[name]) / MINUTES_PER_DAY for name in ("enter", "start", "leave")))
        for event in made.events
    ]


def test_the_trace_of_any_date_holds_what_was_placed_and_neither_arrived_nor_ended(july):
    """GPUs that stand at a stage or point of their route; work beside the route counts on the route."""
    spec, made = july
    events, orders = made.events, made.orders
    row, lot = np.searchsorted(made.replications, events["replication"]), events["lot"]
    ended = made.ended_at[row, lot]
    left = np.where(events["leave"] < 0, spec.horizon_minutes, events["leave"])
    left = np.where(ended < 0, left, np.minimum(left, ended))
    steps = np.array([1 + len(source.route.steps) for source in spec.sources])
    on_route = events["visit"] < steps[orders.source[lot]]
    for minute in range(0, spec.horizon_minutes, 97 * 1440):
        here = on_route & (events["enter"] <= minute) & (minute < left)
        held = np.bincount(row[here], weights=orders.gpus[lot[here]], minlength=len(made.replications))
        placed = orders.placed_at <= minute
        arrived = (made.delivered_at >= 0) & (made.delivered_at <= minute)
        over = (made.ended_at >= 0) & (made.ended_at <= minute)
        assert np.array_equal(held, (placed & ~arrived & ~over) @ orders.gpus)


def test_littles_law_time_in_system_is_the_integral_of_the_number_in_system(july):
    """Reference case D18: an identity for a run that empties."""
    _, made = july
    foundry = made.orders.source == 4  # the foundry's Ascend lots meet no gate, so all arrive
    early = foundry & (made.orders.month < 4)
    assert made.delivered[:, early].all()
    events = np.concatenate([np.repeat(made.orders.placed_at[early], 20), made.delivered_at[:, early].ravel()])
    steps = np.concatenate([np.ones(events.size // 2), -np.ones(events.size // 2)])
    order = np.argsort(events, kind="stable")
    number = np.cumsum(steps[order])[:-1]
    integral = (number * np.diff(events[order])).sum()
    assert integral == (made.delivered_at - made.orders.placed_at)[:, early].sum()


def test_the_foundry_takes_its_nine_months_in_every_lot(july):
    spec, made = july
    foundry = made.orders.source == 4
    lead = (made.delivered_at - made.orders.placed_at)[:, foundry]
    days = lead[made.delivered[:, foundry]] / MINUTES_PER_DAY
    assert days.min() > 270
    events = made.events[made.events["leave"] >= 0]
    stage = spec.sources[4].route.visits.index("domestic_foundry")
    there = events[(made.orders.source[events["lot"]] == 4) & (events["visit"] == stage)]
    assert ((there["leave"] - there["enter"]) / MINUTES_PER_DAY).min() >= 270


def test_a_lot_that_a_gate_holds_waits_at_the_point_until_it_opens(world, script):
    gate = script({State.CLOSED: Effect(release=Passage.HOLD)}, [(9, State.CLOSED), (15, State.OPEN)])
    spec, orders = world((("fab", 10), Point.RELEASE, ("freight", 5)), gates=[gate])
    made = simulate(spec, orders, Key(1), range(1), trace=True)
    assert told(spec, made) == [
        ("[order]", 0, 0, 0),
        ("fab", 0, 0, 10),
        ("[release]", 10, 15, 15),
        ("freight", 15, 15, 20),
    ]
    assert made.delivered_at.tolist() == [[20 * MINUTES_PER_DAY]]


def test_an_order_that_a_gate_revokes_is_broken_off(world, script):
    gate = script({State.CLOSED: Effect(in_process=Fate.REVOKE)}, [(4, State.CLOSED)])
    spec, orders = world((("fab", 10), Point.RELEASE, ("freight", 5)), gates=[gate])
    made = simulate(spec, orders, Key(1), range(1), trace=True)
    assert [(name, start) for name, _, start, _ in told(spec, made)] == [("[order]", 0), ("fab", 0)]
    assert made.events["leave"].tolist() == [0, -1]
    assert made.ended_at.tolist() == [[4 * MINUTES_PER_DAY]]


def test_a_stage_with_a_yield_takes_its_time_and_brings_a_part(world):
    spec, orders = world([Stage("fab", Constant(10.0), yields=Constant(0.75)), ("install", 2)])
    made = simulate(spec, orders, Key(1), range(1), trace=True)
    assert told(spec, made) == [("[order]", 0, 0, 0), ("fab", 0, 0, 10), ("install", 10, 10, 12)]
    assert (made.brought.tolist(), made.orders.gpus.tolist()) == ([[6]], [8])


def test_work_beside_the_route_of_an_order_that_ended_is_never_finished(world, script):
    """Revoked on day 4; HBM, which would take nine days, is broken off with it."""
    gate = script({State.CLOSED: Effect(in_process=Fate.REVOKE)}, [(4, State.CLOSED)])
    side = Side(Stage("hbm", Constant(9.0)), "fab", "cowos")
    spec, orders = world([("fab", 3), ("cowos", 3)], gates=[gate], sides=[side])
    made = simulate(spec, orders, Key(1), range(1), trace=True)
    (row,) = made.events[made.events["visit"] == spec.sources[0].route.visits.index("hbm")]
    assert (row["enter"], row["leave"]) == (0, -1)
