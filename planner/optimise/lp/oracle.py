r"""The oracle over shards of the futures, so that several processes or machines can answer it.

    values[t]    = 1/N  Σ_k  Σ_{n in shard k} Q_nt
    slopes[t]    = 1/N  Σ_k  Σ_{n in shard k} ∂Q_nt
    CVaR         = Σ_n w_n L_n,  w from the shortfall shares of all shards together: a second question

A shard is :data:`SHARD` futures, whoever answers, and the sums over shards are taken in their order: the bits are those
of one process. A shard remembers the optimal bases of its spot programmes from question to question (recourse.py), and
another basis can be another last bit. So each question brings all points asked so far: a shard that was lost with its
machine starts anew, catches up, and goes on with the bases that it had.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Protocol

import numpy as np

from executor.portable import linear
from planner.futures.arrays import Array, Orders
from planner.optimise.lp.cutting_planes import Oracle
from planner.optimise.lp.recourse import Spot
from planner.parallel.backends import Held

SHARD = 2_000
"""Futures in a shard. A question to so many takes about 15 ms, against the 0.2 ms that it and its answer travel; a
smaller sample, such as the default of 600, is one shard and stays in its process."""


class Part(Protocol):
    """The formulation over some of the futures, as far as the oracle asks it."""

    @property
    def spot(self) -> Spot:
        """The cheapest cover by spot rental."""

    @property
    def least(self) -> Spot:
        """The cover that leaves least unmet."""

    def plan(self, point: Array) -> Orders:
        """Columns as orders."""

    def deficit(self, plan: Orders) -> Array:
        """[N, P, T] requests/s that the plan leaves open."""

    def valued_need(self, emphasis: Array) -> Array:
        """[N] value of the need."""

    def slopes_by_month(self, price: Array) -> Array:
        """[T, n] what a column carries, at a price of capacity."""


class Shard:
    """The futures of one shard, and what it knows of the questions so far.

    part      the formulation over the shard's futures, with the columns of the whole
    emphasis  [T] weight of the months in the shortfall share
    kept      [N, T] how many times more unmet demand costs in chosen futures and months; None: once everywhere
    bounded   whether the CVaR is asked for
    """

    def __init__(self, part: Part, emphasis: Array, kept: Array | None, bounded: bool) -> None:
        self.part = part
        self.share = emphasis / part.valued_need(emphasis)[:, None]
        self.kept, self.bounded = kept, bounded
        self._answered = 0

    def expectations(self, points: list[Array]) -> tuple[Array, Array, Array | None]:
        """At the last of ``points``: Σ Q [T], Σ ∂Q [T, n], and each future's shortfall share [N] if bounded."""
        for point in points[self._answered :]:
            self._last = self._at(point)
            self._answered += 1
        return self._last

    def _at(self, point: Array) -> tuple[Array, Array, Array | None]:
        part, shortfall = self.part, None
        deficit = part.deficit(part.plan(point))
        cover = part.spot.cover(deficit)
        cost, price = cover.cost, cover.price
        if self.kept is not None or self.bounded:
            # Where the cheapest cover leaves nothing unmet, nor does the least, and its price is nothing.
            short = cover.unmet.max(axis=1, keepdims=True) > 0
            least = part.least.cover(np.where(short, deficit, 0.0))
            if self.kept is not None:
                cost = cost + self.kept * least.cost
                price = price + self.kept[:, None, :] * least.price
            if self.bounded:
                shortfall = (self.share * least.cost).sum(axis=1)
                self._least_price = least.price
        return cost.sum(axis=0), -part.slopes_by_month(price), shortfall

    def tail(self, points: list[Array], weight: Array) -> Array:
        """[n] this shard's part of the CVaR's subgradient, from the weight [N] of its futures in the tail."""
        self.expectations(points)
        price = (weight[:, None] * self.share)[:, None, :] * self._least_price
        return -self.part.slopes_by_month(price).sum(axis=0)


def oracle_of(shards: Held, sizes: list[int], money: float, tail_weights: Callable[[Array], Array] | None) -> Oracle:
    """The oracle of all shards together. ``tail_weights``: of shortfall shares [N]; None: no CVaR is asked for."""
    asked: list[Array] = []
    count, ends = sum(sizes), np.cumsum(sizes)[:-1]

    def ask(point: Array) -> tuple[Array, Array]:
        asked.append(point)
        told = shards.map(Shard.expectations, [(asked,)] * len(sizes))
        values = reduce(np.add, (cost for cost, _, _ in told)) / count / money
        slopes = reduce(np.add, (slope for _, slope, _ in told)) / (count * money)
        if tail_weights is None:
            return values, slopes
        shortfall = np.concatenate([part for _, _, part in told if part is not None])
        weight = tail_weights(shortfall)
        jobs = [(asked, part) for part in np.split(weight, ends)]
        slope = reduce(np.add, shards.map(Shard.tail, jobs))
        return np.r_[values, linear.dot(weight, shortfall)], np.vstack([slopes, slope])

    return ask
