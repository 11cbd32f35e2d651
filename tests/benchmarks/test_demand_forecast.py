"""The law of growth against published series: the arithmetic, and the figures the documentation gives."""

import datetime as dt
import math

import pytest

from benchmarks.demand_forecast import Trial, backtest, coverage, growth_before
from planner.scenario.pools import Growth

JUNE = dt.date(2025, 6, 30)


def test_a_forecast_starts_from_the_last_figure_known():
    trials = {(trial.series, trial.target): trial for trial in backtest(JUNE, Growth())}
    found = trials["china_national", dt.date(2025, 12, 31)]
    assert found.known == JUNE
    assert found.actual == pytest.approx(100 / 30)
    assert found.months == pytest.approx(184 / (365.25 / 12))


def test_without_slowing_the_band_is_plain_compound_growth():
    growth = Growth(low=1.1, base=1.2, high=1.3, half_life_months=600)
    for trial in backtest(JUNE, growth):
        # a half-life of 50 years takes at most 0.6 per cent off a year's exponent
        assert math.log(trial.base) == pytest.approx(trial.months * math.log(1.2), rel=0.01)
        assert trial.low < trial.base < trial.high


def test_a_figure_on_the_band_is_inside_and_one_beyond_is_not():
    trial = Trial("x", JUNE, JUNE, 1.0, low=1.0, base=2.0, high=4.0, actual=4.0)
    assert trial.inside
    assert trial.log_error == pytest.approx(math.log(0.5))
    assert not Trial("x", JUNE, JUNE, 1.0, 1.0, 2.0, 4.0, 4.01).inside


def test_nothing_later_than_the_cut_reaches_the_fit():
    """Between March and June 2025 no further pair of figures was known but the end of May's."""
    early = growth_before(dt.date(2025, 2, 1), 12)
    later = growth_before(dt.date(2026, 6, 1), 12)
    assert early != later
    assert growth_before(dt.date(2025, 2, 28), 12) == early
    with pytest.raises(ValueError, match="no series has two figures"):
        growth_before(dt.date(2024, 2, 1), 12)


def test_a_stale_series_is_not_forecast():
    known = {trial.series: trial.known for trial in backtest(JUNE, Growth())}
    assert all((JUNE - day).days <= 6 * 31 for day in known.values())


def test_the_documented_score_is_the_score():
    trials = backtest(JUNE, Growth())
    assert (sum(trial.inside for trial in trials), len(trials)) == (5, 10)
    assert {trial.series for trial in trials} == {"china_national", "doubao", "google", "openrouter"}
    bias = sum(trial.log_error for trial in trials) / len(trials)
    assert math.exp(bias) == pytest.approx(0.51, abs=0.005)
    fitted = growth_before(JUNE, 12)
    assert [fitted.low, fitted.base, fitted.high] == pytest.approx([1.25, 1.39, 1.55], abs=0.005)
    trials = backtest(JUNE, fitted)
    assert coverage(trials) == 0.4
    assert math.exp(sum(trial.log_error for trial in trials) / len(trials)) == pytest.approx(2.0, abs=0.05)
