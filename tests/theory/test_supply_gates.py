"""Gates with known answers (reference cases D13-D15), and a gate in a flow line (D17), through the product's own spec.

Tolerance: four standard errors over independent replications with pinned keys.
"""

import datetime as dt
from dataclasses import dataclass

import numpy as np
import pytest
from scipy import special

from executor.portable import normal
from planner.sampling import Constant, Exponential, Key, Law
from planner.supply.gates.paths import draw_paths
from planner.supply.network.gate import Always, Dwell, Effect, Gate, OwnLaw, Passage, Point, Scripted, State
from planner.supply.network.route import Route, Stage
from planner.supply.network.spec import Line, Orders, Source, SupplySpec
from planner.supply.simulate import simulate

UNIT = 1440
START = dt.date(2025, 1, 1)
CLOSED, PENDING, REVOKED, OPEN = State
ONLY_OPEN = (Effect(order=Passage.HOLD), Effect(order=Passage.HOLD), Effect(order=Passage.HOLD), Effect())


def mean_wait_and_shares(law, replications, days):
    """Mean wait of orders at random moments, and the share of time in each state, by replication."""
    gate = Gate("gate", "us", law, ONLY_OPEN)
    source = Source("s", "H20-96GB", Route((Stage("x", Constant(1.0)),)), ("gate",), order_valid_days=10_000)
    spec = SupplySpec(START, (days + 10_000) * UNIT, (source,), (gate,))
    moments = (np.arange(2000, days, 25) * UNIT).tolist()
    orders = Orders.of((0, 0, k, 0, 1, at) for k, at in enumerate(moments))
    made = simulate(spec, orders, Key(8), range(replications), engine="fast")
    (path,) = draw_paths([gate], spec.horizon_minutes, Key(8), range(replications))
    seen = np.stack([path.at(at) for at in moments])
    shares = np.stack([(seen == state).mean(axis=0) for state in State])
    return (made.accepted_at - orders.placed_at).mean(axis=1) / UNIT, shares


def assert_mean(found, expected):
    error = found.std(ddof=1) / np.sqrt(len(found))
    assert abs(found.mean() - expected) <= 4 * error
    assert error < 0.1 * expected


def test_a_two_state_gate_is_open_four_fifths_of_the_time_and_costs_five_days():
    """D14: open exponential with mean 200 days, closed exactly 50: mean wait 50^2 / (2 x 250)."""
    law = OwnLaw(OPEN, {OPEN: Dwell(Exponential(200.0), {CLOSED: 1.0}), CLOSED: Dwell(Constant(50.0), {OPEN: 1.0})})
    wait, shares = mean_wait_and_shares(law, 100, 20_000)
    assert_mean(shares[OPEN], 0.8)
    assert_mean(wait, 5.0)


def test_a_four_state_gate_has_the_shares_and_waits_of_its_semi_markov_chain():
    """D15: means 300, 45, 90, 120 days."""
    law = OwnLaw(
        OPEN,
        {
            OPEN: Dwell(Exponential(300.0), {PENDING: 0.6, CLOSED: 0.3, REVOKED: 0.1}),
            PENDING: Dwell(Exponential(45.0), {OPEN: 0.7, CLOSED: 0.2, REVOKED: 0.1}),
            CLOSED: Dwell(Exponential(90.0), {OPEN: 0.4, PENDING: 0.6}),
            REVOKED: Dwell(Exponential(120.0), {OPEN: 0.2, PENDING: 0.8}),
        },
    )
    wait, shares = mean_wait_and_shares(law, 100, 30_000)
    for state, expected in ((OPEN, 0.71492), (PENDING, 0.11528), (CLOSED, 0.11046), (REVOKED, 0.05934)):
        assert_mean(shares[state], expected)
    assert_mean(wait, 38.533)


@pytest.mark.parametrize("engine", ["simpy", "fast"])
def test_a_gate_before_the_third_stage_of_a_tandem_holds_what_reaches_it(engine):
    """D17 with the gate shut on [40, 60): lots reach it at 8, 13 .. 53; seven pass, three leave at 62, 64, 66."""
    shut = (Effect(release=Passage.HOLD), Effect(), Effect(), Effect())
    gate = Gate("gate", "us", Always(OPEN), shut, (Scripted(40 * UNIT, CLOSED), Scripted(60 * UNIT, OPEN)))
    first, second, third = (Stage(f"s{k}", Constant(days), f"l{k}") for k, days in enumerate((3.0, 5.0, 2.0)))
    lines = tuple(Line(f"l{k}", 1) for k in range(3))
    source = Source("flow", "H20-96GB", Route((first, second, Point.RELEASE, third)), ("gate",))
    spec = SupplySpec(START, 100 * UNIT, (source,), (gate,), lines)
    made = simulate(spec, Orders.of((0, 0, k, 0, 1, 0) for k in range(10)), Key(1), range(1), engine=engine)
    assert (made.delivered_at[0] // UNIT).tolist() == [10, 15, 20, 25, 30, 35, 40, 62, 64, 66]


def test_a_gate_that_is_open_longer_never_delays():
    route = Route((Stage("fab", Exponential(30.0)), Point.RELEASE, Stage("freight", Exponential(7.0))))
    shut = (Effect(order=Passage.HOLD, release=Passage.HOLD), Effect(), Effect(), Effect())
    made = []
    for opens in (200, 120):
        events = (Scripted(50 * UNIT, CLOSED), Scripted(opens * UNIT, OPEN))
        gate = Gate("gate", "us", Always(OPEN), shut, events)
        spec = SupplySpec(START, 3000 * UNIT, (Source("s", "H20-96GB", route, ("gate",)),), (gate,))
        orders = Orders.of((0, 0, k, 0, 1, 5 * k * UNIT) for k in range(60))
        made.append(simulate(spec, orders, Key(2), range(50), engine="fast").delivered_at)
    assert (made[1] <= made[0]).all()
    assert (made[1] < made[0]).any()


@dataclass(frozen=True)
class Normal(Law):
    """The normal law of a mean and a standard deviation."""

    mu: float
    sigma: float

    def quantile(self, u):
        return np.asarray(self.mu + self.sigma * normal.quantile(u))

    @property
    def mean(self):
        return self.mu


def test_lead_time_demand_has_the_textbook_mean_spread_and_95_percent_level():
    """D13: 100 +- 30 a month over 9 +- 2 months: mean 900, sd 219.317, 95 % level 1260.74 (normal)."""
    month = 30.0
    route = Route((Stage("lead", Normal(9 * month, 2 * month)),))
    spec = SupplySpec(START, 2000 * UNIT, (Source("s", "H20-96GB", route),))
    count = 20_000
    made = simulate(spec, Orders.of([(0, 0, 0, 0, 1, 0)]), Key(6), range(count), engine="fast")
    assert made.delivered.all()
    months = made.delivered_at[:, 0] / UNIT / month
    z = special.ndtri(Key(6).uniform("demand", np.arange(count), 0))
    demand = 100 * months + 30 * np.sqrt(months) * z
    assert demand.mean() == pytest.approx(900, abs=4 * 219.317 / np.sqrt(count))
    assert demand.std() == pytest.approx(219.317, abs=4 * 219.317 / np.sqrt(2 * count))
    # the sum is not quite normal: its skewness of 0.11 lifts the 95 % level by about 7
    assert np.quantile(demand, 0.95) == pytest.approx(1260.74, abs=20)
