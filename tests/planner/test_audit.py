"""The audit's statistics against known answers."""

import numpy as np
import pytest

from planner.audit import AuditedMonth, joint_test
from planner.optimise.intervals import wilson
from planner.record.models import Interval


def proportion(successes, n):
    low, high = wilson(successes, n, 0.95)
    return Interval(value=successes / n, low=low, high=high, level=0.95)


def test_the_difference_of_two_proportions_is_newcombes_published_example():
    """56 of 70 against 48 of 80: 0.2 (0.0524 to 0.3339), method 10 of Table II in Newcombe 1998."""
    found = AuditedMonth("2026-01", True, proportion(48, 80), proportion(56, 70)).difference
    assert (found.value, found.low, found.high) == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)


def months_met(rng, n, goal=0.9, months=12, shared=0.8):
    """[n, months] whether demand is met where one growth factor moves all months; each with probability ``goal``."""
    growth = np.sqrt(shared) * rng.normal(size=(n, 1)) + np.sqrt(1 - shared) * rng.normal(size=(n, months))
    return growth < 1.2815515655446004  # the normal quantile of 0.9


def test_a_plan_that_states_the_truth_is_called_untrue_one_time_in_twenty():
    rng = np.random.default_rng(8)
    calls = 400
    untrue = sum(
        joint_test(months_met(rng, 2_000).mean(axis=0), months_met(rng, 4_000), 2_000).chance < 0.05
        for _ in range(calls)
    )
    assert untrue / calls == pytest.approx(0.05, abs=4 * np.sqrt(0.05 * 0.95 / calls))


def test_a_plan_that_overstates_all_months_a_little_is_found_out():
    rng = np.random.default_rng(9)
    stated = months_met(rng, 10_000).mean(axis=0) + 0.03
    found = joint_test(stated, months_met(rng, 20_000), 10_000)
    assert found.chance < 1e-6
    assert found.degrees == 12


def test_months_that_are_one_month_count_once_and_sure_months_not_at_all():
    rng = np.random.default_rng(10)
    met = months_met(rng, 3_000, months=1)
    twice = np.hstack([met, met, np.ones_like(met)])
    once, found = (joint_test(each.mean(axis=0) - 0.01, each, 3_000) for each in (met, twice[:, :2]))
    assert (found.degrees, found.statistic) == (1, pytest.approx(once.statistic))
    assert joint_test(twice.mean(axis=0), twice, 3_000).degrees == 1
