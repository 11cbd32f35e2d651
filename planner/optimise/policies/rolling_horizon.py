r"""Planning anew every month from what is seen, as a planning department does.

On the first day of month m > 0 the planner knows each pool's need of the month, what its GPUs have been carrying, what
has arrived, what is on order and the state of every source's gates; in month 0 only what is expected. It believes, at a
caution q that it keeps throughout, that

    need of month t      =  need[m] × the q-quantile of need[t] / need[m]
    an order of month m  serves after the q-quantile of the lead time, among futures with the gates in this state
    an open order of k   serves in the q-quantile of its arrival month, among futures in which it has not arrived by m

and orders, from the cheapest source first, what the month lacks in which an order of today would serve; but only where
that is cheaper than renting for as long as the gap is believed to last. Quantiles are learnt on the training futures.

Rental is reserved beforehand: with the rule's orders given in every future, the same optimiser finds the cheapest that
brings the probability to its aim. q is the one of a few at which rule and rental together cost least.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from operator import itemgetter

import numpy as np
from numpy.typing import NDArray

from planner.futures.arrays import PASSING, Array, Futures, Orders, Whole, no_orders
from planner.optimise.evaluate import evaluate
from planner.optimise.lp.formulation import Formulation
from planner.optimise.policies.benchmarks import cheapest_first, enough
from planner.optimise.policies.if_then import regime_of
from planner.optimise.service_level.calibrate import AGAIN, Calibration, calibrate, roughly
from planner.optimise.service_level.confirm import RAISES, Confirmation, Samples, judged
from planner.optimise.service_level.infeasible_months import OutOfReach, out_of_reach

CAUTIONS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
"""Quantiles tried: at a half the planner believes in medians."""

_SEEN = 10
"""A gate's state that fewer training futures show in a month tells nothing about lead times by itself."""

_SCREENED = 600
"""Cautions are compared on so many futures of the first two roots."""

_NEAR = 0.02
"""A month that misses by less while cautions are compared can be mended by a lot or two."""


@dataclass(frozen=True)
class Replanned:
    """The rule with its rental."""

    confirmation: Confirmation
    """Its plan's orders are [N, P, S, M], those of each confirming future."""
    beliefs: Beliefs


def replanned_confirmation(samples: Samples, cautions: Sequence[float] = CAUTIONS) -> Replanned:
    """The rule at its best with the rental that goes with it, judged on the confirming futures."""
    few = samples.first(_SCREENED, _SCREENED, 1)
    beyond = out_of_reach(Formulation(few.validate), samples.aim)
    ends = [
        (_confirmed(samples, beliefs, samples.aim, 0, beyond), beliefs)
        for beliefs in _finalists(few, enough(samples.train), cautions)
    ]
    made, beliefs = min(ends, key=_validated)
    best = made
    while made.raised < RAISES and made.lacks > 0 and made.validated.meets_goal and made.aim < 1.0:
        made = _confirmed(samples, beliefs, samples.raised(made), made.raised + 1, beyond, made)
        best = min(best, made, key=lambda each: each.lacks)
    return Replanned(best, beliefs)


def _validated(end: tuple[Confirmation, Beliefs]) -> tuple[float, float]:
    """Less is better: what the validating futures miss in all, then what it costs on them."""
    found = end[0].validated
    missing = found.accepted - found.outcome.probability
    return float(missing[missing > 0].sum()), found.outcome.expected_cost


def _finalists(few: Samples, learnt: Futures, cautions: Sequence[float]) -> list[Beliefs]:
    """Those that miss least and then cost least with rental in parts of GPUs, by caution, patience and haste.

    Two where the plan is polished, else one. Believing in quantiles the rule may order a month too early, or bind
    itself to a cheap source whose goods come long after the need has changed; whether it does is soon tried.
    """
    cautious = [Beliefs(learnt, caution) for caution in cautions]
    tried = sorted(((_roughly(few, each), each) for each in cautious), key=itemgetter(0))
    leader = tried[0][1]
    others = [replace(leader, first_month=1)]
    others += [replace(leader, longest_lead=months) for months in _shorter_leads(learnt)]
    tried += [(_roughly(few, each), each) for each in others]
    # What changes nothing is not tried twice.
    different = dict(sorted(tried, key=itemgetter(0), reverse=True))
    return [different[score] for score in sorted(different)[: max(1, few.polished)]]


