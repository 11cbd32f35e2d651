"""Studies at the edge of what can be asked: each ends in an answer that is sound."""

from dataclasses import replace

import numpy as np
import pytest

from planner.optimise.policies.benchmarks import (
    base_stock,
    everything_now,
    nine_month_mrp,
    nothing_until_cleared,
    only_from,
)
from planner.optimise.policies.choice import choose
from planner.optimise.policies.if_then import if_then
from planner.optimise.policies.rolling_horizon import replanned_confirmation
from planner.optimise.service_level.calibrate import calibrate
from planner.optimise.service_level.confirm import Samples, confirmation
from planner.optimise.value.information import tornado, value_of_information
from planner.optimise.value.order_value import firm_orders, order_reasons, value_of_waiting


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("goal", [0.5, 1.0])
@pytest.mark.parametrize(
    "shape",
    [
        {"P": 1, "S": 0, "R": 1, "T": 4},
        {"P": 1, "S": 2, "R": 0, "T": 4},
        {"P": 2, "S": 0, "R": 0, "T": 4},
        {"P": 1, "S": 1, "R": 1, "T": 1},
        {"P": 3, "S": 5, "R": 3, "T": 6},
        {"P": 2, "S": 3, "R": 2, "T": 5, "budget": 0.0},
    ],
    ids=["no sources", "no rentals", "neither", "one month", "three of each", "no budget"],
)
@pytest.mark.slow
def test_every_part_of_a_study_answers(synthetic, shape, goal):
    train, validate, judge = (synthetic(10 * n, seed=n, **shape) for n in (3, 4, 5))
    samples = Samples(train, validate, judge, goal)
    made = confirmation(samples)
    found = made.confirmed
    cleared = nothing_until_cleared(train, validate, goal, judge)
    benchmarks = [
        cleared,
        everything_now(train, judge, goal),
        nine_month_mrp(train, judge),
        base_stock(train, judge, goal),
        only_from("rent-only", train, validate, goal, [], judge),
    ]
    for benchmark in benchmarks:
        assert np.isfinite(benchmark.outcome.expected_cost)
    policy = if_then(samples, made, cleared)
    assert policy is None or np.isfinite(policy.outcome.expected_cost)
    choice = choose(samples, made, policy, replanned_confirmation(samples))
    study = choice.study()
    waiting = value_of_waiting(choice.chosen, lambda: study(samples.only(1)))
    assert np.isfinite(waiting.cost.value)
    firm = firm_orders(choice.chosen.plan)
    assert len(order_reasons(judge, choice.chosen)) == (firm > 0).sum()
    validate = judge
    assert all(np.isfinite(swing.cost_high - swing.cost_low) for swing in tornado(validate, found.outcome))
    assert value_of_information(train, foretold=3).perfect.value >= -1e-4 * abs(found.outcome.expected_cost)
    # What misses the goal is either named as out of reach, or no plan found reaches it.
    short = set(np.flatnonzero(found.outcome.probability < goal).tolist())
    assert {month.month for month in found.out_of_reach} <= short | set(range(train.months))
    assert found.meets_goal == (not short)


def test_no_need_needs_no_order(synthetic):
    futures = synthetic(30, P=1, S=3, R=1, T=5)
    found = calibrate(replace(futures, need=np.zeros_like(futures.need)), replace(futures, need=futures.need * 0), 0.9)
    assert found.meets_goal
    assert not found.plan.orders.any()
    assert not found.plan.reserved.any()
    assert found.outcome.expected_cost == 0.0


def test_need_beyond_all_supply_is_out_of_reach_in_every_month(synthetic):
    futures = synthetic(30, P=1, S=3, R=1, T=5)
    found = calibrate(replace(futures, need=futures.need * 1e6), replace(futures, need=futures.need * 1e6), 0.9)
    assert [month.month for month in found.out_of_reach] == [0, 1, 2, 3, 4]
    assert all(month.best.value == 0.0 for month in found.out_of_reach)


def test_gpus_that_are_paid_for_by_the_seller_are_still_bounded_by_use(synthetic):
    """An outlay below nothing (residual value above price) must not order without end."""
    futures = synthetic(30, P=1, S=3, R=1, T=5)
    found = calibrate(
        replace(futures, outlay=futures.outlay * 0 - 1), replace(futures, outlay=futures.outlay * 0 - 1), 0.9
    )
    useful = np.maximum(futures.base_deficit, 0).max() / futures.per_gpu.min()
    assert found.plan.orders.max() <= useful + 8


def test_gpus_that_carry_next_to_nothing_are_not_bought(synthetic):
    futures = synthetic(30, P=1, S=3, R=1, T=5)
    weak = replace(futures, per_gpu=futures.per_gpu * 1e-9)
    assert not calibrate(weak, weak, 0.9).plan.orders.any()
