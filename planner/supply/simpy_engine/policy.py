"""Policies that look before they order: asked on the first minute of every month, in the SimPy engine only."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from planner.supply.network.gate import State
from planner.supply.outcomes import Deliveries

SourceAndPool = tuple[int, int]
"""(place of the source among the spec's sources, place of the pool)."""


@dataclass(frozen=True)
class OpenOrder:
    """A lot that was ordered and has neither arrived nor ended: when, and how far the seller says it is."""

    source: int
    pool: int
    month: int
    gpus: int
    accepted: bool
    released: bool


@dataclass(frozen=True)
class Seen:
    """What a buyer knows when a month begins, after the changes and arrivals of that minute.

    month      0 for the first
    states     of each gate of the spec
    pipeline   every open order, in the order of the candidates
    delivered  GPUs that have arrived so far, by source and pool
    need       what the caller observes of each pool's demand in this month, in the caller's unit; empty: not told
    past       the gates' states when earlier months began, from the first on
    """

    month: int
    states: tuple[State, ...]
    pipeline: tuple[OpenOrder, ...] = ()
    delivered: Mapping[SourceAndPool, int] = field(default_factory=dict)
    need: tuple[float, ...] = ()
    past: tuple[tuple[State, ...], ...] = ()

    def on_order(self, pool: int | None = None) -> int:
        """GPUs ordered that have neither arrived nor ended, of one pool or of all."""
        return sum(order.gpus for order in self.pipeline if pool is None or order.pool == pool)

    def in_service(self, pool: int | None = None) -> int:
        """GPUs that have arrived, of one pool or of all."""
        return sum(gpus for line, gpus in self.delivered.items() if pool is None or line[1] == pool)


class Policy(Protocol):
    """A rule for ordering; it is asked once a month and keeps nothing between the months."""

    def lots(self, seen: Seen) -> Mapping[SourceAndPool, int]:
        """Lots to order now, by source and pool."""
        ...


@dataclass(frozen=True)
class FixedPlan:
    """Orders decided beforehand: (month, source, pool) -> lots."""

    plan: Mapping[tuple[int, int, int], int]

    def lots(self, seen: Seen) -> Mapping[SourceAndPool, int]:
        """Those of the month."""
        return {(s, p): lots for (month, s, p), lots in self.plan.items() if month == seen.month}


@dataclass(frozen=True)
class Replanning:
    """Plan anew whenever a month begins: carry out the month's part of the plan and forget the rest.

    ``plan`` is asked with what is seen and answers as a ``FixedPlan`` would hold it; months before or after the
    present one are its own business. One that costs much may remember what it answered to the like.

    >>> one_for_each_open_gate = lambda seen: {(seen.month, 0, 0): sum(s is State.OPEN for s in seen.states)}
    >>> Replanning(one_for_each_open_gate).lots(Seen(month=3, states=(State.OPEN, State.CLOSED)))
    {(0, 0): 1}
    """

    plan: Callable[[Seen], Mapping[tuple[int, int, int], int]]

    def lots(self, seen: Seen) -> Mapping[SourceAndPool, int]:
        """The month's part of today's plan."""
        return FixedPlan(self.plan(seen)).lots(seen)


@dataclass(frozen=True)
class BaseStock:
    """Order one source for one pool up to a level, GPUs by month; position = in service + on order, all sources.

    >>> policy = BaseStock(source=0, lot_gpus=8, level=(40, 60))
    >>> under_way = OpenOrder(source=1, pool=0, month=0, gpus=16, accepted=True, released=False)
    >>> policy.lots(Seen(month=1, states=(), pipeline=(under_way,), delivered={(0, 0): 20}))
    {(0, 0): 3}
    """

    source: int
    lot_gpus: int
    level: Sequence[int]
    pool: int = 0

    def lots(self, seen: Seen) -> Mapping[SourceAndPool, int]:
        """Whole lots that bring the position to the level of the month, or above it by less than a lot."""
        missing = self.level[seen.month] - seen.on_order(self.pool) - seen.in_service(self.pool)
        return {(self.source, self.pool): max(0, -(-missing // self.lot_gpus))}


@dataclass(frozen=True)
class WhenSeen:
    """Another policy, followed only in months in which a gate is seen in one of some states."""

    policy: Policy
    gate: int
    states: tuple[State, ...] = (State.CONDITIONAL, State.OPEN)

    def lots(self, seen: Seen) -> Mapping[SourceAndPool, int]:
        """The other policy's lots, or none."""
        return self.policy.lots(seen) if seen.states[self.gate] in self.states else {}


@dataclass(frozen=True, eq=False)
class PolicyRun:
    """What a policy ordered and what became of it.

    deliveries  of the candidate lots; one that was not placed is in the pipeline and cost nothing
    placed      which lots were placed, [replication, lot]
    """

    deliveries: Deliveries
    placed: NDArray[np.bool_]

    def ordered(self, sources: int, pools: int, months: int) -> NDArray[np.int64]:
        """GPUs ordered, [replication, pool, source, month]."""
        made = np.zeros((len(self.placed), pools, sources, months), dtype=np.int64)
        orders = self.deliveries.orders
        rows = np.arange(len(self.placed))[:, None]
        np.add.at(made, (rows, orders.pool, orders.source, orders.month), self.placed * orders.gpus)
        return made
