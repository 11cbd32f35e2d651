r"""The gamma and Poisson distributions in portable arithmetic (see the package).

    P(a, x) = x^a e^-x / Γ(a + 1)  (1 + x/(a+1) + x^2/((a+1)(a+2)) + ..)            gamma distribution function

Quantiles are found by Halley's method on this; each element goes on until its own step is small, whatever array it
stands in. Formulas 6.5.29 and 6.5.31 of Abramowitz and Stegun, Handbook of Mathematical Functions (1964).
"""

import math
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

from executor.portable.elementary import Floats, exp, horner, in_blocks, log, log1p, power
from executor.portable.normal import quantile as normal_quantile

_STIRLING = (1.0 / 156, -691.0 / 360360, 1.0 / 1188, -1.0 / 1680, 1.0 / 1260, -1.0 / 360, 1.0 / 12)
_HIGH_ENOUGH = 10.0
"""From here on Stirling's series with seven terms is exact to 3e-17."""
_HALF_LN_2_PI = 0.9189385332046727
_SMALL_STEP = 1e-6
"""Halley's method ends after a relative step of this size: its error then is of the order of the step cubed."""
_MOST_STEPS = 60
_MOST_TERMS = 100_000
_TINY = 1e-300
_NORMAL = 1e9
"""Shape above which Wilson and Hilferty's start is the answer: its error is below 1e-14, and a series needs millions of
terms."""


@lru_cache(maxsize=1024)
def log_gamma(a: float) -> float:
    r"""Ln Γ(a) for a > 0: Stirling's series above 10, brought down by Γ(a) = Γ(a + n) / (a (a+1) .. (a+n-1))."""
    product, shifts = 1.0, 0.0
    while a < _HIGH_ENOUGH:
        product *= a
        if not 1e-200 < product < 1e200:
            product, shifts = 1.0, shifts + log(product)
        a += 1.0
    return (a - 0.5) * log(a) - a + _HALF_LN_2_PI + _stirling(a) - shifts - log(product)


def _stirling(a: float) -> float:
    """1 / (12 a) - 1 / (360 a^3) + ..: what ln Γ(a) has beyond (a - 1/2) ln a - a + ln(2 pi) / 2."""
    return horner(_STIRLING, 1.0 / (a * a)) / a


def gamma_tails(a: float, x: Floats) -> tuple[Floats, Floats, Floats]:
    """P(a, x), 1 - P(a, x) and the density at x > 0; the smaller one of the first two to full precision."""
    front = exp(_log_front(a, x))
    lower, upper = np.empty(x.size), np.empty(x.size)
    # The series serves the upper tail too while that holds a tenth: one digit is lost there.
    below = x < a + 1.0 + 1.3 * math.sqrt(a)
    lower[below] = front[below] * _series(a, x[below])
    upper[below] = 1.0 - lower[below]
    upper[~below] = front[~below] * _fraction(a, x[~below]) * a
    lower[~below] = 1.0 - upper[~below]
    return lower, upper, front * a / x


def _log_front(a: float, x: Floats) -> Floats:
    r"""Logarithm of x^a e^-x / Γ(a + 1); for large a with Stirling's series taken in, as large terms would cancel.

    -a (f - ln(1 + f)) - 1/(12 a) + .. - ln(2 pi a) / 2,   f = x / a - 1
    """
    if a < _HIGH_ENOUGH:
        return a * log(x) - x - log_gamma(a + 1.0)
    f = (x - a) / a
    return -a * (f - log1p(f)) - (_stirling(a) + _HALF_LN_2_PI + 0.5 * log(a))


def gamma_quantile(a: float, u: ArrayLike) -> Floats:
    """x with P(a, x) = u, for a shape a > 0 and u strictly between 0 and 1; 0 and infinity at the ends."""
    return in_blocks(lambda block: _gamma_block(float(a), block), u)


def poisson_distribution(most: int, mean: float) -> float:
    """The probability that a Poisson variable of this mean is at most ``most``: 1 - P(most + 1, mean)."""
    if most < 0:
        return 0.0
    return float(gamma_tails(most + 1.0, np.array([float(mean)]))[1][0]) if mean > 0 else 1.0


