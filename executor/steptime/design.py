"""Which set-ups to measure next: V-optimal rows."""

from __future__ import annotations

import numpy as np

from executor.portable import linear
from executor.steptime.fit import Calibration, jacobian
from executor.steptime.parameters import PARAMETERS, SIGMA_LOG
from executor.steptime.workload import Work


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
