"""How fast the supply engines are: against each other, hand-written SimPy and SupplyNetPy, in one run.

    python -m benchmarks.supply [--replications N]

Model: 36 monthly orders of ten lots; a fab with 34 servers and CoWoS with 11, first come first served, HBM beside the
first stages, and a four-state gate across ordering and release. Times are CPU time of this process, draws included,
the least of five rounds; the hand-written program must give the same delivery minutes, or nothing is printed.
"""

from __future__ import annotations

import argparse
import datetime as dt
import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import simpy
from numpy.typing import ArrayLike

from benchmarks.chain import chain_rows
from executor.portable import normal
from planner.sampling import Exponential, Key, Law
from planner.supply.durations import draw_durations
from planner.supply.gates.paths import draw_paths
from planner.supply.network.gate import Dwell, Effect, Gate, OwnLaw, Passage, Point, State
from planner.supply.network.route import Route, Side, Stage
from planner.supply.network.spec import Line, Orders, Source, SupplySpec
from planner.supply.outcomes import Deliveries
from planner.supply.simulate import Engine, simulate

DAY = 1440
CLOSED, PENDING, REVOKED, OPEN = State
HELD = Effect(order=Passage.HOLD, release=Passage.HOLD)
GATE = Gate(
    "gate", "us",
    OwnLaw(OPEN, {
        OPEN: Dwell(Exponential(300.0), {PENDING: 0.6, CLOSED: 0.3, REVOKED: 0.1}),
        PENDING: Dwell(Exponential(45.0), {OPEN: 0.7, CLOSED: 0.2, REVOKED: 0.1}),
        CLOSED: Dwell(Exponential(90.0), {OPEN: 0.4, PENDING: 0.6}),
        REVOKED: Dwell(Exponential(120.0), {OPEN: 0.2, PENDING: 0.8}),
    }),
    (HELD, HELD, HELD, Effect()),
)  # fmt: skip
STAGES = {"fab": (100.0, "fab"), "sort": (10.0, None), "cowos": (30.0, "cowos"), "test": (14.0, None),
          "board": (28.0, None), "freight": (7.0, None), "server": (30.0, None)}  # fmt: skip


@dataclass(frozen=True)
class LogNormal(Law):
    """exp of a normal, of this mean and coefficient of variation (standard deviation / mean)."""

    kind: ClassVar[str] = "lognormal"
    average: float
    cv: float

    @property
    def sigma(self) -> float:
        """The standard deviation of the logarithm."""
        return math.sqrt(math.log1p(self.cv * self.cv))

    def quantile(self, u: ArrayLike) -> np.ndarray:
        """Mean exp(sigma z - sigma^2 / 2), z the standard normal quantile of u."""
        return np.asarray(self.average * np.exp(self.sigma * normal.quantile(u) - self.sigma * self.sigma / 2))

    @property
    def mean(self) -> float:
        """``average``."""
        return self.average


def same(one: Deliveries, other: Deliveries) -> bool:
    """Whether every number of one run equals the other's, traces aside."""
    mine, theirs = one.arrays(), other.arrays()
    return mine.keys() == theirs.keys() and all(np.array_equal(mine[name], theirs[name]) for name in mine)


def model(lots_a_month: int = 10) -> tuple[SupplySpec, Orders]:
    """The spec and its orders."""
    stages = {name: Stage(name, LogNormal(days, 0.2), line) for name, (days, line) in STAGES.items()}
    hbm = Side(Stage("hbm", LogNormal(115.0, 0.2)), "fab", "cowos")
    made = [stages[name] for name in ("fab", "sort", "cowos", "test", "board")]
    route = Route((*made, Point.RELEASE, stages["freight"], stages["server"]), (hbm,))
    source = Source("wafers", "H20-96GB", route, ("gate",), order_valid_days=10_000)
    lines = (Line("fab", 34), Line("cowos", 11))
    spec = SupplySpec(dt.date(2025, 1, 1), 4000 * DAY, (source,), (GATE,), lines)
    rows = [(0, month, lot, 0, 8, month * 30 * DAY) for month in range(36) for lot in range(lots_a_month)]
    return spec, Orders.of(rows)


