"""Small supply worlds whose answers can be worked out by hand."""

import datetime as dt

import pytest

from planner.sampling import Constant, Key
from planner.supply.network.gate import Always, Effect, Gate, Scripted, State
from planner.supply.network.route import Route, Stage
from planner.supply.network.spec import Orders, Source, SupplySpec
from planner.supply.simulate import simulate

DAY = 1440


@pytest.fixture
def day():
    return DAY


@pytest.fixture
def script():
    """A gate with effects by state that changes on given days and never by chance."""

    def make(effects, changes, name="gate", start=State.OPEN):
        four = tuple(effects.get(state, Effect()) for state in State)
        events = tuple(Scripted(round(at * DAY), state) for at, state in changes)
        return Gate(name, "us", Always(start), four, events)

    return make


@pytest.fixture
def world():
    """Deterministic world: one source over ``steps``, lots placed on given days; returns its spec and orders."""

    def make(steps, placed=(0,), gates=(), lines=(), horizon_days=1000, sides=(), **terms):
        steps = tuple(Stage(s[0], Constant(s[1]), *s[2:]) if isinstance(s, tuple) else s for s in steps)
        source = Source("plain", "H20-96GB", Route(steps, tuple(sides)), tuple(g.name for g in gates), **terms)
        spec = SupplySpec(dt.date(2025, 1, 1), round(horizon_days * DAY), (source,), tuple(gates), tuple(lines))
        return spec, Orders.of((0, 0, k, 0, 8, round(at * DAY)) for k, at in enumerate(placed))

    return make


@pytest.fixture
def plain(world):
    """Deliveries of one replication of a deterministic world."""

    def run(steps, *, engine="simpy", trace=False, **terms):
        return simulate(*world(steps, **terms), Key(1), range(1), engine=engine, trace=trace)

    return run
