"""Laws of chance by inverse transform: one uniform in, one value out, always the same one.

Every law is frozen, answers ``quantile(u)`` for arrays of u strictly between 0 and 1, and knows its ``mean``.
Because the same u is asked whatever the law, a law can be changed with the same random numbers: a longer duration at
the same u is longer in every replication.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import ArrayLike, NDArray

from executor.portable.elementary import expm1, log1p

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Law(ABC):
    """A distribution on the real line; its unit is the caller's."""

    @abstractmethod
    def quantile(self, u: ArrayLike) -> Floats:
        """The value below which the law lies with probability u; same shape as u."""

    @property
    @abstractmethod
    def mean(self) -> float:
        """The expected value; infinite where the tail is too heavy to have one."""

    def _must(self, holds: bool = True, rule: str = "") -> None:
        """Parameters are finite and keep the law's own rule."""
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        finite = all(math.isfinite(value) for value in given.values())
        if not (finite and holds):
            found = ", ".join(f"{name}={value}" for name, value in given.items())
            broken = rule if finite else "parameters must be finite"
            raise ValueError(f"{type(self).__name__.lower()}: {broken} (got {found})")


@dataclass(frozen=True)
class Constant(Law):
    """Always ``value``."""

    value: float

    def __post_init__(self) -> None:
        self._must()

    def quantile(self, u: ArrayLike) -> Floats:
        """``value`` for every u."""
        return np.full(np.shape(u), float(self.value))

    @property
    def mean(self) -> float:
        """``value``."""
        return float(self.value)


@dataclass(frozen=True)
class Triangular(Law):
    """The triangle on ``low``, ``mode``, ``high``: what a source that gives three figures supports."""

    low: float
    mode: float
    high: float

    def __post_init__(self) -> None:
        self._must(self.low <= self.mode <= self.high, "low, mode and high must be in this order")

    def quantile(self, u: ArrayLike) -> Floats:
        r"""Inverse of the triangle's distribution function.

        u <= F(mode):  low  + \sqrt{u (high - low)(mode - low)},        F(mode) = (mode - low) / (high - low)
        u >  F(mode):  high - \sqrt{(1 - u)(high - low)(high - mode)}
        """
        share = np.asarray(u, dtype=np.float64)
        width = self.high - self.low
        if width == 0:
            return np.full(share.shape, float(self.low))
        rising = self.low + np.sqrt(share * (width * (self.mode - self.low)))
        falling = self.high - np.sqrt((1.0 - share) * (width * (self.high - self.mode)))
        return np.where(share * width <= self.mode - self.low, rising, falling)

    @property
    def mean(self) -> float:
        """(low + mode + high) / 3."""
        return (self.low + self.mode + self.high) / 3


@dataclass(frozen=True)
class Exponential(Law):
    """Memoryless with expected value ``scale``."""

    scale: float

    def __post_init__(self) -> None:
        self._must(self.scale > 0, "scale must be positive")

    def quantile(self, u: ArrayLike) -> Floats:
        """-scale ln(1 - u)."""
        return -self.scale * log1p(-np.asarray(u, dtype=np.float64))

    @property
    def mean(self) -> float:
        """``scale``."""
        return float(self.scale)


@dataclass(frozen=True)
class Lomax(Law):
    """Pareto from zero, S(t) = (scale / (scale + t))**shape: exponential, its rate Gamma(shape, scale)."""

    shape: float
    scale: float

    def __post_init__(self) -> None:
        self._must(self.shape > 0 and self.scale > 0, "shape and scale must be positive")

    def quantile(self, u: ArrayLike) -> Floats:
        """Scale ((1 - u)^(-1 / shape) - 1)."""
        return np.asarray(self.scale * expm1(-log1p(-np.asarray(u, dtype=np.float64)) / self.shape))

    @property
    def mean(self) -> float:
        """Scale / (shape - 1), infinite for a shape of 1 or less."""
        return self.scale / (self.shape - 1) if self.shape > 1 else math.inf
