"""Intervals and quantiles over futures, as the record holds them."""

import math

import numpy as np
from numpy.typing import NDArray

from planner.optimise.evaluate import Difference, paired, wilson
from planner.record.models import Interval, Quantiles

Array = NDArray[np.float64]
LEVEL = 0.9
"""Confidence of every interval of a probability and of a mean."""
Z90 = 1.6448536269514722


def probability(hits: NDArray[np.bool_]) -> Interval:
    """Share of futures with its Wilson interval."""
    low, high = wilson(int(hits.sum()), len(hits), LEVEL)
    return Interval(value=float(hits.mean()), low=float(low), high=float(high), level=LEVEL)


def mean_of(values: Array) -> Interval:
    """Mean over futures with its normal interval."""
    half = Z90 * float(values.std(ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else 0.0
    mean = float(values.mean())
    return Interval(value=mean, low=mean - half, high=mean + half, level=LEVEL)


def difference(first: Array, second: Array) -> Interval:
    """Mean of ``second - first`` with common random numbers, with its interval."""
    return interval(paired(first, second, LEVEL))


def interval(found: Difference) -> Interval:
    """A paired difference as the record holds it."""
    return Interval(value=found.mean, low=found.low, high=found.high, level=LEVEL)


def quantiles(values: Array) -> Quantiles:
    """P10, P50 and P90 over futures."""
    p10, p50, p90 = np.quantile(values, (0.1, 0.5, 0.9))
    return Quantiles(p10=float(p10), p50=float(p50), p90=float(p90))
