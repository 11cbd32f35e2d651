r"""From parts of GPUs to whole lots.

Rounding keeps the running total of every source and pool within half a lot of the programme's, so that
many small orders do not vanish, and then trims what caps and budget do not allow. A search over single lots
repairs and improves the rounded plan on the sampled futures: lots are added where months fall short of
their target probability, taken away or postponed where that saves money and no month falls below its
target. Each step is chosen by the derivative of cost and shortfall, and accepted on exact evaluation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from planner.optimise.evaluate import all_met
from planner.optimise.formulation import Formulation, cvar, tail_weights
from planner.optimise.futures import Array, Futures, Orders, Whole

_TRIED = 6
"""Candidates evaluated exactly in each step, best by derivative first."""


def round_to_lots(futures: Futures | Formulation, plan: Orders) -> Orders:
    """``plan`` in whole lots, within caps and budget (see the head of this file)."""
    formulation = futures if isinstance(futures, Formulation) else Formulation(futures)
    futures = formulation.futures
    orders = np.zeros(plan.orders.shape, dtype=np.int64)
    for s, source in enumerate(futures.purchases):
        total = np.cumsum(plan.orders[:, s].astype(float), axis=1) / source.lot_gpus
        lots = np.diff(np.floor(total + 0.5), axis=1, prepend=0.0).astype(np.int64)
        # A lot that rounding pushes into a month closed to orders waits for none: it is left out.
        lots = np.where(futures.may_order[:, s], lots, 0)
        orders[:, s] = _within(lots, source.lot_gpus, source.monthly_cap, source.total_cap) * source.lot_gpus
    reserved = np.zeros(plan.reserved.shape, dtype=np.int64)
    for r, rental in enumerate(futures.rentals):
        lots = np.floor(plan.reserved[:, r].astype(float) / rental.lot_gpus + 0.5).astype(np.int64)
        for t in range(futures.months):
            lots[:, t : t + 1] = _within(lots[:, t : t + 1], rental.lot_gpus, rental.reserved_cap[t], np.inf)
        reserved[:, r] = np.where(futures.may_reserve[:, r], lots, 0) * rental.lot_gpus
    return _within_budget(formulation, Orders(orders, reserved))


def _within(lots: Whole, lot_gpus: int, monthly_cap: float, total_cap: float) -> Whole:
    """Lots [P, M] trimmed to the caps: from the largest order of the month, then from the last month."""
    lots = lots.copy()
    for m in range(lots.shape[1]):
        while lots[:, m].sum() * lot_gpus > monthly_cap:
            lots[lots[:, m].argmax(), m] -= 1
    m = lots.shape[1] - 1
    while lots.sum() * lot_gpus > total_cap:
        if lots[:, m].sum() == 0:
            m -= 1
        else:
            lots[lots[:, m].argmax(), m] -= 1
    return lots


def _within_budget(formulation: Formulation, plan: Orders) -> Orders:
    """Lots taken away, those of least worth per money first, until the budget holds."""
    budget = formulation.futures.budget
    if budget is None:
        return plan
    point, lots = formulation.point(plan), formulation.lots
    spent = float(formulation.outlay @ point)
    if spent <= budget:
        return plan
    worth = -formulation.cost_slope(plan)[1]
    for column in np.argsort(worth / np.maximum(formulation.outlay, 1e-12)):
        while point[column] > 0 and spent > budget and formulation.outlay[column] > 0:
            point[column] -= lots[column]
            spent -= formulation.outlay[column] * lots[column]
    return formulation.whole_plan(point)


@dataclass(frozen=True)
class _State:
    point: Array
    cost: float
    unmet: Array
    """[N, P, T] requests/s."""
    probability: Array
    """[T] that all pools are met."""
    tail: float
    """CVaR of the shortfall share; nothing where no bound is held."""


class LotSearch:
    """Single-lot steps on one set of futures, towards target probabilities at least cost.

    A CVaR bound is held: no step leaves the tail above the bound and worse than it was.
    """

    def __init__(
        self, formulation: Formulation, plan: Orders, cvar_level: float = 0.9, cvar_bound: float = np.inf
    ) -> None:
        self.formulation = formulation
        self.level, self.bound = cvar_level, cvar_bound
        self.target = np.zeros(formulation.futures.months)
        self.half = 0.5 / formulation.futures.count
        self.state = self._look(formulation.point(plan))

    @property
    def plan(self) -> Orders:
        """The plan now."""
        return self.formulation.whole_plan(self.state.point)

    def run(self, target: Array, steps: int) -> bool:
        """At most so many accepted steps towards ``target`` [T], repairs first, then savings; whether any."""
        self.target = target
        for step in range(steps):
            # What no lot can repair must not keep the rest from being made cheaper.
            if not (self._repair() or self._save()):
                return step > 0
        return True

    def _look(self, point: Array) -> _State:
        formulation, futures = self.formulation, self.formulation.futures
        deficit = formulation.deficit(formulation.plan(point))
        cover = formulation.spot.cover(deficit)
        probability = all_met(cover.unmet, futures.need).mean(axis=0)
        cost = float(formulation.outlay @ point + cover.cost.sum(axis=1).mean())
        tail = 0.0
        if np.isfinite(self.bound):
            tail = cvar(formulation.share_of(formulation.least.cover(deficit).cost), self.level)
        return _State(point, cost, cover.unmet, probability, tail)

    def _lacks(self, state: _State) -> float:
        """What the state lacks in all: probability over the months, and CVaR beyond its bound."""
        # Targets are shares of N, met to the last future.
        short = np.maximum(self.target - state.probability - self.half, 0.0).sum()
        return float(short + max(state.tail - self.bound, 0.0))

    def _repair(self) -> bool:
        """Add the lot that does most for what is lacking, for its money."""
        lacks = self._lacks(self.state)
        if lacks <= 0:
            return False
        help_ = self.formulation.capacity_slope(self._wanting())
        outlay = np.maximum(self.formulation.outlay, 1e-9 * np.abs(self.formulation.outlay).sum())
        helpful = np.flatnonzero(help_ > 0)
        rank = helpful[np.argsort(-help_[helpful] / outlay[helpful], kind="stable")]
        best, best_score = None, 0.0
        for point in self._allowed((int(column), 1, -1) for column in rank):
            state = self._look(point)
            dearer = max(state.cost - self.state.cost, 1e-6 * abs(self.state.cost))
            score = (lacks - self._lacks(state)) / dearer
            if score > best_score:
                best, best_score = state, score
        if best is not None:
            self.state = best
        return best is not None

    def _wanting(self) -> Array:
        """[N, P, T] one where an unmet need stands nearest to what is lacking.

        In a month short of its target those are the futures nearest to being met; for the tail, the worst.
        """
        unmet, futures = self.state.unmet, self.formulation.futures
        wanting = np.zeros_like(unmet)
        missing = np.maximum(self.target - self.state.probability - self.half, 0.0)
        for t in np.flatnonzero(missing > 0):
            total = unmet[:, :, t].sum(axis=1)
            short = np.flatnonzero(total > 0)
            count = max(3, 3 * int(np.ceil(missing[t] * len(unmet))))
            nearest = short[np.argsort(total[short], kind="stable")[:count]]
            wanting[nearest, :, t] = unmet[nearest, :, t] > 0
        if self.state.tail > self.bound:
            worth = (futures.unmet_price * unmet).sum(axis=(1, 2))
            worst = tail_weights(worth, self.level) > 0
            wanting[worst] = unmet[worst] > 0
        return wanting

    def _save(self) -> bool:
        """Take away, or postpone by a month, the lot that saves most while nothing comes to lack."""
        lots = self.formulation.lots
        outlay, slope = self.formulation.cost_slope(self.plan)
        per_lot = (outlay + slope) * lots
        used = np.flatnonzero(self.state.point >= lots)
        later = self.formulation.next_month[used]
        waits, to = used[later >= 0], later[later >= 0]
        saving = np.r_[per_lot[used], per_lot[waits] - per_lot[to]]
        column, target = np.r_[used, waits], np.r_[np.full(len(used), -1), to]
        ranked = np.argsort(-saving, kind="stable")
        floor = np.minimum(self.target, self.state.probability) - self.half
        ceiling = max(self.bound, self.state.tail)
        for point in self._allowed((int(column[i]), -1, int(target[i])) for i in ranked):
            state = self._look(point)
            keeps = bool((state.probability >= floor).all()) and state.tail <= ceiling
            if keeps and state.cost < self.state.cost * (1 - 1e-9):
                self.state = state
                return True
        return False

    def _allowed(self, moves: Iterable[tuple[int, int, int]]) -> Iterator[Array]:
        """Points after the first few moves that caps and budget allow.

        A move adds ``sign`` lots to a column and, where it is no less than 0, as many GPUs takes from or
        gives to another one.
        """
        tried = 0
        for column, sign, other in moves:
            point = self.state.point.copy()
            point[column] += sign * self.formulation.lots[column]
            if other >= 0:
                point[other] -= sign * self.formulation.lots[column]
            if np.any(self.formulation.hard @ point > self.formulation.hard_upper + 1e-9):
                continue
            yield point
            tried += 1
            if tried == _TRIED:
                return
