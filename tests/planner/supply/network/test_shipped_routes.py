"""The shipped routes, against the facts they stand on."""

import datetime as dt

import numpy as np
import pytest

from planner.sampling import Key
from planner.supply.durations import draw_durations, longest_chain
from planner.supply.network.shipped_routes import ENTRIES, route
from planner.supply.network.spec import Orders, Source, SupplySpec
from planner.supply.simulate import simulate

MANY = range(4000)
DAY = 1440


def world(entry, product="H20", months=1, lots=1):
    imported = entry != "domestic"
    sources = (Source(entry, "H20-96GB", route(entry, product, imported=imported)),)
    spec = SupplySpec(dt.date(2025, 7, 16), 1200 * DAY, sources)
    rows = [(0, m, k, 0, 8, m * 31 * DAY) for m in range(months) for k in range(lots)]
    return spec, Orders.of(rows)


def vendor_days(made):
    return (made.released_at - made.accepted_at)[:, 0] / DAY


def test_new_wafers_keep_the_vendors_nine_months():
    """243, 270, 301 days (Huang, 16 Jul 2025, a month either way): the law of the whole chain, HBM included."""
    spec, orders = world("new-wafers")
    days = vendor_days(simulate(spec, orders, Key(1), range(500)))
    assert days.min() >= 243
    assert days.max() <= 301
    assert np.median(days) == pytest.approx(271, abs=3)  # standard error of the median of 500 is about 0.7


def test_new_wafers_are_never_delivered_before_eight_months_nor_promised_before_nine():
    spec, orders = world("new-wafers")
    made = simulate(spec, orders, Key(1), range(500))
    assert made.delivered[:, 0].all()
    days = (made.delivered_at - orders.placed_at)[:, 0] / DAY
    assert days.min() > 243
    assert np.median(days) > 274


def test_stages_of_new_wafers_add_up_to_the_total_with_hbm_joining_at_cowos():
    spec, orders = world("new-wafers")
    (durations,) = draw_durations(spec, orders, Key(1), MANY)
    chain = longest_chain(spec.sources[0].route, durations.minutes)[:, 0] / DAY
    assert chain.min() >= 243 - 0.01  # eight roundings of half a minute
    assert chain.max() <= 301 + 0.01
    fab, sort, hbm = durations.minutes[0:2].sum(axis=0), durations.minutes[2], durations.minutes[-1]
    assert 0.1 < (hbm > fab + sort).mean() < 0.95  # HBM binds in some futures and not in others


@pytest.mark.parametrize(
    ("entry", "low", "high"), [("finished-stock", 3, 30), ("part-finished", 30, 120), ("domestic", 270, 365)]
)
def test_the_other_entry_points_take_their_sourced_days(entry, low, high):
    spec, orders = world(entry)
    days = vendor_days(simulate(spec, orders, Key(1), range(300)))
    assert low <= days.min()
    assert days.max() <= high


def test_entry_points_come_in_the_order_of_what_is_left_to_do():
    medians = {}
    for entry in ENTRIES:
        spec, orders = world(entry)
        made = simulate(spec, orders, Key(1), range(300))
        assert made.delivered.all()
        medians[entry] = np.median(made.delivered_at - orders.placed_at)
    assert medians["finished-stock"] < medians["part-finished"] < medians["new-wafers"]


def test_lots_of_one_quarter_are_slow_together_and_lots_of_two_quarters_are_not():
    spec, orders = world("new-wafers", months=4, lots=2)  # July 2025 .. October 2025, two lots each
    (durations,) = draw_durations(spec, orders, Key(1), MANY)
    days = longest_chain(spec.sources[0].route, durations.minutes).astype(float)
    correlation = np.corrcoef(days.T)
    assert correlation[0, 1] == pytest.approx(0.7, abs=0.05)  # 0.7 on the normal scale; the triangle bends it a little
    assert correlation[0, 2] == pytest.approx(0.7, abs=0.05)
    assert abs(correlation[0, 6]) < 0.07  # independent: four standard errors of 4,000 draws


def test_h200_goods_touch_the_united_states_first():
    assert "us_lab_test" in route("new-wafers", "H200").visits
    assert "us_lab_test" not in route("new-wafers", "H20").visits


def test_an_unknown_entry_point_is_refused():
    with pytest.raises(ValueError, match="an entry point is one of"):
        route("second-hand")
