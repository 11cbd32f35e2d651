"""Laws of chance by inverse transform: one uniform in, one value out, always the same one.

Every law is frozen, answers ``quantile(u)`` for arrays of u strictly between 0 and 1, knows its ``mean``, and
goes to a dictionary and back. Because the same u is asked whatever the law, a law can be changed under the
same luck: a longer duration at the same u is longer in every replication.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from executor.errors import UnknownNameError
from executor.portable import gamma, normal
from executor.portable.elementary import exp, expm1, log1p

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Law:
    """A distribution on the real line; its unit is the caller's."""

    kind: ClassVar[str] = ""

    def quantile(self, u: ArrayLike) -> Floats:
        """The value below which the law lies with probability u; same shape as u."""
        raise TypeError(f"{type(self).__name__} is no law: use one of {', '.join(KINDS)}")

    @property
    def mean(self) -> float:
        """The expected value; infinite where the tail is too heavy to have one."""
        raise TypeError(f"{type(self).__name__} is no law: use one of {', '.join(KINDS)}")

    def to_dict(self) -> dict[str, Any]:
        """``{"law": kind, parameter: value ..}``, for JSON; read back by ``law_from_dict``."""
        return {
            "law": self.kind,
            **{k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()},
        }

    def _must(self, holds: bool, rule: str) -> None:
        if not holds:
            found = ", ".join(f"{field.name}={getattr(self, field.name)}" for field in fields(self))
            raise ValueError(f"{self.kind}: {rule} (got {found})")

    def _must_be_finite(self) -> None:
        self._must(
            all(math.isfinite(getattr(self, f.name)) for f in fields(self)), "parameters must be finite"
        )


@dataclass(frozen=True)
class Constant(Law):
    """Always ``value``."""

    kind: ClassVar[str] = "constant"
    value: float

    def __post_init__(self) -> None:
        self._must_be_finite()

    def quantile(self, u: ArrayLike) -> Floats:
        """``value`` for every u."""
        return np.full(np.shape(u), float(self.value))

    @property
    def mean(self) -> float:
        """``value``."""
        return float(self.value)


@dataclass(frozen=True)
class Uniform(Law):
    """Even between ``low`` and ``high``."""

    kind: ClassVar[str] = "uniform"
    low: float
    high: float

    def __post_init__(self) -> None:
        self._must_be_finite()
        self._must(self.low <= self.high, "low must not exceed high")

    def quantile(self, u: ArrayLike) -> Floats:
        """low + (high - low) u."""
        return self.low + (self.high - self.low) * np.asarray(u, dtype=np.float64)

    @property
    def mean(self) -> float:
        """The middle."""
        return (self.low + self.high) / 2


@dataclass(frozen=True)
class Triangular(Law):
    """The triangle on ``low``, ``mode``, ``high``: what a source that gives three figures supports."""

    kind: ClassVar[str] = "triangular"
    low: float
    mode: float
    high: float

    def __post_init__(self) -> None:
        self._must_be_finite()
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

    kind: ClassVar[str] = "exponential"
    scale: float

    def __post_init__(self) -> None:
        self._must_be_finite()
        self._must(self.scale > 0, "scale must be positive")

    def quantile(self, u: ArrayLike) -> Floats:
        """-scale ln(1 - u)."""
        return -self.scale * log1p(-np.asarray(u, dtype=np.float64))

    @property
    def mean(self) -> float:
        """``scale``."""
        return float(self.scale)


@dataclass(frozen=True)
class Gamma(Law):
    """Gamma by ``shape`` and ``rate`` (mean shape / rate)."""

    kind: ClassVar[str] = "gamma"
    shape: float
    rate: float

    def __post_init__(self) -> None:
        self._must_be_finite()
        self._must(self.shape > 0 and self.rate > 0, "shape and rate must be positive")

    def quantile(self, u: ArrayLike) -> Floats:
        """Inverse of the regularised incomplete gamma function, over the rate."""
        return np.asarray(gamma.gamma_quantile(self.shape, u) / self.rate)

    @property
    def mean(self) -> float:
        """Shape / rate."""
        return self.shape / self.rate


@dataclass(frozen=True)
class LogNormal(Law):
    """exp of a normal: ``median``, and ``sigma`` the standard deviation of the logarithm."""

    kind: ClassVar[str] = "lognormal"
    median: float
    sigma: float

    def __post_init__(self) -> None:
        self._must_be_finite()
        self._must(self.median > 0 and self.sigma >= 0, "median must be positive and sigma not negative")

    @classmethod
    def of_mean(cls, mean: float, cv: float) -> LogNormal:
        """The log-normal of this mean and coefficient of variation (standard deviation / mean)."""
        sigma = math.sqrt(log1p(cv * cv))
        return cls(median=mean * exp(-sigma * sigma / 2), sigma=sigma)

    def quantile(self, u: ArrayLike) -> Floats:
        """Median exp(sigma z), z the standard normal quantile of u."""
        return np.asarray(self.median * exp(self.sigma * normal.quantile(u)))

    @property
    def mean(self) -> float:
        """Median exp(sigma^2 / 2)."""
        return self.median * exp(self.sigma * self.sigma / 2)


