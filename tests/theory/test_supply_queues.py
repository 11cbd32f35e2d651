"""Queues with known answers, through the product's own routes, lines and orders (reference cases D10-D12, D17).

Tolerance: four standard errors over independent runs with pinned keys, so a right engine fails once in 16 000.
"""

import datetime as dt
from dataclasses import dataclass

import numpy as np
import pytest
from scipy.stats import poisson

from benchmarks.supply import LogNormal
from executor.portable.gamma import gamma_quantile
from planner.fleet.spares import NEVER, SparePool, base_stock, failure_minutes, replaced
from planner.futures.installed_fleet import through
from planner.sampling import Constant, Exponential, Key, Law
from planner.supply.network.route import Route, Stage
from planner.supply.network.spec import Line, Orders, Source, SupplySpec
from planner.supply.simulate import simulate

UNIT = 1440
"""Minutes of one unit of time (a day); rounding to minutes moves a mean by less than 0.0004."""
START = dt.date(2025, 1, 1)
WARM_UP = 1500


@dataclass(frozen=True)
class Gamma(Law):
    """The gamma law of a shape and a rate."""

    shape: float
    rate: float

    def quantile(self, u):
        return np.asarray(gamma_quantile(self.shape, u) / self.rate)

    @property
    def mean(self):
        return self.shape / self.rate


def waits(law, servers, rate, runs, customers, engine="fast"):
    """Mean wait in the line of each run, in units, the warm-up left out: Poisson arrivals, one stage."""
    route = Route((Stage("service", law, "line"),))
    horizon = round(3 * customers / rate * UNIT)
    spec = SupplySpec(START, horizon, (Source("q", "H20-96GB", route),), (), (Line("line", servers),))
    free = SupplySpec(START, horizon, (Source("q", "H20-96GB", Route((Stage("service", law),))),))
    means = []
    for run in range(runs):
        gaps = Exponential(UNIT / rate).quantile(Key(run).uniform("arrivals", np.arange(customers), 0))
        placed = np.cumsum(gaps).astype(np.int64)
        orders = Orders.of((0, 0, k, 0, 1, at) for k, at in enumerate(placed.tolist()))
        times = [simulate(world, orders, Key(run), range(1), engine=engine).delivered_at[0] for world in (spec, free)]
        means.append((times[0] - times[1])[WARM_UP:].mean() / UNIT)
    return np.array(means)


def assert_mean(found, expected):
    error = found.std(ddof=1) / np.sqrt(len(found))
    assert abs(found.mean() - expected) <= 4 * error
    assert error < 0.1 * expected  # and the test can tell


@pytest.mark.parametrize(
    ("servers", "rate", "expected", "runs"), [(1, 0.9, 9.0, 40), (3, 2.0, 0.444444, 10), (10, 9.0, 0.668732, 25)]
)
@pytest.mark.slow
def test_exponential_servers_wait_as_erlang_c_says(servers, rate, expected, runs):
    """As many runs as keep the standard error below a tenth: waits at 90 % load vary most."""
    assert_mean(waits(Exponential(1.0), servers, rate, runs=runs, customers=6000), expected)


@pytest.mark.parametrize(
    ("law", "rate", "expected"),
    [(Constant(1.0), 0.8, 2.0), (Gamma(2.0, 2.0), 0.8, 3.0), (LogNormal(1.0, 0.5), 0.7, 1.458333)],
    ids=["M/D/1", "M/E2/1", "M/lognormal/1"],
)
@pytest.mark.slow
def test_one_server_waits_as_pollaczek_and_khinchine_say(law, rate, expected):
    assert_mean(waits(law, 1, rate, runs=15, customers=5000), expected)


def test_both_engines_see_the_same_queue():
    slow, fast = (waits(Exponential(1.0), 3, 2.0, runs=2, customers=2000, engine=e) for e in ("simpy", "fast"))
    assert slow.tolist() == fast.tolist()


ROUTES = {
    "constant": (Constant(2.0), Constant(5.0), Constant(1.0)),
    "gamma": (Gamma(2.0, 1.0), Gamma(3.0, 0.6), Gamma(0.5, 0.5)),
    "lognormal": (LogNormal(3.0, 1.0), LogNormal(4.0, 0.3), LogNormal(1.0, 2.0)),
}


