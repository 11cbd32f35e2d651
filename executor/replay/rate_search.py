"""The highest rate at which something still holds: double or halve to a bracket, then bisect."""

import math
from collections.abc import Callable


def highest_good(
    good: Callable[[float], bool], start: float, precision: float, doublings: int = 12
) -> tuple[float, float | None]:
    """A rate that is good and one above it that is not, within ``precision`` of the latter; bisected in the logarithm.

    (0, rate) where none is good, (rate, None) where all are.
    """
    low = high = start
    if good(start):
        for _ in range(doublings):
            high = 2 * low
            if not good(high):
                break
            low = high
        else:
            return low, None
    else:
        for _ in range(doublings):
            low = high / 2
            if good(low):
                break
            high = low
        else:
            return 0.0, high
    while high - low > precision * high:
        middle = math.sqrt(low * high)
        low, high = (middle, high) if good(middle) else (low, middle)
    return low, high
