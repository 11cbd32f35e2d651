"""Lines and allotments, against days worked out by hand."""

import datetime as dt

import pytest

from planner.chance import Constant, Key
from planner.errors import UserMistakeError
from planner.supply import (
    Allotment,
    Always,
    Effect,
    Fate,
    Gate,
    Line,
    Orders,
    Route,
    Scripted,
    Source,
    Stage,
    State,
    SupplySpec,
    simulate,
)

DAY = 1440
START = dt.date(2025, 1, 1)
QUOTA = Allotment("quota", gpus=16, period_days=30)


@pytest.fixture(params=["simpy", "fast"])
def engine(request):
    return request.param


def days(line, lots, engine, gates=(), service=2.0):
    """Delivery days of lots (placed on day, GPUs) that need a line for ``service`` days."""
    route = Route((Stage("work", Constant(service), line.name),))
    source = Source("s", "H20-96GB", route, tuple(gate.name for gate in gates))
    spec = SupplySpec(START, 1000 * DAY, (source,), tuple(gates), (line,))
    orders = Orders.of((0, 0, k, 0, gpus, round(at * DAY)) for k, (at, gpus) in enumerate(lots))
    made = simulate(spec, orders, Key(1), range(1), engine=engine)
    return [at / DAY if at >= 0 else None for at in made.delivered_at[0].tolist()]


def test_an_allotment_lets_in_a_period_what_it_has_and_no_more(engine):
    assert days(QUOTA, [(0, 8)] * 5, engine) == [2, 2, 32, 32, 62]


def test_what_a_period_leaves_over_lapses(engine):
    assert days(QUOTA, [(45, 16), (46, 8), (47, 8), (48, 8)], engine) == [47, 62, 62, 92]


def test_a_lot_that_does_not_fit_holds_up_a_smaller_one_behind_it(engine):
    assert days(QUOTA, [(0, 8), (1, 12), (2, 4)], engine) == [2, 32, 32]


def test_one_who_leaves_the_line_lets_in_those_behind_it(engine):
    """Revoked on day 10, the lot of 12 makes room for the lot of 4, which came on day 11 from another order."""
    shut = (Effect(in_process=Fate.REVOKE), Effect(), Effect(), Effect())
    gate = Gate(
        "g",
        "us",
        Always(State.OPEN),
        shut,
        (Scripted(10 * DAY, State.CLOSED), Scripted(11 * DAY, State.OPEN)),
    )
    assert days(QUOTA, [(0, 8), (1, 12), (11, 4)], engine, [gate]) == [2, None, 13]


def test_work_under_an_allotment_holds_no_server(engine):
    assert days(QUOTA, [(0, 8), (0, 8)], engine, service=100.0) == [100, 100]


def test_a_lot_larger_than_the_allotment_is_the_users_mistake(engine):
    with pytest.raises(
        UserMistakeError, match="a lot of 24 GPUs never fits the allotment quota of 16 a period"
    ):
        days(QUOTA, [(0, 24)], engine)


def test_a_line_serves_in_the_order_of_arrival_then_of_rank(engine):
    assert days(Line("line", 1), [(1, 8), (0, 8), (1, 8)], engine) == [4, 2, 6]


def test_own_orders_lengthen_own_lead_time(engine):
    few, many = (days(Line("line", 2), [(0, 8)] * n, engine) for n in (2, 8))
    assert max(few) == 2
    assert max(many) == 8
