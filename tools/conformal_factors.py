"""Factors on the spread of uncalibrated predictions, from the shipped rows: python -m tools.conformal_factors.

``executor.steptime.parameters.UNCALIBRATED_FACTOR`` holds them, rounded to two digits.
"""

import math
from collections.abc import Sequence

import numpy as np

from executor.estimate.accuracy import held_out_beliefs
from executor.estimate.measured_points import Case, by_group, shipped_points
from executor.portable.elementary import log
from executor.steptime.fit import predict
from executor.steptime.parameters import UNCALIBRATED_FACTOR, Z_80
from executor.steptime.workload import work_of


def conformal_factors(cases: Sequence[Case], level: float = 0.8) -> np.ndarray:
    r"""Factors on the spread of TTFT, TPOT and throughput that make intervals without rows of a group hold ``level``.

    c = the ceil(level (n+1))-th smallest of |ln y - ln f| / (z sd) over all n rows

    f and sd come from the prior that the other groups' rows make (leave one group out), before any factor; z is
    1.2816 for 80 %. Rows count alike, and a group has four at most. Split conformal prediction, by metric.
    """
    ratios = []
    for _, rows, believed in held_out_beliefs(by_group(cases)):
        work = work_of([(believed.on(case.setup), case.load) for case in rows])
        _, band = predict(work, believed.calibration)
        found = np.array([[case.ttft_ms, case.tpot_ms, case.throughput_per_gpu] for case in rows], dtype=float)
        medians = band.medians.T
        ratios.append(np.abs(log(found / medians)) / (Z_80 * band.spread.T / UNCALIBRATED_FACTOR))
    ranked = np.sort(np.concatenate(ratios), axis=0)
    return ranked[min(len(ranked), math.ceil(level * (len(ranked) + 1))) - 1]


if __name__ == "__main__":
    print(conformal_factors(shipped_points()))
