"""Futures of a scenario: what yields, caps, binding orders and failures do to capacity, money and limits."""

from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks.supply import same
from planner.futures.sample import draw_prospects
from planner.report.cash_flow import monthly_risk
from planner.sampling import Key
from planner.scenario.load import load
from planner.scenario.models import Scenario
from planner.sizing import capacities
from planner.supply.durations import process_yields
from planner.supply.network.from_scenario import supply_spec

COUNT = 60
ALLOCATION = 3
"""Place of the 910C from a distributor, whose route is the file's own, among the purchases."""


@pytest.fixture(scope="module")
def july():
    """Serving figures and a way to draw the scenario of July 2025 with changes."""
    plain = load("2-h20-july-2025").scenario
    serving = capacities(plain)

    def drawn(change=lambda raw: None):
        raw = plain.model_dump(mode="json")
        change(raw)
        scenario = Scenario.model_validate(raw)
        return draw_prospects(scenario, serving, 5, COUNT), scenario

    return drawn


def lossy(raw):
    raw["sources"][ALLOCATION]["route"][0] |= {"yield_low": 0.5, "yield_share": 0.6, "yield_high": 0.8}


def test_a_yield_takes_capacity_and_money_in_its_share(july):
    whole, _ = july()
    part, scenario = july(lossy)
    shares = process_yields(supply_spec(scenario).sources[ALLOCATION], Key(5), range(COUNT)).prod(axis=0)
    assert 0.5 <= shares.min() < shares.max() <= 0.8
    assert part.futures.per_gpu[:, :, ALLOCATION] == pytest.approx(
        whole.futures.per_gpu[:, :, ALLOCATION] * shares[:, None]
    )
    others = [s for s in range(5) if s != ALLOCATION]
    assert np.array_equal(part.futures.per_gpu[:, :, others], whole.futures.per_gpu[:, :, others])
    assert np.array_equal(part.futures.arrival_month, whole.futures.arrival_month)
    came = whole.deliveries.delivered_at[:, whole.lot_of[ALLOCATION, 0]] >= 0
    before, after = (p.payments[ALLOCATION] for p in (whole, part))
    paid_before, paid_after = (p.prepaid[came, 0] + p.balance[came, 0] - p.refund[came, 0] for p in (before, after))
    assert paid_after == pytest.approx(paid_before * shares[came])
    assert after.running[came, 0] == pytest.approx(before.running[came, 0] * shares[came])


def test_a_cap_limits_what_may_be_ordered_and_lets_every_month_stand_for_itself(july):
    def capped(raw):
        raw["lines"] = [{"name": "per customer", "gpus_total": 16}]
        raw["sources"][0]["lines"] = {"server_integration": "per customer"}

    whole, _ = july()
    part, _ = july(capped)
    assert whole.futures.purchases[0].total_cap == 256
    assert part.futures.purchases[0].total_cap == 16
    assert same(part.deliveries, whole.deliveries)


def test_what_a_binding_order_owes_when_it_ends_is_paid_then(july):
    """July's gates end few orders; a reckless US gate ends many."""

    def ending(raw):
        raw["gates"][0]["effects"] = {"closed": {"in_process": "revoke"}, "promised": {"order": "pass"}}

    def bound(raw):
        ending(raw)
        raw["sources"][1]["binding"] = True

    free, tied = july(ending)[0], july(bound)[0]
    lot = free.lot_of[1, 0]
    ended = (free.deliveries.ended_at[:, lot] >= 0) & (free.deliveries.accepted_at[:, lot] >= 0)
    assert ended.any()
    price = 150_000
    # refund 1.0 of 30 per cent paid, or of the whole price: nothing is lost either way, but more is moved
    assert free.payments[1].refund[ended, 0] == pytest.approx(0.3 * price)
    assert tied.payments[1].refund[ended, 0] == pytest.approx(0.3 * price)
    assert free.payments[1].refund == pytest.approx(tied.payments[1].refund)

    def lost(raw):
        bound(raw)
        raw["sources"][1]["refund"] = 0.25

    some = july(lost)[0]
    assert some.payments[1].refund[ended, 0] == pytest.approx(0.25 * price - 0.7 * price)


def test_a_binding_order_puts_its_whole_price_at_risk_behind_the_gates(july):
    def lost(raw):
        raw["sources"][1]["refund"] = 0.25

    def bound(raw):
        lost(raw)
        raw["sources"][1]["binding"] = True

    ordered = np.zeros((COUNT, 5, 18), dtype=np.int64)
    ordered[:, 1, 0] = 8
    chosen = SimpleNamespace(outcome=SimpleNamespace(count=COUNT, ordered=ordered))
    free, tied = (monthly_risk(scenario, drawn, chosen) for drawn, scenario in (july(lost), july(bound)))
    assert free.max() > 0
    assert tied == pytest.approx(free / 0.3)  # all of the price in place of the 30 per cent prepaid


def test_a_month_counts_the_gpus_that_still_stand_and_old_scenarios_stay_as_they_were(july):
    def failing(raw):
        raw["fleet"][0] |= {"replaced_share": 0.5, "replacement": "h20-stock", "failures_per_year": 0.5}

    plain, part = july()[0], july(failing)[0]
    assert (plain.futures.owned == plain.futures.owned[:, :, :1]).all()
    assert (part.futures.owned[:, 0, -1] < part.futures.owned[:, 0, 0]).all()
    assert np.array_equal(part.futures.owned[:, 1], plain.futures.owned[:, 1])
    assert part.standing.shape == (COUNT, 2, 18)
