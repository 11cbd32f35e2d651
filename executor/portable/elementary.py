r"""exp, log and their relatives from the four operations and the square root.

Arguments are reduced as usual, and what is left is a polynomial in Horner's form. Errors are about one unit in the
last place (tests/executor/portable: 1e-15 relative against SciPy). Each function takes a float and gives a float, or
takes an array and gives an array; both forms give equal bits.
"""

import math
from collections.abc import Callable, Sequence
from typing import TypeVar, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Number = TypeVar("Number", float, Floats)

BLOCK = 8192
"""Elements worked on at once: so many stay in the cache from one operation to the next."""

LN2 = 0.6931471805599453
LOG2_E = 1.4426950408889634
_LN2_HIGH = float.fromhex("0x1.62e42feep-1")
"""The leading 33 bits of ln 2, so that k times it is exact for |k| < 2^20."""
_LN2_LOW = float.fromhex("0x1.a39ef35793c76p-33")
_ROOT_HALF = math.sqrt(0.5)
_FACTORIALS = tuple(1.0 / math.factorial(n) for n in range(14, 1, -1))
"""1/14! .. 1/2!: the series of (exp(r) - 1 - r) / r^2, exact to 1e-18 for |r| <= ln 2 / 2."""
_ODD = tuple(1.0 / n for n in range(27, 1, -2))
"""1/27 .. 1/3: the series of (artanh(s) / s - 1) / s^2, exact to 1e-18 for |s| <= 0.172."""
_FURTHEST = 1100.0
"""Beyond this exp is 0 or infinite."""


def horner(coefficients: Sequence[float], x: Number) -> Number:
    """The polynomial of these coefficients, highest power first."""
    total = x * coefficients[0]
    total += coefficients[1]
    for coefficient in coefficients[2:]:
        total *= x
        total += coefficient
    return total


def in_blocks(of_block: Callable[[Floats], Floats], x: ArrayLike) -> Floats:
    """``of_block`` over blocks of an array that fit the cache; same shape as ``x``."""
    values = np.asarray(x, dtype=np.float64)
    flat = values.reshape(-1)
    if flat.size <= BLOCK:
        return of_block(flat).reshape(values.shape)
    found = np.empty(flat.size)
    for first in range(0, flat.size, BLOCK):
        found[first : first + BLOCK] = of_block(flat[first : first + BLOCK])
    return found.reshape(values.shape)


def exp(x: Number) -> Number:
    r"""e^x.

    e^x = 2^k e^r,   k = round(x / ln 2),   |r| <= ln 2 / 2
    """
    if isinstance(x, float | int):
        if not -_FURTHEST < x < _FURTHEST:
            return x if math.isnan(x) else math.inf if x > 0 else 0.0
        k, r = _reduced(x)
        return _scaled(1.0 + _expm1_near_0(r), k)
    return in_blocks(_exp_block, x)


def expm1(x: Number) -> Number:
    """e^x - 1, exact near 0 too: 2^k (e^r - 1) + (2^k - 1)."""
    if isinstance(x, float | int):
        if not -_FURTHEST < x < _FURTHEST:
            return x if math.isnan(x) else math.inf if x > 0 else -1.0
        k, r = _reduced(x)
        if k > 1000:
            return _scaled(1.0 + _expm1_near_0(r), k)
        power = _scaled(1.0, k)
        return power * _expm1_near_0(r) + (power - 1.0)
    return in_blocks(_expm1_block, x)


def log(x: Number) -> Number:
    r"""ln x; minus infinity at 0 and NaN below.

    ln(2^k m) = k ln 2 + 2 artanh((m - 1) / (m + 1)),   sqrt(1/2) <= m < sqrt(2)
    """
    if isinstance(x, float | int):
        if not 0.0 < x < math.inf:
            return -math.inf if x == 0 else math.inf if x == math.inf else math.nan
        m, k = math.frexp(x)
        if m < _ROOT_HALF:
            m, k = m + m, k - 1
        return _log_of(m, float(k))
    return in_blocks(_log_block, x)


def log1p(x: Number) -> Number:
    """ln(1 + x), exact near 0 too: ln(u) x / (u - 1) with u = 1 + x as rounded (Kahan)."""
    if isinstance(x, float | int):
        u = 1.0 + x
        away = u - 1.0
        return float(x) if away == 0.0 else log(u) if not math.isfinite(u) or u <= 0.0 else log(u) * (x / away)
    return in_blocks(_log1p_block, x)


def log2(x: Floats) -> Floats:
    """The logarithm to base 2; whole for powers of two."""
    return in_blocks(_log2_block, x)


@overload
def power(x: float, y: float) -> float: ...
@overload
def power(x: Floats, y: float | Floats) -> Floats: ...
def power(x: float | Floats, y: float | Floats) -> float | Floats:
    """x^y for x >= 0, as e^(y ln x): its relative error is that of a double times |y ln x|. 0^0 is 1."""
    if isinstance(x, float | int) and isinstance(y, float | int):
        return 1.0 if y == 0 else exp(y * log(float(x)))
    with np.errstate(invalid="ignore"):
        exponent = np.asarray(y * log(np.asarray(x, dtype=np.float64)))
    return exp(np.where(np.asarray(y) == 0, 0.0, exponent))


