"""The programs whose times the supply benchmark compares tell the same story."""

import numpy as np
import pytest
from scipy import stats

from benchmarks.supply import LogNormal, by_hand, model, same
from planner.sampling import Key
from planner.supply.simulate import simulate


def test_the_hand_written_program_delivers_in_the_engines_minutes():
    spec, orders = model(lots_a_month=2)
    minutes = by_hand(spec, orders, Key(3), range(6))
    for engine in ("simpy", "fast"):
        assert np.array_equal(simulate(spec, orders, Key(3), range(6), engine=engine).delivered_at, minutes)
    assert (minutes >= 0).all()


def test_the_lognormal_law_has_its_mean_and_variation():
    law, u = LogNormal(8.0, 0.5), np.array([1e-9, 0.001, 0.1, 0.5, 0.731, 0.99, 1 - 1e-9])
    known = stats.lognorm(law.sigma, scale=8.0 * np.exp(-(law.sigma**2) / 2))
    assert (known.mean(), known.std(), law.mean) == pytest.approx((8, 4, 8))
    assert law.quantile(u) == pytest.approx(known.ppf(u), rel=1e-9)


def test_two_runs_are_the_same_only_where_every_number_is():
    spec, orders = model(lots_a_month=1)
    one, other = (simulate(spec, orders, Key(root), range(2), engine="fast") for root in (3, 4))
    assert same(one, one)
    assert not same(one, other)
