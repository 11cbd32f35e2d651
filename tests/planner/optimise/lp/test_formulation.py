"""The cuts against the written-out programme, and what must not change the plan."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.optimise.evaluate import evaluate
from planner.optimise.lp.cvar import cvar
from planner.optimise.lp.extensive_form import monolithic
from planner.optimise.lp.formulation import Formulation
from planner.optimise.policies.rule import Beliefs, Rule, carried_out
from planner.optimise.service_level.calibrate import calibrate
from tests.programme import optimise


@pytest.mark.parametrize("shape", [{"P": 1, "S": 2, "R": 1, "T": 12}, {"P": 2, "S": 4, "R": 2, "T": 10}])
@pytest.mark.parametrize("bound", [np.inf, 0.14, 0.12])
def test_cuts_equal_the_written_out_programme(synthetic, shape, bound):
    """Relative 1e-6: HiGHS works to 1e-7 on either side."""
    futures = synthetic(60, spot_cap=60, **shape)
    if np.isfinite(bound):
        # Between the least CVaR attainable and that of the risk-neutral plan.
        least = optimise(futures, cvar_bound=0.0, gap=1e-6).shortfall_cvar
        most = optimise(futures, gap=1e-6).shortfall_cvar
        bound = least + (0.7 if bound == 0.14 else 0.3) * (most - least)
    found = optimise(futures, cvar_bound=bound, gap=1e-8)
    whole = monolithic(futures, cvar_bound=bound)
    assert whole.feasible
    assert found.attained
    assert found.expected_cost == pytest.approx(whole.expected_cost, rel=1e-6)


def test_cuts_equal_the_written_out_programme_with_a_budget(synthetic):
    futures = synthetic(50, T=8, budget=2500.0)
    bound = 0.9 * optimise(futures).shortfall_cvar
    found = optimise(futures, 0.8, bound, gap=1e-8)
    whole = monolithic(futures, 0.8, bound)
    assert whole.feasible == found.attained
    if whole.feasible:
        assert found.expected_cost == pytest.approx(whole.expected_cost, rel=1e-6)


def test_bounds_bracket_the_optimum(synthetic):
    futures = synthetic(60, T=10)
    optimum = monolithic(futures).expected_cost
    found = optimise(futures, gap=1e-3)
    assert found.lower_bound <= optimum * (1 + 1e-7)
    assert found.expected_cost >= optimum * (1 - 1e-7)
    assert found.gap <= 1e-3


def test_a_bound_that_does_not_bind_changes_nothing(synthetic):
    futures = synthetic(80, T=10)
    neutral = optimise(futures, gap=1e-7)
    bounded = optimise(futures, cvar_bound=neutral.shortfall_cvar + 0.01, gap=1e-7)
    assert bounded.expected_cost == pytest.approx(neutral.expected_cost, rel=1e-6)


def test_a_bound_out_of_reach_is_told_and_approached(synthetic):
    """With a bound of nothing the written-out programme is infeasible; the plan comes as near as can be."""
    futures = synthetic(60, T=10)
    found = optimise(futures, cvar_bound=0.0)
    assert not found.attained
    assert not monolithic(futures, cvar_bound=0.0).feasible
    assert monolithic(futures, cvar_bound=found.shortfall_cvar + 1e-5).feasible
    assert not monolithic(futures, cvar_bound=found.shortfall_cvar - 1e-3).feasible


def test_one_future_gives_the_deterministic_plan(synthetic):
    """All futures alike: the sample's plan is the plan of one, and nothing is at risk."""
    futures = synthetic(1, T=10)
    many = futures.take(np.zeros(30, dtype=int))
    one, thirty = optimise(futures, gap=1e-8), optimise(many, gap=1e-8)
    assert thirty.expected_cost == pytest.approx(one.expected_cost, rel=1e-7)
    outcome = evaluate(many, one.plan)
    assert np.ptp(outcome.cost.total) == pytest.approx(0, abs=1e-6 * one.expected_cost)


@pytest.mark.parametrize("factor", [1e3, 1e-3])
def test_money_in_another_unit_gives_the_same_plan(synthetic, factor):
    futures = synthetic(60, T=10)
    rentals = tuple(
        replace(r, reserved_price=r.reserved_price * factor, spot_price=r.spot_price * factor) for r in futures.rentals
    )
    other = replace(futures, outlay=futures.outlay * factor, unmet_price=futures.unmet_price * factor, rentals=rentals)
    here, there = optimise(futures, gap=1e-7), optimise(other, gap=1e-7)
    assert there.expected_cost == pytest.approx(here.expected_cost * factor, rel=1e-6)
    np.testing.assert_allclose(there.plan.orders, here.plan.orders, atol=1e-3)  # GPUs; whole lots are eight


def test_a_budget_of_nothing_buys_nothing_and_still_serves_from_spot(synthetic):
    futures = synthetic(60, T=10, budget=0.0)
    found = optimise(futures)
    assert not found.plan.orders.any()
    assert not found.plan.reserved.any()
    assert evaluate(futures, found.plan).cost.spot.mean() > 0


