"""Prompt and output lengths of the requests that a replica serves."""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np

from executor.errors import BadInputError
from executor.portable.elementary import interpolated
from executor.steptime.parameters import Array


class LengthCell(Protocol):
    """One cell of a joint law of lengths: its share of requests and its mean lengths, tokens."""

    @property
    def weight(self) -> float:
        """Share of the requests; the weights of a law add to 1."""

    @property
    def input(self) -> float:
        """Mean prompt length, tokens."""

    @property
    def output(self) -> float:
        """Mean output length, tokens."""


@dataclass(frozen=True)
class Lengths:
    """Prompt and output lengths in tokens: means, and quantiles as (share, tokens) where they are known."""

    input_mean: float
    output_mean: float
    input_quantiles: tuple[tuple[float, float], ...] = ()
    output_quantiles: tuple[tuple[float, float], ...] = ()

    def __post_init__(self) -> None:
        for name in ("input_mean", "output_mean"):
            value = getattr(self, name)
            if not (math.isfinite(value) and 1 <= value <= 1e8):
                raise BadInputError(f"lengths: {name} must be from 1 to 1e8 tokens (got {value!r})")
        for name in ("input_quantiles", "output_quantiles"):
            pairs = getattr(self, name)
            if any(not (0 <= share <= 1 and math.isfinite(tokens) and tokens >= 0) for share, tokens in pairs):
                raise BadInputError(f"lengths: {name} must be pairs of a share in 0..1 and tokens of 0 or more")
            if list(pairs) != sorted(pairs) or any(a[1] > b[1] for a, b in pairwise(pairs)):
                raise BadInputError(f"lengths: {name} must grow in share and in tokens")

    def grid(self, which: str, points: int = 64) -> Array:
        """Equally likely lengths that stand for the distribution, scaled to its mean."""
        mean = self.input_mean if which == "input" else self.output_mean
        pairs = self.input_quantiles if which == "input" else self.output_quantiles
        if not pairs:
            return np.full(points, mean)
        shares, tokens = np.array(pairs, dtype=float).T
        found = interpolated((np.arange(points) + 0.5) / points, shares, tokens)
        found = np.maximum(found, 1.0)
        return found * (mean / found.mean())
