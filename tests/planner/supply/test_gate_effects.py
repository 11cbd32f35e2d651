"""Each choice a gate can make, against a hand-computed day."""

import numpy as np
import pytest

from planner.sampling import Constant
from planner.supply.network.gate import Effect, Fate, Passage, Point, Review, State
from planner.supply.network.route import Side, Stage
from planner.supply.outcomes import Outcome

ROUTE = (("fab", 10), Point.RELEASE, ("pack", 2), Point.TRANSIT, ("freight", 5), Point.RECEIPT, ("install", 3))
CLOSED, PROMISED, CONDITIONAL, OPEN = State


def days(array):
    return [value / 1440 for value in np.ravel(array).tolist()]


@pytest.fixture(params=["simpy", "fast"])
def engine(request):
    return request.param


def test_without_gates_a_lot_takes_the_sum_of_its_stages(plain, engine):
    made = plain(ROUTE, placed=(0, 7), prepayment=0.3, engine=engine)
    assert days(made.delivered_at) == [20, 27]
    assert days(made.released_at) == [10, 17]
    assert made.paid_share.tolist() == [[1.0, 1.0]]
    assert made.refunded_share.sum() == made.fee_share.sum() == 0


@pytest.mark.parametrize(
    ("effect", "closed", "delivered"),
    [
        ({"order": Passage.HOLD}, (0, 4), 24),
        ({"release": Passage.HOLD}, (9, 15), 25),
        ({"release": Passage.HOLD}, (11, 15), 20),
        ({"transit": Passage.HOLD}, (11, 15), 23),
        ({"receipt": Passage.HOLD}, (16, 30), 33),
        ({"in_process": Fate.HOLD}, (4, 7), 23),
        ({"in_process": Fate.HOLD}, (11, 14), 20),
        ({"in_transit": Fate.HOLD}, (11, 14), 23),
        ({"in_transit": Fate.HOLD}, (4, 7), 20),
    ],
    ids=lambda value: "-".join(map(str, value)) if isinstance(value, dict) else None,
)
def test_a_hold_costs_the_days_that_it_overlaps(plain, script, engine, effect, closed, delivered):
    gate = script({CLOSED: Effect(**effect)}, [(closed[0], CLOSED), (closed[1], OPEN)])
    assert days(plain(ROUTE, gates=[gate], engine=engine).delivered_at) == [delivered]


@pytest.mark.parametrize(
    ("point", "closes", "ended"), [("order", 0, 0), ("release", 3, 10), ("transit", 3, 12), ("receipt", 3, 17)]
)
def test_a_refusal_ends_the_order_where_it_stands(plain, script, engine, point, closes, ended):
    gate = script({CLOSED: Effect(**{point: Passage.REFUSE})}, [(closes, CLOSED)])
    made = plain(ROUTE, gates=[gate], prepayment=0.4, refund=0.5, engine=engine)
    assert made.outcome.tolist() == [[Outcome.REFUSED]]
    assert days(made.ended_at) == [ended]
    paid = 0.0 if point == "order" else 0.4
    assert made.paid_share.tolist() == [[paid]]
    assert made.refunded_share.tolist() == [[paid * 0.5]]


def test_one_who_waits_is_refused_when_the_gate_turns_from_hold_to_refuse(plain, script, engine):
    effects = {CLOSED: Effect(release=Passage.HOLD), PROMISED: Effect(release=Passage.REFUSE)}
    made = plain(ROUTE, gates=[script(effects, [(5, CLOSED), (14, PROMISED)])], engine=engine)
    assert made.outcome.tolist() == [[Outcome.REFUSED]]
    assert days(made.ended_at) == [14]


@pytest.mark.parametrize(
    ("fate", "enters", "ended"), [("in_process", 6, 6), ("in_process", 10, 10), ("in_transit", 12, 12)]
)
def test_a_revocation_ends_what_is_there_with_the_gates_own_refund(plain, script, engine, fate, enters, ended):
    gate = script({CLOSED: Effect(**{fate: Fate.REVOKE}, refund=0.25)}, [(enters, CLOSED)])
    made = plain(ROUTE, gates=[gate], prepayment=0.8, refund=1.0, engine=engine)
    assert made.outcome.tolist() == [[Outcome.CANCELLED]]
    assert days(made.ended_at) == [ended]
    assert made.refunded_share.tolist() == [[0.2]]


