r"""What is rented at spot, and what stays unmet, once a month's deficits are known.

For one future and one month, with deficits d_p >= 0 left by owned, delivered and reserved GPUs:

    minimise    Σ_r c_r Σ_p z_pr + Σ_p u_p w_p
    subject to  Σ_r k_pr z_pr + w_p >= d_p      (price λ_p)
                Σ_p z_pr <= q_r                 z, w >= 0

    z_pr  GPUs of rental r given to pool p       w_p  requests/s unmet
    c_r   spot price                             u_p  price of unmet demand
    k_pr  requests/s per rented GPU              q_r  spot cap, shared by the pools

This is the rule by which spot is shared between pools, in the optimiser and in every evaluation. Where the pools do not
compete it is the merit order (cheapest request/s first), in closed form; where they do, the little programme is solved
exactly, all such months at once, by the simplex method on a batch of tableaux. Unmet demand is never priced below the
dearest spot rental that could serve it: where a future makes rented GPUs so weak that spot costs more than u_p, u_p is
raised to it. So the rule is "rent first", which a buyer can carry out knowing only the month he is in.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planner.futures.arrays import Array, Flags, Futures

_TOLERANCE = 1e-11
"""Reduced costs and pivots below this are rounding: rows are scaled to magnitude one first."""

_FEASIBLE = 1e-9
"""A remembered basis may be negative by this much (GPUs) and still count as feasible."""

_DANTZIG_STEPS = 40
"""Steepest-looking column first; after so many steps Bland's rule, which cannot cycle."""


@dataclass(frozen=True)
class Cover:
    """How deficits are covered, and what one more request/s of deficit would cost."""

    cost: Array
    """[N, T] spot rent and unmet demand, money."""
    unmet: Array
    """[N, P, T] requests/s."""
    price: Array
    """[N, P, T] a subgradient of cost with respect to the deficits."""
    rented: Array | None
    """[N, P, R, T] GPUs at spot; None where it was not asked for."""