def _series(a: float, x: Floats) -> Floats:
    """1 + x/(a+1) + x^2/((a+1)(a+2)) + .., until no sum moves any more."""
    total, term = np.ones_like(x), np.ones_like(x)
    largest = float(x.max(initial=0.0))
    for n in range(1, _MOST_TERMS + 1):
        term *= x
        term /= a + n
        total += term
        if a + n > largest and not (term > 1e-18 * total).any():
            break
    return total


def _fraction(a: float, x: Floats) -> Floats:
    """Γ(a, x) e^x x^-a as a continued fraction, by the modified Lentz method; each element ends by itself."""
    b = x + (1.0 - a)
    c, d = np.full_like(x, 1.0 / _TINY), 1.0 / b
    found = d.copy()
    going = np.ones(x.shape, dtype=bool)
    for n in range(1, _MOST_TERMS + 1):
        numerator = n * (a - n)
        b += 2.0
        d = 1.0 / _not_0(numerator * d + b)
        c = _not_0(b + numerator / c)
        found = np.where(going, found * (c * d), found)
        going &= np.abs(c * d - 1.0) > 3e-16
        if not going.any():
            break
    return found


def _not_0(values: Floats) -> Floats:
    return np.where(np.abs(values) < _TINY, _TINY, values)


def _gamma_block(a: float, u: Floats) -> Floats:
    inside = (u > 0.0) & (u < 1.0)
    found = np.where(u == 0.0, 0.0, np.where(u == 1.0, np.inf, np.nan))
    start = _gamma_start(a, u[inside])
    found[inside] = start if a > _NORMAL else _halley(a, u[inside], start)
    return found


def _gamma_start(a: float, u: Floats) -> Floats:
    r"""Wilson and Hilferty's cube for shapes above 1, and the leading term (u Γ(a+1))^(1/a) near 0."""
    near_0 = exp((log(u) + log_gamma(a + 1.0)) / a)
    if a > 1.0:
        root = 1.0 - 1.0 / (9.0 * a) + normal_quantile(u) / (3.0 * math.sqrt(a))
        cube = a * root * root * root
        return np.maximum(np.where(root > 0.1, cube, near_0), _TINY)
    tail = 1.0 - a * (0.253 + a * 0.12)
    # A shape near 0 has no upper branch to take; it is computed all the same.
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.maximum(np.where(u < tail, power(u / tail, 1.0 / a), 1.0 - log1p(-(u - tail) / (1.0 - tail))), _TINY)


def _halley(a: float, u: Floats, x: Floats) -> Floats:
    """x with P(a, x) = u from a start; the logarithm of the density has the slope (a - 1) / x - 1.

    The root stays bracketed: a step that leaves the bracket is replaced by half the way to its end.
    """
    low, high = np.zeros_like(x), np.full_like(x, np.inf)
    left = np.arange(x.size)
    for _ in range(_MOST_STEPS):
        if not len(left):
            break
        here, wanted = x[left], u[left]
        lower, upper, density = gamma_tails(a, here)
        miss = np.where(wanted < 0.5, lower - wanted, (1.0 - wanted) - upper)
        low[left] = np.where(miss < 0.0, here, low[left])
        high[left] = np.where(miss > 0.0, here, high[left])
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            step = miss / density
            step = step / (1.0 - 0.5 * np.clip(step * ((a - 1.0) / here - 1.0), -1.0, 1.0))
        tried = here - step
        astray = ~((tried >= low[left]) & (tried <= high[left]))
        halved = np.where(high[left] < np.inf, 0.5 * (low[left] + high[left]), 2.0 * here)
        tried = np.where(miss == 0.0, here, np.where(astray, halved, tried))
        tried = np.clip(tried, _TINY, np.nextafter(np.inf, 0.0))
        x[left] = tried
        left = left[np.abs(tried - here) > _SMALL_STEP * here]
    return x