@pytest.mark.parametrize(("fate", "enters"), [("in_process", 0), ("in_process", 11), ("in_transit", 18)])
def test_a_revocation_spares_what_is_not_there(plain, script, engine, fate, enters):
    gate = script({CLOSED: Effect(**{fate: Fate.REVOKE})}, [(enters, CLOSED)])
    assert days(plain(ROUTE, gates=[gate], engine=engine).delivered_at) == [20]


@pytest.mark.parametrize(("binding", "paid", "back"), [(False, 0.3, 0.075), (True, 1.0, 0.25)])
def test_a_binding_order_owes_the_whole_price_when_a_gate_ends_it(plain, script, engine, binding, paid, back):
    gate = script({CLOSED: Effect(in_process=Fate.REVOKE)}, [(4, CLOSED)])
    made = plain(ROUTE, gates=[gate], prepayment=0.3, refund=0.25, binding=binding, engine=engine)
    assert days(made.ended_at) == [4]
    assert made.paid_share.tolist() == [[pytest.approx(paid)]]
    assert made.refunded_share.tolist() == [[pytest.approx(back)]]


def test_a_binding_order_that_nobody_accepted_or_that_arrives_costs_no_more_than_another(plain, script, engine):
    gate = script({CLOSED: Effect(order=Passage.HOLD)}, [], start=CLOSED)
    lapsed = plain(ROUTE, gates=[gate], prepayment=0.3, binding=True, order_valid_days=30, engine=engine)
    assert days(lapsed.ended_at) == [30]
    assert lapsed.paid_share.sum() == lapsed.refunded_share.sum() == 0
    served = plain(ROUTE, prepayment=0.3, binding=True, engine=engine)
    assert (served.paid_share.sum(), served.refunded_share.sum()) == (pytest.approx(1.0), 0)


def test_an_order_that_nobody_accepts_lapses_at_no_cost(plain, script, engine):
    gate = script({CLOSED: Effect(order=Passage.HOLD)}, [(0, CLOSED), (31, OPEN)])
    made = plain(ROUTE, placed=(0, 1, 2), gates=[gate], order_valid_days=30, prepayment=0.5, engine=engine)
    assert made.outcome.tolist() == [[Outcome.CANCELLED, Outcome.DELIVERED, Outcome.DELIVERED]]
    assert days(made.ended_at)[0] == 30
    assert made.paid_share.tolist() == [[0.0, 1.0, 1.0]]  # the second is accepted on its last day


def test_a_review_runs_beside_the_work_and_release_waits_for_it(plain, script, engine):
    slow = script({CONDITIONAL: Effect(review=Review(Constant(25)))}, [(0, CONDITIONAL), (2, OPEN)])
    quick = script({CONDITIONAL: Effect(review=Review(Constant(4)))}, [(0, CONDITIONAL)])
    assert days(plain(ROUTE, gates=[slow], engine=engine).delivered_at) == [35]
    assert days(plain(ROUTE, gates=[quick], engine=engine).delivered_at) == [20]


def test_a_review_that_ends_badly_ends_the_order_on_its_day(plain, script, engine):
    review = Review(Constant(4), approval=0.0, resubmissions=1)
    gate = script({CONDITIONAL: Effect(review=review)}, [(0, CONDITIONAL)])
    made = plain(ROUTE, gates=[gate], prepayment=0.3, engine=engine)
    assert made.outcome.tolist() == [[Outcome.REFUSED]]
    assert days(made.ended_at) == [8]
    assert made.refunded_share.tolist() == [[0.3]]


