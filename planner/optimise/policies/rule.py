r"""The rule of planning anew each month, and what it believes: carried out on any futures, all at once.

On the first day of month m > 0 the planner knows each pool's need of the month, what its GPUs carry, what has arrived,
what is on order and the state of every source's gates; in month 0 only what is expected. It believes, at a caution q
that it keeps throughout, that

    need of month t      =  need[m] × the q-quantile of need[t] / need[m]
    fleet of month t     =  fleet[m] × expected fleet[t] / expected fleet[m]
    an order of month m  serves after the q-quantile of the lead time, among futures with the gates in this state
    an open order of k   serves in the q-quantile of its arrival month, among futures in which it has not arrived by m

and orders, from the cheapest source first, what the month lacks in which an order of today would serve; but only where
that is cheaper than renting for as long as the gap is believed to last. Quantiles are learnt on training futures.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from planner.futures.arrays import PASSING, Array, Futures, Whole
from planner.optimise.policies.benchmarks import cheapest_first
from planner.optimise.policies.if_then import regime_of

_SEEN = 10
"""A gate's state that fewer training futures show in a month tells nothing about lead times by itself."""


@dataclass(frozen=True, order=True)
class Rule:
    """The parameters of the rule."""

    caution: float
    """The quantile q that is believed in, 0..1; a half: medians."""
    first_month: int = 0
    """Nothing is ordered before."""
    longest_lead: int | None = None
    """Months; sources that are believed to take longer are left aside. None: any."""


class Beliefs:
    """What the planner holds true at each caution, learnt on the training futures."""

    def __init__(self, train: Futures) -> None:
        self.train = train
        self._held: dict[float, Held] = {}

    def at(self, caution: float) -> Held:
        """What is believed at one caution; worked out once."""
        if caution not in self._held:
            self._held[caution] = Held(self.growth_at(caution), self._serves(caution), self._due(caution))
        return self._held[caution]

    def growth_at(self, caution: float) -> Array:
        """[P, M, T] need of month t over need of month m."""
        need, T = np.maximum(self.train.need, 1e-12), self.train.months
        growth = np.ones((need.shape[1], T, T))
        for m in range(T):
            growth[:, m, m:] = np.quantile(need[:, :, m:] / need[:, :, m : m + 1], caution, axis=0)
        return growth

    def _serves(self, caution: float) -> Whole:
        T = self.train.months
        serves = np.full((len(self.train.purchases), T, PASSING + 1), T, dtype=np.int64)
        for s, m in np.ndindex(serves.shape[:2]):
            for state in range(PASSING + 1):
                alike = self._arrivals_by_state[s][m][state]
                serves[s, m, state] = alike[_place(caution, len(alike))]
        return serves

    @cached_property
    def _arrivals_by_state(self) -> list[list[list[Whole]]]:
        """[S][M][3] arrival months in ascending order, of all futures where few show the state."""
        arrival, regime = self.train.arrival_month, regime_of(self.train)

        def by_state(s: int, m: int) -> list[Whole]:
            every = np.sort(arrival[:, s, m])
            states = (np.sort(arrival[regime[:, s, m] == state, s, m]) for state in range(PASSING + 1))
            return [alike if len(alike) >= _SEEN else every for alike in states]

        return [[by_state(s, m) for m in range(self.train.months)] for s in range(len(self.train.purchases))]

    def _due(self, caution: float) -> Whole:
        T = self.train.months
        due = np.full((len(self.train.purchases), T, T), T, dtype=np.int64)
        arrival = np.sort(self.train.arrival_month, axis=0)
        for m in range(T):
            seen = (arrival[:, :, :m] <= m).sum(axis=0)
            late = len(arrival) - seen
            at = np.minimum(seen + _place(caution, late), len(arrival) - 1)
            due[:, :m, m] = np.where(late > 0, np.take_along_axis(arrival[:, :, :m], at[None], axis=0)[0], T)
        return due

    @cached_property
    def carries(self) -> Array:
        """[P, S] requests/s of one GPU."""
        return self.train.per_gpu.mean(axis=0)

    @cached_property
    def need(self) -> Array:
        """[P, T] requests/s expected."""
        return self.train.need.mean(axis=0)

    @cached_property
    def owned(self) -> Array:
        """[P, T] requests/s that the fleet is expected to carry."""
        return self.train.owned.mean(axis=0)

    @cached_property
    def rent(self) -> Array:
        """[P, T] money for one request/s of the cheapest reserved rental; of unmet demand where there is none."""
        train = self.train
        rent = np.array(train.unmet_price)
        carries = train.rental_per_gpu.mean(axis=0)
        for r, rental in enumerate(train.rentals):
            for p in np.flatnonzero(carries[:, r] > 0):
                price = np.where(rental.reserved_cap > 0, rental.reserved_price / carries[p, r], np.inf)
                rent[p] = np.minimum(rent[p], price)
        return rent

    @cached_property
    def cheapest(self) -> list[list[list[int]]]:
        """[M][P] sources open to the pool in the month, cheapest first."""
        pools = range(len(self.train.pools))
        return [[cheapest_first(self.train, p, m) for p in pools] for m in range(self.train.months)]

    @cached_property
    def usual_leads(self) -> list[int]:
        """Median lead times of the sources, months, from the first month on; each once, the longest first."""
        leads = {int(np.median(self.train.arrival_month[:, s, 0])) for s in range(len(self.train.purchases))}
        return sorted(leads, reverse=True)


