"""What a bought GPU costs: payments follow its fate, and the books balance."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.clock import MINUTES_PER_DAY
from planner.fleet.availability import availability
from planner.fleet.cost import Fate, Terms, discount, purchased, running_cost_per_day

YEAR = 365 * MINUTES_PER_DAY
NEVER = -1.0


def terms(discount_per_year: float = 0.0, prepayment: float = 0.3) -> Terms:
    return Terms(
        price=np.array([1000.0]),
        prepayment=prepayment,
        running_per_day=2.0,
        useful_life_days=4 * 365.0,
        discount_per_year=discount_per_year,
    )


def fate(accepted=NEVER, released=NEVER, delivered=NEVER, ended=NEVER, fee=0.0, refunded=0.0) -> Fate:
    return Fate(*(np.array([[value]]) for value in (accepted, released, delivered, ended, fee, refunded)))


def test_a_gpu_that_serves_for_a_year_costs_its_price_and_its_keep_less_three_quarters_of_its_value():
    made = purchased(terms(), fate(accepted=0, released=0, delivered=0), horizon=YEAR)
    assert made.outlay.item() == pytest.approx(1000 + 2 * 365 - 750)


def test_an_order_that_nobody_accepted_costs_nothing():
    assert purchased(terms(), fate(ended=10.0), horizon=YEAR).outlay.item() == 0.0


def test_a_revoked_order_costs_its_prepayment_less_the_refund():
    made = purchased(terms(), fate(accepted=0, ended=YEAR / 2, refunded=0.15), horizon=YEAR)
    assert made.outlay.item() == pytest.approx(300 - 150)


def test_goods_still_under_way_have_cost_only_the_interest_on_the_prepayment():
    made = purchased(terms(discount_per_year=0.08), fate(accepted=0), horizon=YEAR)
    assert made.prepaid.item() == pytest.approx(300)
    assert made.outlay.item() == pytest.approx(300 - 300 / 1.08)


def test_a_fee_falls_due_at_release_even_if_the_goods_are_turned_back():
    made = purchased(terms(), fate(accepted=0, released=100, ended=200, fee=0.15), horizon=YEAR)
    assert made.fee.item() == pytest.approx(150)


def test_money_paid_after_a_year_is_worth_less_by_the_rate():
    assert discount(np.array([float(YEAR)]), 0.08).item() == pytest.approx(1 / 1.08)


def test_running_cost_of_an_h20_is_hosting_and_power_of_its_share_of_the_server():
    kw = 0.4 * 1.6
    by_hand = kw * (900 * 12 / 365 + 24 * 1.25 * 0.6)
    assert running_cost_per_day(400, 1.6, 1.25, 900, 0.6) == pytest.approx(by_hand)


@given(accepted=st.floats(0, 1e5), travel=st.floats(0, 1e5), prepayment=st.floats(0, 1), rate=st.floats(0, 0.5))
def test_a_delivered_gpu_is_paid_in_full_whatever_the_terms(accepted, travel, prepayment, rate):
    delivered = accepted + travel
    made = purchased(terms(rate, prepayment), fate(accepted, delivered, delivered), horizon=float(YEAR))
    assert (made.prepaid + made.balance).item() == pytest.approx(1000)


@given(rate=st.floats(0, 20), repair=st.floats(0, 3660))
def test_availability_is_a_share_and_falls_with_failures(rate, repair):
    assert 0 < availability(rate + 1, repair) <= availability(rate, repair) <= 1
