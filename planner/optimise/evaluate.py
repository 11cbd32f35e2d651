"""What a plan brings on given futures: months met, shortfall, cost, capacity.

Evaluation carries the plan out as a buyer would: orders and reserved rental as decided, spot rented month by
month by the rule of recourse.py, the rest unmet. Any futures will do; a promise is read off futures that the
optimiser has not seen.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from executor.portable import normal
from planner.futures.arrays import Array, Flags, Futures, Orders
from planner.optimise.lp.formulation import Formulation

MET = 1e-6
"""A month is met when at most this share of its need is unserved: far below one request, above rounding."""

QUANTILES = (0.1, 0.5, 0.9)


def all_met(unmet: Array, need: Array) -> Flags:
    """[N, ...] whether every pool's need is met, for unmet and need [N, P, ...] in requests/s."""
    met: Flags = np.logical_and.reduce(unmet <= MET * need, axis=1)
    return met


@dataclass(frozen=True)
class Cost:
    """Discounted money per future, by part; every array [N]."""

    purchases: Array
    reserved: Array
    spot: Array
    unmet: Array

    @cached_property
    def total(self) -> Array:
        """[N] all parts together."""
        return self.purchases + self.reserved + self.spot + self.unmet


@dataclass(frozen=True)
class Outcome:
    """A plan on N futures."""

    met: Flags
    """[N, P, T]"""
    shortfall: Array
    """[N, P, T] unserved share of the need of the month."""
    cost: Cost
    capacity: Array
    """[N, P, T] requests/s of owned, delivered and reserved GPUs."""
    spot_gpus: Array
    """[N, P, R, T] GPUs rented at spot."""
    ordered: Array
    """[N, S, M] GPUs ordered, all pools."""
    committed: Array
    """[M] expected outlay of the orders placed in each month, money."""

    @property
    def count(self) -> int:
        """N, how many futures."""
        return len(self.met)

    @cached_property
    def met_jointly(self) -> Flags:
        """[N, T] whether every pool is met in the month."""
        met: Flags = np.logical_and.reduce(self.met, axis=1)
        return met

    @cached_property
    def probability(self) -> Array:
        """[T] share of futures in which every pool is met in the month."""
        return self.met_jointly.mean(axis=0)

    @cached_property
    def interval(self) -> Array:
        """[T, 2] 90 % Wilson interval of ``probability``."""
        return wilson(self.met_jointly.sum(axis=0), self.count)

    @property
    def weakest_month(self) -> int:
        """The month with the lowest probability; the earliest where several tie."""
        return int(self.probability.argmin())

    @property
    def weakest(self) -> float:
        """The probability of the weakest month."""
        return float(self.probability.min())

    @property
    def expected_cost(self) -> float:
        """Mean over the futures, money."""
        return float(self.cost.total.mean())

    def affordable(self, budget: float | None) -> bool:
        """Whether purchases and reserved rental keep to a budget in expectation.

        A plan that just keeps it on the futures it was made on may exceed it by sampling error on these: 5 %.
        """
        spent = float(self.cost.purchases.mean() + self.cost.reserved.mean())
        return budget is None or spent <= 1.05 * budget + 1e-6


def evaluate(futures: Futures | Formulation, plan: Orders) -> Outcome:
    """Carry ``plan`` out on every future; orders may be [P, S, M] or [N, P, S, M]."""
    formulation = futures if isinstance(futures, Formulation) else Formulation(futures)
    futures = formulation.futures
    deficit = formulation.deficit(plan)
    cover = formulation.spot.cover(deficit, with_rented=True)
    assert cover.rented is not None
    shortfall = np.divide(cover.unmet, futures.need, out=np.zeros_like(deficit), where=futures.need > 0)
    shape = (futures.count, len(futures.purchases), futures.months)
    ordered = np.broadcast_to(plan.orders.sum(axis=-3), shape).astype(float)
    return Outcome(
        met=shortfall <= MET,
        shortfall=shortfall,
        cost=_cost(formulation, plan, ordered, cover.rented, cover.unmet),
        capacity=futures.need - deficit,
        spot_gpus=cover.rented,
        ordered=ordered,
        committed=(futures.outlay * ordered).sum(axis=1).mean(axis=0),
    )


def _cost(formulation: Formulation, plan: Orders, ordered: Array, rented: Array, unmet: Array) -> Cost:
    futures = formulation.futures
    R, T = len(futures.rentals), futures.months
    reserved_price = np.array([rental.reserved_price for rental in futures.rentals]).reshape(R, T)
    spot_price = np.array([rental.spot_price for rental in futures.rentals]).reshape(R, T)
    reserved = float((plan.reserved.sum(axis=0) * reserved_price).sum())
    return Cost(
        purchases=(futures.outlay * ordered).sum(axis=(1, 2)),
        reserved=np.full(futures.count, reserved),
        spot=(spot_price * rented).sum(axis=(1, 2, 3)),
        unmet=(formulation.spot.unmet_price * unmet).sum(axis=(1, 2)),
    )


def _z(level: float) -> float:
    """The normal quantile of (1 + level)/2."""
    return float(normal.quantile((1 + level) / 2))


def wilson(successes: NDArray[np.integer] | int, n: int, level: float = 0.9) -> Array:
    r"""[..., 2] Wilson's score interval of a probability seen ``successes`` times in ``n``.

        (p̂ + z²/2n ± z √(p̂(1-p̂)/n + z²/4n²)) / (1 + z²/n),    z the normal quantile of (1 + level)/2

    Unlike p̂ ± z·s it never leaves [0, 1] and does not collapse at 0 or n successes.

    >>> wilson(90, 100).round(4).tolist()
    [0.8396, 0.9393]
    """
    z = _z(level)
    seen = np.asarray(successes) / n
    middle = (seen + z * z / (2 * n)) / (1 + z * z / n)
    half = z * np.sqrt(seen * (1 - seen) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    # At nothing and at all of n the limits are 0 and 1 exactly, which rounding would miss by 1e-16.
    low = np.where(seen <= 0, 0.0, middle - half)
    high = np.where(seen >= 1, 1.0, middle + half)
    return np.stack([low, high], axis=-1)


@dataclass(frozen=True)
class Difference:
    """Mean of a paired difference over the same futures, with a 90 % interval."""

    mean: float
    low: float
    high: float


def paired(first: Array | Flags, second: Array | Flags, level: float = 0.9) -> Difference:
    """Mean of ``second - first`` over the futures, normal interval from the spread of the differences.

    On the same random numbers the spread of the difference is far smaller than that of either.
    """
    difference = np.asarray(second, dtype=float) - np.asarray(first, dtype=float)
    z = _z(level)
    mean = float(difference.mean())
    half = z * float(difference.std(ddof=1)) / math.sqrt(len(difference)) if len(difference) > 1 else float("inf")
    return Difference(mean, mean - half, mean + half)
