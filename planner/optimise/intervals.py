"""Intervals and quantiles over futures, as the record holds them."""

import math

import numpy as np
from numpy.typing import NDArray

from executor.portable import normal
from planner.futures.arrays import Array, Flags
from planner.record.models import Interval, Quantiles

LEVEL = 0.9
"""Confidence of every interval of a probability and of a mean."""
Z90 = 1.6448536269514722


def _z(level: float) -> float:
    """The normal quantile of (1 + level)/2."""
    return float(normal.quantile((1 + level) / 2))


def wilson(successes: NDArray[np.integer] | int, n: int, level: float = LEVEL) -> Array:
    r"""[..., 2] Wilson's score interval of a probability seen ``successes`` times in ``n``.

        (p̂ + z²/2n ± z √(p̂(1-p̂)/n + z²/4n²)) / (1 + z²/n),    z the normal quantile of (1 + level)/2

    Unlike p̂ ± z·s it never leaves [0, 1] and does not collapse at 0 or n successes.

    >>> wilson(90, 100).round(4).tolist()
    [0.8396, 0.9393]
    """
    z = _z(level)
    seen = np.asarray(successes) / n
    middle = (seen + z * z / (2 * n)) / (1 + z * z / n)
    half = z * np.sqrt(seen * (1 - seen) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    # At nothing and at all of n the limits are 0 and 1 exactly, which rounding would miss by 1e-16.
    low = np.where(seen <= 0, 0.0, middle - half)
    high = np.where(seen >= 1, 1.0, middle + half)
    return np.stack([low, high], axis=-1)


def probability(hits: Flags) -> Interval:
    """Share of futures with its Wilson interval."""
    low, high = wilson(int(hits.sum()), len(hits))
    return Interval(value=float(hits.mean()), low=float(low), high=float(high), level=LEVEL)


def mean_of(values: Array) -> Interval:
    """Mean over futures with its normal interval."""
    half = Z90 * float(values.std(ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else 0.0
    mean = float(values.mean())
    return Interval(value=mean, low=mean - half, high=mean + half, level=LEVEL)


def paired(first: Array | Flags, second: Array | Flags) -> Interval:
    """Mean of ``second - first`` over the same futures, normal interval from the spread of the differences.

    On the same random numbers the spread of the difference is far smaller than that of either.
    """
    difference = np.asarray(second, dtype=float) - np.asarray(first, dtype=float)
    mean, count = float(difference.mean()), len(difference)
    half = _z(LEVEL) * float(difference.std(ddof=1)) / math.sqrt(count) if count > 1 else float("inf")
    return Interval(value=mean, low=mean - half, high=mean + half, level=LEVEL)


def quantiles(values: Array) -> Quantiles:
    """P10, P50 and P90 over futures."""
    p10, p50, p90 = np.quantile(values, (0.1, 0.5, 0.9))
    return Quantiles(p10=float(p10), p50=float(p50), p90=float(p90))
