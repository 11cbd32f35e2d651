"""Policies that look before they order: asked on the first minute of every month, in the SimPy engine only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from planner.supply.deliveries import Deliveries
from planner.supply.gate import State


@dataclass(frozen=True)
class Seen:
    """What a buyer knows when a month begins, after the changes and arrivals of that minute.

    month      0 for the first
    states     of each gate of the spec
    on_order   GPUs ordered that have neither arrived nor ended, by source
    delivered  GPUs that have arrived so far, by source
    """

    month: int
    states: tuple[State, ...]
    on_order: tuple[int, ...]
    delivered: tuple[int, ...]


class Policy(Protocol):
    """A rule for ordering; it is asked once a month and keeps nothing between the months."""

    def lots(self, seen: Seen) -> Mapping[int, int]:
        """Lots to order now: place of the source among the spec's sources -> how many."""
        ...


@dataclass(frozen=True)
class FixedPlan:
    """Orders decided beforehand: (month, place of the source) -> lots."""

    plan: Mapping[tuple[int, int], int]

    def lots(self, seen: Seen) -> Mapping[int, int]:
        """Those of the month."""
        return {source: lots for (month, source), lots in self.plan.items() if month == seen.month}


@dataclass(frozen=True)
class BaseStock:
    """Order one source up to a level: position = delivered + on order over all sources, level by month in GPUs.

    >>> policy = BaseStock(source=0, lot_gpus=8, level=(40, 60))
    >>> policy.lots(Seen(month=1, states=(), on_order=(16,), delivered=(20,)))
    {0: 3}
    """

    source: int
    lot_gpus: int
    level: Sequence[int]

    def lots(self, seen: Seen) -> Mapping[int, int]:
        """Whole lots that bring the position to the level of the month, or above it by less than a lot."""
        missing = self.level[seen.month] - sum(seen.on_order) - sum(seen.delivered)
        return {self.source: max(0, -(-missing // self.lot_gpus))}


@dataclass(frozen=True)
class WhenSeen:
    """Another policy, followed only in months in which a gate is seen in one of some states."""

    policy: Policy
    gate: int
    states: tuple[State, ...] = (State.CONDITIONAL, State.OPEN)

    def lots(self, seen: Seen) -> Mapping[int, int]:
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