class Spot:
    """The recourse of one set of futures."""

    def __init__(self, futures: Futures, free: bool = False) -> None:
        """``free``: as if spot cost nothing, which gives the least shortfall that spot can leave."""
        R, T = len(futures.rentals), futures.months
        self.per_gpu = futures.rental_per_gpu
        self.cap = np.array([rental.spot_cap for rental in futures.rentals]).reshape(R, T)
        prices = np.array([rental.spot_price for rental in futures.rentals]).reshape(R, T)
        self.rent = np.zeros_like(prices) if free else prices
        self.unmet_price = np.broadcast_to(futures.unmet_price, futures.need.shape)
        self._remembered: _Bases | None = None
        # Merit order: cheapest request/s first, per future, pool and month; unmet demand comes last.
        carries = self.per_gpu[..., None]
        serves = (carries > 0) & (self.cap > 0)
        unit = np.divide(self.rent, carries, out=np.zeros(serves.shape), where=serves)
        if unit.shape[2]:
            self.unmet_price = np.maximum(self.unmet_price, unit.max(axis=2))
        order = np.argsort(np.where(serves, unit, np.inf), axis=2, kind="stable")
        self.order = order
        self.unit = np.take_along_axis(unit, order, axis=2)
        self.room = np.take_along_axis(np.where(serves, self.cap * carries, 0.0), order, axis=2)
        self.reach = np.cumsum(self.room, axis=2)

    def cover(self, deficit: Array, with_rented: bool = False) -> Cover:
        """The cheapest cover of ``deficit`` [N, P, T] (negative: spare capacity, which is not shared)."""
        owed = np.maximum(deficit, 0.0)
        if len(self.cap) == 1:
            return self._cover_from_one_rental(owed, with_rented)
        N, P, T = owed.shape
        R = len(self.cap)
        left = owed.copy()
        price = self.unmet_price.copy()
        cost = np.zeros((N, P, T))
        taken = np.zeros((N, P, R, T))
        for j in range(R - 1, -1, -1):
            price = np.where(owed <= self.reach[:, :, j], self.unit[:, :, j], price)
        for j in range(R):
            part = np.minimum(left, self.room[:, :, j])
            left -= part
            cost += part * self.unit[:, :, j]
            taken[:, :, j] = part
        cost += left * self.unmet_price
        price[owed <= 0] = 0.0
        total = cost.sum(axis=1)
        rented = self._gpus(taken) if with_rented or P > 1 else None
        if P > 1 and rented is not None:
            over = (rented.sum(axis=1) > self.cap * (1 + 1e-12)).any(axis=1)
            future, month = np.nonzero(over)
            if len(future):
                gpus, unmet, dual, least = self._share(owed[future, :, month], future, month)
                rented[future, :, :, month] = gpus
                left[future, :, month] = unmet
                price[future, :, month] = np.where(owed[future, :, month] > 0, dual, 0.0)
                total[future, month] = least
        return Cover(total, left, price, rented if with_rented else None)

    def _cover_from_one_rental(self, owed: Array, with_rented: bool) -> Cover:
        """All is rented where the cap allows it; elsewhere the pools share the cap (closed form)."""
        carries, rent, cap = self.per_gpu[:, :, 0, None], self.rent[0], self.cap[0]
        wanted = np.divide(owed, carries, out=np.where(owed > 0, np.inf, 0.0), where=carries > 0)
        gpus = wanted.sum(axis=1)
        future, month = np.nonzero(gpus > cap)
        gpus[future, month] = 0.0
        cost = rent * gpus
        price = np.where(owed > 0, self.unit[:, :, 0], 0.0)
        unmet = np.zeros_like(owed)
        if len(future):
            short = owed[future, :, month]
            unmet_price = self.unmet_price[future, :, month]
            given, left, dual, least = share_one_rental(
                short, carries[future, :, 0], rent[month], unmet_price, cap[month]
            )
            wanted[future, :, month] = given
            unmet[future, :, month] = left
            price[future, :, month] = np.where(short > 0, dual, 0.0)
            cost[future, month] = least
        return Cover(cost, unmet, price, wanted[:, :, None] if with_rented else None)

    def _gpus(self, taken: Array) -> Array:
        """[N, P, R, T] GPUs by rental, from requests/s in merit order."""
        by_rental = np.empty_like(taken)
        np.put_along_axis(by_rental, self.order, taken, axis=2)
        carries = self.per_gpu[..., None]
        return np.divide(by_rental, carries, out=np.zeros_like(taken), where=carries > 0)

    def _share(
        self, owed: Array, future: NDArray[np.intp], month: NDArray[np.intp]
    ) -> tuple[Array, Array, Array, Array]:
        """Months in which the pools compete: GPUs [B, P, R], unmet [B, P], price [B, P] and cost [B].

        Only the deficits change from one question to the next, so a month's last optimal basis stays dual
        feasible; where it is primal feasible too, it is optimal again and nothing has to be pivoted.
        """
        rent, unmet_price = self.rent[:, month].T, self.unmet_price[future, :, month]
        programme = Sharing(owed, self.per_gpu[future], rent, unmet_price, self.cap[:, month].T)
        if self._remembered is None:
            N, T = len(self.per_gpu), self.cap.shape[1]
            self._remembered = _Bases.none(N * T, self.per_gpu.shape[1] + len(self.cap))
        return programme.solve(self._remembered, future * self.cap.shape[1] + month)


