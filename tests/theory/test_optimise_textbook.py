"""Textbook instances with known answers, solved by the product's own cutting-plane solver."""

from dataclasses import replace
from statistics import NormalDist

import numpy as np
import pytest

from planner.futures.arrays import Futures, Purchase
from planner.optimise.lp.cutting_planes import Programme, minimise
from planner.optimise.lp.cvar import cvar, tail_weights
from planner.optimise.lp.formulation import Formulation

YIELD = np.array([2.5, 3.0, 20.0])  # t an acre: wheat, corn, sugar beet (Birge and Louveaux, chapter 1)
PLANTING = np.array([150.0, 230.0, 260.0])
SCENARIOS = (0.8, 1.0, 1.2)


def farmer_recourse(acres, factor):
    """Cost and gradient of buying what cattle need and selling the rest, at one yield factor."""
    tonnes = factor * YIELD * acres
    cost, slope = 0.0, np.zeros(3)
    for crop, (needed, buy, sell) in enumerate([(200.0, 238.0, 170.0), (240.0, 210.0, 150.0)]):
        price = buy if tonnes[crop] < needed else sell
        cost += price * (needed - tonnes[crop])
        slope[crop] = -price * factor * YIELD[crop]
    quota = min(tonnes[2], 6000.0)
    cost -= 36.0 * quota + 10.0 * (tonnes[2] - quota)
    slope[2] = -(36.0 if tonnes[2] < 6000.0 else 10.0) * factor * YIELD[2]
    return cost, slope


def farm(functions, weight, floor):
    return Programme(
        cost=PLANTING,
        lower=np.zeros(3),
        upper=np.full(3, 500.0),
        weight=weight,
        floor=np.full(functions, floor),
        hard=np.ones((1, 3)),
        hard_lower=np.array([-np.inf]),
        hard_upper=np.array([500.0]),
    )


def by_scenario(factors):
    def oracle(acres):
        answers = [farmer_recourse(acres, factor) for factor in factors]
        return np.array([cost for cost, _ in answers]), np.array([slope for _, slope in answers])

    return oracle


def solve_farm(factors):
    programme = farm(len(factors), np.full(len(factors), 1 / len(factors)), -1e6)
    return minimise(programme, by_scenario(factors), np.zeros(3), gap=1e-9)


def test_farmer_plants_170_80_250_and_earns_108_390():
    """D1, the recourse problem."""
    found = solve_farm(SCENARIOS)
    assert found.gap <= 1e-9
    assert -found.upper == pytest.approx(108_390, abs=0.5)  # the book prints whole dollars
    assert found.point == pytest.approx([170, 80, 250], abs=1e-3)


def test_farmer_value_of_information_and_of_the_stochastic_solution():
    """D1: EVPI = 115,405.56 - 108,390; EEV is the mean-yield plan on all three yields; VSS = 108,390 - 107,240."""
    wait_and_see = np.mean([solve_farm([factor]).upper for factor in SCENARIOS])
    assert -wait_and_see == pytest.approx(115_405.56, abs=0.01)
    mean_plan = solve_farm([1.0])
    assert -mean_plan.upper == pytest.approx(118_600, abs=0.5)
    acres = mean_plan.point
    expected_of_mean = PLANTING @ acres + by_scenario(SCENARIOS)(acres)[0].mean()
    assert -expected_of_mean == pytest.approx(107_240, abs=0.5)


def test_risk_averse_farmer_gives_up_expected_profit_for_the_worst_year():
    """D2: minimise E[cost] + 5 CVaR_0.8; three equal scenarios, so CVaR_0.8 is the worst of them."""

    def oracle(acres):
        costs, slopes = by_scenario(SCENARIOS)(acres)
        weight = tail_weights(costs, 0.8)
        return np.r_[costs, weight @ costs], np.vstack([slopes, weight @ slopes])

    programme = farm(4, np.r_[np.full(3, 1 / 3), 5.0], -1e6)
    # Planting is paid in every scenario: once in the mean and five times in the CVaR.
    programme = replace(programme, cost=PLANTING * 6)
    found = minimise(programme, oracle, np.zeros(3), gap=1e-9)
    costs = PLANTING @ found.point + by_scenario(SCENARIOS)(found.point)[0]
    assert costs.mean() == pytest.approx(-103_313, abs=2)  # the source says "about"
    assert costs.max() == pytest.approx(-57_640, abs=2)