class HandWritten:
    """The same world as somebody would write it in SimPy for this one question: no spec, no book, no trace."""

    def __init__(self, minutes: list[list[int]], placed: list[int], path: list[tuple[int, State]]) -> None:
        self.env = simpy.Environment()
        self.fab, self.cowos = simpy.Resource(self.env, 34), simpy.Resource(self.env, 11)
        self.open, self.opened = path[0][1] is OPEN, self.env.event()
        self.delivered = [-1] * len(placed)
        self.env.process(self.gate(path))
        for lot, times in enumerate(minutes):
            self.env.process(self.lot(lot, placed[lot], times))

    def gate(self, path: list[tuple[int, State]]):  # type: ignore[no-untyped-def]
        for minute, state in path[1:]:
            yield self.env.timeout(minute - self.env.now)
            self.open = state is OPEN
            if self.open:
                self.opened.succeed()
                self.opened = self.env.event()

    def lot(self, lot: int, placed: int, times: list[int]):  # type: ignore[no-untyped-def]
        env = self.env
        fab, sort, cowos, test, board, freight, server, hbm = times
        yield env.timeout(placed)
        while not self.open:
            yield self.opened
        stacks = env.timeout(hbm)
        with self.fab.request() as turn:
            yield turn
            yield env.timeout(fab)
        yield env.timeout(sort)
        yield stacks
        with self.cowos.request() as turn:
            yield turn
            yield env.timeout(cowos)
        yield env.timeout(test)
        yield env.timeout(board)
        while not self.open:
            yield self.opened
        yield env.timeout(freight)
        yield env.timeout(server)
        self.delivered[lot] = env.now


def by_hand(spec: SupplySpec, orders: Orders, key: Key, replications: range) -> np.ndarray:
    """Delivery minutes [replication, lot] from the hand-written program, on the same draws."""
    (path,) = draw_paths(spec.gates, spec.horizon_minutes, key, replications)
    (durations,) = draw_durations(spec, orders, key, replications)
    placed = orders.placed_at.tolist()
    found = []
    for place in range(len(replications)):
        world = HandWritten(durations.minutes[:, place, :].T.tolist(), placed, path.changes(place))
        world.env.run(until=spec.horizon_minutes)
        found.append(world.delivered)
    return np.array(found)


def least(programs: Mapping[str, Callable[[], object]], rounds: int = 5) -> dict[str, float]:
    """Least CPU seconds of each program over a few rounds; they take turns, so that a busy hour meets all."""
    found = dict.fromkeys(programs, float("inf"))
    for _ in range(rounds):
        for name, program in programs.items():
            began = time.process_time()
            program()
            found[name] = min(found[name], time.process_time() - began)
    return found


def engine_rows(lots_a_month: int, replications: int) -> list[str]:
    """Replications and visits per second of both engines and of the hand-written program."""
    spec, orders = model(lots_a_month)
    key, some, many = Key(1), range(max(8, replications // 40)), range(replications)
    slow, fast = (simulate(spec, orders, key, some, engine=engine) for engine in ("simpy", "fast"))
    if not (same(slow, fast) and np.array_equal(by_hand(spec, orders, key, some), slow.delivered_at)):
        raise SystemExit("the three programs disagree: a time would mean nothing")
    seconds = least({
        "SimPy engine": lambda: simulate(spec, orders, key, some),
        "hand-written SimPy": lambda: by_hand(spec, orders, key, some),
        "fast engine": lambda: simulate(spec, orders, key, many, engine="fast"),
    })  # fmt: skip
    rates = {name: len(many if name == "fast engine" else some) / cpu for name, cpu in seconds.items()}
    visits = len(orders) * len(spec.sources[0].route.visits)
    return [
        f"| {len(orders)} | {name} | {rate:,.0f} | {rate * visits:,.0f} | {rate / rates['SimPy engine']:.2f}"
        f" | {rate / rates['hand-written SimPy']:.2f} |"
        for name, rate in rates.items()
    ]


def process_rows(replications: Mapping[Engine, int]) -> list[str]:
    """Wall time of one process against two, the least of three rounds that take turns; and the CPU that both took.

    Where the cores have other work the wall time of two says little; then the CPU time bounds what idle cores give.
    """
    spec, orders = model()
    lines = []
    for engine, count in replications.items():
        walls, cpu = {1: float("inf"), 2: float("inf")}, {1: float("inf"), 2: float("inf")}
        for processes in (1, 2, 1, 2, 1, 2):
            began, used = time.perf_counter(), sum(os.times()[:4])
            simulate(spec, orders, Key(1), range(count), engine=engine, processes=processes)
            walls[processes] = min(walls[processes], time.perf_counter() - began)
            cpu[processes] = min(cpu[processes], sum(os.times()[:4]) - used)
        lines.append(
            f"{engine}, {count:,} replications: one process {walls[1]:.2f} s, two {walls[2]:.2f} s of wall time,"
            f" {walls[1] / walls[2]:.2f} times (CPU {cpu[1]:.2f} s and {cpu[2]:.2f} s, so at most"
            f" {2 * cpu[1] / cpu[2]:.2f} times; load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores)."
        )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--replications", type=int, default=1024, help="of the fast engine")
    replications = parser.parse_args().replications
    print("| lots | engine | replications/s | visits/s | against SimPy engine | against hand-written |")
    print("|---|---|---|---|---|---|")
    for lots_a_month in (2, 10):
        print("\n".join(engine_rows(lots_a_month, replications)), flush=True)
    print("", *process_rows({"fast": 10 * replications, "simpy": replications}), "", *chain_rows(), sep="\n")


if __name__ == "__main__":
    main()