@pytest.mark.parametrize("kind", ROUTES)
def test_spares_on_order_are_poisson_whatever_the_lead_time_is_made_of(kind):
    """Palm (D12) through the fleet's spare pool: 0.5 failures a day, lead time of mean 8, base-stock level 6."""
    stages = tuple(Stage(f"stage {k}", law) for k, law in enumerate(ROUTES[kind]))
    days, runs = 3000, range(40)
    spec = SupplySpec(START, (days + 4000) * UNIT, (Source("spares", "H20-96GB", Route(stages)),))

    def carry(its, orders, key, numbers):
        return simulate(its, orders, key, numbers, engine="fast")

    failed = failure_minutes(0.5, days * UNIT, Key(1), runs, entity=1)
    never = lambda ended: np.full_like(ended, NEVER)  # noqa: E731  nothing ends an order here
    pool = SparePool(6, failed, replaced(failed, through(spec, "spares", "spares", Key(1), runs, carry), never))
    at = range(200 * UNIT, days * UNIT, 40 * UNIT)  # five mean lead times apart: nearly independent looks
    on_order, missing = (np.stack([look(minute) for minute in at]) for look in (pool.on_order, pool.missing))
    on_hand = np.maximum(pool.spares - on_order, 0)
    assert poisson.cdf(5, 4) == pytest.approx(0.785130, abs=1e-6)
    assert_mean((on_hand > 0).mean(axis=0), 0.785130)
    assert_mean(on_hand.mean(axis=0), 2.195435)
    owed = missing.mean(axis=0)
    error = owed.std(ddof=1) / np.sqrt(len(runs))
    assert abs(owed.mean() - 0.195435) <= 4 * error
    assert base_stock(4.0, 0.78) == 6
    assert base_stock(4.0, 0.79) == 7


@pytest.mark.parametrize("engine", ["simpy", "fast"])
def test_a_tandem_of_single_servers_lets_the_last_lot_out_at_55(engine):
    """D17: 3, 5 and 2 units, ten lots at once: 10 + 9 x 5."""
    stages = tuple(Stage(f"s{k}", Constant(days), f"l{k}") for k, days in enumerate((3.0, 5.0, 2.0)))
    lines = tuple(Line(f"l{k}", 1) for k in range(3))
    spec = SupplySpec(START, 100 * UNIT, (Source("flow", "H20-96GB", Route(stages)),), (), lines)
    made = simulate(spec, Orders.of((0, 0, k, 0, 1, 0) for k in range(10)), Key(1), range(1), engine=engine)
    assert (made.delivered_at[0] // UNIT).tolist() == [10, 15, 20, 25, 30, 35, 40, 45, 50, 55]


def test_more_servers_delay_nobody_and_longer_service_hurries_nobody():
    """Monotone under common random numbers where the route has one line."""
    orders = Orders.of((0, 0, k, 0, 1, k * 700) for k in range(200))
    made = {}
    for servers, mean in ((2, 1.0), (3, 1.0), (2, 1.2)):
        route = Route((Stage("service", Exponential(mean), "line"), Stage("freight", Exponential(2.0))))
        spec = SupplySpec(START, 10_000 * UNIT, (Source("q", "H20-96GB", route),), (), (Line("line", servers),))
        made[servers, mean] = simulate(spec, orders, Key(4), range(50), engine="fast").delivered_at
    assert (made[3, 1.0] <= made[2, 1.0]).all()
    assert (made[2, 1.2] >= made[2, 1.0]).all()
    assert (made[3, 1.0] < made[2, 1.0]).any()


def test_a_backlog_of_others_is_served_first():
    route = Route((Stage("service", Constant(1.0), "line"),))
    lines = (Line("line", 2, backlog_lots=5, backlog_law=Constant(3.0)),)
    spec = SupplySpec(START, 100 * UNIT, (Source("q", "H20-96GB", route),), (), lines)
    orders = Orders.of((0, 0, k, 0, 1, 0) for k in range(3))
    for engine in ("simpy", "fast"):
        made = simulate(spec, orders, Key(1), range(1), engine=engine)
        # five jobs of three days on two servers: free on days 6 and 9
        assert (made.delivered_at[0] // UNIT).tolist() == [7, 8, 9]


def test_common_luck_makes_two_fabs_comparable():
    """Two servers more: with common random numbers the variance of the difference is at most a hundredth of that
    without."""
    orders = Orders.of((0, 0, k, 0, 1, k * UNIT) for k in range(120))
    route = Route((Stage("fab", LogNormal(34.0, 0.2), "fab"), Stage("freight", Exponential(7.0))))
    mean = {}
    for servers, root in ((40, 1), (42, 1), (42, 2)):
        spec = SupplySpec(START, 3000 * UNIT, (Source("q", "H20-96GB", route),), (), (Line("fab", servers),))
        made = simulate(spec, orders, Key(root), range(100), engine="fast")
        assert made.delivered.all()
        mean[servers, root] = (made.delivered_at - orders.placed_at).mean(axis=1)
    common, apart = (np.var(mean[40, 1] - mean[42, root]) for root in (1, 2))
    assert apart / common >= 100