def test_an_order_accepted_freely_needs_its_review_at_a_release_that_asks_for_one(plain, script, engine):
    asks = {CONDITIONAL: Effect(review=Review(Constant(6)))}
    assert days(plain(ROUTE, gates=[script(asks, [(5, CONDITIONAL)])], engine=engine).delivered_at) == [26]
    shut = {**asks, CLOSED: Effect(release=Passage.HOLD)}
    gate = script(shut, [(5, CONDITIONAL), (12, CLOSED), (20, CONDITIONAL)])
    assert days(plain(ROUTE, gates=[gate], engine=engine).delivered_at) == [30]


def test_fees_of_all_gates_are_owed_in_the_state_of_the_release(plain, script, engine):
    first = script({OPEN: Effect(fee=0.15), CLOSED: Effect(fee=0.5)}, [(11, CLOSED)], name="first")
    second = script({OPEN: Effect(fee=0.25)}, [], name="second")
    made = plain(ROUTE, gates=[first, second], engine=engine)
    assert made.fee_share.tolist() == [[pytest.approx(0.4)]]


def test_two_gates_must_be_open_at_the_same_time(plain, script, engine):
    shut = {CLOSED: Effect(release=Passage.HOLD)}
    one = script(shut, [(8, CLOSED), (14, OPEN), (18, CLOSED), (30, OPEN)], name="one")
    two = script(shut, [(9, CLOSED), (18, OPEN), (40, CLOSED)], name="two")
    made = plain(ROUTE, gates=[one, two], engine=engine)
    assert days(made.released_at) == [30]  # on day 18 one closes in the minute in which two opens


def test_hbm_beside_the_first_stages_delays_only_what_it_outlasts(plain, engine):
    steps = (("fab", 10), ("sort", 2), ("cowos", 5))
    short = Side(Stage("hbm", Constant(11)), "fab", "cowos")
    long = Side(Stage("hbm", Constant(20)), "fab", "cowos")
    assert days(plain(steps, sides=(short,), engine=engine).delivered_at) == [17]
    assert days(plain(steps, sides=(long,), engine=engine).delivered_at) == [25]


def test_work_beside_the_route_stands_still_with_it(plain, script, engine):
    steps = (("fab", 10), ("cowos", 5), Point.RELEASE, ("freight", 1))
    hbm = Side(Stage("hbm", Constant(14)), "fab", "cowos")
    gate = script({CLOSED: Effect(in_process=Fate.HOLD)}, [(10, CLOSED), (13, OPEN), (15, CLOSED), (16, OPEN)])
    made = plain(steps, sides=(hbm,), gates=[gate], engine=engine)
    assert days(made.delivered_at) == [24]  # 14 days of HBM + 5 + 1, and 3 + 1 days stood still


def test_what_happens_at_the_horizon_is_not_seen(plain, engine):
    made = plain(ROUTE, placed=(0,), horizon_days=20, prepayment=0.3, engine=engine)
    assert made.outcome.tolist() == [[Outcome.IN_PIPELINE]]
    assert made.paid_share.tolist() == [[0.3]]
    assert plain(ROUTE, horizon_days=21, engine=engine).outcome.tolist() == [[Outcome.DELIVERED]]


def test_the_trace_has_a_row_for_every_visit(plain, script):
    gate = script({CLOSED: Effect(release=Passage.HOLD)}, [(9, CLOSED), (15, OPEN)])
    events = plain(ROUTE, gates=[gate], horizon_days=20, trace=True).events
    rows = [(int(e["visit"]), e["enter"] / 1440, e["leave"] / 1440) for e in events]
    assert rows == [(0, 0, 0), (1, 0, 10), (2, 10, 15), (3, 15, 17), (4, 17, 17), (5, 17, -1 / 1440)]


def test_a_review_whose_no_would_come_after_the_horizon_keeps_the_order_waiting(plain, script, engine):
    review = Review(Constant(3), approval=0.0, resubmissions=1)
    gate = script({CONDITIONAL: Effect(review=review)}, [(0, CONDITIONAL)])
    made = plain((("fab", 1), Point.RELEASE), gates=[gate], horizon_days=6 - 1 / 1440, engine=engine)
    assert made.outcome.tolist() == [[Outcome.IN_PIPELINE]]
    assert made.released_at.tolist() == [[-1]]
