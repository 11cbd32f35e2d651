"""The recommended way is the simplest that none beats, on the third root."""

from dataclasses import replace

import numpy as np
import pytest

from planner.optimise.intervals import paired
from planner.optimise.policies.choice import choose, fewer, lacking
from planner.optimise.policies.rolling_horizon import replanned_confirmation
from planner.optimise.service_level.confirm import Samples, confirmation, with_benchmarks

SHAPE = {"P": 1, "S": 4, "R": 1, "T": 12, "spot_cap": 110}


@pytest.fixture(name="ways", scope="module")
def ways_fixture(synthetic):
    samples = Samples(*(synthetic(n, seed=n, **SHAPE) for n in (150, 250, 300)), 0.85)
    return samples, confirmation(samples), replanned_confirmation(samples)


def test_the_chosen_way_is_beaten_by_none(ways):
    samples, static, replanned = ways
    choice = choose(samples, static, None, replanned)
    assert choice.ways == ("fixed-calendar", "monthly-re-planning")
    chosen = choice.chosen
    for way in choice.ways:
        other = choice.of(way)
        assert lacking(chosen) <= lacking(other)
        if lacking(other) == lacking(chosen):
            cost = paired(chosen.outcome.cost.total, other.outcome.cost.total)
            # One way may be cheaper by chance or by a trifle, never beyond both.
            assert cost.high >= -1e-3 * chosen.outcome.expected_cost


def test_a_simpler_way_stays_where_another_saves_nothing(ways):
    samples, static, replanned = ways
    same = replace(replanned, confirmation=static)
    assert choose(samples, static, None, same).way == "fixed-calendar"


def test_a_way_that_keeps_the_goal_is_chosen_over_a_cheaper_one_that_does_not(ways):
    samples, static, replanned = ways
    poor = replace(
        static,
        confirmed=replace(
            static.confirmed, outcome=replace(static.confirmed.outcome, met=np.zeros_like(static.confirmed.outcome.met))
        ),
    )
    assert choose(samples, poor, None, replanned).way == "monthly-re-planning"
    worse = replace(replanned, confirmation=poor)
    assert choose(samples, static, None, worse).way == "fixed-calendar"


def test_other_worlds_are_studied_on_some_of_the_same_futures(ways):
    samples, *_ = ways
    few = fewer(samples)
    np.testing.assert_array_equal(few.confirm.need, samples.confirm.need[: few.confirm.count])


def test_a_way_or_a_rival_beyond_the_budget_is_not_taken(ways):
    samples, static, replanned = ways
    spent = replanned.confirmation.confirmed.outcome.cost
    money = float(spent.purchases.mean() + spent.reserved.mean())
    poor = replace(samples, confirm=replace(samples.confirm, budget=0.5 * money))
    assert choose(poor, static, None, replanned).way == "fixed-calendar"
    nothing = replace(samples, train=replace(samples.train, budget=0.0))
    assert with_benchmarks(nothing, static, [replace_orders(static.validated.plan)]) is static


def replace_orders(plan):
    """Twice the orders: more than any budget of nothing."""
    return replace(plan, orders=2 * plan.orders)
