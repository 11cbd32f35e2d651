"""Published demand: one row an observation, units that convert, growth that follows from the series."""

import datetime as dt
from collections import Counter

import pytest

from executor.errors import UnknownNameError
from planner.reference.demand_series import demand_series, observations, series_names


def monthly_growth(name, first, last):
    by_date = {entry.date: entry.tokens_per_day for entry in demand_series(name)}
    start, end = dt.date.fromisoformat(first), dt.date.fromisoformat(last)
    return (by_date[end] / by_date[start]) ** (365.25 / 12 / (end - start).days)


def test_no_observation_stands_twice():
    counts = Counter((entry.series, entry.date, entry.unit) for entry in observations())
    assert max(counts.values()) == 1


def test_units_convert_to_tokens_a_day():
    assert demand_series("openrouter_chinese_models")[0].tokens_per_day == pytest.approx(5.9e11, rel=0.01)
    assert demand_series("openai_api")[-1].tokens_per_day == pytest.approx(21.6e12)
    peak = demand_series("doubao_peak_rate")[0]
    assert peak.value / 60 == pytest.approx(1.055e9)


def test_the_default_growth_is_what_the_national_series_shows():
    """High: Jun to Dec 2025, 30 T to 100 T; base: Dec 2025 to Mar 2026, 100 T to 140 T."""
    low, base, high = (demand_series(f"growth_{name}")[-1].value for name in ("low", "base", "high"))
    assert low < base < high
    assert high == pytest.approx(monthly_growth("china_national", "2025-06-30", "2025-12-31"), abs=0.01)
    # the March figure is a month's mean, so its day is uncertain by two weeks: 1.12 to 1.15
    assert base == pytest.approx(monthly_growth("china_national", "2025-12-31", "2026-03-15"), abs=0.035)


def test_deepseeks_day_is_one_day_of_february_2025():
    (tokens_in,) = demand_series("deepseek_input")
    (tokens_out,) = demand_series("deepseek_output")
    assert (tokens_in.value, tokens_out.value) == (608e9, 168e9)
    assert tokens_in.date == dt.date(2025, 2, 28)


def test_every_observation_has_source_and_evidence():
    assert all(entry.source and entry.scope for entry in observations())
    assert {entry.evidence for entry in observations()} == {"official", "reported", "estimate"}


def test_an_unknown_series_is_an_error_that_names_the_nearest():
    with pytest.raises(UnknownNameError, match="did you mean doubao"):
        demand_series("dubao")
    assert "china_national" in series_names()
