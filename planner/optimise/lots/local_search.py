"""Whole lots near a fractional plan: a local search on the sampled futures."""

import numpy as np
from numpy.typing import NDArray

from executor.portable import linear
from planner.futures.arrays import Array, Flags, Orders
from planner.optimise.evaluate import all_met
from planner.optimise.lots.move_probability import _Moves, _Odds, _State
from planner.optimise.lp.cvar import cvar, tail_weights
from planner.optimise.lp.formulation import Formulation

_SCREENED = 200
"""Exchanges of two lots whose probabilities are looked up in each step, best by derivative first."""

_TRIED = 4
"""Steps then evaluated exactly, most promising first."""

_APPROACH_LOTS = 6
"""Lots added without a gain in probability before an approach is given up."""

_DETOURS = 4
"""Lots whose going, and lots whose coming, is tried as the beginning of a detour."""

_DETOUR_STEPS = 6
"""Repairs and savings on a detour."""


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
        self.odds = _Odds(formulation)
        self.state = self._look(formulation.point(plan), formulation.deficit(plan))

    @property
    def plan(self) -> Orders:
        """The plan now."""
        return self.formulation.whole_plan(self.state.point)

    def run(self, target: Array, steps: int, detours: int = 0) -> bool:
        """Towards ``target`` [T]: repairs first, then savings, then detours; whether anything changed.

        At most so many steps and so many detours that pay.
        """
        self.target = target
        before = self.state
        unmended: _State | None = None
        for _ in range(steps):
            # What no lot can repair must not keep the rest from being made cheaper, nor be tried after every saving.
            if unmended is None and self._repair():
                continue
            unmended = unmended or self.state
            if self._save():
                continue
            if self.state is not unmended:
                unmended = None
                continue
            if detours == 0 or not self._detour():
                break
            unmended = None
            detours -= 1
        return self.state is not before

    def _look(self, point: Array, deficit: Array) -> _State:
        formulation = self.formulation
        cover = formulation.spot.cover(deficit)
        probability = all_met(cover.unmet, formulation.futures.need).mean(axis=0)
        cost = linear.dot(formulation.outlay, point) + float(cover.cost.sum(axis=1).mean())
        tail = 0.0
        if np.isfinite(self.bound):
            tail = cvar(formulation.share_of(formulation.least.cover(deficit).cost), self.level)
        return _State(point, cost, deficit, cover.unmet, cover.price, probability, tail)

    def _after(self, moves: _Moves, i: int) -> _State:
        """The state that a move leads to."""
        point, deficit = self.state.point.copy(), self.state.deficit.copy()
        for column, sign in ((int(moves.less[i]), -1), (int(moves.more[i]), 1)):
            if column >= 0:
                pool, capacity = self.formulation.lot_capacity(column)
                point[column] += sign * self.formulation.lots[column]
                deficit[:, pool] -= sign * capacity
        return self._look(point, deficit)

    def _short(self, probability: Array) -> Array:
        """[...] by how much the months miss their targets in all; targets are met to the last future."""
        short: Array = np.maximum(self.target - probability - self.half, 0.0).sum(axis=-1)
        return short

    def _lacks(self, state: _State) -> float:
        """Probability that is missing over the months, and CVaR beyond its bound."""
        return float(self._short(state.probability)) + max(state.tail - self.bound, 0.0)

    def _repair(self) -> bool:
        """Take the step that does most, for its money, for the probability or the tail that is lacking."""
        lacks = self._lacks(self.state)
        if lacks <= 0:
            return False
        per_lot = self._per_lot()
        help_ = self.formulation.capacity_slope(self._wanting())
        helpful = np.flatnonzero(help_ > 0)
        add = _Moves(np.full(len(helpful), -1), helpful, -per_lot[helpful])
        moves = self._allowed(add.and_(self._exchanges(per_lot, helpful).best(_SCREENED)))
        gain = lacks - self._short(self.odds.after(self.state, moves))
        if self.state.tail > self.bound:
            gain = help_[moves.more]
        dearer = np.maximum(-moves.saving, 1e-6 * abs(self.state.cost))
        best, best_score = None, 0.0
        for i in np.argsort(-gain / dearer, kind="stable")[:_TRIED]:
            state = self._after(moves, int(i))
            money = max(state.cost - self.state.cost, 1e-6 * abs(self.state.cost))
            score = (lacks - self._lacks(state)) / money
            if score > best_score:
                best, best_score = state, score
        if best is not None:
            self.state = best
        return best is not None or self._approach(lacks)

    def _approach(self, lacks: float) -> bool:
        """Several lots towards the futures nearest to being met, where no single lot reaches one."""
        home = self.state
        for _ in range(_APPROACH_LOTS):
            per_lot, help_ = self._per_lot(), self.formulation.capacity_slope(self._nearest())
            helpful = np.flatnonzero(help_ > 0)
            moves = self._allowed(_Moves(np.full(len(helpful), -1), helpful, -per_lot[helpful]))
            if len(moves.more) == 0:
                break
            dearer = np.maximum(-moves.saving, 1e-6 * abs(home.cost))
            self.state = self._after(moves, int((help_[moves.more] / dearer).argmax()))
            if self._lacks(self.state) < lacks - 1e-12:
                return True
        self.state = home
        return False

    def _nearest(self) -> Array:
        """[N, P, T] one where need is unmet in the futures nearest to being met, in months that miss.

        So many of them as the month misses; where only the tail lacks, the futures of the tail.
        """
        unmet = self.state.unmet
        missing = self.target - self.state.probability - self.half
        nearest = np.zeros_like(unmet)
        for t in np.flatnonzero(missing > 0):
            total = unmet[:, :, t].sum(axis=1)
            short = np.flatnonzero(total > 0)
            count = int(np.ceil((missing[t] + self.half) * len(unmet)))
            chosen = short[np.argsort(total[short], kind="stable")[:count]]
            nearest[chosen, :, t] = unmet[chosen, :, t] > 0
        return nearest if (missing > 0).any() else self._wanting()

    def _wanting(self) -> Array:
        """[N, P, T] one where an unmet need stands in a month that misses, or in the tail."""
        unmet, futures = self.state.unmet, self.formulation.futures
        missing = self.target - self.state.probability - self.half > 0
        wanting = (unmet > 0) & missing
        if self.state.tail > self.bound:
            worth = (futures.unmet_price * unmet).sum(axis=(1, 2))
            worst = tail_weights(worth, self.level) > 0
            wanting |= (unmet > 0) & worst[:, None, None]
        return wanting.astype(float)

    def _save(self) -> bool:
        """Take the step that saves most while nothing comes to lack."""
        per_lot = self._per_lot()
        used = self._used()
        drop = _Moves(used, np.full(len(used), -1), per_lot[used])
        exchange = self._exchanges(per_lot, np.arange(len(per_lot))).best(_SCREENED)
        moves = self._allowed(drop.and_(exchange))
        floor = np.minimum(self.target, self.state.probability) - self.half
        keeps: Flags = np.logical_and.reduce(self.odds.after(self.state, moves) >= floor, axis=1)
        moves = moves.take(keeps).best(_TRIED)
        ceiling = max(self.bound, self.state.tail)
        for i in range(len(moves.less)):
            state = self._after(moves, i)
            kept = bool((state.probability >= floor).all()) and state.tail <= ceiling
            if kept and state.cost < self.state.cost * (1 - 1e-9):
                self.state = state
                return True
        return False

    def _detour(self) -> bool:
        """Leave a local optimum: one lot gone or come, then repairs and savings; kept where it pays."""
        home, lacked = self.state, self._lacks(self.state)
        per_lot, used = self._per_lot(), self._used()
        drop = _Moves(used, np.full(len(used), -1), per_lot[used]).best(_DETOURS)
        every = np.arange(len(per_lot))
        add = self._allowed(_Moves(np.full(len(every), -1), every, -per_lot)).best(_DETOURS)
        moves = drop.and_(add)
        for i in range(len(moves.less)):
            self.state = self._after(moves, i)
            for _ in range(_DETOUR_STEPS):
                if not (self._repair() or self._save()):
                    break
            if self._lacks(self.state) <= lacked and self.state.cost < home.cost * (1 - 1e-5):
                return True
            self.state = home
        return False

    def _per_lot(self) -> Array:
        """[n] derivative of the expected cost by a lot of each column, money."""
        formulation = self.formulation
        slope = formulation.capacity_slope(self.state.price) / -formulation.futures.count
        return (formulation.outlay + slope) * formulation.lots

    def _used(self) -> NDArray[np.intp]:
        return np.flatnonzero(self.state.point >= self.formulation.lots)

    def _exchanges(self, per_lot: Array, comes: NDArray[np.intp]) -> _Moves:
        """Every used column's lot for a lot of every column in ``comes``."""
        less, more = (pair.ravel() for pair in np.meshgrid(self._used(), comes, indexing="ij"))
        other = less != more
        less, more = less[other], more[other]
        return _Moves(less, more, per_lot[less] - per_lot[more])

    def _allowed(self, moves: _Moves) -> _Moves:
        """Those within caps and budget."""
        rows, lots = self.formulation.hard, self.formulation.lots
        change = np.where(moves.more >= 0, rows[:, moves.more] * lots[moves.more], 0.0)
        change = change - np.where(moves.less >= 0, rows[:, moves.less] * lots[moves.less], 0.0)
        room = self.formulation.hard_upper - linear.times(rows, self.state.point) + 1e-9
        fits: Flags = np.logical_and.reduce(change <= np.maximum(room, 0.0)[:, None], axis=0)
        return moves.take(fits)
