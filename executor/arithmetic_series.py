"""Many values kept as arithmetic series: the gaps of a replay are known by stretch of steps, not one by one."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

FEW = 20_000
"""Values that are written out and sorted at once."""
# Weighted sums below are no products of vectors: BLAS would wake its threads for them, and these spin on past the call.


@dataclass(frozen=True)
class Ramps:
    """Values ``first + growth i`` for i from 0 to ``steps`` - 1, each of them ``count`` times.

    >>> ramps = Ramps(np.array([1.0, 5.0]), np.array([0.5, 0.0]), np.array([3, 1]), np.array([1, 2]))
    >>> ramps.total, ramps.mean()  # of 1, 1.5, 2, 5 and 5
    (5, 2.9)
    """

    first: Floats
    growth: Floats
    """0 or more."""
    steps: Ints
    count: Ints

    @staticmethod
    def of(values: Floats) -> Ramps:
        """Single values."""
        ones = np.ones(values.size, dtype=np.int64)
        return Ramps(values, np.zeros(values.size), ones, ones)

    @staticmethod
    def joined(parts: Iterable[Ramps]) -> Ramps:
        """All values of the parts."""
        columns = zip(*((part.first, part.growth, part.steps, part.count) for part in parts), strict=True)
        return Ramps(*(np.concatenate(column) for column in columns))

    def where(self, which: np.ndarray) -> Ramps:
        """The chosen series."""
        return Ramps(self.first[which], self.growth[which], self.steps[which], self.count[which])

    @property
    def total(self) -> int:
        """How many values there are."""
        return int((self.steps * self.count).sum())

    def mean(self) -> float:
        """Mean of all values."""
        sums = self.steps * self.first + self.growth * (self.steps * (self.steps - 1) / 2)
        return float(np.sum(self.count * sums)) / self.total

    def deviation(self, mean: float) -> float:
        r"""Root of the mean square about ``mean``.

        sum_i (d + g i)^2 = k d^2 + d g k (k-1) + g^2 k (k-1) (2k-1) / 6,    d = first - mean, i < k
        """
        k, g, d = self.steps.astype(float), self.growth, self.first - mean
        squares = k * d * d + d * g * k * (k - 1) + g * g * k * (k - 1) * (2 * k - 1) / 6
        return math.sqrt(max(0.0, float(np.sum(self.count * squares)) / self.total))

    def quantiles(self, shares: Sequence[float]) -> Floats:
        """Quantiles, interpolated as numpy does with each value written out."""
        place = np.asarray(shares) * (self.total - 1)
        wanted, back = np.unique(np.concatenate([np.floor(place), np.ceil(place)]), return_inverse=True)
        kept = self.count > 0
        whole = self if kept.all() else self.where(kept)
        below, above = np.split(whole._ranked(wanted)[np.ravel(back)], 2)
        return below + (above - below) * (place - np.floor(place))

    def _ranked(self, ranks: Floats) -> Floats:
        """The values at those places (rising, from 0) of the sorted list: halved until few are left."""
        if int(self.steps.sum()) <= FEW:
            ends = np.cumsum(self.steps)
            place = np.arange(int(ends[-1]) if ends.size else 0) - np.repeat(ends - self.steps, self.steps)
            values = np.repeat(self.first, self.steps) + np.repeat(self.growth, self.steps) * place
            order = np.argsort(values, kind="stable")
            counts = np.repeat(self.count, self.steps)[order]
            return values[order][np.searchsorted(np.cumsum(counts) - 1, ranks)]
        last = self.first + self.growth * (self.steps - 1)
        low, high = float(self.first.min()), float(last.max())
        if low == high:
            return np.full(ranks.size, low)
        middle = float(np.median(self.first + last) / 2)
        if not low <= middle < high:  # most values are the highest one
            middle = low
        lower, upper = self._split(middle)
        before = lower.total
        near = ranks < before
        found = np.empty(ranks.size)
        for side, mine, offset in ((lower, near, 0), (upper, ~near, before)):
            if mine.any():
                found[mine] = side._ranked(ranks[mine] - offset)
        return found

    def _split(self, middle: float) -> tuple[Ramps, Ramps]:
        """The values up to ``middle``, and those above it."""
        last = self.first + self.growth * (self.steps - 1)
        below, above = last <= middle, self.first > middle
        across = np.flatnonzero(~(below | above))
        cut = self.where(across)
        taken = np.clip(np.floor((middle - cut.first) / cut.growth).astype(np.int64) + 1, 1, cut.steps - 1)
        head = Ramps(cut.first, cut.growth, taken, cut.count)
        tail = Ramps(cut.first + cut.growth * taken, cut.growth, cut.steps - taken, cut.count)
        return Ramps.joined([self.where(below), head]), Ramps.joined([self.where(above), tail])