def test_newsvendor_with_normal_demand():
    """D3, Snyder and Shen example 4.3: h 0.18, p 0.70, demand N(50, 8): S = 56.6040, cost 1.99761."""
    normal, holding, penalty, mean, sd = NormalDist(), 0.18, 0.70, 50.0, 8.0

    def oracle(level):
        z = (level[0] - mean) / sd
        loss = sd * (normal.pdf(z) - z * (1 - normal.cdf(z)))
        value = holding * (level[0] - mean) + (holding + penalty) * loss
        return np.array([value]), np.array([[holding - (holding + penalty) * (1 - normal.cdf(z))]])

    assert oracle(np.array([40.0]))[0][0] == pytest.approx(7.35613, abs=1e-5)
    programme = one_column(lower=0.0, upper=200.0)
    found = minimise(programme, oracle, np.array([0.0]), gap=1e-9)
    assert found.upper == pytest.approx(1.99761, abs=1e-5)  # the book prints six digits
    assert found.point[0] == pytest.approx(56.6040, abs=0.01)  # flat at the optimum: cost moves by 1e-6


def test_newsvendor_with_poisson_demand():
    """D4: Poisson(6), h 1, p 4: S = 8, cost 3.57011."""
    demand = np.arange(60)
    log_factorial = np.r_[0.0, np.cumsum(np.log(np.arange(1, 60)))]
    chance = np.exp(demand * np.log(6.0) - 6.0 - log_factorial)

    def oracle(level):
        over = level[0] - demand
        value = chance @ np.where(over > 0, over, -4.0 * over)
        return np.array([value]), np.array([[chance @ np.where(over > 0, 1.0, -4.0)]])

    found = minimise(one_column(0.0, 60.0), oracle, np.array([0.0]), gap=1e-9)
    assert found.upper == pytest.approx(3.57011, abs=1e-5)
    assert found.point[0] == pytest.approx(8.0, abs=1e-4)


def test_a_fleet_of_one_month_is_the_newsvendor():
    """D3 through the whole formulation: outlay h and price of unmet demand h + p, less h times mean demand."""
    N = 4000
    demand = np.array([NormalDist(50, 8).inv_cdf((n + 0.5) / N) for n in range(N)])
    futures = Futures(
        months=1,
        pools=("only",),
        need=demand.reshape(N, 1, 1),
        owned=np.zeros((N, 1, 1)),
        purchases=(Purchase("stock", "GPU", 1, np.inf, np.inf, np.ones((1, 1), dtype=bool)),),
        rentals=(),
        per_gpu=np.ones((N, 1, 1)),
        rental_per_gpu=np.zeros((N, 1, 0)),
        arrival_month=np.zeros((N, 1, 1), dtype=int),
        outlay=np.full((N, 1, 1), 0.18),
        unmet_price=np.full((1, 1), 0.88),
    )
    found = Formulation(futures).solve(gap=1e-8)
    assert found.plan.orders[0, 0, 0] == pytest.approx(56.6040, abs=0.02)  # 4,000 strata of demand
    assert found.expected_cost - 0.18 * 50 == pytest.approx(1.99761, abs=1e-3)


def test_cvar_of_a_normal_by_rockafellar_and_uryasev():
    """D19: CVaR_0.9 of N(100, 20) = 100 + 20 φ(z)/(1-α) = 135.0997 = min over η of η + E(Z-η)+/(1-α)."""
    normal = NormalDist()

    def oracle(eta):
        z = (eta[0] - 100) / 20
        excess = 20 * (normal.pdf(z) - z * (1 - normal.cdf(z)))
        return np.array([excess]), np.array([[-(1 - normal.cdf(z))]])

    programme = replace(one_column(0.0, 300.0), cost=np.ones(1), weight=np.array([10.0]))
    found = minimise(programme, oracle, np.array([0.0]), gap=1e-9)
    assert found.upper == pytest.approx(135.0997, abs=1e-3)


def test_cvar_of_samples_approaches_the_closed_form_from_below():
    """D19: a sample's CVaR is a minimum over η, and the mean of minima lies below the minimum of the mean."""
    rng = np.random.default_rng(19)
    small = np.mean([cvar(rng.normal(100, 20, 20), 0.9) for _ in range(4000)])
    large = cvar(rng.normal(100, 20, 400_000), 0.9)
    # Standard error of `small`: 10 / sqrt(4000) = 0.16 (sd of a mean of two order statistics about 8).
    assert small < 135.0997 - 3 * 0.16
    assert large == pytest.approx(135.0997, abs=0.35)  # four standard errors of the tail mean


def one_column(lower, upper):
    return Programme(
        cost=np.zeros(1),
        lower=np.array([lower]),
        upper=np.array([upper]),
        weight=np.ones(1),
        floor=np.zeros(1),
        hard=np.zeros((0, 1)),
        hard_lower=np.zeros(0),
        hard_upper=np.zeros(0),
    )