def share_one_rental(
    owed: Array, carries: Array, rent: Array, unmet_price: Array, cap: Array
) -> tuple[Array, Array, Array, Array]:
    """Sharing of a single rental whose cap the pools exceed together: dearest use first, in closed form.

    A GPU is worth u_p k_p in pool p, so the pools are served in that order while the cap lasts. One more
    request/s of a served pool takes its GPUs from the pool m that is served in part: it costs u_m k_m / k_p.

    ``owed``, ``carries``, ``unmet_price`` [B, P], ``rent``, ``cap`` [B]; returns GPUs, unmet and price λ [B, P]
    and cost [B].
    """
    worth = unmet_price * carries
    wanted = np.divide(owed, carries, out=np.zeros_like(owed), where=carries > 0)
    order = np.argsort(-worth, axis=1, kind="stable")
    queued = np.take_along_axis(wanted, order, axis=1)
    ahead = np.cumsum(queued, axis=1) - queued
    given = np.clip(cap[:, None] - ahead, 0.0, queued)
    gpus = np.zeros_like(owed)
    np.put_along_axis(gpus, order, given, axis=1)
    unmet = np.where(carries > 0, np.maximum(owed - gpus * carries, 0.0), owed)
    # The pool served in part, or not at all, that comes first in the order.
    lacking = given < queued
    first = np.where(lacking.any(axis=1), lacking.argmax(axis=1), owed.shape[1] - 1)
    marginal = np.take_along_axis(order, first[:, None], axis=1)
    lost = np.take_along_axis(worth, marginal, axis=1)
    served = np.divide(lost, carries, out=np.full_like(owed, np.inf), where=carries > 0)
    price = np.minimum(unmet_price, served)
    cost = rent * gpus.sum(axis=1) + (unmet_price * unmet).sum(axis=1)
    return gpus, unmet, price, cost


@dataclass
class _Bases:
    """The last optimal basis of every future and month: its columns, its inverse, whether there is one."""

    columns: NDArray[np.int16]
    inverse: Array
    known: Flags

    @classmethod
    def none(cls, cells: int, rows: int) -> _Bases:
        shape = (cells, rows)
        return cls(np.zeros(shape, np.int16), np.zeros((*shape, rows)), np.zeros(cells, bool))


class Sharing:
    """A batch of B little sharing problems (head of this file), solved together by the simplex method.

    ``owed`` [B, P], ``carries`` [B, P, R], ``rent`` [B, R], ``unmet_price`` [B, P], ``cap`` [B, R].
    """

    def __init__(self, owed: Array, carries: Array, rent: Array, unmet_price: Array, cap: Array) -> None:
        # Rows in units of the pool's best rental, so that every entry of the tableau is of order one.
        unit = carries.max(axis=2)
        self.unit = np.where(unit > 0, unit, 1.0)
        self.money = np.maximum((unmet_price * self.unit).max(axis=1, keepdims=True), 1e-300)
        self.carries = carries / self.unit[:, :, None]
        self.rent = rent / self.money
        self.unmet_price = unmet_price * self.unit / self.money
        self.right = np.hstack([owed / self.unit, cap])
        self.P, self.R = carries.shape[1:]

    def solve(self, bases: _Bases, cell: NDArray[np.intp]) -> tuple[Array, Array, Array, Array]:
        """GPUs [B, P, R], unmet [B, P], price λ [B, P] and cost [B]; ``bases[cell]`` is used and renewed."""
        inverse, columns = bases.inverse[cell], bases.columns[cell].astype(np.intp)
        basic = (inverse * self.right[:, None, :]).sum(axis=2)
        stale = np.flatnonzero(~bases.known[cell] | (basic < -_FEASIBLE).any(axis=1))
        if len(stale):
            tableau, basis = self._first_tableau(stale)
            _pivot_to_optimum(tableau, basis)
            start = self.P * self.R
            identity = np.r_[start : start + self.P, start + 2 * self.P : start + 2 * self.P + self.R]
            inverse[stale] = tableau[:, :-1, identity]
            columns[stale] = basis
            basic[stale] = tableau[:, :-1, -1]
            bases.inverse[cell[stale]] = inverse[stale]
            bases.columns[cell[stale]] = basis
            bases.known[cell[stale]] = True
        return self._answer(columns, inverse, np.maximum(basic, 0.0))

    def _answer(self, columns: NDArray[np.intp], inverse: Array, basic: Array) -> tuple[Array, Array, Array, Array]:
        P, R = self.P, self.R
        B = len(basic)
        price_of = np.zeros((B, P * R + 2 * P + R))
        price_of[:, : P * R] = np.tile(self.rent, (1, P))
        price_of[:, P * R : P * R + P] = self.unmet_price
        basic_price = np.take_along_axis(price_of, columns, axis=1)
        dual = (basic_price[:, :, None] * inverse).sum(axis=1)[:, :P]
        values = np.zeros_like(price_of)
        np.put_along_axis(values, columns, basic, axis=1)
        gpus = values[:, : P * R].reshape(B, P, R)
        unmet = values[:, P * R : P * R + P] * self.unit
        cost = (basic_price * basic).sum(axis=1) * self.money[:, 0]
        return gpus, unmet, np.maximum(dual, 0.0) * self.money / self.unit, cost

    def _first_tableau(self, lanes: NDArray[np.intp]) -> tuple[Array, NDArray[np.intp]]:
        """All unmet, nothing rented: columns z_pr, w_p, surplus_p, slack_r, right-hand side.

        The last row holds the reduced costs.
        """
        P, R = self.P, self.R
        B = len(lanes)
        carries, rent, unmet_price = self.carries[lanes], self.rent[lanes], self.unmet_price[lanes]
        z, w, surplus, slack = 0, P * R, P * R + P, P * R + 2 * P
        tableau = np.zeros((B, P + R + 1, P * R + 2 * P + R + 1))
        for p in range(P):
            tableau[:, p, z + p * R : z + (p + 1) * R] = carries[:, p]
            tableau[:, p, w + p] = 1.0
            tableau[:, p, surplus + p] = -1.0
            for r in range(R):
                tableau[:, P + r, z + p * R + r] = 1.0
                tableau[:, -1, z + p * R + r] = rent[:, r] - unmet_price[:, p] * carries[:, p, r]
            tableau[:, -1, surplus + p] = unmet_price[:, p]
        for r in range(R):
            tableau[:, P + r, slack + r] = 1.0
        tableau[:, :-1, -1] = self.right[lanes]
        basis = np.broadcast_to(np.r_[w : w + P, slack : slack + R], (B, P + R)).copy()
        return tableau, basis


