"""Conditional value at risk of a cost over the sampled futures."""

import numpy as np

from executor.portable import linear
from planner.futures.arrays import Array


def tail_weights(losses: Array, level: float) -> Array:
    r"""Weights w with CVaR_level(losses) = w · losses: the worst share 1 - level of N equal atoms.

    The atom at the quantile counts with the part that is left; at level 1 (or beyond what N atoms can
    resolve) all weight lies on the worst.

    >>> tail_weights(np.array([5.0, 1.0, 3.0, 2.0]), 0.625).tolist()
    [0.6666666666666666, 0.0, 0.3333333333333333, 0.0]
    """
    N = len(losses)
    mass = max((1.0 - level) * N, 1.0)
    worst_first = np.argsort(-losses, kind="stable")
    weights = np.zeros(N)
    weights[worst_first] = np.clip(mass - np.arange(N), 0.0, 1.0) / mass
    return weights


def cvar(losses: Array, level: float) -> float:
    """Mean of the worst share ``1 - level`` of the losses.

    >>> cvar(np.array([5.0, 1.0, 3.0, 2.0]), 0.5)
    4.0
    """
    return linear.dot(tail_weights(losses, level), losses)