@dataclass(frozen=True)
class Held:
    """Quantiles at one caution."""

    growth: Array
    """[P, M, T] need of month t over need of month m."""
    serves: Whole
    """[S, M, 3] month in which an order of month m serves, by the state in which its gates are seen; T: never."""
    due: Whole
    """[S, K, M] month in which an order of month k that has not arrived by month m serves; T: never."""


def _place(caution: float, count: NDArray[np.int64] | int) -> Whole:
    """Place of the quantile among so many values in ascending order: the least that enough of them do not exceed."""
    return np.maximum(np.ceil(np.asarray(count) * caution - 1), 0).astype(np.int64)


def carried_out(futures: Futures, beliefs: Beliefs, rule: Rule) -> Whole:
    """[N, P, S, M] what the rule orders in each future, within the sources' caps."""
    orders = np.zeros((futures.count, len(futures.pools), len(futures.purchases), futures.months), dtype=np.int64)
    pipeline, caps = _Pipeline(futures, beliefs, beliefs.at(rule.caution)), _Caps(futures)
    regime = regime_of(futures)
    for m in range(rule.first_month, futures.months):
        gap = pipeline.gap(orders, m)
        caps.begin_month()
        for p, s in _open(futures, beliefs, gap, m):
            serves = pipeline.held.serves[s, m][regime[:, s, m]]
            if rule.longest_lead is not None:
                serves = np.where(serves - m <= rule.longest_lead, serves, futures.months)
            lots = _lots(beliefs, gap[:, p], serves, p, s, m, futures.purchases[s].lot_gpus)
            if not lots.any():
                continue
            gpus = caps.grant(s, lots)
            orders[:, p, s, m] = gpus
            brought = (gpus * beliefs.carries[p, s])[:, None]
            gap[:, p] -= np.where(np.arange(m, futures.months) >= serves[:, None], brought, 0.0)
    return orders


def _open(futures: Futures, beliefs: Beliefs, gap: Array, m: int) -> Iterator[tuple[int, int]]:
    """Pools that lack something, each with its sources from the cheapest on."""
    for p, sources in enumerate(beliefs.cheapest[m]):
        for s in sources:
            if futures.purchases[s].may_order[p, m] and (gap[:, p] > 0).any():
                yield p, s


def _lots(beliefs: Beliefs, gap: Array, serves: Whole, p: int, s: int, m: int, lot_gpus: int) -> Whole:
    """[N] lots for the gap [N, T - m] of the month in which they would serve, where it pays to buy."""
    T = m + gap.shape[1]
    at = (np.minimum(serves, T - 1) - m)[:, None]
    short = np.where(serves < T, np.take_along_axis(gap, at, axis=1)[:, 0], 0.0)
    if not (short > 0).any():
        return np.zeros(len(gap), dtype=np.int64)
    rent = np.cumsum(np.where(gap > 0, beliefs.rent[p, m:], 0.0)[:, ::-1], axis=1)[:, ::-1]
    pays = np.take_along_axis(rent, at, axis=1)[:, 0] > beliefs.train.mean_outlay[s, m] / beliefs.carries[p, s]
    lots: Whole = np.ceil(np.where(pays, np.maximum(short, 0.0), 0.0) / beliefs.carries[p, s] / lot_gpus)
    return lots


