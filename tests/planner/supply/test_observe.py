"""The trace as a pipeline, as lead times and as a story."""

import numpy as np
import pytest

from planner.sampling import Constant, Key
from planner.scenario.load import load
from planner.supply import (
    Effect,
    Fate,
    Orders,
    Outcome,
    Passage,
    Point,
    Side,
    Stage,
    State,
    candidate_orders,
    simulate,
    supply_spec,
)
from planner.supply.observe import lead_time_days, pipeline_by_stage, stage_days, story


@pytest.fixture(scope="module")
def july():
    scenario = load("2-h20-july-2025").scenario
    spec, orders = supply_spec(scenario), candidate_orders(scenario)
    return spec, simulate(spec, orders, Key(9), range(5, 25), trace=True)


def test_the_pipeline_of_any_date_holds_what_was_placed_and_neither_arrived_nor_ended(july):
    spec, made = july
    for minute in range(0, spec.horizon_minutes, 97 * 1440):
        held = sum(pipeline_by_stage(spec, made, minute).values())
        placed = made.orders.placed_at <= minute
        arrived = (made.delivered_at >= 0) & (made.delivered_at <= minute)
        ended = (made.ended_at >= 0) & (made.ended_at <= minute)
        assert np.array_equal(held, (placed & ~arrived & ~ended) @ made.orders.gpus)


def test_littles_law_time_in_system_is_the_integral_of_the_number_in_system(july):
    """Reference case D18: an identity for a run that empties."""
    _, made = july
    foundry = made.orders.source == 4  # the foundry's Ascend lots meet no gate, so all arrive
    early = foundry & (made.orders.month < 4)
    assert made.delivered[:, early].all()
    events = np.concatenate(
        [np.repeat(made.orders.placed_at[early], 20), made.delivered_at[:, early].ravel()]
    )
    steps = np.concatenate([np.ones(events.size // 2), -np.ones(events.size // 2)])
    order = np.argsort(events, kind="stable")
    number = np.cumsum(steps[order])[:-1]
    integral = (number * np.diff(events[order])).sum()
    assert integral == made.lead_minutes()[:, early].sum()


def test_lead_times_are_those_of_the_deliveries_and_stages_add_up_to_them(july):
    spec, made = july
    days = lead_time_days(spec, made)
    assert sum(len(found) for found in days.values()) == (made.outcome == Outcome.DELIVERED).sum()
    foundry = spec.sources[4].name
    assert days[foundry].min() > 270
    stages = stage_days(spec, made)
    assert stages[foundry, "domestic_foundry"].min() >= 270


def test_a_lot_is_told_with_its_waits_and_its_end(world, script):
    gate = script({State.CLOSED: Effect(release=Passage.HOLD)}, [(9, State.CLOSED), (15, State.OPEN)])
    spec, orders = world((("fab", 10), Point.RELEASE, ("freight", 5)), gates=[gate])
    assert story(spec, simulate(spec, orders, Key(1), range(1), trace=True), 0, 0) == [
        "2025-01-01  fab, until 2025-01-11",
        "2025-01-11  waits 5 days at release",
        "2025-01-16  freight, until 2025-01-21",
        "2025-01-21  serves",
    ]


def test_an_order_that_a_gate_revokes_is_told_to_its_end(world, script):
    gate = script({State.CLOSED: Effect(in_process=Fate.REVOKE)}, [(4, State.CLOSED)])
    spec, orders = world((("fab", 10), Point.RELEASE, ("freight", 5)), gates=[gate])
    assert story(spec, simulate(spec, orders, Key(1), range(1), trace=True), 0, 0) == [
        "2025-01-01  fab, broken off",
        "2025-01-05  order cancelled",
    ]


def test_a_run_without_a_trace_says_so(july):
    spec, _ = july
    made = simulate(spec, Orders.of([(0, 0, 0, 0, 8, 0)]), Key(1), range(2))
    with pytest.raises(ValueError, match="kept no trace"):
        stage_days(spec, made)


def test_a_story_tells_how_much_of_a_lot_came_out_good(world):
    spec, orders = world([Stage("fab", Constant(10.0), yields=Constant(0.75)), ("install", 2)])
    made = simulate(spec, orders, Key(1), range(1), trace=True)
    assert story(spec, made, 0, 0) == [
        "2025-01-01  fab, until 2025-01-11",
        "2025-01-11  install, until 2025-01-13",
        "2025-01-13  serves, 6 of 8 GPUs good",
    ]


def test_work_beside_the_route_of_an_order_that_ended_is_never_finished(world, script):
    """Revoked on day 4; HBM, which would take nine days, is broken off with it."""
    gate = script({State.CLOSED: Effect(in_process=Fate.REVOKE)}, [(4, State.CLOSED)])
    side = Side(Stage("hbm", Constant(9.0)), "fab", "cowos")
    spec, orders = world([("fab", 3), ("cowos", 3)], gates=[gate], sides=[side])
    made = simulate(spec, orders, Key(1), range(1), trace=True)
    (row,) = made.events[made.events["visit"] == spec.sources[0].route.visits.index("hbm")]
    assert (row["enter"], row["leave"]) == (0, -1)
