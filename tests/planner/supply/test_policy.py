"""Policies that look before they order."""

import numpy as np
import pytest

from planner.chance import Key
from planner.errors import UserMistakeError
from planner.scenario.load import load
from planner.supply import Orders, Outcome, State, simulate, supply_spec
from planner.supply.policy import BaseStock, FixedPlan, Seen, WhenSeen
from planner.supply.simulate import simulate_policy

FOUNDRY, STOCK = 4, 0


@pytest.fixture(scope="module")
def july():
    """The spec of July 2025 and twelve candidate lots of every source and month."""
    spec = supply_spec(load("2-h20-july-2025").scenario)
    starts = spec.month_minutes
    rows = [
        (s, m, k, 0, 8, at)
        for s in range(len(spec.sources))
        for m, at in enumerate(starts)
        for k in range(12)
    ]
    return spec, Orders.of(rows)


def test_a_fixed_plan_fares_as_its_orders_do_in_open_loop(july):
    spec, candidates = july
    plan = {(0, STOCK): 2, (3, STOCK): 1, (1, FOUNDRY): 3}
    closed = simulate_policy(spec, FixedPlan(plan), candidates, Key(5), range(30))
    chosen = np.array(
        [
            k < plan.get((m, s), 0)
            for s, m, k in zip(candidates.source, candidates.month, candidates.lot, strict=True)
        ]
    )
    assert (closed.placed == chosen).all()
    opened = simulate(spec, candidates.select(chosen), Key(5), range(30))
    for name in (
        "accepted_at",
        "released_at",
        "delivered_at",
        "ended_at",
        "outcome",
        "paid_share",
        "fee_share",
    ):
        assert np.array_equal(getattr(closed.deliveries, name)[:, chosen], getattr(opened, name))
    assert (closed.deliveries.paid_share[:, ~chosen] == 0).all()


def test_base_stock_brings_the_position_to_the_level_and_reorders_what_gates_end(july):
    spec, candidates = july
    level = [24 + 8 * month for month in range(len(spec.month_minutes))]
    run = simulate_policy(spec, BaseStock(STOCK, 8, level), candidates, Key(5), range(60))
    made, orders = run.deliveries, candidates
    last = spec.month_minutes[-1]
    ended = (made.ended_at >= 0) & (made.ended_at < last)  # an order that lapses on the day lapses after it
    position = ((run.placed & ~ended) * orders.gpus).sum(axis=1)
    assert (position == level[-1]).all()
    reordered = run.placed.sum(axis=1) > level[-1] // 8
    assert np.array_equal(reordered, ended.any(axis=1))
    assert reordered.any()


def test_a_policy_that_waits_for_the_gate_never_orders_while_it_is_promised(july):
    spec, candidates = july
    policy = WhenSeen(FixedPlan({(month, STOCK): 1 for month in range(18)}), gate=0)
    run = simulate_policy(spec, policy, candidates, Key(5), range(60))
    states = run.deliveries.gate_state[:, 0, :]
    for month in range(18):
        of_month = (candidates.month == month) & (candidates.source == STOCK)
        ordered = run.placed[:, of_month].any(axis=1)
        assert np.array_equal(ordered, states[:, month] >= State.CONDITIONAL)
    assert (run.deliveries.outcome[~run.placed] == Outcome.IN_PIPELINE).all()


def test_asking_for_more_than_there_is_is_an_error(july):
    spec, candidates = july
    with pytest.raises(
        UserMistakeError, match="asks for 13 lots of source 0 in month 0; the candidates hold 12"
    ):
        simulate_policy(spec, FixedPlan({(0, 0): 13}), candidates, Key(5), range(1))


def test_candidates_placed_within_a_month_are_refused(july):
    spec, _ = july
    with pytest.raises(ValueError, match="first minute of their month"):
        simulate_policy(spec, FixedPlan({}), Orders.of([(0, 0, 0, 0, 8, 5)]), Key(5), range(1))


def test_a_base_stock_order_is_rounded_up_to_whole_lots():
    seen = Seen(month=0, states=(), on_order=(16, 0), delivered=(0, 4))
    assert BaseStock(1, 8, (40,)).lots(seen) == {1: 3}
    assert BaseStock(1, 8, (10,)).lots(seen) == {1: 0}
