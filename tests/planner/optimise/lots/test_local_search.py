"""Whole lots within every limit, and a search that keeps its word."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.futures.arrays import Orders
from planner.optimise.evaluate import evaluate
from planner.optimise.lots.local_search import LotSearch
from planner.optimise.lots.move_probability import _Moves
from planner.optimise.lots.rounding import dive_to_lots, round_to_lots
from planner.optimise.lp.formulation import Formulation
from tests.programme import optimise


def within_limits(futures, plan):
    for s, source in enumerate(futures.purchases):
        by_month = plan.orders[:, s].sum(axis=0)
        assert np.all(plan.orders[:, s] % source.lot_gpus == 0)
        assert by_month.max() <= source.monthly_cap
        assert by_month.sum() <= source.total_cap
        assert not plan.orders[:, s][~source.may_order].any()
    for r, rental in enumerate(futures.rentals):
        assert np.all(plan.reserved[:, r] % rental.lot_gpus == 0)
        assert np.all(plan.reserved[:, r].sum(axis=0) <= rental.reserved_cap)


@given(seed=st.integers(0, 10**6), cap=st.sampled_from([0.0, 20.0, 33.0, np.inf]))
@settings(max_examples=20, deadline=None)
def test_rounded_plans_keep_lots_and_caps(synthetic, seed, cap):
    futures = synthetic(5, T=6)
    futures = replace(
        futures, purchases=tuple(replace(s, monthly_cap=cap, total_cap=2.5 * cap) for s in futures.purchases)
    )
    rng = np.random.default_rng(seed)
    orders = rng.uniform(0, 30, futures.may_order.shape) * futures.may_order
    reserved = rng.uniform(0, 30, futures.may_reserve.shape) * futures.may_reserve
    within_limits(futures, round_to_lots(futures, Orders(orders, reserved)))


def test_rounding_keeps_the_running_total_within_half_a_lot(synthetic):
    futures = synthetic(5, T=12)
    orders = np.zeros(futures.may_order.shape)
    orders[0, 3] = 2.0  # a quarter of a lot a month; a lot every fourth month, not none for ever
    orders = orders * futures.may_order
    plan = round_to_lots(futures, Orders(orders, np.zeros(futures.may_reserve.shape)))
    running = np.cumsum(plan.orders[0, 3]) - np.cumsum(orders[0, 3])
    assert np.abs(running).max() <= 4.0
    assert plan.orders.sum() > 0


def test_rounding_keeps_to_the_budget(synthetic):
    futures = synthetic(60, T=10, budget=1500.0)
    formulation = Formulation(futures)
    plan = round_to_lots(formulation, formulation.solve().plan)
    assert formulation.outlay @ formulation.point(plan) <= 1500.0
    within_limits(futures, plan)


def test_search_reaches_a_target_that_can_be_reached_within_the_limits(synthetic):
    futures = synthetic(300, P=1, S=4, spot_cap=60, T=12)
    formulation = Formulation(futures)
    start = round_to_lots(formulation, formulation.solve().plan)
    before = evaluate(formulation, start).probability
    target = np.minimum(before + 0.03, 0.95)
    search = LotSearch(formulation, start)
    search.run(target, steps=60)
    within_limits(futures, search.plan)
    reached = evaluate(formulation, search.plan).probability
    assert np.all(reached >= target - 0.5 / 300 - 1e-12)


def test_search_saves_only_where_no_month_falls_below_its_target(synthetic):
    """Three lots more than are worth their money, in each of four months."""
    futures = synthetic(300, P=1, S=4, spot_cap=200, T=12)
    formulation = Formulation(futures)
    dear = round_to_lots(formulation, formulation.solve().plan)
    dear.orders[0, 3, :4] += 24
    before = evaluate(formulation, dear)
    search = LotSearch(formulation, dear)
    assert search.run(np.full(12, 0.8), steps=60)
    after = evaluate(formulation, search.plan)
    assert search.plan.orders.sum() < dear.orders.sum()
    assert after.expected_cost < before.expected_cost
    assert np.all(after.probability >= np.minimum(before.probability, 0.8) - 0.5 / 300 - 1e-12)


def test_nothing_to_buy_is_nothing_to_search(synthetic):
    futures = synthetic(20, S=2, R=0, T=4).only([])
    formulation = Formulation(futures)
    search = LotSearch(formulation, round_to_lots(formulation, formulation.solve().plan))
    assert not search.run(np.ones(4), steps=10)
    assert not search.plan.orders.any()
    assert not search.plan.reserved.any()


@pytest.mark.parametrize("budget", [None, 1500.0])
def test_a_dive_keeps_every_limit_and_beats_plain_rounding_or_comes_near(synthetic, budget):
    futures = synthetic(200, T=12, budget=budget)
    tight = tuple(replace(s, total_cap=90.0, monthly_cap=min(s.monthly_cap, 44.0)) for s in futures.purchases)
    futures = replace(futures, purchases=tight)
    formulation = Formulation(futures)
    solution = formulation.solve()
    dived = dive_to_lots(formulation, solution)
    within_limits(futures, dived)
    if budget is not None:
        assert formulation.outlay @ formulation.point(dived) <= budget
    rounded = round_to_lots(formulation, solution.plan)
    assert formulation.expected_cost(dived) >= solution.lower_bound * (1 - 1e-9)
    assert formulation.expected_cost(dived) <= formulation.expected_cost(rounded) * 1.002


@pytest.mark.parametrize("lot", [1, 8, 64])
def test_lots_of_any_size(synthetic, lot):
    futures = synthetic(40, T=8)
    futures = replace(futures, purchases=tuple(replace(s, lot_gpus=lot) for s in futures.purchases))
    within_limits(futures, round_to_lots(futures, optimise(futures).plan))


@pytest.mark.parametrize("shape", [{"P": 1, "R": 2}, {"P": 2, "R": 1}, {"P": 2, "R": 2}, {"P": 3, "R": 2}])
def test_odds_looked_up_are_those_of_evaluation(synthetic, shape):
    """Equal with one pool or one rental, never above it otherwise."""
    futures = synthetic(80, S=3, T=8, spot_cap=60, **shape)
    formulation = Formulation(futures)
    search = LotSearch(formulation, round_to_lots(formulation, formulation.solve().plan))
    columns = np.arange(len(formulation.lots))
    used = np.flatnonzero(search.state.point > 0)
    rng = np.random.default_rng(1)
    less = np.r_[np.full(20, -1), rng.choice(used, 20), rng.choice(used, 20)]
    more = np.r_[rng.choice(columns, 20), np.full(20, -1), rng.choice(columns, 20)]
    moves = _Moves(less, more, np.zeros(60))
    looked_up = search.odds.after(search.state, moves)
    for i in range(60):
        state = search._after(moves, i)
        exact = evaluate(formulation, formulation.whole_plan(state.point)).probability
        np.testing.assert_allclose(state.probability, exact, atol=1e-12)
        if min(shape.values()) == 1:
            np.testing.assert_allclose(looked_up[i], exact, atol=1e-12)
        else:
            assert np.all(looked_up[i] <= exact + 1e-12)
