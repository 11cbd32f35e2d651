"""What is simulated: sources, gates, lines of servers and orders, as frozen data on the integer clock."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from executor.errors import UnknownNameError
from planner.clock import MINUTES_PER_DAY, minutes, month_starts
from planner.sampling import Constant, Law
from planner.supply.network.gate import FirstDelivery, Gate, Point, State
from planner.supply.network.route import Route, Stage

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Line:
    """Servers that stages share: a fab's, CoWoS's or a board line's part for us, counted in lots at a time.

    servers       lots worked on at once; first come, first served
    backlog_lots  lots of others that already wait when the scenario starts
    backlog_law   days of service that each of them needs
    """

    name: str
    servers: int
    backlog_lots: int = 0
    backlog_law: Law = field(default_factory=lambda: Constant(0.0))

    def __post_init__(self) -> None:
        if self.servers < 1 or self.backlog_lots < 0:
            raise ValueError(f"line {self.name}: needs at least one server and no negative backlog")


@dataclass(frozen=True)
class While:
    """When a quantity binds: while a gate is in one of some states.

    In other states a lot passes at once and is not counted; those that wait go on as the gate leaves the states.
    """

    gate: str
    states: tuple[State, ...]


@dataclass(frozen=True)
class Allotment:
    """A cap on what may start a stage in a period: a licence's quantity, a vendor's allocation to us.

    First come, first served: a lot that does not fit into what is left of the period holds up those behind it until
    the next one begins. What a period leaves over lapses. Periods follow one another from the scenario's start.
    """

    name: str
    gpus: int
    period_days: float
    binds: While | None = None

    def __post_init__(self) -> None:
        if self.gpus < 1 or self.period_minutes < 1:
            raise ValueError(f"allotment {self.name}: needs at least one GPU and one minute for a period")

    @property
    def period_minutes(self) -> int:
        """``period_days`` on the integer clock."""
        return round(self.period_days * MINUTES_PER_DAY)


@dataclass(frozen=True)
class Cap:
    """A quantity that is never renewed: what a licence rule lets one customer have in all.

    First come, first served, by the lot: one that does not fit into what is left is turned away at once, as a gate
    that refuses would; a smaller one that comes later may still fit. What has started stays counted.
    """

    name: str
    gpus: int
    binds: While | None = None

    def __post_init__(self) -> None:
        if self.gpus < 0:
            raise ValueError(f"cap {self.name}: must not be negative (got {self.gpus})")


Capacity = Line | Allotment | Cap
"""What a stage may have to wait for."""


@dataclass(frozen=True)
class Source:
    """Where GPUs are bought: a route, the gates across it and the terms of payment.

    prepayment        share of the price paid when the order is accepted; the rest is paid on delivery
    refund            share of what was paid that comes back when a gate ends the order
    binding           whether the buyer owes the whole price even then; the refund is of that
    order_valid_days  an order that nobody accepted by then lapses, at no cost
    """

    name: str
    sku: str
    route: Route
    gates: tuple[str, ...] = ()
    prepayment: float = 0.0
    refund: float = 1.0
    order_valid_days: float = 365.0
    binding: bool = False

    def __post_init__(self) -> None:
        if not (0 <= self.prepayment <= 1 and 0 <= self.refund <= 1):
            raise ValueError(f"source {self.name}: prepayment and refund are shares between 0 and 1")
        if self.order_valid_days < 0:
            raise ValueError(f"source {self.name}: an order is valid for no negative time")

    @property
    def owed_at_end(self) -> float:
        """Share of the price that the buyer has paid once an accepted order has ended, before any refund."""
        return 1.0 if self.binding else self.prepayment

    @property
    def valid_minutes(self) -> int:
        """``order_valid_days`` on the integer clock."""
        return round(self.order_valid_days * MINUTES_PER_DAY)


@dataclass(frozen=True)
class SupplySpec:
    """The supply side of a scenario. Nothing that happens at ``horizon_minutes`` or later is seen."""

    start: dt.date
    horizon_minutes: int
    sources: tuple[Source, ...]
    gates: tuple[Gate, ...] = ()
    lines: tuple[Capacity, ...] = ()

    def __post_init__(self) -> None:
        if self.horizon_minutes < 1:
            raise ValueError("the horizon must lie after the start")
        for kind, things in (("sources", self.sources), ("gates", self.gates), ("lines", self.lines)):
            names = [thing.name for thing in things]
            if len(set(names)) != len(names):
                raise ValueError(f"names of {kind} must differ (got {', '.join(names)})")
        for gate in self.gates:
            for name in gate.law.of if isinstance(gate.law, FirstDelivery) else ():
                if name not in {other.name for other in self.gates if not isinstance(other.law, FirstDelivery)}:
                    raise UnknownNameError(f"gate that {gate.name} follows", name, (g.name for g in self.gates))
        gates, lines = {gate.name for gate in self.gates}, {line.name for line in self.lines}
        for source in self.sources:
            for name in source.gates:
                if name not in gates:
                    raise UnknownNameError(f"gate of source {source.name}", name, gates)
            asks = any(e.review for k in self.gates_of(source) for e in self.gates[k].effects)
            if asks and Point.RELEASE not in source.route.steps:
                raise ValueError(f"source {source.name}: a gate with a review needs a release on the route")
            for stage in source.route.stages:
                if stage.line is not None and stage.line not in lines:
                    raise UnknownNameError(f"line of stage {stage.name}", stage.line, lines)
                binds = self.binds(stage.line)
                if binds is not None and binds.gate not in source.gates:
                    raise ValueError(
                        f"source {source.name}: {stage.line} binds in states of {binds.gate}, not among its gates"
                    )

    @property
    def month_minutes(self) -> tuple[int, ...]:
        """First minute of each reported month that begins before the horizon."""
        days = month_starts(self.start, self.horizon_minutes // (28 * MINUTES_PER_DAY) + 2)
        return tuple(m for m in (minutes(self.start, day) for day in days) if m < self.horizon_minutes)

    def source_index(self, name: str) -> int:
        """Place of a source; UnknownNameError if there is none of this name."""
        names = [source.name for source in self.sources]
        if name not in names:
            raise UnknownNameError("source", name, names)
        return names.index(name)

    def binds(self, line: str | None) -> While | None:
        """When the quantity of this name binds; None: always, or it is no quantity."""
        named = (entry for entry in self.lines if entry.name == line)
        return next((entry.binds for entry in named if not isinstance(entry, Line)), None)

    def uncapped(self) -> SupplySpec:
        """The same without caps: for lots that stand for orders which are limited elsewhere."""
        capped = {line.name for line in self.lines if isinstance(line, Cap)}
        if not capped:
            return self
        sources = []
        for source in self.sources:
            steps = (
                replace(step, line=None) if isinstance(step, Stage) and step.line in capped else step
                for step in source.route.steps
            )
            sources.append(replace(source, route=replace(source.route, steps=tuple(steps))))
        return replace(self, sources=tuple(sources))

    def gates_of(self, source: Source) -> tuple[int, ...]:
        """Places of the source's gates among ``gates``, each once, in the order of ``gates``."""
        return tuple(k for k, gate in enumerate(self.gates) if gate.name in source.gates)


