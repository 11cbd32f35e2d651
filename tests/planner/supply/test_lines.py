"""Lines and allotments, against days worked out by hand."""

import datetime as dt

import pytest

from executor.errors import UserMistakeError
from planner.sampling import Constant, Key
from planner.supply.network.gate import Always, Effect, Fate, Gate, Scripted, State
from planner.supply.network.route import Route, Stage
from planner.supply.network.spec import Allotment, Cap, Line, Orders, Source, SupplySpec, While
from planner.supply.outcomes import Outcome
from planner.supply.simulate import simulate

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
    gate = Gate("g", "us", Always(State.OPEN), shut, (Scripted(10 * DAY, State.CLOSED), Scripted(11 * DAY, State.OPEN)))
    assert days(QUOTA, [(0, 8), (1, 12), (11, 4)], engine, [gate]) == [2, None, 13]


def test_work_under_an_allotment_holds_no_server(engine):
    assert days(QUOTA, [(0, 8), (0, 8)], engine, service=100.0) == [100, 100]


def test_a_lot_larger_than_the_allotment_is_the_users_mistake(engine):
    with pytest.raises(UserMistakeError, match="a lot of 24 GPUs never fits the allotment quota of 16 a period"):
        days(QUOTA, [(0, 24)], engine)


def test_a_line_serves_in_the_order_of_arrival_then_of_rank(engine):
    assert days(Line("line", 1), [(1, 8), (0, 8), (1, 8)], engine) == [4, 2, 6]


def test_own_orders_lengthen_own_lead_time(engine):
    few, many = (days(Line("line", 2), [(0, 8)] * n, engine) for n in (2, 8))
    assert max(few) == 2
    assert max(many) == 8


CAP = Cap("cap", gpus=24)


def test_a_cap_lets_in_what_it_has_and_turns_the_rest_away_for_good(engine):
    assert days(CAP, [(0, 8), (40, 8), (80, 8), (120, 8), (500, 8)], engine) == [2, 42, 82, None, None]


def test_a_lot_that_no_longer_fits_is_turned_away_and_a_smaller_one_still_fits(engine):
    assert days(CAP, [(0, 16), (1, 16), (2, 8)], engine) == [2, None, 4]


def test_a_lot_that_is_turned_away_ends_at_once_with_the_sources_refund(engine):
    route = Route((Stage("slot", Constant(3.0)), Stage("work", Constant(2.0), "cap")))
    source = Source("s", "H20-96GB", route, prepayment=0.4, refund=0.5)
    spec = SupplySpec(START, 1000 * DAY, (source,), (), (CAP,))
    orders = Orders.of((0, 0, k, 0, 16, k * DAY) for k in range(2))
    made = simulate(spec, orders, Key(1), range(1), engine=engine)
    assert made.outcome[0].tolist() == [Outcome.DELIVERED, Outcome.REFUSED]
    assert made.ended_at[0].tolist() == [-1, 4 * DAY]
    assert made.refunded_share[0].tolist() == [0.0, pytest.approx(0.2)]