def _shorter_leads(learnt: Futures) -> list[int]:
    """Lead times, months, that leave out the slowest source, and the slowest two."""
    usual = {int(np.median(learnt.arrival_month[:, s, 0])) for s in range(len(learnt.purchases))}
    return sorted(usual, reverse=True)[1:3]


def _roughly(few: Samples, beliefs: Beliefs) -> tuple[float, float]:
    """What the rule misses on the validating futures with about the best rental, and what it costs."""
    orders = replanned(few.validate, beliefs)
    unseen = _given(few.validate, orders)
    found = evaluate(unseen, roughly(_given(few.train, replanned(few.train, beliefs)), few.aim))
    short = np.where(unseen.must_meet, few.aim - found.probability, 0.0) - _NEAR
    return float(short[short > 0].sum()), found.expected_cost + outlay_of(few.validate, orders)


def _confirmed(
    samples: Samples,
    beliefs: Beliefs,
    aim: float,
    raised: int,
    beyond: tuple[OutOfReach, ...],
    before: Confirmation | None = None,
) -> Confirmation:
    found = _with_rental(samples, beliefs, aim, beyond, before)
    carried = Orders(replanned(samples.confirm, beliefs), found.plan.reserved)
    made = replace(found, solution=replace(found.solution, plan=carried))
    return judged(Formulation(samples.confirm), made, samples.goal, raised)


def _with_rental(
    samples: Samples, beliefs: Beliefs, aim: float, beyond: tuple[OutOfReach, ...], before: Confirmation | None
) -> Calibration:
    """The rental that goes with the rule's orders, by the optimiser that sees them as capacity in service.

    ``beyond``: months whose goal nothing within the limits can meet. ``before``: where the search goes on from. The
    outcome is that of orders and rental together on the validating futures.
    """
    train, validate = beliefs.train, samples.validate
    orders = replanned(validate, beliefs)
    seen, unseen = _given(train, replanned(train, beliefs)), _given(validate, orders)
    start, effort = None, samples.effort
    if before is not None:
        start, effort = replace(no_orders(seen), reserved=before.validated.plan.reserved), AGAIN
    found = calibrate(seen, unseen, aim, out_of_reach=beyond, start=start, effort=effort)
    return replace(found, outcome=evaluate(validate, Orders(orders, found.plan.reserved)))


def _given(futures: Futures, orders: Whole) -> Futures:
    """The futures with some orders placed and nothing more to order."""
    brought = Formulation(futures).deliveries.capacity(orders)
    spent = outlay_of(futures, orders)
    budget = None if futures.budget is None else max(0.0, futures.budget - spent)
    return replace(futures.only(purchases=()), owned=futures.owned + brought, budget=budget)


def outlay_of(futures: Futures, orders: Whole) -> float:
    """Expected outlay of orders [N, P, S, M], money."""
    return float((futures.outlay * orders.sum(axis=1)).sum(axis=(1, 2)).mean())


@dataclass(frozen=True)
class Beliefs:
    """What the planner holds true at one caution, learnt on the training futures."""

    train: Futures
    caution: float
    first_month: int = 0
    """Nothing is ordered before."""
    longest_lead: int | None = None
    """Months; sources that are believed to take longer are left aside. None: any."""

    @cached_property
    def growth(self) -> Array:
        """[P, M, T] need of month t over need of month m."""
        need = np.maximum(self.train.need, 1e-12)
        T = self.train.months
        growth = np.ones((need.shape[1], T, T))
        for m in range(T):
            growth[:, m, m:] = np.quantile(need[:, :, m:] / need[:, :, m : m + 1], self.caution, axis=0)
        return growth

    @cached_property
    def serves(self) -> Whole:
        """[S, M, 3] month in which an order of month m serves, by the state in which its gates are seen; T: never."""
        train, T = self.train, self.train.months
        regime = regime_of(train)
        serves = np.full((len(train.purchases), T, PASSING + 1), T, dtype=np.int64)
        for s in range(len(train.purchases)):
            for m in range(T):
                arrival = train.arrival_month[:, s, m]
                for state in range(PASSING + 1):
                    alike = regime[:, s, m] == state
                    serves[s, m, state] = self._quantile(arrival[alike] if alike.sum() >= _SEEN else arrival)
        return serves

    @cached_property
    def due(self) -> Whole:
        """[S, K, M] month in which an order of month k that has not arrived by month m serves; T: never."""
        train, T = self.train, self.train.months
        due = np.full((len(train.purchases), T, T), T, dtype=np.int64)
        for s in range(len(train.purchases)):
            for k in range(T):
                arrival = train.arrival_month[:, s, k]
                for m in range(k + 1, T):
                    late = arrival[arrival > m]
                    due[s, k, m] = self._quantile(late) if len(late) else T
        return due

    def _quantile(self, months: NDArray[np.int64]) -> int:
        return int(np.quantile(months, self.caution, method="inverted_cdf"))

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