@dataclass(frozen=True, eq=False)
class Orders:
    """Lots ordered, one array entry each (int64, equal length).

    source     place among the spec's sources
    month      reported month in which the order is placed, 0 for the first
    lot        number of the lot within its order line (pool, source, month), from 0: lines of two pools
               from the same source and month share the shipment's random numbers
    pool       place of the pool among the scenario's pools
    gpus       GPUs in the lot
    placed_at  minute of the order; where it differs between replications, [replication, lot]
    """

    source: Ints
    month: Ints
    lot: Ints
    pool: Ints
    gpus: Ints
    placed_at: Ints

    def __post_init__(self) -> None:
        columns = (self.source, self.month, self.lot, self.pool, self.gpus, self.placed_at)
        for name, column in zip(self.__dataclass_fields__, columns, strict=True):
            array = np.asarray(column, dtype=np.int64)
            by_replication = name == "placed_at" and array.ndim == 2
            if not (array.ndim == 1 or by_replication) or array.shape[-1] != len(self.source):
                raise ValueError("the columns of orders are arrays of one length")
            if array.size and array.min() < 0:
                raise ValueError(f"orders: {name} must not be negative (got {array.min()})")
            object.__setattr__(self, name, array)

    def __len__(self) -> int:
        return len(self.source)

    @classmethod
    def of(cls, rows: Iterable[Sequence[int]]) -> Orders:
        """Orders from rows (source, month, lot, pool, gpus, placed_at)."""
        table = np.array(list(rows), dtype=np.int64).reshape(-1, 6)
        return cls(*table.T)

    def select(self, keep: NDArray[np.bool_] | Ints) -> Orders:
        """The lots that a mask or an array of places keeps."""
        return Orders(
            self.source[keep], self.month[keep], self.lot[keep], self.pool[keep], self.gpus[keep],
            self.placed_at[..., keep]
        )  # fmt: skip

    def of_replications(self, rows: slice) -> Orders:
        """The orders of some replications, by their places: the same, unless each has minutes of its own."""
        return self if self.placed_at.ndim == 1 else replace(self, placed_at=self.placed_at[rows])

    @property
    def rank(self) -> Ints:
        """Who goes first at one instant: by source, then month, lot and pool; 0 is the first."""
        order = np.lexsort((self.pool, self.lot, self.month, self.source))
        rank = np.empty(len(self), dtype=np.int64)
        rank[order] = np.arange(len(self))
        return rank
