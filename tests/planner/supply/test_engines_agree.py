"""The two engines over random worlds: every integer equal, ties included.

Times are a few minutes each, so that changes, arrivals, revocations and orders fall on the same minute again and again.
"""

import datetime as dt
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.supply import same
from executor.errors import UnknownNameError
from planner.sampling import Constant, Key, Law
from planner.scenario.load import load
from planner.supply.fast_engine.engine import CannotExpressError
from planner.supply.network.from_scenario import candidate_orders, supply_spec
from planner.supply.network.gate import (
    Always,
    Dwell,
    Effect,
    Fate,
    Gate,
    OwnLaw,
    Passage,
    Point,
    Review,
    Scripted,
    State,
)
from planner.supply.network.route import Route, Side, Stage
from planner.supply.network.spec import Allotment, Cap, Line, Orders, Source, SupplySpec, While
from planner.supply.outcomes import Outcome
from planner.supply.simulate import simulate

LINES = ("fab", "cowos")
START = dt.date(2025, 1, 1)


@dataclass(frozen=True)
class Empirical(Law):
    """Values in ascending order, each equally likely."""

    values: tuple[float, ...]

    def quantile(self, u):
        return np.sort(self.values)[(np.asarray(u) * len(self.values)).astype(np.int64)]

    @property
    def mean(self):
        return float(np.mean(self.values))


@st.composite
def laws(draw, least=1, most=6):
    minutes = draw(st.lists(st.integers(least, most), min_size=1, max_size=3))
    return Empirical(tuple(minute / 1440 for minute in minutes))


@st.composite
def effects(draw):
    often = lambda kind, first: st.sampled_from([first, first, *kind])  # noqa: E731
    passages = {point.name.lower(): draw(often(Passage, Passage.PASS)) for point in Point}
    review = None
    if draw(st.booleans()):
        review = Review(draw(laws()), draw(st.sampled_from([0.0, 0.5, 1.0])), draw(st.integers(0, 1)))
    return Effect(
        **passages, review=review, fee=draw(st.sampled_from([0.0, 0.15])),
        in_process=draw(often(Fate, Fate.CONTINUE)), in_transit=draw(often(Fate, Fate.CONTINUE)),
        refund=draw(st.sampled_from([None, 0.5])),
    )  # fmt: skip


@st.composite
def gates(draw, k):
    state = draw(st.sampled_from(State))
    law = Always(state)
    if draw(st.booleans()):
        other = draw(st.sampled_from([s for s in State if s != state]))
        dwell = {state: Dwell(draw(laws(1, 9)), {other: 1.0}), other: Dwell(draw(laws(1, 9)), {state: 1.0})}
        law = OwnLaw(state, dwell)
    events = draw(st.lists(st.tuples(st.integers(0, 40), st.sampled_from(State)), max_size=3))
    scripted = tuple(Scripted(minute, s) for minute, s in sorted(events, key=lambda event: event[0]))
    return Gate(f"gate {k}", "us", law, tuple(draw(effects()) for _ in State), scripted)


@st.composite
def routes(draw, with_lines):
    count = draw(st.integers(1, 5))
    lines = iter(LINES)
    stages = []
    for k in range(count):
        line = next(lines, None) if with_lines and draw(st.booleans()) else None
        share = draw(st.sampled_from([None, None, Constant(0.5), Empirical((0.0, 0.4, 1.0))]))
        stages.append(Stage(f"stage {k}", draw(laws()), line, share))
    steps = list(stages)
    at = draw(st.integers(1, count))
    steps.insert(at, Point.RELEASE)
    if draw(st.booleans()):
        steps.insert(at + 1 + draw(st.integers(0, count - at)), Point.TRANSIT)
    if draw(st.booleans()):
        last = max(k for k, step in enumerate(steps) if isinstance(step, Point))
        steps.insert(last + 1 + draw(st.integers(0, len(steps) - last - 1)), Point.RECEIPT)
    sides = ()
    if at >= 2 and draw(st.booleans()):
        begins = draw(st.integers(0, at - 2))
        sides = (
            Side(
                Stage("beside", draw(laws(1, 9))), f"stage {begins}", f"stage {draw(st.integers(begins + 1, at - 1))}"
            ),
        )
    total = draw(st.sampled_from([None, Empirical((3 / 1440, 9 / 1440))]))
    return Route(tuple(steps), sides, total, "maker", draw(st.sampled_from([0.0, 0.5])))


