r"""What the limits allow at the very most: months whose goal no plan can meet, and what would be enough.

With everything ordered, reserved and rented that may be, month t of future n can serve all pools if and only if

    Σ_j k_pj g_pj >= need_p - owned_p   for every pool,    Σ_p g_pj <= G_j(n, t),    g >= 0

    G_j  GPUs that source or rental j can have in service: orders at their caps that have arrived by t,
         reserved rental at its cap, spot at its cap

The split g between pools may differ from future to future and from month to month, which no plan could do,
and the budget is left aside; so a month found out of reach here is out of reach beyond doubt.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from planner.futures.arrays import Array, Futures
from planner.optimise.evaluate import all_met
from planner.optimise.intervals import probability
from planner.optimise.lp.formulation import Formulation
from planner.optimise.lp.recourse import least_unmet
from planner.record.ids import LimitKind
from planner.record.models import Interval, Relaxation

_FUTURES_TO_EXPLAIN = 1_000
"""A factor is told to two digits, which so many futures settle."""

_LARGEST_FACTOR = 64.0
"""A limit relaxed this many times over that still does not do is not the one that binds."""


@dataclass(frozen=True)
class OutOfReach:
    """A month whose goal no plan within the limits can meet."""

    month: int
    best: Interval
    """No plan exceeds this probability in the month."""
    missing: Array
    """[P] requests/s unserved with everything allowed, in the future at the goal's quantile."""


NEAR = 0.01
"""In a month whose goal is out of reach the plan aims this far below the best that can be reached: the last
hundredth of probability would take everything the limits allow. Twice as far below is accepted."""


def lowered(goal: Array, beyond: tuple[OutOfReach, ...], by: float) -> Array:
    """[T] the goal, but in months out of reach ``by`` below the best that can be reached there."""
    made = goal.copy()
    for out in beyond:
        made[out.month] = max(0.0, min(float(goal[out.month]), out.best.value - by))
    return made


def out_of_reach(
    formulation: Formulation, goal: float, months: NDArray[np.intp] | None = None
) -> tuple[OutOfReach, ...]:
    """Those of ``months`` (None: all) in which the goal cannot be met in the share ``goal`` of futures."""
    futures = formulation.futures
    asked = np.arange(futures.months) if months is None else months
    found = []
    for month in asked:
        unmet = unmet_with_everything(futures, int(month))
        met = all_met(unmet, futures.need[:, :, month])
        if met.mean() >= goal:
            continue
        # Futures by the value of what is missing; the one at the goal's quantile must still be served.
        hardest = np.argsort((unmet * futures.unmet_price[:, month]).sum(axis=1), kind="stable")
        last = hardest[min(int(np.ceil(goal * len(met))), len(met)) - 1]
        found.append(OutOfReach(int(month), probability(met), unmet[last]))
    return tuple(found)


def unmet_with_everything(futures: Futures, month: int) -> Array:
    """[N, P] requests/s unmet in the month with everything ordered, reserved and rented that may be."""
    owed = np.maximum(futures.base_deficit[:, :, month], 0.0)
    carries = np.concatenate([futures.per_gpu, futures.rental_per_gpu, futures.rental_per_gpu], axis=2)
    available = np.concatenate([_orders_in_service(futures, month), _reserved_and_spot(futures, month)], axis=1)
    alone = (carries * available[:, None, :]).sum(axis=2)
    if owed.shape[1] == 1 or carries.shape[2] == 0:
        return np.maximum(owed - alone, 0.0)
    # Where the pools' parts of everything add up to less than one, everything can be split in those parts.
    parts = np.divide(owed, alone, out=np.where(owed > 0, np.inf, 0.0), where=alone > 0)
    open_ = np.flatnonzero(parts.sum(axis=1) > 1)
    unmet = np.zeros_like(owed)
    if len(open_):
        prices = np.broadcast_to(futures.unmet_price[:, month], (len(open_), owed.shape[1]))
        unmet[open_] = least_unmet(owed[open_], carries[open_], prices, available[open_])
    return unmet