@dataclass(frozen=True)
class Lomax(Law):
    """Pareto from zero, S(t) = (scale / (scale + t))**shape: exponential, its rate Gamma(shape, scale)."""

    kind: ClassVar[str] = "lomax"
    shape: float
    scale: float

    def __post_init__(self) -> None:
        self._must_be_finite()
        self._must(self.shape > 0 and self.scale > 0, "shape and scale must be positive")

    def quantile(self, u: ArrayLike) -> Floats:
        """Scale ((1 - u)^(-1 / shape) - 1)."""
        return np.asarray(self.scale * expm1(-log1p(-np.asarray(u, dtype=np.float64)) / self.shape))

    @property
    def mean(self) -> float:
        """Scale / (shape - 1), infinite for a shape of 1 or less."""
        return self.scale / (self.shape - 1) if self.shape > 1 else math.inf


@dataclass(frozen=True)
class Beta(Law):
    """A share between 0 and 1, Beta(a, b)."""

    kind: ClassVar[str] = "beta"
    a: float
    b: float

    def __post_init__(self) -> None:
        self._must_be_finite()
        self._must(self.a > 0 and self.b > 0, "a and b must be positive")

    def quantile(self, u: ArrayLike) -> Floats:
        """Inverse of the regularised incomplete beta function."""
        return gamma.beta_quantile(self.a, self.b, u)

    @property
    def mean(self) -> float:
        """A / (a + b)."""
        return self.a / (self.a + self.b)


@dataclass(frozen=True)
class Normal(Law):
    """The bell: ``mu`` and ``sigma``."""

    kind: ClassVar[str] = "normal"
    mu: float
    sigma: float

    def __post_init__(self) -> None:
        self._must_be_finite()
        self._must(self.sigma >= 0, "sigma must not be negative")

    def quantile(self, u: ArrayLike) -> Floats:
        """Mu + sigma z, z the standard normal quantile of u."""
        return np.asarray(self.mu + self.sigma * normal.quantile(u))

    @property
    def mean(self) -> float:
        """``mu``."""
        return float(self.mu)


@dataclass(frozen=True)
class Empirical(Law):
    """The ``values`` seen, each equally likely; kept in ascending order."""

    kind: ClassVar[str] = "empirical"
    values: tuple[float, ...]

    def __post_init__(self) -> None:
        self._must(len(self.values) > 0, "at least one value is needed")
        self._must(all(math.isfinite(value) for value in self.values), "values must be finite")
        object.__setattr__(self, "values", tuple(sorted(float(value) for value in self.values)))

    def quantile(self, u: ArrayLike) -> Floats:
        """The value of rank floor(n u)."""
        seen = np.asarray(self.values)
        return seen[(np.asarray(u, dtype=np.float64) * seen.size).astype(np.int64)]

    @property
    def mean(self) -> float:
        """The plain average."""
        return float(np.mean(self.values))


KINDS: dict[str, type[Law]] = {
    law.kind: law
    for law in (
        Constant, Uniform, Triangular, Exponential, Gamma, LogNormal, Lomax, Beta, Normal, Empirical,
    )
}  # fmt: skip
"""Every law under the word a file uses for it."""


@lru_cache(maxsize=128)
def _parameters(kind: str) -> tuple[str, ...]:
    return tuple(field.name for field in fields(KINDS[kind]))


def law_from_dict(written: Mapping[str, Any]) -> Law:
    """The law that ``Law.to_dict`` wrote, or that a file says in the same words.

    UnknownNameError for an unknown law or parameter, ValueError for a missing or impossible one.

    >>> law_from_dict({"law": "triangular", "low": 3, "mode": 7, "high": 14}).mean
    8.0
    """
    kind = written.get("law")
    if kind not in KINDS:
        raise UnknownNameError("law", kind, KINDS)
    given = {name: value for name, value in written.items() if name != "law"}
    for name in given:
        if name not in _parameters(kind):
            raise UnknownNameError(f"parameter of the law {kind}", name, _parameters(kind))
    missing = [name for name in _parameters(kind) if name not in given]
    if missing:
        raise ValueError(f"{kind}: needs {', '.join(missing)}")
    if "values" in given:
        given["values"] = tuple(given["values"])
    return KINDS[kind](**given)
