"""Drawn load: growth has the percentiles it was given, slows, and keeps its random numbers when anything is added."""

import datetime as dt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.demand.forecast import draw_load, grown, growth_normals, log_ratio, months_passed
from planner.sampling import Key
from planner.scenario.pools import Growth

START = dt.date(2025, 7, 16)
growths = st.tuples(*[st.floats(0.5, 3.0)] * 3).map(sorted).map(lambda g: Growth(low=g[0], base=g[1], high=g[2]))


def test_the_first_month_is_what_the_scenario_says(pool_of):
    load = draw_load([pool_of(requests_per_second=12, scale=0.5)], START, 6, Key(1), 50)
    assert load.mean_rps.shape == (50, 1, 6)
    assert (load.mean_rps[:, 0, 0] == 6.0).all()
    assert load.months[:2] == (START, dt.date(2025, 8, 1))
    assert [each.pool for each in load.traffic] == ["chat"]


def test_the_busy_hour_is_the_mean_times_the_factor_of_the_rhythm(pool_of):
    load = draw_load([pool_of(busy_hour=1.5), pool_of("r1", trace="servegen-deepseek-r1")], START, 3, Key(1), 20)
    factors = load.peak_rps / load.mean_rps
    assert factors[:, 0] == pytest.approx(1.5)
    assert factors[:, 1] == pytest.approx(2.19382)
    assert load.traffic[1].busy_hour.label == "busiest hour of the day in servegen-deepseek-r1"


def test_low_base_and_high_are_the_tenth_fiftieth_and_ninetieth_percentile(pool_of):
    load = draw_load([pool_of(growth={"low": 1.05, "base": 1.12, "high": 1.22})], START, 2, Key(7), 20_000)
    found = np.quantile(load.ratio[:, 0], [0.1, 0.5, 0.9])
    # standard error of a quantile here: about 0.0007; four of them
    assert found == pytest.approx([1.05, 1.12, 1.22], abs=0.003)


@given(growth=growths)
def test_the_law_goes_exactly_through_its_three_figures(growth):
    z90 = 1.2815515655446004
    found = np.exp(log_ratio(growth, np.array([-z90, 0.0, z90])))
    assert found == pytest.approx([growth.low, growth.base, growth.high])
    spread = np.exp(log_ratio(growth, np.linspace(-4, 4, 101)))
    assert (np.diff(spread) >= -1e-12).all()


@given(half_life=st.floats(0.1, 600), months=st.integers(1, 60))
def test_growth_slows_and_never_turns(half_life, months):
    """Each month adds less than the one before, the first adds one, and the sum stays below 1 / (1 - r)."""
    steps = np.diff(grown(np.arange(months + 1.0), half_life))
    assert steps[0] == pytest.approx(1)
    assert (steps > 0).all() or half_life < 1.2  # below a month's half-life, late months fall under rounding
    assert (np.diff(steps) <= 1e-12).all()
    assert grown(np.array([float(months)]), half_life)[0] <= 1 / (1 - 2 ** (-1 / half_life)) * (1 + 1e-12)


def test_after_one_half_life_a_month_grows_by_the_square_root_of_the_ratio():
    steps = np.diff(grown(np.arange(14.0), 12.0))
    assert steps[12] == pytest.approx(0.5)


def test_a_long_half_life_is_plain_compound_growth():
    assert grown(np.array([24.0]), 1e9)[0] == pytest.approx(24)


@settings(max_examples=25, deadline=None)
@given(root=st.integers(0, 2**32 - 1), months=st.integers(1, 24), more=st.integers(0, 36))
def test_more_months_replications_or_pools_change_nothing_that_was_drawn(pool_of, root, months, more):
    chat, code = pool_of("chat"), pool_of("code", trace="mooncake-conversation")
    small = draw_load([chat], START, months, Key(root), 5)
    large = draw_load([code, chat], START, months + more, Key(root), 5 + more)
    assert (large.mean_rps[:5, 1, :months] == small.mean_rps[:, 0]).all()
    assert (large.peak_rps[:5, 1, :months] == small.peak_rps[:, 0]).all()


def test_replications_in_parts_are_the_replications_as_a_whole(pool_of):
    whole = draw_load([pool_of()], START, 12, Key(3), 100)
    parts = [draw_load([pool_of()], START, 12, Key(3), part) for part in (range(37), range(37, 100))]
    assert (np.concatenate([part.mean_rps for part in parts]) == whole.mean_rps).all()


def test_another_root_is_another_luck(pool_of):
    one, other = (draw_load([pool_of()], START, 12, Key(root), 100).ratio for root in (1, 2))
    assert (one != other).all()


def test_pools_share_the_market_as_far_as_they_say():
    """Loadings a and b on the market: correlation a x b."""
    z = growth_normals(["a", "b", "c"], [0.9, 0.5, 0.0], Key(11), np.arange(20_000))
    found = np.corrcoef(z.T)
    # standard error of a correlation: 1 / sqrt(20 000) = 0.007
    assert found[0, 1] == pytest.approx(0.45, abs=0.025)
    assert found[0, 2] == pytest.approx(0.0, abs=0.03)
    assert z.std(axis=0) == pytest.approx(1, abs=0.02)
    assert (growth_normals(["a", "b"], [1.0, 1.0], Key(11), np.arange(9))[:, 0]
            == growth_normals(["a", "b"], [1.0, 1.0], Key(11), np.arange(9))[:, 1]).all()  # fmt: skip


def test_a_first_month_cut_short_grows_from_its_own_middle():
    """From 24 July (middle of 16 to 31 July) to 16 August (middle of August) are 23.5 days."""
    passed = months_passed((START, dt.date(2025, 8, 1), dt.date(2025, 9, 1)))
    assert passed[0] == 0
    assert passed[1] == pytest.approx(23.5 / (365.25 / 12))
    assert passed[2] - passed[1] == pytest.approx(30.5 / (365.25 / 12))


def test_a_shrinking_load_shrinks_ever_more_slowly(pool_of):
    load = draw_load([pool_of(growth={"low": 0.8, "base": 0.9, "high": 0.95})], START, 24, Key(5), 200)
    assert (np.diff(load.mean_rps[:, 0], axis=1) < 0).all(axis=1).mean() > 0.9
    assert (load.mean_rps > 0).all()


def test_drawn_load_cannot_be_changed(pool_of):
    load = draw_load([pool_of()], START, 2, Key(1), 3)
    with pytest.raises(ValueError, match="read-only"):
        load.mean_rps[0, 0, 0] = 1.0
