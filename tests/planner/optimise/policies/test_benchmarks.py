"""Rivals do what their names say, see only the past, and keep the caps."""

from dataclasses import replace

import numpy as np
import pytest

from planner.optimise.policies.benchmarks import (
    base_stock,
    everything_now,
    first_cleared,
    nine_month_mrp,
    nothing_until_cleared,
    only_from,
    placed_when_cleared,
)

SHAPE = {"P": 2, "S": 4, "R": 1, "T": 12, "spot_cap": 80}


@pytest.fixture(name="pair", scope="module")
def pair_fixture(synthetic):
    return synthetic(150, seed=1, **SHAPE), synthetic(200, seed=2, **SHAPE)


def keeps_caps(futures, orders):
    for s, source in enumerate(futures.purchases):
        by_month = orders[..., s, :].sum(axis=-2)
        assert by_month.max() <= source.monthly_cap
        assert by_month.sum(axis=-1).max() <= source.total_cap
        assert np.all(orders[..., s, :] % source.lot_gpus == 0)


def test_nothing_is_ordered_before_the_gates_are_seen_passing(pair):
    train, validate = pair
    benchmark = nothing_until_cleared(train, validate, 0.8, validate)
    ordered = benchmark.plan.orders.sum(axis=1) > 0
    assert ordered.any()
    assert not ordered[~validate.passing].any()
    keeps_caps(validate, benchmark.plan.orders)


def test_an_order_waits_for_the_first_cleared_month(synthetic):
    futures = synthetic(2, P=1, S=1, R=0, T=5)
    passing = np.array([[[False, False, True, False, True]], [[False] * 5]])
    futures = replace(futures, passing=passing)
    np.testing.assert_array_equal(first_cleared(futures)[0, 0], [2, 2, 2, 4, 4])
    wanted = np.array([[[8, 0, 8, 16, 0]]])
    placed = placed_when_cleared(futures, wanted)
    np.testing.assert_array_equal(placed[0, 0, 0], [0, 0, 16, 0, 16])
    assert not placed[1].any()


def test_what_the_cap_cuts_off_waits_for_the_next_cleared_month(synthetic):
    futures = synthetic(1, P=1, S=1, R=0, T=4)
    source = replace(futures.purchases[0], monthly_cap=20.0)  # two lots of eight
    futures = replace(futures, purchases=(source,), passing=np.array([[[False, True, True, True]]]))
    placed = placed_when_cleared(futures, np.array([[[40, 0, 0, 0]]]))
    np.testing.assert_array_equal(placed[0, 0, 0], [0, 16, 16, 8])


def test_everything_now_orders_in_the_first_month_only(pair):
    benchmark = everything_now(*pair, 0.9)
    assert benchmark.plan.orders[..., 0].sum() > 0
    assert not benchmark.plan.orders[..., 1:].any()
    keeps_caps(pair[0], benchmark.plan.orders)


def test_mrp_looks_nine_months_ahead_and_no_further(pair):
    benchmark = nine_month_mrp(*pair)
    assert not benchmark.plan.orders[..., 12 - 9 :].any()
    keeps_caps(pair[0], benchmark.plan.orders)
    # Believed capacity covers the mean gap of month 9 + m wherever caps leave room: the wafer source has none.
    assert benchmark.plan.orders[..., :3].sum() > 0


def test_base_stock_orders_by_what_it_has_seen_so_far(pair):
    """Futures that agree up to a month get the same orders up to that month."""
    train, validate = pair
    changed = validate.need.copy()
    changed[:, :, 6:] *= 1.5
    here = base_stock(train, validate, 0.9).plan.orders
    there = base_stock(train, replace(validate, need=changed), 0.9).plan.orders
    np.testing.assert_array_equal(here[..., :6], there[..., :6])
    assert there[..., 6:].sum() > here[..., 6:].sum()
    keeps_caps(validate, here)


def test_only_from_orders_from_the_named_sources(pair):
    benchmark = only_from("domestic-only", *pair, 0.8, ["source-3"], pair[1])
    assert benchmark.name == "domestic-only"
    assert not benchmark.plan.orders[:, [0, 1, 2]].any()


def test_rent_only_orders_nothing(pair):
    benchmark = only_from("rent-only", *pair, 0.8, [], pair[1])
    assert not benchmark.plan.orders.any()
    assert benchmark.plan.reserved.any()
