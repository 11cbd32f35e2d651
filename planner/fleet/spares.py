"""Spare GPUs for failures beyond repair, held under a base-stock policy: each failure orders one replacement.

A failure takes a spare from the shelf if there is one, else its place stays empty until a replacement comes. Ordering
one for one is the (S - 1, S) policy: spares on the shelf and replacements on order add up to the base-stock level S and
the places that stand empty. Where replacements come from, and how long they take, is for others to say (``Buy``).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from executor.portable.elementary import log1p
from executor.portable.gamma import poisson_distribution
from planner.clock import MINUTES_PER_DAY
from planner.sampling import Key

Ints = NDArray[np.int64]
NEVER = np.iinfo(np.int64).max // 4
"""Minute of what does not happen."""


@dataclass(frozen=True)
class Bought:
    """What became of replacements, minutes [replication, order]; -1 where it did not happen."""

    delivered_at: Ints
    ended_at: Ints
    """The order ended without a delivery."""


Buy = Callable[[Ints, Ints, int], Bought]
"""Order one GPU in each of these minutes, [replication, order]; NEVER is no order. Then the number of each order, and
which attempt for it this is, from 0."""


def failure_minutes(
    per_day: float, end: int, key: Key, replications: Sequence[int], entity: int, start: int = 0
) -> Ints:
    r"""Minutes of a fleet's failures, a Poisson process from ``start`` to ``end``; [replication, failure], then NEVER.

    t_k = t_{k-1} - \ln(1 - u_k) / \lambda

    λ ``per_day``  failures per day of the whole fleet: it is kept up, so the rate does not fall with failures

    Domain "failure": entity the fleet, stage the number of the failure.
    """
    reps = np.asarray(replications, dtype=np.int64)
    mean = per_day * max(end - start, 0) / MINUTES_PER_DAY
    if mean <= 0 or len(reps) == 0:
        return np.full((len(reps), 0), NEVER)
    count = math.ceil(mean + 8.0 * math.sqrt(mean) + 8)
    while True:
        u = key.stages("failure", reps, entity, count)
        days = np.cumsum(-log1p(-u) / per_day, axis=0).T
        if (days[:, -1] * MINUTES_PER_DAY >= end - start).all():
            break
        count *= 2
    minutes = start + np.floor(days * MINUTES_PER_DAY).astype(np.int64)
    most = int((minutes < end).sum(axis=1).max())
    return np.where(minutes < end, minutes, NEVER)[:, :most]


def replaced(failed_at: Ints, buy: Buy, again: Callable[[Ints], Ints]) -> Ints:
    """When the replacement of each failure can serve, [replication, failure]; NEVER where not within the horizon.

    failed_at  minutes in which one is ordered, NEVER for none
    again      minute in which an order that ended at a minute is placed once more; later than that minute
    """
    back = np.full_like(failed_at, NEVER)
    due, attempt = failed_at, 0
    while (due < NEVER).any():
        still = np.flatnonzero((due < NEVER).any(axis=0))
        made = buy(due[:, still], still, attempt)
        back[:, still] = np.where(made.delivered_at >= 0, made.delivered_at, back[:, still])
        ended = (made.ended_at >= 0) & (due[:, still] < NEVER)
        due = np.full_like(failed_at, NEVER)
        due[:, still] = np.where(ended, again(made.ended_at), NEVER)
        attempt += 1
    return back


@dataclass(frozen=True, eq=False)
class SparePool:
    """A shelf of ``spares`` and the replacements ordered for it, minutes [replication, failure]."""

    spares: int
    failed_at: Ints
    back_at: Ints

    def on_order(self, minute: int) -> Ints:
        """Replacements ordered by a minute that cannot serve yet, by replication."""
        return ((self.failed_at <= minute) & (minute < self.back_at)).sum(axis=1)

    def missing(self, minute: int) -> Ints:
        """Places of the fleet that stand empty, by replication."""
        return np.maximum(self.on_order(minute) - self.spares, 0)

    def sized(self, minutes: Sequence[int], ready: float) -> int:
        """The fewest spares with which one is on the shelf, at each of these minutes, in a share ``ready`` of futures.

        On the shelf means more than are on order; so it is the ready rate (the share of time with stock) that is kept.
        """
        orders = [np.sort(self.on_order(minute)) for minute in minutes]
        place = math.ceil(ready * len(self.failed_at)) - 1
        return max((int(one[max(place, 0)]) + 1 for one in orders), default=0)


def base_stock(lead_time_demand: float, ready: float) -> int:
    r"""The fewest spares with a ready rate of at least ``ready`` where nothing but chance moves the lead time.

    S = \min \{ s : P(X < s) \ge r \},    X ~ Poisson(\lambda L)

    λL ``lead_time_demand``  mean failures beyond repair during one mean lead time

    Holds for Poisson failures and independent lead times of any law (Palm's theorem; Sherbrooke's METRIC). Gates make
    the lead times of one future alike; then size the pool on simulated futures (``SparePool.sized``).

    >>> base_stock(lead_time_demand=4.0, ready=0.78)
    6
    """
    level, kept = 0, 0.0
    while kept < ready:
        level += 1
        kept = poisson_distribution(level - 1, lead_time_demand)
    return level
