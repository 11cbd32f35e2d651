"""What no plan can do, found beyond doubt, and what would be enough."""

from dataclasses import replace

import numpy as np
import pytest

from planner.futures.arrays import Orders
from planner.optimise.evaluate import evaluate
from planner.optimise.lp.formulation import Formulation
from planner.optimise.service_level.infeasible_months import out_of_reach, relaxations, unmet_with_everything


def test_no_plan_beats_what_everything_allows(synthetic):
    futures = synthetic(200, T=10)
    formulation = Formulation(futures)
    best = [(unmet_with_everything(futures, t) <= 1e-6 * futures.need[:, :, t]).all(axis=1).mean() for t in range(10)]
    rng = np.random.default_rng(4)
    for _ in range(20):
        orders = np.zeros(futures.may_order.shape)
        for s, source in enumerate(futures.purchases):
            split = rng.random(10)
            cap = min(source.monthly_cap, 500.0)
            orders[0, s], orders[1, s] = cap * split, cap * (1 - split)
        reserved = np.zeros(futures.may_reserve.shape)
        for r, rental in enumerate(futures.rentals):
            split = rng.random(10) * futures.may_reserve[0, r]
            reserved[0, r] = rental.reserved_cap * split
            reserved[1, r] = rental.reserved_cap * (1 - split) * futures.may_reserve[1, r]
        outcome = evaluate(formulation, Orders(orders * futures.may_order, reserved))
        assert np.all(outcome.probability <= np.array(best) + 1e-12)


def test_with_one_pool_the_best_is_attained(synthetic):
    futures = synthetic(200, P=1, S=3, R=1, T=8)
    orders = np.zeros(futures.may_order.shape)
    for s, source in enumerate(futures.purchases):
        orders[0, s] = min(source.monthly_cap, 1e4)
    reserved = np.where(futures.may_reserve, 40.0, 0.0)
    outcome = evaluate(futures, Orders(orders * futures.may_order, reserved))
    for t in range(8):
        met = unmet_with_everything(futures, t)[:, 0] <= 1e-6 * futures.need[:, 0, t]
        # Orders beyond any use are left out of the bound, so that nearly all of it must be attained.
        assert outcome.probability[t] == pytest.approx(met.mean(), abs=0.005)


def test_the_least_relaxation_does_and_less_does_not(synthetic):
    futures = synthetic(400, P=1, S=2, R=1, T=6)
    named = out_of_reach(Formulation(futures), 0.9)
    assert named
    month = named[0].month
    found = {relaxation.limit: relaxation.factor for relaxation in relaxations(futures, month, 0.9)}
    assert "spot-cap" in found

    def best(factor):
        wider = tuple(replace(r, spot_cap=r.spot_cap * factor) for r in futures.rentals)
        unmet = unmet_with_everything(replace(futures, rentals=wider), month)
        return (unmet <= 1e-6 * futures.need[:, :, month]).all(axis=1).mean()

    assert best(found["spot-cap"]) >= 0.9
    assert best(found["spot-cap"] / 1.02) < 0.9


def test_where_nothing_can_arrive_or_be_rented_no_single_limit_is_blamed(synthetic):
    futures = synthetic(50, P=1, S=2, R=0, T=6)
    never = replace(futures, arrival_month=np.full_like(futures.arrival_month, 6))
    named = out_of_reach(Formulation(never), 0.9)
    assert named[0].best.value == 0.0
    assert named[0].missing[0] > 0
    assert relaxations(never, named[0].month, 0.9) == []


def test_a_goal_within_reach_names_no_month(synthetic):
    assert out_of_reach(Formulation(synthetic(50, spot_cap=2000)), 0.99) == ()
