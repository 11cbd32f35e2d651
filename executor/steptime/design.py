"""Which set-ups to measure next: the corners of a grid, and V-optimal rows."""

from __future__ import annotations

import numpy as np

from executor.portable import linear
from executor.steptime.fit import Calibration, jacobian
from executor.steptime.parameters import PARAMETERS, SIGMA_LOG
from executor.steptime.workload import Work


def corners(work: Work, count: int) -> list[int]:
    """Up to four rows at the corners of the grid of the most common layout (ties: fewest GPUs).

    1 lowest concurrency at the largest out/in, 2 highest at the smallest, 3 highest at the largest, 4
    lowest at the smallest. Looks at no outcome. A corner already taken is left out.
    """
    layouts = np.stack(
        [work.cost.gpus, work.cost.attention_dp, work.cost.pp, work.cost.expert_read_bytes], axis=1
    )
    kinds, member, sizes = np.unique(layouts, axis=0, return_inverse=True, return_counts=True)
    member = np.ravel(member)
    favourite = min(range(len(kinds)), key=lambda kind: (-sizes[kind], kinds[kind][0], kind))
    rows = np.flatnonzero(member == favourite)
    ratio = work.osl[rows] / work.isl[rows]
    load = work.concurrency[rows]
    orders = ((ratio, -1, load, 1), (ratio, 1, load, -1), (ratio, -1, load, -1), (ratio, 1, load, 1))
    chosen: list[int] = []
    for first, first_sign, second, second_sign in orders[:count]:
        best = rows[np.lexsort((rows, second_sign * second, first_sign * first))[0]]
        if int(best) not in chosen:
            chosen.append(int(best))
    return chosen


def v_opt(work: Work, before: Calibration, count: int) -> list[int]:
    """The rows worth measuring, best first: each lowers the mean predictive variance over all rows the most.

    Greedy V-optimal design with the model's slopes at the heaviest mode; looks at no outcome.

        gain(c) = tr[ (I + J_c V J_c')^-1 J_c V (sum_r J_r' J_r) V J_c' ],   J in units of sigma
    """
    slopes = jacobian(work, before.theta) / SIGMA_LOG[:, None, None]
    by_row = np.moveaxis(slopes, 1, 0)
    stacked = by_row.reshape(-1, len(PARAMETERS))
    information = linear.product(stacked.T, stacked)
    covariance = before.modes[0].covariance
    chosen: list[int] = []
    for _ in range(min(count, len(work))):
        spread = linear.product(by_row, covariance)
        own = linear.product(spread, np.swapaxes(by_row, 1, 2)) + np.eye(3)
        lowered = linear.product(linear.product(spread, information), np.swapaxes(spread, 1, 2))
        gain = np.trace(linear.solve(own, lowered), axis1=1, axis2=2)
        gain[chosen] = -np.inf
        best = int(np.argmax(np.round(gain, 9)))
        chosen.append(best)
        covariance = covariance - linear.product(spread[best].T, linear.solve(own[best], spread[best]))
    return chosen
