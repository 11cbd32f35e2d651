"""What a plan brings on given futures: months met, shortfall, cost, capacity.

Evaluation carries the plan out as a buyer would: orders and reserved rental as decided, spot rented month by
month by the rule of recourse.py, the rest unmet. Any futures will do; a service level is read off futures that the
optimiser has not seen.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from planner.futures.arrays import Array, Flags, Futures, Orders
from planner.optimise.lp.formulation import Formulation

MET = 1e-6
"""A month is met when at most this share of its need is unserved: far below one request, above rounding."""


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

    @property
    def weakest_month(self) -> int:
        """The month with the lowest probability; the earliest where several tie."""
        return int(self.probability.argmin())

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