def least_unmet(owed: Array, carries: Array, unmet_price: Array, cap: Array) -> Array:
    """[B, P] what stays unmet when GPUs cost nothing; shapes as in `Sharing`."""
    B, P, R = carries.shape
    programme = Sharing(owed, carries, np.zeros((B, R)), unmet_price, cap)
    return programme.solve(_Bases.none(B, P + R), np.arange(B))[1]


def _pivot_to_optimum(tableau: Array, basis: NDArray[np.intp]) -> None:
    """Simplex steps on every tableau that still has a column to enter; in place."""
    active = np.arange(len(tableau))
    step = 0
    while True:
        reduced = tableau[active, -1, :-1]
        entering = (reduced < -_TOLERANCE).argmax(axis=1) if step > _DANTZIG_STEPS else reduced.argmin(axis=1)
        improves = reduced[np.arange(len(active)), entering] < -_TOLERANCE
        active, entering = active[improves], entering[improves]
        if len(active) == 0:
            return
        work = tableau[active]
        lane = np.arange(len(active))
        column = work[lane, :, entering]
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(column[:, :-1] > _TOLERANCE, work[:, :-1, -1] / column[:, :-1], np.inf)
        # Ties go to the basic variable of lowest index, which Bland's rule needs.
        tie = ratio <= ratio.min(axis=1, keepdims=True) * (1 + 1e-14)
        leaving = np.where(tie, basis[active], np.iinfo(np.intp).max).argmin(axis=1)
        pivot_row = work[lane, leaving] / column[lane, leaving, None]
        work -= column[:, :, None] * pivot_row[:, None, :]
        work[lane, leaving] = pivot_row
        tableau[active] = work
        basis[active, leaving] = entering
        step += 1
        assert step < 10_000, "the sharing programme is bounded, so the simplex method ends"
