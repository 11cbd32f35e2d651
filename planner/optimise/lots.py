r"""From parts of GPUs to whole lots.

A dive rounds month by month and plans the later months again on the cuts found. Plain rounding, for plans
that come without cuts, keeps the running total of every source and pool within half a lot, so that many
small orders do not vanish, and then trims what caps and budget do not allow. A search over single lots
repairs and improves the rounded plan on the sampled futures: a lot is added, taken away or exchanged for
another, first where months fall short of their target probability, then where that saves money and no
month falls below its target. Steps are ranked by the derivative of the cost and by a glance at the
probabilities, and accepted on exact evaluation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from executor.portable import linear
from planner.optimise.deliveries import carried
from planner.optimise.evaluate import MET, all_met
from planner.optimise.formulation import Formulation, Solution, cvar, tail_weights
from planner.optimise.futures import Array, Flags, Futures, Orders, Whole
from planner.optimise.solver import Master

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

_CELLS = 4_000_000
"""Numbers held at once while probabilities are looked up: 32 MB."""


def round_to_lots(futures: Futures | Formulation, plan: Orders) -> Orders:
    """``plan`` in whole lots, within caps and budget (see the head of this file)."""
    formulation = futures if isinstance(futures, Formulation) else Formulation(futures)
    futures = formulation.futures
    orders = np.zeros(plan.orders.shape, dtype=np.int64)
    for s, source in enumerate(futures.purchases):
        total = np.cumsum(plan.orders[:, s].astype(float), axis=1) / source.lot_gpus
        lots = np.diff(np.floor(total + 0.5), axis=1, prepend=0.0).astype(np.int64)
        # A lot that rounding pushes into a month closed to orders waits for none: it is left out.
        orders[:, s] = np.where(futures.may_order[:, s], lots, 0)
    for members in futures.allotments:
        source = futures.purchases[members[0]]
        lots = orders[:, list(members)].reshape(-1, futures.months)
        lots = _within(lots, source.lot_gpus, source.monthly_cap, source.total_cap)
        orders[:, list(members)] = lots.reshape(-1, len(members), futures.months) * source.lot_gpus
    for joint, cap in futures.joint_caps:
        orders[:, list(joint)] = _within_jointly(futures, orders, joint, cap)
    reserved = np.zeros(plan.reserved.shape, dtype=np.int64)
    for r, rental in enumerate(futures.rentals):
        lots = np.floor(plan.reserved[:, r].astype(float) / rental.lot_gpus + 0.5).astype(np.int64)
        for t in range(futures.months):
            lots[:, t : t + 1] = _within(lots[:, t : t + 1], rental.lot_gpus, rental.reserved_cap[t], np.inf)
        reserved[:, r] = np.where(futures.may_reserve[:, r], lots, 0) * rental.lot_gpus
    return _within_budget(formulation, Orders(orders, reserved))


def dive_to_lots(formulation: Formulation, solution: Solution) -> Orders:
    """Whole lots month by month: the month's orders are rounded and held, and the rest is planned again.

    Planned on the cuts of ``solution``, so that later months make up for what rounding does to earlier ones;
    this costs one small linear programme a month and no look at the futures.
    """
    lots, hard, room = formulation.lots, formulation.hard, formulation.hard_upper + 1e-9
    month = np.concatenate([formulation.order_columns, formulation.reserve_columns])[:, 2]
    master = Master(formulation.programme(solution.cvar_bound), solution.cuts)
    held = np.zeros(len(lots))
    for m in range(formulation.futures.months):
        point, _ = master.solve()
        ours = np.flatnonzero(month == m)
        held[ours] = np.rint(point[ours] / lots[ours]) * lots[ours]
        # Rounding up must not break a limit: what was rounded up furthest is taken back first.
        for column in ours[np.argsort(point[ours] - held[ours], kind="stable")]:
            while held[column] > 0 and np.any(linear.times(hard, held) > room):
                held[column] -= lots[column]
        master.fix(ours, held[ours])
    return formulation.whole_plan(held)


def _within(lots: Whole, lot_gpus: int, monthly_cap: float, total_cap: float) -> Whole:
    """Lots [..., M] trimmed to the caps: from the largest order of the month, then from the last month."""
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


def _within_jointly(futures: Futures, orders: Whole, joint: tuple[int, ...], cap: float) -> Whole:
    """Orders [P, joint, M] trimmed lot by lot from the last month until the sources together keep to the cap."""
    kept = orders[:, list(joint)].copy()
    while kept.sum() > cap:
        m = int(np.flatnonzero(kept.any(axis=(0, 1)))[-1])
        p, i = np.unravel_index(kept[:, :, m].argmax(), kept[:, :, m].shape)
        kept[p, i, m] -= min(kept[p, i, m], futures.purchases[joint[int(i)]].lot_gpus)
    return kept


def _within_budget(formulation: Formulation, plan: Orders) -> Orders:
    """Lots taken away, those of least worth per money first, until the budget holds."""
    budget = formulation.futures.budget
    if budget is None:
        return plan
    point, lots = formulation.point(plan), formulation.lots
    spent = linear.dot(formulation.outlay, point)
    if spent <= budget:
        return plan
    worth = -formulation.cost_slope(plan)[1]
    for column in np.argsort(worth / np.maximum(formulation.outlay, 1e-12), kind="stable"):
        while point[column] > 0 and spent > budget and formulation.outlay[column] > 0:
            point[column] -= lots[column]
            spent -= formulation.outlay[column] * lots[column]
    return formulation.whole_plan(point)


@dataclass(frozen=True)
class _State:
    point: Array
    cost: float
    deficit: Array
    """[N, P, T] requests/s."""
    unmet: Array
    """[N, P, T] requests/s."""
    price: Array
    """[N, P, T] derivative of the cost of a future by its deficits."""
    probability: Array
    """[T] that all pools are met."""
    tail: float
    """CVaR of the shortfall share; nothing where no bound is held."""


@dataclass(frozen=True)
class _Moves:
    """Single-lot steps: a lot of column ``less`` goes, a lot of column ``more`` comes; -1: no such part."""

    less: NDArray[np.intp]
    more: NDArray[np.intp]
    saving: Array
    """What the step saves by the derivative of the cost, money."""

    def best(self, count: int) -> _Moves:
        """Those that save most."""
        return self.take(np.argsort(-self.saving, kind="stable")[:count])

    def take(self, which: NDArray[np.intp] | Flags) -> _Moves:
        """Some of them."""
        return _Moves(self.less[which], self.more[which], self.saving[which])

    def and_(self, other: _Moves) -> _Moves:
        """These, then the others."""
        return _Moves(
            np.r_[self.less, other.less], np.r_[self.more, other.more], np.r_[self.saving, other.saving]
        )


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


class _Odds:
    """Probabilities after single-lot steps, without solving what spot does.

    A month is taken as met where the pools' parts of the spot cap add up to no more than one:

        Σ_p max(d_p, 0) / Σ_r k_pr q_r <= 1

    That is exact with one pool or one rental, and otherwise sufficient (everything is split in those parts).
    Only cells (futures and months) that one lot can tip are looked at.
    """

    def __init__(self, formulation: Formulation) -> None:
        futures = formulation.futures
        self.formulation = formulation
        spot_cap = np.array([rental.spot_cap for rental in futures.rentals]).reshape(-1, futures.months)
        self.alone = carried(futures.rental_per_gpu, np.broadcast_to(spot_cap, futures.may_reserve.shape))
        columns = np.concatenate([formulation.order_columns, formulation.reserve_columns])
        self.pool, self.source, self.month = columns.T
        self.orders = len(formulation.order_columns)
        carries = np.concatenate([futures.per_gpu, futures.rental_per_gpu], axis=2).max(axis=2, initial=0.0)
        self.largest = carries * formulation.lots.max(initial=0.0)

    def after(self, state: _State, moves: _Moves) -> Array:
        """[moves, T] probability that all pools are met."""
        need = self.formulation.futures.need
        owing = state.deficit - MET * need
        parts = _parts(owing, self.alone)
        total = parts.sum(axis=1)
        met = total <= 1.0
        base = met.mean(axis=0)
        n, t = self._tipped(owing, parts, met)
        changed = np.zeros((len(moves.less), len(base)))
        if len(n) == 0 or len(changed) == 0:
            return base + changed
        involved = np.unique(np.r_[moves.less, moves.more])
        involved = involved[involved >= 0]
        lots = self._lots(involved, n, t)
        less = np.where(moves.less >= 0, np.searchsorted(involved, moves.less), -1)
        more = np.where(moves.more >= 0, np.searchsorted(involved, moves.more), -1)
        months, starts = np.unique(t, return_index=True)
        before = np.add.reduceat(met[n, t], starts, dtype=np.int64)
        chunk = max(1, _CELLS // (len(n) * need.shape[1]))
        for first in range(0, len(changed), chunk):
            part = slice(first, first + chunk)
            ends = self._met(owing[n, :, t], self.alone[n, :, t], lots, involved, less[part], more[part])
            counts = np.add.reduceat(ends, starts, axis=1, dtype=np.int64) - before
            changed[part, months] = counts / len(need)
        return base + changed

    def _tipped(self, owing: Array, parts: Array, met: Flags) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Cells that one lot less could make unmet, or one lot more met."""
        tipped = np.zeros(met.shape, dtype=bool)
        for p in range(owing.shape[1]):
            lot = self.largest[:, p, None]
            others = np.delete(parts, p, axis=1).sum(axis=1)
            tipped |= met & (others + _parts(owing[:, p] + lot, self.alone[:, p]) > 1.0)
            tipped |= ~met & (others + _parts(owing[:, p] - lot, self.alone[:, p]) <= 1.0)
        # By month, so that counts per month are sums over stretches.
        t, n = np.nonzero(tipped.T)
        return n, t

    def _lots(self, columns: NDArray[np.intp], n: NDArray[np.intp], t: NDArray[np.intp]) -> Array:
        """[columns, cells] requests/s that a lot of each column brings in each cell."""
        futures, lots = self.formulation.futures, self.formulation.lots
        brought = np.empty((len(columns), len(n)))
        for row, column in enumerate(columns):
            p, s, m = self.pool[column], self.source[column], self.month[column]
            if column < self.orders:
                brought[row] = futures.per_gpu[n, p, s] * (futures.arrival_month[n, s, m] <= t)
            else:
                brought[row] = futures.rental_per_gpu[n, p, s] * (t == m)
            brought[row] *= lots[column]
        return brought

    def _met(
        self,
        owing: Array,
        alone: Array,
        lots: Array,
        involved: NDArray[np.intp],
        less: NDArray[np.intp],
        more: NDArray[np.intp],
    ) -> Flags:
        """[moves, cells] whether all pools are met after the move."""
        total = np.zeros((len(less), len(owing)))
        for p in range(owing.shape[1]):
            moved = np.broadcast_to(owing[:, p], total.shape).copy()
            for ends, sign in ((less, 1.0), (more, -1.0)):
                ours = np.flatnonzero((ends >= 0) & (self.pool[involved[ends]] == p))
                moved[ours] += sign * lots[ends[ours]]
            total += _parts(moved, alone[:, p])
        return total <= 1.0


def _parts(owing: Array, alone: Array) -> Array:
    """Deficits as parts of what all spot could carry in the pool; infinite where there is none."""
    owed = np.maximum(owing, 0.0)
    return np.divide(owed, alone, out=np.where(owed > 0, np.inf, 0.0), where=alone > 0)
