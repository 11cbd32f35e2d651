"""Orders and reservations of a record as arrays by pool, source and month, and back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from planner.clock import month_label, month_starts
from planner.record.models import ConditionalOrder, Order, Reservation
from planner.scenario.models import Scenario

Whole = NDArray[np.int64]


@dataclass(frozen=True)
class Line:
    """GPUs from a source for a pool in a month (YYYY-MM)."""

    pool: str
    source: str
    month: str
    gpus: int


Placed = Order | ConditionalOrder | Line


@dataclass(frozen=True)
class Axes:
    """Names along the axes of a scenario's arrays, each with its place."""

    pools: dict[str, int]
    sources: dict[str, int]
    rentals: dict[str, int]
    months: dict[str, int]

    @classmethod
    def of(cls, scenario: Scenario) -> Axes:
        """Of a scenario's pools, purchases, rentals and months."""
        days = month_starts(scenario.start, scenario.horizon_months)
        return cls(
            pools={pool.name: p for p, pool in enumerate(scenario.pools)},
            sources={source.name: s for s, source in enumerate(scenario.purchases)},
            rentals={rental.name: r for r, rental in enumerate(scenario.rentals)},
            months={month_label(day): t for t, day in enumerate(days)},
        )

    def orders(self, lines: Iterable[Placed]) -> Whole:
        """[P, S, M] GPUs ordered."""
        return self._added(lines, self.sources)

    def reserved(self, items: Iterable[Reservation]) -> Whole:
        """[P, R, T] GPUs reserved."""
        return self._added(items, self.rentals)

    def _added(self, lines: Iterable[Placed | Reservation], sources: dict[str, int]) -> Whole:
        array = np.zeros((len(self.pools), len(sources), len(self.months)), dtype=np.int64)
        for line in lines:
            array[self.pools[line.pool], sources[line.source], self.months[line.month]] += line.gpus
        return array

    def lines(self, orders: NDArray[Any]) -> list[Line]:
        """A line for each order of [P, S, M]."""
        pools, sources, months = (list(axis) for axis in (self.pools, self.sources, self.months))
        return [Line(pools[p], sources[s], months[m], int(orders[p, s, m])) for p, s, m in np.argwhere(orders > 0)]
