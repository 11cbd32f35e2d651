"""Policies that look before they order."""

import numpy as np
import pytest

from executor.errors import UserMistakeError
from planner.sampling import Key
from planner.scenario.load import load
from planner.supply import Orders, Outcome, State, simulate, supply_spec
from planner.supply.simpy_engine.policy import BaseStock, FixedPlan, OpenOrder, Replanning, Seen, WhenSeen
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
    plan = {(0, STOCK, 0): 2, (3, STOCK, 0): 1, (1, FOUNDRY, 0): 3}
    closed = simulate_policy(spec, FixedPlan(plan), candidates, Key(5), range(30))
    chosen = np.array(
        [
            k < plan.get((m, s, 0), 0)
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
    policy = WhenSeen(FixedPlan({(month, STOCK, 0): 1 for month in range(18)}), gate=0)
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
        UserMistakeError, match="asks for 13 lots of source 0 for pool 0 in month 0; the candidates hold 12"
    ):
        simulate_policy(spec, FixedPlan({(0, 0, 0): 13}), candidates, Key(5), range(1))


def test_candidates_placed_within_a_month_are_refused(july):
    spec, _ = july
    with pytest.raises(ValueError, match="first minute of their month"):
        simulate_policy(spec, FixedPlan({}), Orders.of([(0, 0, 0, 0, 8, 5)]), Key(5), range(1))


def test_a_base_stock_order_is_rounded_up_to_whole_lots_and_counts_its_own_pool():
    under_way = [OpenOrder(0, pool, 0, gpus, True, False) for pool, gpus in ((0, 16), (1, 400))]
    seen = Seen(month=0, states=(), pipeline=tuple(under_way), delivered={(1, 0): 4, (1, 1): 400})
    assert BaseStock(1, 8, (40,)).lots(seen) == {(1, 0): 3}
    assert BaseStock(1, 8, (10,)).lots(seen) == {(1, 0): 0}
    assert BaseStock(1, 8, (900,), pool=1).lots(seen) == {(1, 1): 13}


def test_a_plan_made_anew_every_month_that_never_changes_its_mind_is_a_fixed_plan(july):
    spec, candidates = july
    plan = {(0, STOCK, 0): 2, (3, STOCK, 0): 1, (1, FOUNDRY, 0): 3}
    anew = simulate_policy(spec, Replanning(lambda seen: plan), candidates, Key(5), range(20))
    fixed = simulate_policy(spec, FixedPlan(plan), candidates, Key(5), range(20))
    assert (anew.placed == fixed.placed).all()
    assert anew.deliveries.same_as(fixed.deliveries)


def test_what_a_planner_sees_each_month_is_what_has_happened_by_then(july):
    """Pipeline and arrivals as seen, against the fates that the run reports at its end."""
    spec, candidates = july
    told = []
    need = np.arange(18.0)[None, :, None] + np.array([100.0, 200.0])

    def plan(seen):
        told.append(seen)
        return {(seen.month, STOCK, 0): 1, (seen.month, FOUNDRY, 0): 2}

    run = simulate_policy(spec, Replanning(plan), candidates, Key(5), [7], need)
    made, placed = run.deliveries, run.placed[0]
    for seen, minute in zip(told, spec.month_minutes, strict=True):
        before = placed & (candidates.month < seen.month)
        arrived = before & (made.delivered_at[0] >= 0) & (made.delivered_at[0] <= minute)
        ended = (made.ended_at[0] >= 0) & (made.ended_at[0] <= minute)
        # an order that lapses in the minute of the decision lapses after it
        lapses_now = (made.ended_at[0] == minute) & (made.accepted_at[0] < 0)
        still_open = before & ~arrived & (~ended | lapses_now)
        assert seen.in_service() == candidates.gpus[arrived].sum()
        assert [order.month for order in seen.pipeline] == candidates.month[still_open].tolist()
        accepted = (made.accepted_at[0] >= 0) & (made.accepted_at[0] <= minute)
        assert [order.accepted for order in seen.pipeline] == accepted[still_open].tolist()
        assert seen.need == (100.0 + seen.month, 200.0 + seen.month)
        assert [int(state) for state in seen.states] == made.gate_state[0, :, seen.month].tolist()
    assert any(seen.in_service() for seen in told)


@pytest.mark.slow
def test_a_policy_orders_the_same_alone_in_a_batch_and_over_two_processes(july):
    spec, candidates = july
    level = tuple(24 + 8 * month for month in range(len(spec.month_minutes)))
    numbers = range(300)  # two chunks
    one, two = (
        simulate_policy(spec, BaseStock(STOCK, 8, level), candidates, Key(5), numbers, processes=n)
        for n in (1, 2)
    )
    assert (one.placed == two.placed).all()
    assert one.deliveries.same_as(two.deliveries)
    alone = simulate_policy(spec, BaseStock(STOCK, 8, level), candidates, Key(5), [270])
    assert (alone.placed[0] == one.placed[270]).all()
    assert one.ordered(5, 1, 18).sum() == (one.placed * candidates.gpus).sum()
    assert one.ordered(5, 1, 18)[0, 0, STOCK, 0] == 24


def test_need_of_another_shape_is_refused(july):
    spec, candidates = july
    with pytest.raises(ValueError, match=r"need is \[2 replications, 18 months, pool\], got \(1, 18, 1\)"):
        simulate_policy(spec, FixedPlan({}), candidates, Key(5), range(2), np.zeros((1, 18, 1)))