@st.composite
def lines_of(draw, name, gates):
    binds = None
    if gates and draw(st.booleans()):
        states = draw(st.lists(st.sampled_from(State), min_size=1, max_size=2, unique=True))
        binds = While(draw(st.sampled_from(gates)), tuple(states))
    kind = draw(st.sampled_from(["servers", "allotment", "cap"]))
    if kind == "cap":
        return Cap(name, draw(st.sampled_from([0, 8, 20])), binds)
    if kind == "allotment":
        return Allotment(name, draw(st.sampled_from([8, 12, 20])), draw(st.integers(2, 9)) / 1440, binds)
    return Line(name, draw(st.integers(1, 2)), draw(st.integers(0, 2)), draw(laws()))


def _passing_what_binds(source, lines):
    """A source stands before the gates on which its lines depend."""
    used = [line for line in lines if line.name in {stage.line for stage in source.route.stages}]
    more = [line.binds.gate for line in used if not isinstance(line, Line) and line.binds is not None]
    return replace(source, gates=(*source.gates, *(name for name in more if name not in source.gates)))


@st.composite
def worlds(draw, with_lines=False):
    their_gates = [draw(gates(k)) for k in range(draw(st.integers(0, 3)))]
    names = [gate.name for gate in their_gates]
    sources = tuple(
        Source(
            f"source {k}", "H20-96GB", draw(routes(with_lines)),
            tuple(draw(st.lists(st.sampled_from(names), unique=True))) if names else (),
            prepayment=draw(st.sampled_from([0.0, 0.3])), refund=draw(st.sampled_from([0.0, 1.0])),
            order_valid_days=draw(st.sampled_from([0, 4, 400])) / 1440, binding=draw(st.booleans()),
        )
        for k in range(draw(st.integers(1, 3)))
    )  # fmt: skip
    lines = tuple(draw(lines_of(name, names)) for name in LINES)
    sources = tuple(_passing_what_binds(source, lines) for source in sources)
    spec = SupplySpec(START, draw(st.integers(5, 60)), sources, tuple(their_gates), lines if with_lines else ())
    rows = draw(
        st.lists(
            st.tuples(
                st.integers(0, len(sources) - 1),
                st.integers(0, 2),
                st.integers(0, 2),
                st.integers(0, 1),
                st.integers(0, 20),
            ),
            max_size=9,
        )
    )
    orders = Orders.of((s, m, k, p, 4 + 4 * (m % 2), t) for s, m, k, p, t in rows)
    if draw(st.booleans()):  # every replication places its orders in minutes of its own
        minutes = draw(st.lists(st.integers(0, 70), min_size=4 * len(orders), max_size=4 * len(orders)))
        orders = replace(orders, placed_at=np.array(minutes, dtype=np.int64).reshape(4, len(orders)))
    return spec, orders


def assert_engines_agree(world, root):
    spec, orders = world
    slow, fast = (simulate(spec, orders, Key(root), range(4), engine=engine) for engine in ("simpy", "fast"))
    for name in ("accepted_at", "released_at", "delivered_at", "ended_at", "outcome", "brought"):
        assert getattr(slow, name).tolist() == getattr(fast, name).tolist(), name
    assert same(slow, fast)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(worlds(), st.integers(0, 2**32 - 1))
@pytest.mark.slow
def test_engines_agree_where_no_lot_waits_for_another(world, root):
    assert_engines_agree(world, root)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(worlds(with_lines=True), st.integers(0, 2**32 - 1))
@pytest.mark.slow
def test_engines_agree_where_lots_stand_in_lines(world, root):
    assert_engines_agree(world, root)


ARRAYS = (
    "accepted_at", "released_at", "delivered_at", "ended_at", "outcome", "brought", "paid_share", "refunded_share",
    "fee_share",
)  # fmt: skip
few = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@few
@given(worlds(with_lines=True), st.integers(0, 2**32 - 1), st.integers(0, 3))
def test_a_replication_alone_is_what_it_is_inside_a_batch(world, root, place):
    spec, orders = world
    batch = simulate(spec, orders, Key(root), range(4), engine="fast")
    alone = simulate(spec, orders.of_replications(slice(place, place + 1)), Key(root), [place], engine="simpy")
    for name in ARRAYS:
        assert getattr(alone, name)[0].tolist() == getattr(batch, name)[place].tolist(), name


