"""Why this order: what it protects, how long it can wait, what happens without it; what waiting costs.

Everything is read off the futures that judge the plan, with common random numbers as the plan itself.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from planner.futures.arrays import Array, Flags, Futures, Orders, Whole
from planner.optimise.evaluate import all_met
from planner.optimise.intervals import paired
from planner.optimise.lp.formulation import Formulation
from planner.optimise.service_level.calibrate import Calibration, calibrate
from planner.record.models import Interval

_MOVED_ON = 4_000
"""Orders are moved month by month on so many of the futures at most; odds and costs are read off them all."""


@dataclass(frozen=True)
class OrderReason:
    """One line of the order calendar and its reasons."""

    pool: str
    source: str
    month: int
    gpus: int
    protects_month: int
    """The month whose probability suffers most without it."""
    probability_with: float
    probability_without: float
    """Of that month."""
    cost_without: Interval
    """Change of the cost without it; below nothing: it costs more than it saves."""
    last_safe_month: int
    """The latest month to which it may move with every month still at the goal, or at what the plan gives
    where the plan misses the goal."""


def order_reasons(judge: Futures | Formulation, calibration: Calibration) -> tuple[OrderReason, ...]:
    """One `OrderReason` for each order that every future places, by month, source and pool."""
    formulation = judge if isinstance(judge, Formulation) else Formulation(judge)
    plan, goal = calibration.plan, calibration.goal
    firm = firm_orders(plan)
    look = _Without(formulation, plan, firm, goal)
    mover = look
    if formulation.futures.count > _MOVED_ON:
        few = Formulation(formulation.futures.take(slice(0, _MOVED_ON)))
        part = plan.orders if plan.orders.ndim == 3 else plan.orders[:_MOVED_ON]
        mover = _Without(few, Orders(part, plan.reserved), firm, goal)
    placed = [(int(m), int(s), int(p)) for p, s, m in np.argwhere(firm > 0)]
    return tuple(look.reason(p, s, m, mover.last_safe_month(p, s, m)) for m, s, p in sorted(placed))


def firm_orders(plan: Orders) -> Whole:
    """[P, S, M] GPUs that are ordered in every future: a static plan's, a policy's as far as they are certain."""
    orders = plan.orders if plan.orders.ndim == 3 else plan.orders.min(axis=0)
    return orders.astype(np.int64)


class _Without:
    """The plan with one order moved or missing: only the months it can touch are looked at again."""

    def __init__(self, formulation: Formulation, plan: Orders, firm: Whole, goal: float) -> None:
        self.formulation, self.firm = formulation, firm
        # [S, M] what the caps must leave room for: the most that any future orders.
        every = plan.orders if plan.orders.ndim == 4 else plan.orders[None]
        self.ordered = every.sum(axis=1).max(axis=0)
        self.futures = formulation.futures
        self.deficit = formulation.deficit(plan)
        self.met, self.cost = self._look(self.deficit)
        self.probability = self.met.mean(axis=0)
        # Half a future of tolerance, so that equal counts compare as equal.
        floor = np.where(self.futures.must_meet, np.minimum(goal, self.probability), 0.0)
        self.floor = floor - 0.5 / self.futures.count

    def _look(self, deficit: Array) -> tuple[Flags, Array]:
        """[N, T] whether all pools are met, and [N] spot and unmet cost."""
        cover = self.formulation.spot.cover(deficit)
        return all_met(cover.unmet, self.futures.need), cover.cost.sum(axis=1)

    def _brought(self, p: int, s: int, m: int, gpus: int) -> Array:
        """[N, T] requests/s that the order brings if placed in month m."""
        arrived = self.futures.arrival_month[:, s, m, None] <= np.arange(self.futures.months)
        return arrived * (gpus * self.futures.per_gpu[:, p, s])[:, None]

    def _without(self, p: int, s: int, m: int) -> Array:
        """[N, P, T] deficits when the order is left out."""
        without = self.deficit.copy()
        without[:, p] += self._brought(p, s, m, int(self.firm[p, s, m]))
        return without

    def reason(self, p: int, s: int, m: int, last_safe_month: int) -> OrderReason:
        """What the order of pool ``p`` from source ``s`` in month ``m`` is for."""
        futures, gpus = self.futures, int(self.firm[p, s, m])
        met, cost = self._look(self._without(p, s, m))
        probability = met.mean(axis=0)
        month = int((self.probability - probability).argmax())
        return OrderReason(
            pool=futures.pools[p],
            source=futures.purchases[s].name,
            month=m,
            gpus=gpus,
            protects_month=month,
            probability_with=float(self.probability[month]),
            probability_without=float(probability[month]),
            cost_without=paired(self.cost + gpus * futures.outlay[:, s, m], cost),
            last_safe_month=last_safe_month,
        )

    def last_safe_month(self, p: int, s: int, m: int) -> int:
        """Month by month later, until a cap, a closed month or the goal stops it."""
        source, gpus = self.futures.purchases[s], int(self.firm[p, s, m])
        without = self._without(p, s, m)
        for later in range(m + 1, self.futures.months):
            taken = self.ordered[s, later]
            if not source.may_order[p, later] or taken + gpus > source.monthly_cap:
                return later - 1
            moved = without.copy()
            moved[:, p] -= self._brought(p, s, later, gpus)
            met, _ = self._look(moved)
            if (met.mean(axis=0) < self.floor).any():
                return later - 1
        return self.futures.months - 1


@dataclass(frozen=True)
class Waiting:
    """What it costs to order nothing in the first month, re-optimised."""

    calibration: Calibration
    cost: Interval
    """Change of the cost per future, money, with common random numbers."""
    probability: Interval
    """Change of the probability of the month that waiting hurts most."""
    hurt_month: int


def value_of_waiting(now: Calibration, again: Callable[[], Calibration]) -> Waiting:
    """The study made ``again`` with no order in the first month, against the plan as it stands ``now``.

    Nothing is made again where nothing was to be ordered in that month.
    """
    waiting = again() if now.plan.orders[..., 0].any() else now
    here, later = now.outcome, waiting.outcome
    month = int((here.probability - later.probability).argmax())
    return Waiting(
        calibration=waiting,
        cost=paired(here.cost.total, later.cost.total),
        probability=paired(here.met_jointly[:, month], later.met_jointly[:, month]),
        hurt_month=month,
    )


def budget_that_would_do(train: Futures, validate: Futures, goal: float) -> float | None:
    """What the cheapest plan without a budget spends on purchases and reserved rental, in expectation, money.

    None where the goal is out of reach at any budget. For the answer to a budget that binds: by how much.
    """
    free = calibrate(replace(train, budget=None), replace(validate, budget=None), goal)
    if not free.meets_goal:
        return None
    return float(free.outcome.cost.purchases.mean() + free.outcome.cost.reserved.mean())
