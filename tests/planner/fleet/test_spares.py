"""The shelf of spares, against counts worked out by hand."""

import numpy as np
import pytest

from planner.fleet.spares import NEVER, Bought, SparePool, base_stock, failure_minutes, replaced
from planner.sampling import Key

DAY = 1440


def on_hand(pool, minute):
    """Spares on the shelf, by replication."""
    return np.maximum(pool.spares - pool.on_order(minute), 0)


def test_two_spares_cover_two_failures_and_the_third_leaves_a_place_empty():
    """Failures on days 1, 2 and 3, back on days 10, 4 and 12: on order 1, 2, 3, then 2 from day 4 on."""
    days = np.array([[1, 2, 3]]), np.array([[10, 4, 12]])
    pool = SparePool(2, *(column * DAY for column in days))
    assert [int(pool.on_order(day * DAY)[0]) for day in (0, 1, 2, 3, 4, 10, 12)] == [0, 1, 2, 3, 2, 1, 0]
    assert [int(pool.missing(day * DAY)[0]) for day in (2, 3, 4)] == [0, 1, 0]
    assert [int(on_hand(pool, day * DAY)[0]) for day in (0, 1, 2, 3, 4, 10, 12)] == [2, 1, 0, 0, 0, 1, 2]


def test_on_hand_and_on_order_add_up_to_the_base_stock_less_the_empty_places():
    failed = failure_minutes(0.3, 400 * DAY, Key(1), range(50), entity=7)
    pool = SparePool(4, failed, np.where(failed < NEVER, failed + 20 * DAY, NEVER))
    for day in (0, 50, 399):
        at = day * DAY
        assert (on_hand(pool, at) + pool.on_order(at) - pool.missing(at) == 4).all()


def test_failures_come_at_their_rate_and_none_outside_their_time():
    count, days = 400, 1000
    failed = failure_minutes(0.2, days * DAY, Key(1), range(count), entity=7, start=100 * DAY)
    seen = failed < NEVER
    assert (failed[seen] >= 100 * DAY).all()
    assert (failed[seen] < days * DAY).all()
    numbers = seen.sum(axis=1)  # Poisson with mean 180
    assert abs(numbers.mean() - 180) <= 4 * np.sqrt(180 / count)
    assert abs(numbers.var() / 180 - 1) <= 4 * np.sqrt(2 / count)
    assert (np.diff(np.sort(failed, axis=1), axis=1) >= 0).all()


def test_failures_of_a_replication_alone_and_over_a_longer_time_are_the_same():
    many = failure_minutes(0.2, 500 * DAY, Key(1), range(20), entity=7)
    alone = failure_minutes(0.2, 500 * DAY, Key(1), [13], entity=7)
    longer = failure_minutes(0.2, 900 * DAY, Key(1), [13], entity=7)
    own = many[13][many[13] < NEVER]
    assert alone[0][alone[0] < NEVER].tolist() == own.tolist()
    assert longer[0][: len(own)].tolist() == own.tolist()


def test_a_fleet_that_never_fails_orders_nothing():
    assert failure_minutes(0.0, 500 * DAY, Key(1), range(3), entity=7).shape == (3, 0)
    assert failure_minutes(1.0, 0, Key(1), range(3), entity=7).shape == (3, 0)
    empty = np.full((3, 0), NEVER)
    assert on_hand(SparePool(2, empty, empty), 5).tolist() == [2, 2, 2]


def test_an_order_that_ended_is_placed_again_until_it_is_delivered():
    """The first attempt ends 5 minutes after the order, the second is delivered after 7."""
    asked = []

    def buy(placed, orders, attempt):
        asked.append((attempt, placed.tolist(), orders.tolist()))
        none = np.full(placed.shape, -1)
        ordered = placed < NEVER
        if attempt == 0:
            late = ordered & (orders == 1)
            return Bought(np.where(ordered & ~late, placed + 3, none), np.where(late, placed + 5, none))
        return Bought(np.where(ordered, placed + 7, none), none)

    failed = np.array([[10, 20], [11, NEVER]])
    back = replaced(failed, buy, again=lambda ended: ended + 100)
    assert back.tolist() == [[13, 132], [14, NEVER]]
    assert asked == [(0, [[10, 20], [11, NEVER]], [0, 1]), (1, [[125], [NEVER]], [1])]


def test_the_pool_is_sized_for_the_worst_of_the_looks():
    """Of ten futures one has three on order, two have two, the others one: nine in ten keep one on the shelf with 3."""
    on_order = [3, 2, 2, 1, 1, 1, 1, 1, 1, 1]
    failed = np.array([[0] * n + [NEVER] * (3 - n) for n in on_order])
    pool = SparePool(0, failed, np.full_like(failed, NEVER))
    assert [pool.sized([5], ready) for ready in (0.7, 0.9, 0.91)] == [2, 3, 4]
    assert on_hand(SparePool(3, failed, pool.back_at), 5).astype(bool).mean() == 0.9


@pytest.mark.parametrize(("ready", "level"), [(0.0, 0), (0.018, 1), (0.019, 2), (0.785, 6), (0.786, 7)])
def test_a_base_stock_level_is_the_fewest_that_keep_the_ready_rate(ready, level):
    """X ~ Poisson(4): P(X = 0) = 0.0183, P(X < 6) = 0.78513."""
    assert base_stock(4.0, ready) == level
