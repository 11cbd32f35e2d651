"""What knowing is worth, and what a promise costs."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from planner.futures.arrays import no_orders
from planner.optimise.evaluate import evaluate
from planner.optimise.lp.extensive_form import monolithic
from planner.optimise.lp.formulation import Formulation
from planner.optimise.service_level.calibrate import calibrate
from planner.optimise.service_level.confirm import Samples, confirmation
from planner.optimise.value.information import efficient, mean_future, point_of, tornado, value_of_information, worth_of

SHAPE = {"P": 1, "S": 4, "R": 1, "T": 10, "spot_cap": 110}


def test_information_is_worth_something_and_never_less_than_nothing(synthetic):
    futures = synthetic(60, **SHAPE)
    found = value_of_information(futures)
    assert found.foretold == 60
    recourse = Formulation(futures).solve(gap=1e-6).expected_cost
    wait_and_see = np.mean([monolithic(futures.take([n])).expected_cost for n in range(60)])
    # WS <= RP <= EEV, each optimum to 1e-5.
    assert found.stochastic_solution.value >= -2e-5 * recourse
    assert found.perfect.value == pytest.approx(recourse - wait_and_see, abs=1e-4 * recourse)
    assert found.perfect.value > 0


def test_where_nothing_is_uncertain_knowing_more_is_worth_nothing(synthetic):
    one = synthetic(1, **SHAPE).take(np.zeros(20, dtype=int))
    found = value_of_information(one)
    cost = Formulation(one).solve().expected_cost
    assert found.perfect.value == pytest.approx(0, abs=2e-5 * cost)
    assert found.stochastic_solution.value == pytest.approx(0, abs=2e-5 * cost)


def test_the_mean_future_of_one_is_that_one(synthetic):
    one = synthetic(1, **SHAPE)
    mean = mean_future(one)
    np.testing.assert_allclose(mean.need, one.need)
    np.testing.assert_array_equal(mean.arrival_month, one.arrival_month)


def test_a_world_with_cheaper_rent_is_cheaper_with_common_random_numbers(synthetic):
    train, validate = synthetic(150, seed=1, **SHAPE), synthetic(200, seed=2, **SHAPE)
    here = calibrate(train, validate, 0.85)

    def cheaper(futures):
        half = [replace(r, spot_price=r.spot_price / 2, reserved_price=r.reserved_price / 2) for r in futures.rentals]
        return replace(futures, rentals=tuple(half))

    there = worth_of("rent at half price", calibrate(cheaper(train), cheaper(validate), 0.85), here)
    assert there.cost.high < 0
    assert worth_of("the same", calibrate(train, validate, 0.85), here).cost.value == 0.0


def test_the_frontier_rises(synthetic):
    # Spot is scarce, and the goal holds once an order can have arrived.
    scarce = {**SHAPE, "spot_cap": 50}
    train, validate, confirm = (
        replace(synthetic(n, seed=n, **scarce), required=np.arange(10) >= 4) for n in (150, 200, 250)
    )
    points = [
        point_of(confirm, confirmation(Samples(train, validate, confirm, goal)).confirmed) for goal in (0.6, 0.8, 0.95)
    ]
    kept = efficient([*points, points[0]])
    assert 2 <= len(kept) <= 3
    assert all(a.weakest <= b.weakest and a.cost <= b.cost for a, b in pairwise(kept))
    for point in kept:
        assert evaluate(confirm, point.plan).expected_cost == pytest.approx(point.cost)
        assert point.weakest == point.outcome.probability[confirm.must_meet].min()


def test_the_widest_swing_is_that_of_the_input_that_moves_most(synthetic):
    """With every other input held still, only need is left, and it leads."""
    futures = synthetic(200, P=1, S=1, R=1, T=6)
    still = replace(
        futures,
        per_gpu=np.full_like(futures.per_gpu, 0.5),
        rental_per_gpu=np.full_like(futures.rental_per_gpu, 1.0),
        arrival_month=np.broadcast_to(np.minimum(np.arange(6) + 1, 6), (200, 1, 6)).copy(),
    )
    noise = np.random.default_rng(1).uniform(0.999, 1.001, still.per_gpu.shape)
    hardly = replace(still, per_gpu=still.per_gpu * noise)
    swings = tornado(hardly, evaluate(hardly, no_orders(hardly)))
    assert [swing.input.kind for swing in swings] == ["need", "carries"]
    assert swings[0].cost_high > swings[0].cost_low
    assert swings[0].met_high < swings[0].met_low
