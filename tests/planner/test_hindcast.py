"""The replay of the real gate history: what counts, how it is scored, and the bar it is held to."""

import datetime as dt

import numpy as np
import pytest

from dashboard.accuracy.figures import shipped, stored
from dashboard.accuracy.pages import section_text
from planner.hindcast import (
    END,
    LAWS,
    TWELVE_DATES,
    Span,
    Target,
    _announced,
    _happened,
    _left_for_china,
    _softened,
    delivery_record,
    hindcast,
    monthly_dates,
)
from planner.supply.network.gate import State
from waferlag.accuracy.gates import hindcast_figures
from waferlag.text.scores import forecast_table


@pytest.fixture(scope="module")
def replay():
    return hindcast()


@pytest.mark.slow
def test_the_twelve_dates_score_within_the_bar(replay):
    assert replay.brier() <= 0.47
    assert replay.log() <= 0.85
    assert 0.70 <= replay.coverage <= 0.90


def test_targets_and_rivals_are_those_of_the_trial(replay):
    """183 targets; rivals 0.620 and 0.586 / 1.505 and 1.414, softened persistence 0.462 / 0.907 (Nov 2026)."""
    assert len(replay.targets) == 183
    assert replay.brier(LAWS[1]) == pytest.approx(0.620, abs=0.001)
    assert replay.log(LAWS[1]) == pytest.approx(1.505, abs=0.001)
    assert replay.brier(LAWS[2]) == pytest.approx(0.586, abs=0.005)  # the trial's exact lag law is not on record
    assert replay.log(LAWS[2]) == pytest.approx(1.414, abs=0.015)
    assert replay.brier(LAWS[3]) == pytest.approx(0.462, abs=0.001)
    assert replay.log(LAWS[3]) == pytest.approx(0.907, abs=0.001)


@pytest.mark.slow
def test_scores_by_date_agree_with_the_trial(replay):
    trial = [1.44, 0.25, 0.15, 0.40, 0.87, 0.58, 0.80, 0.22, 0.43, 0.28, 0.17, 0.04]
    found = [replay.brier(where=lambda t, d=date: t.as_of == d) for date in TWELVE_DATES]
    assert found == pytest.approx(trial, abs=0.02)  # printed to 0.01, each from 3,000 draws


def test_the_gate_law_beats_the_two_plain_rivals_beyond_chance(replay):
    for rival in LAWS[1:3]:
        for score in ("brier", "log"):
            _, _, high = replay.difference(rival, score)
            assert high < 0


def test_nothing_public_later_is_used():
    """The letter of 9 April 2025 became public on the 15th: on the 14th the gate is still forecast as open."""
    before, after = (hindcast([dt.date(2025, 4, day)], draws=400) for day in (14, 15))
    then = {
        r.dates[0].day: {t.state_then for t in r.targets if (t.product, t.gate) == ("H20", "us")}
        for r in (before, after)
    }
    assert then == {14: {State.OPEN}, 15: {State.CLOSED}}


def test_deliveries_are_forecast_better_than_by_the_gates_of_the_day(replay):
    mine = np.mean([event.brier for event in replay.deliveries])
    theirs = np.mean([event.rival_brier for event in replay.deliveries])
    assert len(replay.deliveries) > 30
    assert mine < theirs


def test_a_gate_that_closed_stays_closed_when_the_question_is_no_longer_put():
    assert _happened("A800/H800", "us", dt.date(2024, 5, 1), "main") is State.CLOSED
    assert _happened("A800/H800", "cn", dt.date(2024, 5, 1), "main") is None


def test_rivals_say_what_their_names_say():
    assert _announced(State.OPEN, 3, 90).tolist() == [0, 0, 0, 1]
    assert _announced(State.PROMISED, 0, 73).tolist() == pytest.approx([0, 0.5, 0.5, 0])
    assert _announced(State.PROMISED, 200, 30).tolist() == [0, 0, 1, 0]
    assert _softened(State.CLOSED, 365).tolist() == pytest.approx([0.3679, 0.2107, 0.2107, 0.2107], abs=1e-4)


def test_brier_and_log_of_a_forecast_are_the_textbook_values():
    said = {LAWS[0]: np.array([0.1, 0.2, 0.3, 0.4])}
    target = Target(END, "H20", "us", 30, State.OPEN, State.CONDITIONAL, said)
    assert target.brier(LAWS[0]) == pytest.approx(0.01 + 0.04 + 0.49 + 0.16)
    assert target.log(LAWS[0]) == pytest.approx(-np.log(0.3))


def test_crps_of_a_point_is_its_distance_and_of_two_points_the_textbook_value():
    assert Span(END, "H20", "x", 365, 10.0, np.array([13.0, 13.0])).crps == pytest.approx(3.0)
    assert Span(END, "H20", "x", 365, 0.0, np.array([0.0, 2.0])).crps == pytest.approx(1.0 - 0.5)


def test_the_delivery_record_tells_yes_no_and_not_known():
    days = dt.date
    assert _left_for_china("H20", days(2024, 7, 1), days(2024, 7, 31)) is True
    assert _left_for_china("H20", days(2025, 5, 30), days(2025, 6, 29)) is False
    assert _left_for_china("H20", days(2025, 7, 16), days(2025, 10, 14)) is None
    assert _left_for_china("H20", days(2025, 7, 16), days(2026, 1, 12)) is True
    assert _left_for_china("H200", days(2025, 12, 8), days(2026, 3, 8)) is False
    assert all(period.source and period.start < period.end for period in delivery_record())


def test_monthly_dates_run_from_december_2023_to_april_2026():
    dates = monthly_dates()
    assert (dates[0], dates[-1], len(dates)) == (dt.date(2023, 12, 1), dt.date(2026, 4, 1), 29)


def test_the_page_tells_scores_rivals_bands_and_errors(replay):
    figures = hindcast_figures(replay, readings={"paper": hindcast(TWELVE_DATES[:3], "paper", 200)})
    page = section_text("hindcast", figures)
    for words in ("## Gates and deliveries", "softened persistence", "reached", "Where it was wrong", "| paper |"):
        assert words in page
    assert "nan" not in page
    assert forecast_table(replay).count("\n") == len(replay.targets) + 1


def test_new_figures_have_the_form_of_those_that_ship(replay):
    short = hindcast(TWELVE_DATES[:2], draws=200)
    new, kept = stored(hindcast_figures(replay, short, {"paper": short})), shipped()["hindcast"]
    assert list(new) == list(kept)
    for name in ("dates", "calibration", "worst"):
        assert list(new[name][0]) == list(kept[name][0])
    for mine, theirs in zip(new["laws"], kept["laws"], strict=True):
        assert list(mine) == list(theirs)
    for name in ("changes", "passing", "both_pass", "deliveries", "moved", "bar"):
        assert list(new[name]) == list(kept[name])