def test_a_budget_holds_in_expectation(synthetic):
    futures = synthetic(60, T=10, budget=1500.0)
    found = optimise(futures)
    outcome = evaluate(futures, found.plan)
    spent = outcome.cost.purchases.mean() + outcome.cost.reserved.mean()
    assert spent <= 1500.0 * (1 + 1e-7)
    assert any(limit.kind == "budget" and limit.price > 0 for limit in found.limits)


def test_hard_limits_hold(synthetic):
    futures = synthetic(60, T=10)
    tight = tuple(replace(source, total_cap=50.0) for source in futures.purchases)
    futures = replace(futures, purchases=tight)
    plan = optimise(futures).plan
    for s, source in enumerate(futures.purchases):
        by_month = plan.orders[:, s].sum(axis=0)
        assert by_month.max() <= source.monthly_cap + 1e-6
        assert by_month.sum() <= 50 + 1e-6
    for r, rental in enumerate(futures.rentals):
        assert np.all(plan.reserved[:, r].sum(axis=0) <= rental.reserved_cap + 1e-6)
        assert not plan.reserved[:, r, : rental.notice_months].any()


@given(seed=st.integers(0, 10**6), more=st.floats(1.0, 3.0))
@settings(max_examples=10, deadline=None)
def test_more_supply_never_costs_more(synthetic, seed, more):
    futures = synthetic(15, T=6, S=3, seed=seed)
    wider = replace(
        futures,
        purchases=tuple(replace(s, monthly_cap=s.monthly_cap * more) for s in futures.purchases),
        rentals=tuple(replace(r, spot_cap=r.spot_cap * more) for r in futures.rentals),
    )
    narrow, wide = optimise(futures, gap=1e-7), optimise(wider, gap=1e-7)
    assert wide.expected_cost <= narrow.expected_cost * (1 + 1e-6)


def test_shadow_price_of_a_cap_is_what_one_gpu_more_saves(synthetic):
    futures = synthetic(60, T=10)
    found = optimise(futures, gap=1e-8)
    limit = max((lim for lim in found.limits if lim.kind == "total-cap" or lim.kind == "monthly-cap"), key=price)
    s = [source.name for source in futures.purchases].index(limit.names[0])
    # Widening all months of the source by a little must save at least what the one month promises, convexly.
    source = futures.purchases[s]
    wider = replace(source, monthly_cap=source.monthly_cap + 0.01)
    purchases = (*futures.purchases[:s], wider, *futures.purchases[s + 1 :])
    saved = found.expected_cost - optimise(replace(futures, purchases=purchases), gap=1e-8).expected_cost
    of_source = sum(lim.price for lim in found.limits if lim.names == limit.names and lim.kind == "monthly-cap")
    assert saved / 0.01 == pytest.approx(of_source, rel=0.05)


def price(limit):
    return limit.price


def test_reported_cvar_is_that_of_the_plan(synthetic):
    futures = synthetic(100, T=10)
    found = optimise(futures, cvar_level=0.8)
    share = Formulation(futures).shortfall_share(found.plan)
    assert found.shortfall_cvar == pytest.approx(cvar(share, 0.8))
    assert np.all((share >= 0) & (share <= 1 + 1e-12))


@pytest.mark.slow
@pytest.mark.parametrize("N", [200, pytest.param(500, marks=pytest.mark.soak)])
def test_cuts_equal_the_written_out_programme_of_hundreds_of_futures(synthetic, N):
    """Two pools, five sources, two rentals, 18 months, with a bound that binds; bounds close to 1e-7."""
    futures = synthetic(N, spot_cap=60)
    bound = 0.9 * optimise(futures).shortfall_cvar
    found = optimise(futures, cvar_bound=bound, gap=1e-7)
    whole = monolithic(futures, cvar_bound=bound)
    assert found.attained
    assert whole.feasible
    assert found.gap <= 1e-7
    assert found.expected_cost == pytest.approx(whole.expected_cost, rel=1e-6)


def test_sources_under_a_joint_cap_keep_to_it_together(synthetic):
    """In parts of GPUs, in whole lots, after the search and by the rule that plans again."""
    free = synthetic(80, seed=3, P=2, S=4, R=1, T=10, spot_cap=60)
    without = Formulation(free).solve(gap=1e-4).plan.orders
    members = tuple(int(s) for s in np.flatnonzero(without.any(axis=(0, 2))))
    cap = float(np.floor(without[:, list(members)].sum() / 2))
    futures = replace(free, joint_caps=((members, cap),))
    found = Formulation(futures).solve(gap=1e-4)
    assert found.plan.orders[:, list(members)].sum() <= cap + 1e-6
    assert any(limit.kind == "joint-cap" and limit.price > 0 for limit in found.limits)
    promised = calibrate(futures, futures, 0.6)
    assert promised.plan.orders[:, list(members)].sum() <= cap
    again = carried_out(futures, Beliefs(futures), Rule(0.8))
    assert again[:, :, list(members)].sum(axis=(1, 2, 3)).max() <= cap
