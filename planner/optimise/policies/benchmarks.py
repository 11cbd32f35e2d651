"""The benchmark policies that a plan has to beat, with common random numbers.

Each is a rule that somebody really follows. Those that choose quantities by optimisation (nothing until cleared, only
some sources) are calibrated to the same goal by the same code; the rules of thumb (everything now, nine-month MRP,
base-stock) are not. A rule that watches the futures unfold gives orders [N, P, S, M]; it sees in month m only what has
happened by then. Every outcome is that on the futures that judge: those under the third root in a plan.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from planner.futures.arrays import Array, Futures, Orders, Whole
from planner.optimise.evaluate import Outcome, evaluate
from planner.optimise.lp.formulation import Formulation
from planner.optimise.service_level.calibrate import Effort, calibrate
from planner.record.ids import PolicyId

MRP_LEAD_MONTHS = 9
"""The planning lead time of the nine-month MRP: what the trade says a new wafer takes to a served request."""


ENOUGH = 1_000
"""Benchmark policies and the if-then calendar learn from so many of the training futures at most. All are judged on
every future that judges the plan."""


@dataclass(frozen=True)
class Benchmark:
    """A policy with its outcome on the futures that judge it."""

    name: PolicyId
    plan: Orders
    outcome: Outcome
    wanted: Orders | None = None
    """What a policy that waits wants in every future alike, before it waits."""


def nothing_until_cleared(
    train: Futures,
    validate: Futures,
    goal: float,
    judge: Futures,
    effort: Effort = Effort(),  # noqa: B008
) -> Benchmark:
    """Order from a source only once all its gates are seen passing; what is wanted earlier waits for that.

    The quantities are chosen by the same optimiser, which knows that orders will wait.
    """
    waiting = calibrate(_cleared(enough(train)), _cleared(validate), goal, effort=effort)
    plan = Orders(placed_when_cleared(judge, waiting.plan.orders), waiting.plan.reserved)
    return Benchmark("nothing-until-cleared", plan, evaluate(judge, plan), wanted=waiting.plan)


def enough(train: Futures) -> Futures:
    """The training futures that a benchmark policy learns from."""
    return train if train.count <= ENOUGH else train.take(slice(0, ENOUGH))


def first_cleared(futures: Futures) -> NDArray[np.int64]:
    """[N, S, M] first month from m on in which the source passes and sells; T: none in the horizon."""
    assert futures.passing is not None, "the policy needs to know when gates are seen passing"
    T = futures.months
    sells = np.array([source.may_order.any(axis=0) for source in futures.purchases], dtype=bool).reshape(-1, T)
    month = np.where(futures.passing & sells, np.arange(T), T)
    return np.minimum.accumulate(month[:, :, ::-1], axis=2)[:, :, ::-1]


def _cleared(futures: Futures) -> Futures:
    """The futures as they look to a buyer whose order of month m is placed once the gates pass."""
    placed = first_cleared(futures)
    T = futures.months
    inside = np.minimum(placed, T - 1)
    arrival = np.where(placed < T, np.take_along_axis(futures.arrival_month, inside, axis=2), T)
    outlay = np.where(placed < T, np.take_along_axis(futures.outlay, inside, axis=2), 0.0)
    return replace(futures, arrival_month=arrival, outlay=outlay)


def placed_when_cleared(futures: Futures, wanted: Whole | Array) -> Whole:
    """[N, P, S, M] orders ``wanted`` [P, S, M], each placed in the first cleared month.

    What a monthly cap cuts off (in whole lots) is placed in the next cleared month.
    """
    placed = first_cleared(futures)
    N, T = futures.count, futures.months
    orders = np.zeros((N, *wanted.shape), dtype=np.int64)
    for s, source in enumerate(futures.purchases):
        cap = np.floor(source.monthly_cap / source.lot_gpus) * source.lot_gpus
        owed = np.zeros((N, wanted.shape[0]))
        for m in range(T):
            owed += wanted[:, s, m]
            passes = placed[:, s, m] == m
            room = np.where(passes, cap, 0.0)
            for p in range(wanted.shape[0]):
                part = np.minimum(owed[:, p], room)
                orders[:, p, s, m] = part
                owed[:, p] -= part
                room = room - part
    return orders


def everything_now(train: Futures, judge: Futures, goal: float) -> Benchmark:
    """In the first month order all that the horizon's largest deficit takes, in the share ``goal`` of futures.

    The cheapest sources first, up to their caps; the mean gap until delivery is rented.
    """
    formulation = Formulation(train)
    largest = np.quantile(np.maximum(train.base_deficit, 0.0).max(axis=2), goal, axis=0)
    orders = np.zeros(train.may_order.shape, dtype=np.int64)
    room = _Room(train)
    for p, wanted in enumerate(largest):
        for s in cheapest_first(train, p, 0):
            wanted = room.order(orders, p, s, 0, float(wanted))
    plan = Orders(orders, rent_the_gap(train, formulation.deliveries.capacity(orders).mean(axis=0)))
    return Benchmark("everything-now", plan, evaluate(judge, plan))


def nine_month_mrp(train: Futures, judge: Futures) -> Benchmark:
    """Material requirements planning: mean need, one fixed lead time, no gates.

    In month m order what the mean need of month m + 9 lacks, from the cheapest source; rent the mean gap.
    """
    P, T = len(train.pools), train.months
    gap = train.base_deficit.mean(axis=0)
    orders = np.zeros(train.may_order.shape, dtype=np.int64)
    believed = np.zeros((P, T))
    room = _Room(train)
    for m in range(T - MRP_LEAD_MONTHS):
        for p in range(P):
            wanted = gap[p, m + MRP_LEAD_MONTHS] - believed[p, m + MRP_LEAD_MONTHS]
            for s in cheapest_first(train, p, m):
                before = orders[p, s, m]
                wanted = room.order(orders, p, s, m, float(wanted))
                added = (orders[p, s, m] - before) * train.per_gpu[:, p, s].mean()
                believed[p, m + MRP_LEAD_MONTHS :] += added
    plan = Orders(orders, rent_the_gap(train, believed))
    return Benchmark("nine-month-mrp", plan, evaluate(judge, plan))


def base_stock(train: Futures, judge: Futures, goal: float) -> Benchmark:
    r"""Order up to a level, every month, watching need and the inventory position of the future it is in.

        level[n,p,m] = need[n,p,m] × quantile_goal( need[m + L] / need[m] )

    L is the source's mean lead time, the quantile is learnt on the training futures; the position is
    owned and ordered capacity. Each pool orders from the source that is cheapest in the first month.
    """
    gap = rent_the_gap(train, np.zeros((len(train.pools), train.months)))
    orders = np.zeros((judge.count, *train.may_order.shape), dtype=np.int64)
    for p in range(len(train.pools)):
        for s in cheapest_first(train, p, 0)[:1]:
            orders[:, p, s] = _up_to_level(train, judge, goal, p, s)
    for s, source in enumerate(train.purchases):
        orders[:, :, s] = _capped(orders[:, :, s], source.monthly_cap, source.total_cap, source.lot_gpus)
    plan = Orders(orders, gap)
    return Benchmark("base-stock", plan, evaluate(judge, plan))


def _up_to_level(train: Futures, judge: Futures, goal: float, p: int, s: int) -> Whole:
    """[N, M] GPUs one pool orders from one source under the base-stock rule."""
    T, lot = train.months, train.purchases[s].lot_gpus
    served = train.arrival_month[:, s] < T
    waits = (train.arrival_month[:, s] - np.arange(T))[served]
    lead = int(np.ceil(waits.mean())) if len(waits) else T
    carries = float(train.per_gpu[:, p, s].mean())
    orders = np.zeros((judge.count, T), dtype=np.int64)
    for m in range(T - 1):
        if not train.purchases[s].may_order[p, m]:
            continue
        ahead = min(m + lead, T - 1)
        growth = np.quantile(train.need[:, p, ahead] / np.maximum(train.need[:, p, m], 1e-12), goal)
        position = judge.owned[:, p, m] + orders.sum(axis=1) * carries
        short = np.maximum(judge.need[:, p, m] * growth - position, 0.0)
        orders[:, m] = np.ceil(short / carries / lot) * lot
    return orders


def _capped(orders: Whole, monthly_cap: float, total_cap: float, lot: int) -> Whole:
    """[N, P, M] orders cut to the caps, earlier pools and months first."""
    left = np.full(len(orders), total_cap)
    kept = np.zeros_like(orders)
    for m in range(orders.shape[2]):
        room = np.minimum(left, monthly_cap)
        for p in range(orders.shape[1]):
            part = np.minimum(orders[:, p, m], np.floor(np.minimum(room, 1e15) / lot) * lot)
            kept[:, p, m] = part
            room, left = room - part, left - part
    return kept


def only_from(
    name: PolicyId,
    train: Futures,
    validate: Futures,
    goal: float,
    purchases: Collection[str],
    judge: Futures,
    effort: Effort = Effort(),  # noqa: B008
) -> Benchmark:
    """The same optimiser with some sources and all rentals: ``domestic-only``, ``rent-only`` (``purchases`` empty)."""
    found = calibrate(enough(train).only(purchases), validate.only(purchases), goal, effort=effort)
    return Benchmark(name, found.plan, evaluate(judge, found.plan))


def rent_the_gap(futures: Futures, delivered: Array) -> Whole:
    """[P, R, T] reserved rental that covers the mean need beyond owned and ``delivered`` [P, T] capacity.

    The cheapest rental per request/s first, up to its cap, in whole lots.
    """
    gap = np.maximum(futures.base_deficit.mean(axis=0) - delivered, 0.0)
    reserved = np.zeros(futures.may_reserve.shape, dtype=np.int64)
    carries = futures.rental_per_gpu.mean(axis=0)
    for t in range(futures.months):
        room = [float(rental.reserved_cap[t]) for rental in futures.rentals]
        for p in range(len(futures.pools)):
            left = float(gap[p, t])
            price = [r.reserved_price[t] / max(carries[p, i], 1e-12) for i, r in enumerate(futures.rentals)]
            for r in np.argsort(price, kind="stable"):
                if left <= 0 or not futures.may_reserve[p, r, t]:
                    continue
                lot = futures.rentals[r].lot_gpus
                gpus = min(np.ceil(left / carries[p, r] / lot), np.floor(room[r] / lot)) * lot
                reserved[p, r, t] = gpus
                room[r] -= gpus
                left -= gpus * carries[p, r]
    return reserved


def cheapest_first(futures: Futures, p: int, m: int) -> list[int]:
    """Sources open to the pool in the month, by expected outlay per request/s."""
    carries = futures.per_gpu[:, p].mean(axis=0)
    price = futures.mean_outlay[:, m] / np.maximum(carries, 1e-12)
    allowed = futures.may_order[p, :, m]
    return [int(s) for s in np.argsort(price, kind="stable") if allowed[s]]


class _Room:
    """What the caps still allow while a rule of thumb orders source by source."""

    def __init__(self, futures: Futures) -> None:
        self.futures = futures
        self.total = [source.total_cap for source in futures.purchases]

    def order(self, orders: Whole, p: int, s: int, m: int, wanted: float) -> float:
        """Add whole lots for ``wanted`` requests/s to ``orders`` [P, S, M]; the requests/s still wanted."""
        source = self.futures.purchases[s]
        if wanted <= 0:
            return 0.0
        carries = float(self.futures.per_gpu[:, p, s].mean())
        room = min(source.monthly_cap - orders[:, s, m].sum(), self.total[s])
        lots = np.ceil(wanted / carries / source.lot_gpus)
        gpus = min(lots, np.floor(min(room, 1e15) / source.lot_gpus)) * source.lot_gpus
        orders[p, s, m] += int(gpus)
        self.total[s] -= gpus
        return wanted - gpus * carries