class _Pipeline:
    """What has arrived in each future, and what is believed of what has not."""

    def __init__(self, futures: Futures, beliefs: Beliefs, held: Held) -> None:
        self.futures, self.beliefs, self.held = futures, beliefs, held
        self.arrived = np.zeros(futures.need.shape[:2])
        """[N, P] requests/s of orders that have arrived."""
        self.placed: list[tuple[int, int]] = []
        """Source and month of the orders of some future that may still be open."""

    def gap(self, orders: Whole, m: int) -> Array:
        """[N, P, T - m] requests/s that the months from m on are believed to lack."""
        futures, beliefs = self.futures, self.beliefs
        if m == 0:
            expected = beliefs.need[:, :1] * self.held.growth[:, 0] - beliefs.owned
            return np.tile(expected, (futures.count, 1, 1))
        now = beliefs.owned[:, m : m + 1]
        stays = np.divide(beliefs.owned[:, m:], now, out=np.zeros_like(beliefs.owned[:, m:]), where=now > 0)
        fleet = futures.owned[:, :, m, None] * stays
        needed: Array = futures.need[:, :, m, None] * self.held.growth[:, m, m:]
        brought = np.cumsum(self._due(orders, m), axis=2)[:, :, :-1]
        return needed - fleet - self.arrived[:, :, None] - brought

    def _due(self, orders: Whole, m: int) -> Array:
        """[N, P, T - m + 1] requests/s by the month in which they are believed to begin; last: never."""
        futures, carries = self.futures, self.beliefs.carries
        due = np.zeros((*futures.need.shape[:2], futures.months - m + 1))
        self.placed += [(s, m - 1) for s in range(len(futures.purchases)) if orders[:, :, s, m - 1].any()]
        for s, k in list(self.placed):
            gpus, arrival = orders[:, :, s, k], futures.arrival_month[:, s, k, None]
            now = gpus * ((arrival == m) | ((arrival < m) & (k == m - 1)))
            self.arrived += now * futures.per_gpu[:, :, s]
            still = gpus * (arrival > m)
            due[:, :, self.held.due[s, k, m] - m] += still * carries[:, s]
            if not still.any():
                self.placed.remove((s, k))
        return due


class _Caps:
    """What the sources' caps still allow in each future."""

    def __init__(self, futures: Futures) -> None:
        self.futures = futures
        self.group = {s: g for g, members in enumerate(futures.allotments) for s in members}
        first = [futures.purchases[members[0]] for members in futures.allotments]
        self.total = np.tile(np.array([source.total_cap for source in first], float), (futures.count, 1))
        self.monthly = np.array([source.monthly_cap for source in first])
        self.joint = np.tile(np.array([cap for _, cap in futures.joint_caps], float), (futures.count, 1))
        self.joint_of = {
            s: [j for j, (members, _) in enumerate(futures.joint_caps) if s in members] for s in self.group
        }
        self.room = self.total

    def begin_month(self) -> None:
        """A month's caps stand open again."""
        self.room = np.minimum(self.total, self.monthly)

    def grant(self, s: int, lots: Whole) -> Whole:
        """[N] GPUs of so many lots of a source that the caps allow, taken off them."""
        g, joint, lot = self.group[s], self.joint_of[s], self.futures.purchases[s].lot_gpus
        most = np.minimum(self.room[:, g], self.joint[:, joint].min(axis=1, initial=np.inf))
        gpus: Whole = (np.minimum(lots, np.floor(np.minimum(most, 1e15) / lot)) * lot).astype(np.int64)
        self.total[:, g] -= gpus
        self.joint[:, joint] -= gpus[:, None]
        self.room[:, g] -= gpus
        return gpus
