"""What a plan brings: conservation, monotony, intervals."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.futures.arrays import Orders, no_orders
from planner.optimise.evaluate import evaluate
from planner.optimise.intervals import paired, wilson
from planner.optimise.lp.formulation import Formulation


def some_plan(futures, seed):
    rng = np.random.default_rng(seed)
    plan = no_orders(futures)
    orders = rng.integers(0, 3, plan.orders.shape) * 8 * futures.may_order
    reserved = rng.integers(0, 3, plan.reserved.shape) * 8 * futures.may_reserve
    return Orders(orders, reserved)


@given(seed=st.integers(0, 10**6))
@settings(max_examples=25, deadline=None)
def test_need_is_served_rented_or_unmet_and_nothing_is_lost(synthetic, seed):
    futures = synthetic(30, T=8)
    outcome = evaluate(futures, some_plan(futures, seed))
    spot = np.einsum("nprt,npr->npt", outcome.spot_gpus, futures.rental_per_gpu)
    unmet = outcome.shortfall * futures.need
    from_own = np.minimum(outcome.capacity, futures.need)
    np.testing.assert_allclose(from_own + spot + unmet, futures.need, rtol=1e-9, atol=1e-7)


@given(seed=st.integers(0, 10**6), more=st.integers(0, 10**6))
@settings(max_examples=25, deadline=None)
def test_probability_is_monotone_in_capacity(synthetic, seed, more):
    """More of anything never makes a month less likely to be met, pools taken together."""
    futures = synthetic(60, T=8)
    plan, extra = some_plan(futures, seed), some_plan(futures, more)
    larger = Orders(plan.orders + extra.orders, plan.reserved + extra.reserved)
    formulation = Formulation(futures)
    less, greater = evaluate(formulation, plan), evaluate(formulation, larger)
    assert np.all(greater.probability >= less.probability)
    assert np.all(greater.cost.unmet <= less.cost.unmet + 1e-6)


def test_orders_that_happen_to_be_the_same_in_every_future_are_a_static_plan(synthetic):
    futures = synthetic(40, T=8)
    plan = some_plan(futures, 3)
    each = Orders(np.broadcast_to(plan.orders, (40, *plan.orders.shape)), plan.reserved)
    static, policy = evaluate(futures, plan), evaluate(futures, each)
    np.testing.assert_allclose(policy.cost.total, static.cost.total, rtol=1e-12)
    np.testing.assert_array_equal(policy.met, static.met)


def test_the_parts_of_the_cost_are_what_was_ordered_and_rented(synthetic):
    futures = synthetic(20, T=6)
    plan = some_plan(futures, 4)
    outcome = evaluate(futures, plan)
    purchases = np.einsum("nsm,psm->n", futures.outlay, plan.orders)
    np.testing.assert_allclose(outcome.cost.purchases, purchases)
    rent = sum(r.reserved_price @ plan.reserved[:, i].sum(axis=0) for i, r in enumerate(futures.rentals))
    assert outcome.cost.reserved[0] == pytest.approx(rent)


def test_joint_probability_is_at_most_that_of_any_pool(synthetic):
    futures = synthetic(200, T=8)
    outcome = evaluate(futures, some_plan(futures, 5))
    assert np.all(outcome.probability <= outcome.met.mean(axis=0).min(axis=0))
    assert outcome.probability.min() == outcome.probability[outcome.weakest_month]


def test_wilson_interval_matches_the_published_example():
    """Newcombe (1998), method 3, table I: 81 of 263 gives 0.2553..0.3662 at 95 %."""
    np.testing.assert_allclose(wilson(81, 263, level=0.95), [0.2553, 0.3662], atol=5e-5)


def test_wilson_interval_stays_within_nought_and_one():
    assert wilson(0, 50)[0] == 0.0
    assert wilson(50, 50)[1] == 1.0
    assert wilson(0, 50)[1] > 0.0


def test_wilson_interval_covers_about_as_often_as_it_says():
    """Mean coverage of a 90 % Wilson interval near p = 0.9, n = 500; 4,000 draws, standard error 0.005."""
    rng = np.random.default_rng(2)
    seen = rng.binomial(500, 0.9, 4000)
    low, high = wilson(seen, 500).T
    assert ((low <= 0.9) & (high >= 0.9)).mean() == pytest.approx(0.90, abs=0.02)


def test_the_interval_of_a_paired_difference_is_narrower_than_of_either():
    rng = np.random.default_rng(3)
    common = rng.normal(0, 10, 1000)
    change = paired(common, common + rng.normal(1, 0.1, 1000))
    assert change.value == pytest.approx(1.0, abs=0.02)
    assert change.high - change.low < 0.02