def replanned(futures: Futures, beliefs: Beliefs) -> Whole:
    """[N, P, S, M] what the rule orders in each future, within the sources' caps."""
    P, S, T = len(futures.pools), len(futures.purchases), futures.months
    orders = np.zeros((futures.count, P, S, T), dtype=np.int64)
    regime = regime_of(futures)
    left = [np.full(futures.count, futures.purchases[each[0]].total_cap) for each in futures.allotments]
    group = {s: g for g, members in enumerate(futures.allotments) for s in members}
    joint = [np.full(futures.count, cap) for _, cap in futures.joint_caps]
    for m in range(beliefs.first_month, T):
        room = [
            np.minimum(left[g], futures.purchases[members[0]].monthly_cap)
            for g, members in enumerate(futures.allotments)
        ]
        for p in range(P):
            gap = _gap(futures, beliefs, orders, p, m)
            for s in cheapest_first(beliefs.train, p, m):
                if not futures.purchases[s].may_order[p, m]:
                    continue
                serves = beliefs.serves[s, m][regime[:, s, m]]
                if beliefs.longest_lead is not None:
                    serves = np.where(serves - m <= beliefs.longest_lead, serves, T)
                shared = [
                    left_over for left_over, (members, _) in zip(joint, futures.joint_caps, strict=True) if s in members
                ]
                most = np.minimum.reduce([room[group[s]], *shared])
                gpus = _wanted(futures, beliefs, gap, serves, p, s, m, most)
                for left_over in shared:
                    left_over -= gpus
                orders[:, p, s, m] = gpus
                room[group[s]] = room[group[s]] - gpus
                left[group[s]] = left[group[s]] - gpus
                brought = (gpus * beliefs.carries[p, s])[:, None]
                gap -= np.where(np.arange(m, T) >= serves[:, None], brought, 0.0)
    return orders


def _gap(futures: Futures, beliefs: Beliefs, orders: Whole, p: int, m: int) -> Array:
    """[N, T - m] requests/s that the months from m on are believed to lack."""
    T = futures.months
    if m == 0:
        expected = beliefs.need[p, 0] * beliefs.growth[p, 0] - beliefs.owned[p]
        return np.tile(expected, (futures.count, 1))
    later = np.arange(m, T)
    gap: Array = futures.need[:, p, m, None] * beliefs.growth[p, m, m:] - futures.owned[:, p, m:]
    for s, k in np.argwhere(orders[:, p, :, :m].any(axis=0)):
        arrived = futures.arrival_month[:, s, k] <= m
        due = np.where(arrived, m, beliefs.due[s, k, m])
        carries = np.where(arrived, futures.per_gpu[:, p, s], beliefs.carries[p, s])
        brought = orders[:, p, s, k] * carries
        gap -= np.where(later >= due[:, None], brought[:, None], 0.0)
    return gap


def _wanted(
    futures: Futures, beliefs: Beliefs, gap: Array, serves: Whole, p: int, s: int, m: int, room: Array
) -> Whole:
    """[N] GPUs to order now: whole lots for the gap of the month in which they would serve, where it pays to buy."""
    T, lot = futures.months, futures.purchases[s].lot_gpus
    later = np.arange(m, T)
    at = np.minimum(serves, T - 1) - m
    short = np.where(serves < T, np.take_along_axis(gap, at[:, None], axis=1)[:, 0], 0.0)
    lasting = (gap > 0) & (later >= serves[:, None])
    pays = (
        np.where(lasting, beliefs.rent[p, m:], 0.0).sum(axis=1)
        > beliefs.train.mean_outlay[s, m] / beliefs.carries[p, s]
    )
    lots = np.ceil(np.where(pays, np.maximum(short, 0.0), 0.0) / beliefs.carries[p, s] / lot)
    most = np.floor(np.minimum(room, 1e15) / lot)
    return (np.minimum(lots, most) * lot).astype(np.int64)
