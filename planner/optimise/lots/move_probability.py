"""The probability that demand is met after each move of the local search."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planner.futures.arrays import Array, Flags
from planner.optimise.evaluate import MET
from planner.optimise.lp.delivered_capacity import carried
from planner.optimise.lp.formulation import Formulation

_CELLS = 4_000_000
"""Numbers held at once while probabilities are looked up: 32 MB."""


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
        return _Moves(np.r_[self.less, other.less], np.r_[self.more, other.more], np.r_[self.saving, other.saving])


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