def test_a_customers_cap_counts_what_all_sources_bring(engine):
    """75,000 in all: 50,000 H200, then 20,000 MI325X, then there are 5,000 left."""
    cap = Cap("per customer", 75_000)
    sources = tuple(
        Source(name, sku, Route((Stage("licence", Constant(1.0), "per customer"),)))
        for name, sku in (("h200", "H200-SXM"), ("mi325x", "MI325X"))
    )
    spec = SupplySpec(START, 1000 * DAY, sources, (), (cap,))
    rows = [
        (0, 0, 0, 0, 50_000, 0),
        (1, 1, 0, 0, 20_000, DAY),
        (0, 2, 0, 0, 6_000, 2 * DAY),
        (1, 3, 0, 0, 5_000, 3 * DAY),
    ]
    made = simulate(spec, Orders.of(rows), Key(1), range(1), engine=engine)
    assert (made.delivered_at[0] // DAY).tolist() == [1, 2, -1, 4]
    assert made.gpus(Outcome.DELIVERED).tolist() == [75_000]


def test_what_a_gate_ends_after_it_has_started_stays_counted(engine):
    shut = (Effect(in_process=Fate.REVOKE), Effect(), Effect(), Effect())
    changes = (Scripted(1 * DAY, State.CLOSED), Scripted(5 * DAY, State.OPEN))
    gate = Gate("g", "us", Always(State.OPEN), shut, changes)
    assert days(CAP, [(0, 16), (6, 16), (7, 8)], engine, [gate]) == [None, None, 9]


def test_a_revocation_in_the_minute_of_arrival_takes_nothing_of_a_cap(engine):
    """The first lot comes to the cap on day 3, as the gate shuts: it is revoked and the 16 stay for the second."""
    shut = (Effect(in_process=Fate.REVOKE), Effect(), Effect(), Effect())
    changes = (Scripted(3 * DAY, State.CLOSED), Scripted(4 * DAY, State.OPEN))
    gate = Gate("g", "us", Always(State.OPEN), shut, changes)
    route = Route((Stage("slot", Constant(3.0)), Stage("work", Constant(2.0), "cap")))
    spec = SupplySpec(START, 1000 * DAY, (Source("s", "H20-96GB", route, ("g",)),), (gate,), (Cap("cap", 16),))
    orders = Orders.of([(0, 0, 0, 0, 16, 0), (0, 0, 1, 0, 16, 4 * DAY)])
    made = simulate(spec, orders, Key(1), range(1), engine=engine)
    assert made.outcome[0].tolist() == [Outcome.CANCELLED, Outcome.DELIVERED]


def test_a_spec_without_its_caps_lets_everything_through():
    route = Route((Stage("work", Constant(2.0), "cap"), Stage("more", Constant(1.0), "line")))
    spec = SupplySpec(START, 1000 * DAY, (Source("s", "H20-96GB", route),), (), (CAP, Line("line", 1)))
    assert [stage.line for stage in spec.uncapped().sources[0].route.stages] == [None, "line"]
    orders = Orders.of((0, 0, k, 0, 8, 0) for k in range(5))
    assert simulate(spec.uncapped(), orders, Key(1), range(1)).delivered.all()


def conditional_from(*changes, start=State.OPEN):
    """A gate that changes on given days and stops nothing; and when the quantity binds."""
    events = tuple(Scripted(round(at * DAY), state) for at, state in changes)
    return Gate("g", "us", Always(start), events=events), While("g", (State.CONDITIONAL,))


def test_a_cap_that_binds_case_by_case_counts_only_what_starts_then(engine):
    gate, case_by_case = conditional_from((10, State.CONDITIONAL), (50, State.OPEN))
    cap = Cap("cap", 16, case_by_case)
    lots = [(0, 16), (9, 16), (10, 8), (20, 16), (21, 8), (22, 8), (50, 16)]
    assert days(cap, lots, engine, [gate]) == [2, 11, 12, None, 23, None, 52]


def test_those_who_wait_for_a_period_go_on_when_the_allotment_no_longer_binds(engine):
    """Two lots of 8 fit into the first period of 30 days; on day 20 the gate opens and lets the others through."""
    gate, case_by_case = conditional_from((20, State.OPEN), start=State.CONDITIONAL)
    quota = Allotment("quota", 16, 30.0, case_by_case)
    assert days(quota, [(0, 8)] * 4 + [(25, 80)], engine, [gate]) == [2, 2, 22, 22, 27]


def test_what_passed_uncounted_leaves_the_period_whole(engine):
    gate, case_by_case = conditional_from((20, State.CONDITIONAL))
    quota = Allotment("quota", 16, 30.0, case_by_case)
    lots = [(0, 16), (1, 16), (20, 16), (21, 8)]
    assert days(quota, lots, engine, [gate]) == [2, 3, 22, 32]


def test_a_lot_revoked_in_the_minute_in_which_the_allotment_stops_binding_takes_nothing(engine):
    """The gate opens the quota on day 20 as another gate revokes all that is in process; the period is whole after."""
    quota_gate, case_by_case = conditional_from((20, State.OPEN), (21, State.CONDITIONAL), start=State.CONDITIONAL)
    shut = (Effect(in_process=Fate.REVOKE), Effect(), Effect(), Effect())
    other = Gate(
        "h", "cn", Always(State.OPEN), shut, (Scripted(20 * DAY, State.CLOSED), Scripted(21 * DAY, State.OPEN))
    )
    quota = Allotment("quota", 16, 30.0, case_by_case)
    lots = [(0, 16), (1, 16), (31, 16), (32, 16)]
    assert days(quota, lots, engine, [quota_gate, other]) == [2, None, 33, 62]


def test_a_quantity_that_binds_at_a_gate_asks_for_sources_that_pass_it():
    _, case_by_case = conditional_from()
    route = Route((Stage("work", Constant(2.0), "cap"),))
    with pytest.raises(ValueError, match="source s: cap binds in states of g, not among its gates"):
        SupplySpec(START, DAY, (Source("s", "H20-96GB", route),), (), (Cap("cap", 16, case_by_case),))
