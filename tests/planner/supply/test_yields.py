"""Pieces that are scrapped on the way, against counts worked out by hand."""

import datetime as dt

import numpy as np
import pytest

from planner.sampling import Constant, Key, Triangular
from planner.supply.durations import process_yields
from planner.supply.network.gate import Always, Effect, Fate, Gate, Point, Scripted, State
from planner.supply.network.route import Route, Side, Stage
from planner.supply.network.spec import Allotment, Orders, Source, SupplySpec
from planner.supply.outcomes import UNSEEN, Outcome
from planner.supply.simulate import simulate

DAY = 1440
START = dt.date(2025, 1, 1)


@pytest.fixture(params=["simpy", "fast"])
def engine(request):
    return request.param


def run(engine, steps, lots=((0, 16),), replications=1, gates=(), lines=(), **terms):
    """Deliveries of lots (placed on day, GPUs) over ``steps``."""
    source = Source("s", "H20-96GB", Route(tuple(steps)), tuple(gate.name for gate in gates), **terms)
    spec = SupplySpec(START, 1000 * DAY, (source,), tuple(gates), tuple(lines))
    orders = Orders.of((0, 0, k, 0, gpus, round(at * DAY)) for k, (at, gpus) in enumerate(lots))
    return simulate(spec, orders, Key(1), range(replications), engine=engine)


FAB = Stage("fab", Constant(10.0), yields=Constant(0.75))
TEST = Stage("test", Constant(5.0), yields=Constant(0.5))


def test_sixteen_pieces_through_three_quarters_and_a_half_leave_six(engine):
    made = run(engine, [FAB, TEST])
    assert made.brought.tolist() == [[6]]
    assert made.scrapped().tolist() == [10]
    assert [made.gpus(outcome)[0] for outcome in Outcome] == [0, 6, 0, 0]


@pytest.mark.parametrize(("prepaid", "paid", "back"), [(0.3, 0.375, 0.0), (0.375, 0.375, 0.0), (1.0, 1.0, 0.625)])
def test_only_what_is_good_is_paid_for(engine, prepaid, paid, back):
    made = run(engine, [FAB, TEST], prepayment=prepaid)
    assert made.paid_share[0, 0] == pytest.approx(paid)
    assert made.refunded_share[0, 0] == pytest.approx(back)


def test_the_fee_is_owed_on_what_is_good_at_the_release(engine):
    gate = Gate("g", "us", Always(State.OPEN), (Effect(), Effect(), Effect(), Effect(fee=0.2)))
    made = run(engine, [FAB, Point.RELEASE, TEST], gates=[gate])
    assert made.fee_share[0, 0] == pytest.approx(0.2 * 12 / 16)
    assert made.brought[0, 0] == 6


def test_an_allotment_gives_what_the_pieces_that_reach_it_need(engine):
    """12 of 16 pieces reach the second stage; 24 a period let two lots in, and the third on day 30."""
    second = Stage("cowos", Constant(1.0), "quota")
    made = run(engine, [FAB, second], [(0, 16)] * 3, lines=[Allotment("quota", 24, 30.0)])
    assert (made.delivered_at[0] / DAY).tolist() == [11, 11, 31]


def test_an_order_that_a_gate_ends_is_cancelled_with_all_that_was_ordered(engine):
    shut = (Effect(in_process=Fate.REVOKE), Effect(), Effect(), Effect())
    gate = Gate("g", "us", Always(State.OPEN), shut, (Scripted(12 * DAY, State.CLOSED),))
    made = run(engine, [FAB, TEST], gates=[gate], prepayment=0.4, refund=0.5)
    assert made.gpus(Outcome.CANCELLED).tolist() == [16]
    assert made.scrapped().tolist() == [0]
    assert made.refunded_share[0, 0] == pytest.approx(0.2)


def test_a_lot_of_which_nothing_is_good_brings_nothing_and_costs_nothing(engine):
    made = run(engine, [Stage("fab", Constant(1.0), yields=Constant(0.0))], prepayment=0.3)
    assert made.delivered.all()
    assert made.brought.tolist() == [[0]]
    assert made.paid_share[0, 0] == made.refunded_share[0, 0] == 0.3


def test_a_part_of_a_piece_counts_as_one_with_the_probability_of_that_part():
    """10 x 0.25: two or three pieces, 2.5 on average."""
    count = 4000
    made = run("fast", [Stage("fab", Constant(1.0), yields=Constant(0.25))], [(0, 10)], count)
    assert set(made.brought[:, 0].tolist()) == {2, 3}
    assert abs(made.brought.mean() - 2.5) <= 4 * 0.5 / np.sqrt(count)


def test_what_a_process_yields_is_common_to_its_lots_and_differs_between_replications():
    stage = Stage("fab", Constant(1.0), yields=Triangular(0.2, 0.3, 0.4))
    lots, count = [(0, 1000), (5, 1000), (90, 1000)], 400
    made = run("fast", [stage], lots, count)
    assert (np.ptp(made.brought, axis=1) <= 1).all()
    source = Source("s", "H20-96GB", Route((stage,)))
    shares = process_yields(source, Key(1), range(count))[0]
    assert np.abs(made.brought / 1000 - shares[:, None]).max() <= 0.001
    error = shares.std() / np.sqrt(count)
    assert abs(shares.mean() - 0.3) <= 4 * error


def test_yields_change_no_duration_and_lines_of_two_pools_lose_alike():
    law = Triangular(3.0, 5.0, 9.0)
    lossy, whole = (
        run("fast", [Stage("fab", law, yields=share)], [(0, 8), (4, 8)], 50) for share in (Constant(0.3), None)
    )
    assert np.array_equal(lossy.delivered_at, whole.delivered_at)
    assert whole.good_gpus is None
    source = Source("s", "H20-96GB", Route((Stage("fab", law, yields=Constant(0.3)),)))
    orders = Orders.of([(0, 0, 0, 0, 8, 0), (0, 0, 0, 1, 8, 0)])
    made = simulate(SupplySpec(START, 100 * DAY, (source,)), orders, Key(2), range(50), engine="fast")
    assert np.array_equal(made.brought[:, 0], made.brought[:, 1])


def test_orders_placed_in_minutes_of_their_own_fare_as_each_alone(engine):
    source = Source("s", "H20-96GB", Route((Stage("fab", Triangular(3.0, 5.0, 9.0)),)))
    spec = SupplySpec(START, 30 * DAY, (source,))
    placed = np.array([[0, 5 * DAY], [2 * DAY, 31 * DAY], [9 * DAY, 1]])
    orders = Orders(*(np.array(column) for column in ([0, 0], [0, 0], [0, 1], [0, 0], [8, 8])), placed)
    together = simulate(spec, orders, Key(3), range(3), engine=engine)
    for row in range(3):
        rows = [(0, 0, k, 0, 8, int(placed[row, k])) for k in range(2)]
        alone = simulate(spec, Orders.of(rows), Key(3), [row], engine=engine)
        assert alone.delivered_at[0].tolist() == together.delivered_at[row].tolist()
    assert together.accepted_at[1, 1] == UNSEEN
    with pytest.raises(ValueError, match="placed in 3 replications of 2"):
        simulate(spec, orders, Key(3), range(2), engine=engine)


def test_a_yield_beyond_one_and_a_yield_beside_the_route_are_refused():
    with pytest.raises(ValueError, match=r"a yield lies between 0 and 1 \(got 1.2 to 1.2\)"):
        Stage("fab", Constant(1.0), yields=Constant(1.2))
    with pytest.raises(ValueError, match="no pieces of its own to yield"):
        Side(FAB, "a", "b")
