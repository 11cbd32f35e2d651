"""The highest rate at which something still holds: double or halve to a bracket, then bisect."""

from __future__ import annotations

import math
from collections.abc import Callable

MOST_DOUBLINGS = 12


def bracket(good: Callable[[float], bool], start: float, doublings: int = MOST_DOUBLINGS) -> tuple[float, float | None]:
    """A rate that is good and one of twice that is not; (0, rate) where none is, (rate, None) where all are."""
    rate = start
    if good(rate):
        for _ in range(doublings):
            if not good(2 * rate):
                return rate, 2 * rate
            rate *= 2
        return rate, None
    for _ in range(doublings):
        rate /= 2
        if good(rate):
            return rate, 2 * rate
    return 0.0, rate


def narrowed(good: Callable[[float], bool], low: float, high: float, precision: float) -> tuple[float, float]:
    """The bracket bisected in its logarithm until it is within ``precision`` of its upper end."""
    while high - low > precision * high:
        middle = math.sqrt(low * high)
        low, high = (middle, high) if good(middle) else (low, middle)
    return low, high
