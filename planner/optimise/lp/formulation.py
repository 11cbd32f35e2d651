r"""The plan as a two-stage linear programme with a CVaR bound; docs/formulation.md has it with all symbols.

    minimise    Σ ō_sm x_psm + Σ ρ_rt y_prt + Σ_t E_n[ Q_nt(D_n) ]
    subject to  CVaR_α( L_n ) <= b
                Σ_p x_psm <= monthly cap,  Σ_pm x_psm <= total cap,  Σ_p y_prt <= reserved cap
                Σ ō x + Σ ρ y <= budget,   x, y >= 0

    D_npt = need - owned - delivered(x) - reserved(y)          deficit, requests/s
    Q_nt   cost of the cheapest cover by spot and unmet demand (recourse.py)
    L_n    shortfall share of a future: Σ_pt u_pt w_npt / Σ_pt u_pt need_npt, the part of its need,
           valued at the price of unmet demand, that even the best use of spot leaves unserved

x is committed before anything is seen; Q is paid month by month. E Q_t (one function per month) and the CVaR
are convex in (x, y) and known through the oracle, which several processes or machines can answer shard by shard:

    values[t]    = 1/N  Σ_k  Σ_{n in shard k} Q_nt
    slopes[t]    = 1/N  Σ_k  Σ_{n in shard k} ∂Q_nt
    CVaR         = Σ_n w_n L_n,  w from the shortfall shares of all shards together: a second question

A shard is :data:`SHARD` futures, whoever answers, and the sums over shards are taken in their order: the bits are those
of one process. A shard remembers the optimal bases of its spot programmes from question to question (recourse.py), and
another basis can be another last bit. So each question brings all points asked so far: a shard that was lost with its
machine starts anew, catches up, and goes on with the bases that it had.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass
from functools import cached_property, reduce

import numpy as np

from executor.portable import linear
from planner.futures.arrays import Array, Flags, Futures, Orders, no_orders
from planner.optimise.lp.cutting_planes import Cuts, Optimum, Oracle, Programme, minimise
from planner.optimise.lp.cvar import cvar, tail_weights
from planner.optimise.lp.delivered_capacity import Deliveries, carried, carried_slope
from planner.optimise.lp.recourse import Spot
from planner.parallel.backends import Held, Processes, Spread
from planner.record.ids import LimitKind

GAP = 1e-4
"""Default distance between the bounds, relative: a tenth of the sampling error of a few thousand futures."""

SHARD = 2_000
"""Futures in a shard. A question to so many takes about 15 ms, against the 0.2 ms that it and its answer travel; a
smaller sample, such as the default of 600, is one shard and stays in its process."""

_SOFT_PRICE = 1e6
"""Price of exceeding the CVaR bound, a hundred times what serving nothing at all would cost: far above the
shadow price of any bound that can be met, so that the excess is nothing wherever it can be nothing."""


@dataclass(frozen=True)
class Limit:
    """A limit that binds, and what one unit more of it would save."""

    kind: LimitKind
    names: tuple[str, ...]
    """The sources or the rental that it limits; none: the budget."""
    month: int | None
    price: float
    """Money saved per GPU (caps) or per unit of money (budget) of relaxation, at the margin, with the futures
    that the plan serves served all the same."""


@dataclass(frozen=True)
class Solution:
    """A plan and what the optimiser knows about it."""

    plan: Orders
    expected_cost: float
    """In-sample, money; purchases, reserved rental, spot and unmet demand."""
    shortfall_cvar: float
    """In-sample CVaR of the shortfall share."""
    cvar_bound: float
    lower_bound: float
    """No plan that meets the bound costs less in this sample, money; not a number where none is known."""
    gap: float
    rounds: int
    limits: tuple[Limit, ...]
    cuts: Cuts

    @property
    def attained(self) -> bool:
        """Whether the CVaR bound is met (to one part in a million of all need)."""
        return self.shortfall_cvar <= self.cvar_bound + 1e-6


class Formulation:
    """One set of futures made ready: columns, hard rows, oracle. Reused by every solve on these futures."""

    def __init__(self, futures: Futures, spread: Spread | None = None) -> None:
        """``spread``: where the oracle of more than one shard of futures is answered; None: here."""
        self.futures = futures
        self.spread: Spread = spread or Processes(1)
        self.order_columns = np.argwhere(futures.may_order)
        self.reserve_columns = np.argwhere(futures.may_reserve)
        everything = float((futures.unmet_price * futures.need.mean(axis=0)).sum())
        # One unit of the master's objective: the largest sums are near 10^4, one GPU near 1, as HiGHS's
        # tolerances (1e-7 absolute) want it. It moves with the money, so the plan does not.
        self.money = everything / 1e4 if everything > 0 else 1.0
        reserved_price = np.array([rental.reserved_price for rental in futures.rentals])
        p, s, m = self.order_columns.T
        q, r, t = self.reserve_columns.T
        self.outlay = np.r_[futures.mean_outlay[s, m], reserved_price.reshape(-1, futures.months)[r, t]]
        self.lots = np.r_[
            np.array([source.lot_gpus for source in futures.purchases], dtype=float)[s],
            np.array([rental.lot_gpus for rental in futures.rentals], dtype=float)[r],
        ]
        self.useful_orders = self._useful(futures.per_gpu)
        self.upper = np.r_[self.useful_orders[p, s], self._useful(futures.rental_per_gpu)[q, r]]
        self._hard_rows()

    @cached_property
    def deliveries(self) -> Deliveries:
        """What orders bring."""
        return Deliveries(self.futures)

    @cached_property
    def spot(self) -> Spot:
        """The cheapest cover of what is left."""
        return Spot(self.futures)

    @cached_property
    def least(self) -> Spot:
        """The cover that leaves least unmet."""
        return Spot(self.futures, free=True)

    def _useful(self, per_gpu: Array) -> Array:
        """[P, S] the most GPUs that could ever be of use: the largest deficit served by this source alone."""
        largest = np.maximum(self.futures.base_deficit, 0.0).max(axis=2)[:, :, None]
        return np.divide(largest, per_gpu, out=np.zeros_like(per_gpu), where=per_gpu > 0).max(axis=0)

    def _hard_rows(self) -> None:
        """Caps and budget as rows over the columns, each with the limit it stands for."""
        futures, n = self.futures, len(self.outlay)
        # Each column's source or rental (-1: it is of the other kind) and month.
        none = np.full(n, -1)
        source = np.r_[self.order_columns[:, 1], none[len(self.order_columns) :]]
        rental = np.r_[none[: len(self.order_columns)], self.reserve_columns[:, 1]]
        month_of = np.r_[self.order_columns[:, 2], self.reserve_columns[:, 2]]
        rows: list[Array] = []
        caps: list[float] = []
        self.limits: list[tuple[LimitKind, tuple[str, ...], int | None]] = []

        def add(chosen: Array | Flags, cap: float, kind: LimitKind, names: tuple[str, ...], month: int | None) -> None:
            if np.isfinite(cap) and chosen.any():
                rows.append(chosen.astype(float))
                caps.append(cap)
                self.limits.append((kind, names, month))

        for members in futures.allotments:
            first = futures.purchases[members[0]]
            names: tuple[str, ...] = (first.allotment or first.name,)
            ours = np.isin(source, members)
            for month in range(futures.months):
                add(ours & (month_of == month), first.monthly_cap, "monthly-cap", names, month)
            add(ours, first.total_cap, "total-cap", names, None)
        for members, cap in futures.joint_caps:
            names = tuple(dict.fromkeys(futures.purchases[place].name for place in members))
            add(np.isin(source, members), cap, "joint-cap", names, None)
        for index, each in enumerate(futures.rentals):
            for month, cap in enumerate(each.reserved_cap.tolist()):
                add((rental == index) & (month_of == month), cap, "reserved-cap", (each.name,), month)
        if futures.budget is not None:
            add(self.outlay / self.money, futures.budget / self.money, "budget", (), None)
        self.hard = np.array(rows).reshape(len(rows), n)
        self.hard_upper = np.array(caps)

    def plan(self, point: Array) -> Orders:
        """Columns back to orders [P, S, M] and reserved [P, R, T]."""
        empty = no_orders(self.futures)
        orders, reserved = empty.orders.astype(float), empty.reserved.astype(float)
        orders[tuple(self.order_columns.T)] = point[: len(self.order_columns)]
        reserved[tuple(self.reserve_columns.T)] = point[len(self.order_columns) :]
        return Orders(orders, reserved)

    def whole_plan(self, point: Array) -> Orders:
        """The same for whole numbers of GPUs."""
        plan = self.plan(np.rint(point))
        return Orders(plan.orders.astype(np.int64), plan.reserved.astype(np.int64))

    def point(self, plan: Orders) -> Array:
        """Orders and reserved as columns; what no column stands for is left out."""
        return np.r_[plan.orders[tuple(self.order_columns.T)], plan.reserved[tuple(self.reserve_columns.T)]].astype(
            float
        )

    def deficit(self, plan: Orders) -> Array:
        """[N, P, T] requests/s that owned, delivered and reserved GPUs leave open; negative: spare."""
        reserved = carried(self.futures.rental_per_gpu, plan.reserved)
        return self.futures.base_deficit - self.deliveries.capacity(plan.orders) - reserved

    def programme(self, cvar_bound: float) -> Programme:
        """Linear parts; convex functions are E Q_t per month and then the CVaR, all in units of ``money``."""
        T, n = self.futures.months, len(self.outlay)
        bounded = np.isfinite(cvar_bound)
        functions = T + int(bounded)
        soft = np.zeros((int(bounded), functions))
        soft[:, T:] = 1.0
        return Programme(
            cost=self.outlay / self.money,
            lower=np.zeros(n),
            upper=self.upper,
            weight=np.r_[np.ones(T), np.zeros(int(bounded))],
            floor=np.zeros(functions),
            hard=self.hard,
            hard_lower=np.full(len(self.hard_upper), -np.inf),
            hard_upper=self.hard_upper,
            soft_functions=soft,
            soft_columns=np.zeros((int(bounded), n)),
            soft_limit=np.full(int(bounded), cvar_bound),
            soft_price=np.full(int(bounded), _SOFT_PRICE),
        )

    @contextmanager
    def oracle(self, cvar_level: float, bounded: bool, kept: Array | None) -> Iterator[Oracle]:
        """Values and subgradients of the convex functions at a point.

        ``kept`` [N, T] prices unmet demand of chosen futures and months once more, so many times its price.
        """
        N = self.futures.count
        parts = [slice(first, min(first + SHARD, N)) for first in range(0, N, SHARD)]
        shards = [
            Shard(self if len(parts) == 1 else self.over(part), None if kept is None else kept[part], bounded)
            for part in parts
        ]
        weights = (lambda shortfall: tail_weights(shortfall, cvar_level)) if bounded else None
        with self.spread.hold(shards) as held:
            yield oracle_of(held, [part.stop - part.start for part in parts], self.money, weights)

    def over(self, chosen: slice) -> Formulation:
        """The same columns, limits and money over some of the futures."""
        part = copy(self)
        part.futures = self.futures.take(chosen)
        part.spread = Processes(1)
        for made in ("deliveries", "spot", "least", "valued_need"):
            part.__dict__.pop(made, None)
        return part

    @cached_property
    def valued_need(self) -> Array:
        """[N] Σ_pt u_pt need_npt, and one where a future needs nothing."""
        valued = (self.futures.unmet_price * self.futures.need).sum(axis=(1, 2))
        return np.where(valued > 0, valued, 1.0)

    def slopes_by_month(self, price: Array) -> Array:
        """[T, n] Σ_n price × d capacity / d column, month by month."""
        T, orders = self.futures.months, len(self.order_columns)
        slopes = np.zeros((T, len(self.outlay)))
        p, s, m = self.order_columns.T
        slopes[:, :orders] = self.deliveries.gradient_by_month(price)[:, p, s, m]
        rent = carried_slope(price, self.futures.rental_per_gpu)
        q, r, t = self.reserve_columns.T
        slopes[t, orders + np.arange(len(t))] = rent[q, r, t]
        return slopes

    def capacity_slope(self, price: Array) -> Array:
        """[n] Σ_nt price × d capacity / d column."""
        orders = self.deliveries.gradient(price)[tuple(self.order_columns.T)]
        rent = carried_slope(price, self.futures.rental_per_gpu)
        return np.r_[orders, rent[tuple(self.reserve_columns.T)]]

    def lot_capacity(self, column: int) -> tuple[int, Array]:
        """The pool of a column, and [N, T] requests/s that one lot of it brings."""
        orders, month = len(self.order_columns), np.arange(self.futures.months)
        if column < orders:
            p, s, m = (int(index) for index in self.order_columns[column])
            serves = self.futures.arrival_month[:, s, m, None] <= month
            carries = self.futures.per_gpu[:, p, s]
        else:
            p, s, m = (int(index) for index in self.reserve_columns[column - orders])
            serves = np.broadcast_to(month == m, (self.futures.count, self.futures.months))
            carries = self.futures.rental_per_gpu[:, p, s]
        return p, serves * (self.lots[column] * carries)[:, None]

    def shortfall_share(self, plan: Orders) -> Array:
        """[N] L_n of a plan."""
        return self.share_of(self.least.cover(self.deficit(plan)).cost)

    def share_of(self, unserved: Array) -> Array:
        """[N] the same from the value of unserved need [N, T]."""
        return unserved.sum(axis=1) / self.valued_need

    def expected_cost(self, plan: Orders) -> float:
        """Objective of a plan in this sample, money."""
        spot_and_unmet = self.spot.cover(self.deficit(plan)).cost.sum(axis=1).mean()
        return linear.dot(self.outlay, self.point(plan)) + float(spot_and_unmet)

    def solve(
        self,
        cvar_level: float = 0.9,
        cvar_bound: float = np.inf,
        *,
        kept: Array | None = None,
        start: Orders | None = None,
        gap: float = GAP,
    ) -> Solution:
        """The cheapest plan, in parts of GPUs, whose CVaR of the shortfall share keeps to the bound.

        A bound that no plan can keep is exceeded by as little as can be; ``Solution.attained`` tells.
        """
        bounded = bool(np.isfinite(cvar_bound))
        first = np.zeros(len(self.outlay)) if start is None else self.point(start)
        with self.oracle(cvar_level, bounded, kept) as oracle:
            found = minimise(self.programme(cvar_bound), oracle, first, gap=gap)
        return self._solution(found, cvar_level, cvar_bound)

    def _solution(self, found: Optimum, level: float, bound: float) -> Solution:
        plan = self.plan(found.point)
        # With an excess over the bound the objective holds its price, and bounds no cost.
        exceeded = bool(found.functions[self.futures.months :].max(initial=0.0) > bound + 1e-6)
        limits = tuple(
            Limit(kind, names, month, -price * (self.money if kind != "budget" else 1.0))
            for (kind, names, month), price in zip(self.limits, found.hard_price, strict=True)
            if price < -1e-9
        )
        return Solution(
            plan=plan,
            expected_cost=self.expected_cost(plan),
            shortfall_cvar=cvar(self.shortfall_share(plan), level),
            cvar_bound=bound,
            lower_bound=float("nan") if exceeded else found.lower * self.money,
            gap=found.gap,
            rounds=found.rounds,
            limits=limits,
            cuts=found.cuts,
        )


class Shard:
    """The futures of one shard, and what it knows of the questions so far.

    part      the formulation over the shard's futures, with the columns of the whole
    kept      [N, T] how many times more unmet demand costs in chosen futures and months; None: once everywhere
    bounded   whether the CVaR is asked for
    """

    def __init__(self, part: Formulation, kept: Array | None, bounded: bool) -> None:
        self.part = part
        self.share = 1.0 / part.valued_need[:, None]
        self.kept, self.bounded = kept, bounded
        self._answered = 0

    def expectations(self, points: list[Array]) -> tuple[Array, Array, Array | None]:
        """At the last of ``points``: Σ Q [T], Σ ∂Q [T, n], and each future's shortfall share [N] if bounded."""
        for point in points[self._answered :]:
            self._last = self._at(point)
            self._answered += 1
        return self._last

    def _at(self, point: Array) -> tuple[Array, Array, Array | None]:
        part, shortfall = self.part, None
        deficit = part.deficit(part.plan(point))
        cover = part.spot.cover(deficit)
        cost, price = cover.cost, cover.price
        if self.kept is not None or self.bounded:
            # Where the cheapest cover leaves nothing unmet, nor does the least, and its price is nothing.
            short = cover.unmet.max(axis=1, keepdims=True) > 0
            least = part.least.cover(np.where(short, deficit, 0.0))
            if self.kept is not None:
                cost = cost + self.kept * least.cost
                price = price + self.kept[:, None, :] * least.price
            if self.bounded:
                shortfall = (self.share * least.cost).sum(axis=1)
                self._least_price = least.price
        return cost.sum(axis=0), -part.slopes_by_month(price), shortfall

    def tail(self, points: list[Array], weight: Array) -> Array:
        """[n] this shard's part of the CVaR's subgradient, from the weight [N] of its futures in the tail."""
        self.expectations(points)
        price = (weight[:, None] * self.share)[:, None, :] * self._least_price
        return -self.part.slopes_by_month(price).sum(axis=0)


def oracle_of(shards: Held, sizes: list[int], money: float, tail_weights: Callable[[Array], Array] | None) -> Oracle:
    """The oracle of all shards together. ``tail_weights``: of shortfall shares [N]; None: no CVaR is asked for."""
    asked: list[Array] = []
    count, ends = sum(sizes), np.cumsum(sizes)[:-1]

    def ask(point: Array) -> tuple[Array, Array]:
        asked.append(point)
        told = shards.map(Shard.expectations, [(asked,)] * len(sizes))
        values = reduce(np.add, (cost for cost, _, _ in told)) / count / money
        slopes = reduce(np.add, (slope for _, slope, _ in told)) / (count * money)
        if tail_weights is None:
            return values, slopes
        shortfall = np.concatenate([part for _, _, part in told if part is not None])
        weight = tail_weights(shortfall)
        jobs = [(asked, part) for part in np.split(weight, ends)]
        slope = reduce(np.add, shards.map(Shard.tail, jobs))
        return np.r_[values, linear.dot(weight, shortfall)], np.vstack([slopes, slope])

    return ask
