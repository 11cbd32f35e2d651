"""The gate law learnt from the record, against the figures of the trial that chose it (Nov 2026)."""

import datetime as dt

import pytest

from planner.supply.gates.posterior import CLOSED, LAGS, OPEN, Entry, Priors, learn
from planner.supply.network.from_scenario import posterior, record
from planner.supply.network.gate import State

END = dt.date(2026, 5, 31)

PINNED = [
    # gate, state: N, T, A, B, median days, P(change in 90 days)
    ("us", "closed", 1.26, 390, 3.26, 1443, 342, 0.18),
    ("us", "promised", 1.34, 42, 3.34, 302, 70, 0.58),
    ("us", "conditional", 0, 346, 2.00, 1125, 466, 0.14),
    ("us", "open", 0.69, 462, 2.69, 2568, 755, 0.09),
    ("cn", "closed", 0.78, 450, 2.78, 1503, 425, 0.15),
    ("cn", "promised", 0.79, 4, 2.79, 264, 74, 0.56),
    ("cn", "conditional", 0.97, 151, 2.97, 930, 245, 0.24),
    ("cn", "open", 0.61, 316, 2.61, 2422, 735, 0.09),
    ("vendor", "closed", 0.87, 589, 2.87, 1642, 449, 0.14),
    ("vendor", "promised", 1.52, 104, 3.52, 363, 79, 0.54),
    ("vendor", "conditional", 1.07, 58, 3.07, 837, 212, 0.27),
    ("vendor", "open", 0, 210, 2.00, 2316, 959, 0.07),
]


@pytest.mark.parametrize(("gate", "state", "n", "t", "a", "b", "median", "p90"), PINNED)
def test_rates_at_the_end_of_the_record_equal_the_pinned_posterior(gate, state, n, t, a, b, median, p90):
    rate = posterior(END).rates[gate, State.named(state)]
    assert rate.changes == pytest.approx(n, abs=0.005)  # the pinned figures are rounded to what is printed
    assert rate.days == pytest.approx(t, abs=0.5)
    assert rate.shape == pytest.approx(a, abs=0.005)
    assert rate.rate == pytest.approx(b, abs=0.5)
    assert rate.median_days == pytest.approx(median, abs=0.5)
    assert 1 - (rate.rate / (rate.rate + 90)) ** rate.shape == pytest.approx(p90, abs=0.005)


@pytest.mark.parametrize(
    ("as_of", "link", "share", "reactions", "trials"),
    [
        (dt.date(2025, 7, 1), "cn", 0.25, 0, 0),
        (dt.date(2025, 8, 27), "cn", 0.50, 2, 2),
        (END, "cn", 0.51, 3, 4),
        (END, "vd", 0.69, 4, 6),
        (END, "vu", 0.75, 2, 2),
    ],
)
def test_links_learn_what_the_trial_says_they_learn(as_of, link, share, reactions, trials):
    found = posterior(as_of).links[link]
    assert (found.reactions, found.trials) == (reactions, trials)
    assert found.share == pytest.approx(share, abs=0.006)


def test_mean_lags_of_the_vendors_links_are_about_seven_and_twelve_days():
    links = posterior(END).links
    vd, vu = (float((links[name].weights.sum(axis=0) * LAGS).sum()) for name in ("vd", "vu"))
    assert vd == pytest.approx(7, abs=0.5)
    assert vu == pytest.approx(12, abs=0.5)


def test_an_act_counts_from_the_day_it_is_public_and_with_the_day_it_took_effect():
    before, after = dt.date(2025, 4, 14), dt.date(2025, 4, 15)
    assert posterior(before).rates["us", OPEN].days > posterior(after).rates["us", OPEN].days
    assert posterior(before).rates["us", OPEN].changes < posterior(after).rates["us", OPEN].changes


def test_a_row_that_repeats_the_state_changes_nothing():
    plain = dict(record(END))
    repeated = {key: [*rows] for key, rows in plain.items()}
    repeated["H20", "us"] = sorted(
        [*repeated["H20", "us"], Entry(dt.date(2025, 5, 1), CLOSED)], key=lambda entry: entry.from_date
    )
    assert learn(repeated, END).rates == learn(plain, END).rates


def test_order_of_products_does_not_matter():
    forward, backward = learn(record(END), END), learn(dict(reversed(list(record(END).items()))), END)
    for key, rate in forward.rates.items():
        assert backward.rates[key].shape == pytest.approx(rate.shape, rel=1e-12)
        assert backward.rates[key].rate == pytest.approx(rate.rate, rel=1e-12)


def test_a_trigger_without_an_answer_is_pending_until_the_window_closes():
    assert posterior(dt.date(2026, 5, 31)).pending == {("H200", "vd"): 16}
    assert posterior(dt.date(2025, 7, 16)).pending == {("H20", "cn"): 2}


def test_the_readings_of_the_record_give_other_posteriors():
    rates = {reading: posterior(END, reading).rates["us", 2].days for reading in ("main", "literal", "paper")}
    assert rates["paper"] < rates["main"] == rates["literal"]


def test_impossible_priors_are_told():
    with pytest.raises(ValueError, match="must be positive"):
        Priors(weight=0)