@few
@given(worlds(with_lines=True), st.integers(0, 2**32 - 1), gates(9), routes(False))
def test_a_source_that_nobody_uses_changes_no_draw_of_the_others(world, root, gate, route):
    spec, orders = world
    extra = Source("never used", "H20-96GB", route, (gate.name,))
    more = replace(spec, sources=(*spec.sources, extra), gates=(*spec.gates, gate))
    one, two = (simulate(s, orders, Key(root), range(4), engine="fast") for s in (spec, more))
    for name in ARRAYS:
        assert np.array_equal(getattr(one, name), getattr(two, name)), name
    assert np.array_equal(one.gate_state, two.gate_state[:, :-1])


@few
@given(worlds(with_lines=True), st.integers(0, 2**32 - 1))
def test_a_longer_horizon_changes_nothing_that_was_seen(world, root):
    spec, orders = world
    short, long = (
        simulate(s, orders, Key(root), range(4), engine="fast")
        for s in (spec, replace(spec, horizon_minutes=3 * spec.horizon_minutes))
    )
    for name in ("accepted_at", "released_at", "delivered_at", "ended_at"):
        seen = getattr(long, name)
        seen = np.where(seen < spec.horizon_minutes, seen, -1)
        assert np.array_equal(getattr(short, name), seen), name


@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(worlds(with_lines=True), st.integers(0, 2**32 - 1), st.sampled_from(["simpy", "fast"]))
@pytest.mark.slow
def test_two_processes_give_the_bits_of_one(world, root, engine):
    spec, orders = world
    if orders.placed_at.ndim == 2:
        orders = replace(orders, placed_at=orders.placed_at[0])
    numbers = range(520)  # three chunks
    one, two = (simulate(spec, orders, Key(root), numbers, engine=engine, processes=n) for n in (1, 2))
    assert same(one, two)


@few
@given(worlds(with_lines=True), st.integers(0, 2**32 - 1))
def test_pieces_and_money_are_conserved(world, root):
    """Started = good + scrapped + what did not arrive; what is good is paid for."""
    spec, orders = world
    made = simulate(spec, orders, Key(root), range(4), engine="simpy")
    counted = made.scrapped() + sum(made.gpus(outcome) for outcome in Outcome)
    assert counted.tolist() == [orders.gpus.sum()] * 4
    kept = made.paid_share - made.refunded_share
    good = made.brought / np.maximum(orders.gpus, 1)
    assert np.allclose(kept[made.delivered], good[made.delivered])
    assert ((kept >= -1e-12) & (kept <= 1 + 1e-12)).all()


@pytest.mark.parametrize("name", ["1-quickstart", "2-h20-july-2025", "3-h200-2026", "4-domestic-first"])
def test_engines_agree_on_the_shipped_scenarios(name):
    scenario = load(name).scenario
    assert_engines_agree((supply_spec(scenario), candidate_orders(scenario)), 11)
    spec, orders = supply_spec(scenario), candidate_orders(scenario)
    slow, fast = (simulate(spec, orders, Key(4), range(60), engine=engine) for engine in ("simpy", "fast"))
    assert same(slow, fast)


def test_lines_visited_in_two_orders_are_refused_with_the_reason():
    there = Route((Stage("a", Empirical((1.0,)), "fab"), Stage("b", Empirical((1.0,)), "cowos")))
    back = Route((Stage("b", Empirical((1.0,)), "cowos"), Stage("a", Empirical((1.0,)), "fab")))
    sources = (Source("one", "H20-96GB", there), Source("two", "H20-96GB", back))
    spec = SupplySpec(START, 100_000, sources, (), (Line("fab", 1), Line("cowos", 1)))
    orders = Orders.of([(0, 0, 0, 0, 8, 0), (1, 0, 0, 0, 8, 0)])
    with pytest.raises(CannotExpressError, match="visit these lines in different orders, or twice: cowos, fab"):
        simulate(spec, orders, Key(1), range(2), engine="fast")
    assert simulate(spec, orders, Key(1), range(2)).delivered.all()


def test_the_fast_engine_refuses_to_trace_and_an_unknown_engine_is_named():
    spec = SupplySpec(START, 1000, (Source("one", "H20-96GB", Route((Stage("a", Empirical((0.1,))),))),))
    orders = Orders.of([(0, 0, 0, 0, 8, 0)])
    with pytest.raises(CannotExpressError, match="keeps no trace"):
        simulate(spec, orders, Key(1), range(2), engine="fast", trace=True)
    with pytest.raises(UnknownNameError, match=r"unknown engine 'fats' \(did you mean fast"):
        simulate(spec, orders, Key(1), range(2), engine="fats")
