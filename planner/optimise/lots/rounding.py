"""Fractional orders rounded to whole lots within limits and budget."""

import numpy as np

from executor.portable import linear
from planner.futures.arrays import Futures, Orders, Whole
from planner.optimise.lp.cutting_planes import Master
from planner.optimise.lp.formulation import Formulation, Solution


def round_to_lots(futures: Futures | Formulation, plan: Orders) -> Orders:
    """``plan`` in whole lots, within caps and budget."""
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
    price = formulation.spot.cover(formulation.deficit(plan)).price
    worth = formulation.capacity_slope(price) / formulation.futures.count
    for column in np.argsort(worth / np.maximum(formulation.outlay, 1e-12), kind="stable"):
        while point[column] > 0 and spent > budget and formulation.outlay[column] > 0:
            point[column] -= lots[column]
            spent -= formulation.outlay[column] * lots[column]
    return formulation.whole_plan(point)