def _orders_in_service(futures: Futures, month: int) -> Array:
    """[N, S] GPUs in service from orders at their caps; no source is asked for more than could be of use."""
    N, S = futures.count, len(futures.purchases)
    largest = np.maximum(futures.base_deficit, 0.0).max(axis=2).sum(axis=1)
    gpus = np.zeros((N, S))
    for s, source in enumerate(futures.purchases):
        open_ = source.may_order.any(axis=0)
        arrived = (futures.arrival_month[:, s] <= month) & open_
        carried = np.where(futures.per_gpu[:, :, s] > 0, futures.per_gpu[:, :, s], np.inf).min(axis=1)
        useful = np.where(np.isfinite(carried), largest / carried, 0.0)
        cap = np.minimum(source.monthly_cap, useful)
        gpus[:, s] = np.minimum(np.minimum(arrived.sum(axis=1) * cap, source.total_cap), useful)
    return gpus


def _reserved_and_spot(futures: Futures, month: int) -> Array:
    """[N, 2R] GPUs: reserved at the caps where notice allows, then spot at the caps."""
    reserved = [r.reserved_cap[month] if month >= r.notice_months else 0.0 for r in futures.rentals]
    spot = [rental.spot_cap[month] for rental in futures.rentals]
    return np.broadcast_to(np.array([*reserved, *spot], dtype=float), (futures.count, 2 * len(spot)))


def relaxations(futures: Futures, month: int, goal: float) -> list[Relaxation]:
    """Every single limit that, relaxed far enough, makes the month reachable, with the least factor (to 1 %).

    Empty: none of them would do by itself.
    """
    futures = futures.take(slice(0, _FUTURES_TO_EXPLAIN))
    found = []
    for kind, relaxed in _RELAXED.items():
        finite = _limited(futures, kind)
        if not finite or not _reaches(relaxed(futures, _LARGEST_FACTOR), month, goal):
            continue
        if kind == "notice":
            found.append(Relaxation(limit=kind, factor=0.0, sources=finite))
            continue
        low, high = 1.0, _LARGEST_FACTOR
        while high / low > 1.01:
            middle = float(np.sqrt(low * high))
            low, high = (low, middle) if _reaches(relaxed(futures, middle), month, goal) else (middle, high)
        found.append(Relaxation(limit=kind, factor=high, sources=finite))
    return found


def _reaches(futures: Futures, month: int, goal: float) -> bool:
    unmet = unmet_with_everything(futures, month)
    return bool(all_met(unmet, futures.need[:, :, month]).mean() >= goal)


def _limited(futures: Futures, kind: LimitKind) -> list[str]:
    """Names of the sources or rentals that the limit holds back."""
    if kind == "monthly-cap":
        return [s.name for s in futures.purchases if 0 < s.monthly_cap < np.inf]
    if kind == "total-cap":
        return [s.name for s in futures.purchases if 0 < s.total_cap < np.inf]
    if kind == "notice":
        return [r.name for r in futures.rentals if r.notice_months > 0]
    caps = {"spot-cap": "spot_cap", "reserved-cap": "reserved_cap"}[kind]
    return [r.name for r in futures.rentals if np.any(getattr(r, caps) > 0)]


_RELAXED: dict[LimitKind, Callable[[Futures, float], Futures]] = {
    "spot-cap": lambda futures, factor: replace(
        futures, rentals=tuple(replace(r, spot_cap=r.spot_cap * factor) for r in futures.rentals)
    ),
    "reserved-cap": lambda futures, factor: replace(
        futures, rentals=tuple(replace(r, reserved_cap=r.reserved_cap * factor) for r in futures.rentals)
    ),
    "notice": lambda futures, _: replace(futures, rentals=tuple(replace(r, notice_months=0) for r in futures.rentals)),
    "monthly-cap": lambda futures, factor: replace(
        futures, purchases=tuple(replace(s, monthly_cap=s.monthly_cap * factor) for s in futures.purchases)
    ),
    "total-cap": lambda futures, factor: replace(
        futures, purchases=tuple(replace(s, total_cap=s.total_cap * factor) for s in futures.purchases)
    ),
}