def whole_power(x: Number, n: int) -> Number:
    """x^n for a whole n >= 1, by squaring and multiplying from the exponent's second bit on."""
    found = x
    for bit in bin(n)[3:]:
        found = found * found
        if bit == "1":
            found = found * x
    return found


def square(x: Number) -> Number:
    """x^2. ``x**2`` is a product for an array but the library's ``pow`` for a float."""
    return x * x


def hypot(x: Number, y: Number) -> Number:
    """Sqrt(x^2 + y^2), for figures whose squares a double holds."""
    squares = x * x + y * y
    return math.sqrt(squares) if isinstance(squares, float) else np.sqrt(squares)


def interpolated(x: ArrayLike, at: ArrayLike, values: ArrayLike) -> Floats:
    """The straight lines through (at, values), ``at`` ascending; level beyond both ends."""
    x, at, values = (np.asarray(side, dtype=np.float64) for side in (x, at, values))
    right = np.clip(np.searchsorted(at, x, side="right"), 1, max(at.size - 1, 1))
    left = right - 1
    right = np.minimum(right, at.size - 1)
    run = at[right] - at[left]
    share = np.divide(x - at[left], run, out=np.zeros_like(x), where=run > 0)
    share = np.clip(share, 0.0, 1.0)
    return values[left] + (values[right] - values[left]) * share


def _reduced(x: float) -> tuple[int, float]:
    k = round(x * LOG2_E)
    return k, (x - k * _LN2_HIGH) - k * _LN2_LOW


def _scaled(x: float, k: int) -> float:
    try:
        return math.ldexp(x, k)
    except OverflowError:
        return math.inf


def _expm1_near_0(r: Number) -> Number:
    return r + r * r * horner(_FACTORIALS, r)


def _log_of(m: Number, k: Number) -> Number:
    """Ln(2^k m). With f = m - 1 exact and s = f / (2 + f): 2 artanh(s) = f - s (f - 2 s^2 (1/3 + s^2/5 + ..))."""
    f = m - 1.0
    s = f / (2.0 + f)
    z = s * s
    near = f - s * (f - 2.0 * z * horner(_ODD, z))
    return k * _LN2_HIGH + (near + k * _LN2_LOW)


def _block_reduced(x: Floats) -> tuple[Floats, Floats]:
    x = np.clip(x, -_FURTHEST, _FURTHEST)
    k = np.rint(x * LOG2_E)
    return k, (x - k * _LN2_HIGH) - k * _LN2_LOW


def _power_of_2(k: NDArray[np.int64]) -> Floats:
    """2^k for -1022 <= k <= 1023, written into the exponent's bits."""
    return ((k + 1023) << 52).view(np.float64)


def _exp_block(x: Floats) -> Floats:
    with np.errstate(invalid="ignore", over="ignore", under="ignore"):
        k, r = _block_reduced(x)
        whole = k.astype(np.int64)
        # In two steps, since neither the largest nor the smallest results are a normal number times a power of two.
        half = whole >> 1
        return (1.0 + _expm1_near_0(r)) * _power_of_2(half) * _power_of_2(whole - half)


def _expm1_block(x: Floats) -> Floats:
    with np.errstate(invalid="ignore", over="ignore", under="ignore"):
        k, r = _block_reduced(x)
        power = _power_of_2(np.clip(k, -1000, 1000).astype(np.int64))
        found = power * _expm1_near_0(r) + (power - 1.0)
        large = k > 1000
        if large.any():
            found[large] = _exp_block(x[large])
        return found


def _normalised(x: Floats) -> tuple[Floats, Floats]:
    m, whole = np.frexp(x)
    k = whole.astype(np.float64)
    low = m < _ROOT_HALF
    m[low] += m[low]
    k[low] -= 1.0
    return m, k


def _log_block(x: Floats) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        return _beyond(x, _log_of(*_normalised(x)))


def _beyond(x: Floats, found: Floats) -> Floats:
    """A logarithm where the argument is 0, infinite, negative or no number."""
    odd = ~((x > 0.0) & (x < np.inf))
    if odd.any():
        found[odd] = np.where(x[odd] == 0.0, -np.inf, np.where(x[odd] == np.inf, np.inf, np.nan))
    return found


def _log1p_block(x: Floats) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        u = 1.0 + x
        away = u - 1.0
        found = _log_block(u)
        usual = (away != 0.0) & (u > 0.0) & (u < np.inf)
        found = np.where(usual, found * (x / away), found)
        return np.where(away == 0.0, x, found)


def _log2_block(x: Floats) -> Floats:
    with np.errstate(invalid="ignore", divide="ignore"):
        m, k = _normalised(x)
        return _beyond(x, k + _log_of(m, np.zeros_like(m)) * LOG2_E)
