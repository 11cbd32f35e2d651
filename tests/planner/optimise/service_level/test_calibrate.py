"""The promise holds on unseen futures, and what cannot be promised is said."""

from dataclasses import replace

import numpy as np
import pytest

from planner.futures.arrays import Orders, no_orders
from planner.optimise.evaluate import evaluate
from planner.optimise.lots.rounding import round_to_lots
from planner.optimise.lp.formulation import Formulation
from planner.optimise.service_level.calibrate import calibrate, kept_futures, reconsider
from tests.programme import optimise


@pytest.fixture(name="study", scope="module")
def study_fixture(synthetic):
    shape = {"P": 1, "S": 4, "R": 1, "T": 12, "spot_cap": 110}
    train, validate = synthetic(400, seed=1, **shape), synthetic(800, seed=2, **shape)
    return train, validate, calibrate(train, validate, 0.9)


def test_every_month_meets_the_goal_on_unseen_futures(study):
    _, validate, found = study
    assert found.meets_goal
    assert not found.out_of_reach
    assert np.all(evaluate(validate, found.plan).probability >= 0.9)
    assert np.issubdtype(found.plan.orders.dtype, np.integer)


def test_kept_shares_are_cheaper_than_the_cvar_bound_that_gives_the_same(study):
    """The blunt control: the loosest CVaR bound whose rounded plan meets the goal, by bisection."""
    train, validate, found = study
    formulation, unseen = Formulation(train), Formulation(validate)
    low, high = 0.0, formulation.solve().shortfall_cvar
    cheapest = np.inf
    for _ in range(7):
        bound = (low + high) / 2
        plan = round_to_lots(formulation, formulation.solve(0.9, bound, gap=1e-3).plan)
        outcome = evaluate(unseen, plan)
        if outcome.probability.min() >= 0.9:
            low, cheapest = bound, min(cheapest, outcome.expected_cost)
        else:
            high = bound
    # One percent: what rounding to lots of eight moves the cost by.
    assert found.outcome.expected_cost <= cheapest * 1.01


def test_a_goal_that_the_cheapest_plan_meets_needs_no_dial(synthetic):
    shape = {"P": 1, "S": 4, "R": 1, "T": 6, "spot_cap": 400}
    train, validate = synthetic(200, seed=1, **shape), synthetic(300, seed=2, **shape)
    found = calibrate(train, validate, 0.8)
    assert found.meets_goal
    assert not any(share.any() for share in found.kept_shares)
    assert found.outcome.expected_cost == pytest.approx(optimise(train).expected_cost, rel=0.05)


def test_a_higher_goal_is_not_cheaper(synthetic):
    shape = {"P": 1, "S": 4, "R": 1, "T": 12, "spot_cap": 110}
    train, validate = synthetic(300, seed=1, **shape), synthetic(500, seed=2, **shape)
    costs = [calibrate(train, validate, goal).outcome.expected_cost for goal in (0.7, 0.85, 0.95)]
    assert costs[0] <= costs[1] * 1.005  # lots
    assert costs[1] <= costs[2] * 1.005


def test_months_out_of_reach_are_named_and_the_others_meet_the_goal(synthetic):
    """Nothing can be there in month 0 but spot, and there is too little of it."""
    shape = {"P": 1, "S": 4, "R": 1, "T": 12, "spot_cap": 110}
    train, validate = (cut_spot(synthetic(n, seed=seed, **shape)) for n, seed in ((400, 1), (600, 2)))
    found = calibrate(train, validate, 0.9)
    assert not found.meets_goal
    assert [month.month for month in found.out_of_reach] == [0]
    assert found.out_of_reach[0].best.value < 0.9
    assert np.all(found.outcome.probability[1:] >= 0.9)


def cut_spot(futures):
    cap = np.r_[10.0, np.full(futures.months - 1, 110.0)]
    return replace(futures, rentals=tuple(replace(r, spot_cap=cap) for r in futures.rentals))


def test_a_goal_of_one_is_either_met_in_every_future_or_said_to_be_out_of_reach(synthetic):
    shape = {"P": 1, "S": 4, "R": 1, "T": 6}
    roomy = calibrate(synthetic(100, spot_cap=500, **shape), synthetic(100, seed=2, spot_cap=500, **shape), 1.0)
    assert roomy.meets_goal
    assert roomy.outcome.met.all()
    tight = calibrate(synthetic(100, spot_cap=20, **shape), synthetic(100, seed=2, spot_cap=20, **shape), 1.0)
    assert not tight.meets_goal
    assert tight.out_of_reach


def test_no_budget_and_nothing_to_buy_still_end_in_an_answer(synthetic):
    shape = {"P": 1, "S": 2, "R": 1, "T": 6}
    nothing_to_rent = synthetic(60, **{**shape, "R": 0})
    for futures in (synthetic(60, budget=0.0, **shape), nothing_to_rent.only([])):
        found = calibrate(futures, futures, 0.9)
        assert not found.plan.orders.any()
        assert not found.plan.reserved.any()
        assert not found.meets_goal


def test_a_cvar_bound_holds_beside_the_goal(study):
    train, validate, free = study
    least = optimise(train, cvar_bound=0.0).shortfall_cvar
    bound = (least + free.solution.shortfall_cvar) / 2
    assert bound < 0.95 * free.solution.shortfall_cvar
    bounded = calibrate(train, validate, 0.9, cvar_bound=bound)
    assert bounded.meets_goal
    assert bounded.solution.shortfall_cvar <= bound
    assert bounded.outcome.expected_cost >= free.outcome.expected_cost * 0.995  # lots


def test_the_same_study_twice_gives_the_same_numbers(study):
    train, validate, found = study
    again = calibrate(train, validate, 0.9)
    np.testing.assert_array_equal(again.plan.orders, found.plan.orders)
    np.testing.assert_array_equal(again.plan.reserved, found.plan.reserved)
    assert again.outcome.expected_cost == found.outcome.expected_cost


def test_kept_futures_are_those_served_best(synthetic):
    futures = synthetic(50, T=6)
    formulation = Formulation(futures)
    kept = kept_futures(formulation, no_orders(futures), np.full(6, 0.4))
    assert np.all(kept.sum(axis=0) == 20)
    unserved = formulation.least.cover(futures.base_deficit).cost
    for t in range(6):
        assert unserved[kept[:, t] == 1, t].max() <= unserved[kept[:, t] == 0, t].min() + 1e-9


def test_a_rival_that_does_better_is_taken_up(study):
    """Against a plan made worse by four needless lots, the calibrated plan is the better benchmark."""
    train, validate, found = study
    orders = found.plan.orders.copy()
    orders[0, 3, :4] += 8
    dear = Orders(orders, found.plan.reserved)
    outcome = evaluate(validate, dear)
    worse = replace(found, solution=replace(found.solution, plan=dear), outcome=outcome)
    taken = reconsider(train, validate, worse, [found.plan])
    assert taken.meets_goal
    assert taken.outcome.expected_cost <= found.outcome.expected_cost * (1 + 1e-12)
    assert reconsider(train, validate, found, [dear]) is found
