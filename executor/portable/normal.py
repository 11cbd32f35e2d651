r"""The normal distribution, its quantile, and draws from it, in portable arithmetic (see the package).

quantile       Wichura, Algorithm AS 241 (PPND16), Applied Statistics 37 (1988), 477-484: rational functions of degree 7
distribution   Cody, Rational Chebyshev approximations for the error function, Mathematics of Computation 23 (1969),
               631-637, in the form that Algorithm 715 (ACM TOMS 19, 1993, 22-32) gives the normal distribution

Both are published with errors near 1e-16; the tests hold them to 1e-14 against SciPy.
"""

import math

import numpy as np
from numpy.typing import ArrayLike

from executor.portable.elementary import LN2, Floats, exp, horner, in_blocks, log

_ROOT_2_PI = math.sqrt(2.0 * math.pi)

_CENTRE = (
    (2509.0809287301226727, 33430.575583588128105, 67265.770927008700853, 45921.953931549871457,
     13731.693765509461125, 1971.5909503065514427, 133.14166789178437745, 3.387132872796366608),
    (5226.495278852545925, 28729.085735721942674, 39307.89580009271061, 21213.794301586595867,
     5394.1960214247511077, 687.1870074920579083, 42.313330701600911252, 1.0),
)  # fmt: skip
_SIDES = (
    (7.7454501427834140764e-4, 0.0227238449892691845833, 0.24178072517745061177, 1.27045825245236838258,
     3.64784832476320460504, 5.7694972214606914055, 4.6303378461565452959, 1.42343711074968357734),
    (1.05075007164441684324e-9, 5.475938084995344946e-4, 0.0151986665636164571966, 0.14810397642748007459,
     0.68976733498510000455, 1.6763848301838038494, 2.05319162663775882187, 1.0),
)  # fmt: skip
_TAILS = (
    (2.01033439929228813265e-7, 2.71155556874348757815e-5, 0.0012426609473880784386, 0.026532189526576123093,
     0.29656057182850489123, 1.7848265399172913358, 5.4637849111641143699, 6.6579046435011037772),
    (2.04426310338993978564e-15, 1.4215117583164458887e-7, 1.8463183175100546818e-5, 7.868691311456132591e-4,
     0.0148753612908506148525, 0.13692988092273580531, 0.59983220655588793769, 1.0),
)  # fmt: skip

_NEAR_0 = (
    (0.065682337918207449113, 2.2352520354606839287, 161.02823106855587881, 1067.6894854603709582,
     18154.981253343561249),
    (1.0, 47.20258190468824187, 976.09855173777669322, 10260.932208618978205, 45507.789335026729956),
)  # fmt: skip
_MIDDLE = (
    (1.0765576773720192317e-8, 0.39894151208813466764, 8.8831497943883759412, 93.506656132177855979,
     597.27027639480026226, 2494.5375852903726711, 6848.1904505362823326, 11602.651437647350124,
     9842.7148383839780218),
    (1.0, 22.266688044328115691, 235.38790178262499861, 1519.377599407554805, 6485.558298266760755,
     18615.571640885098091, 34900.952721145977266, 38912.003286093271411, 19685.429676859990727),
)  # fmt: skip
_FAR = (
    (0.02307344176494017303, 0.21589853405795699, 0.1274011611602473639, 0.022235277870649807,
     0.001421619193227893466, 2.9112874951168792e-5),
    (1.0, 1.28426009614491121, 0.468238212480865118, 0.0659881378689285515, 0.00378239633202758244,
     7.29751555083966205e-5),
)  # fmt: skip
_NEAR, _FURTHER = 0.66291, math.sqrt(32.0)
"""Where Cody's three forms meet."""

_CERTAIN = -5.0
"""Below this ``positive_median`` is found by Newton's method, where halving the distribution function would cancel."""
_NEWTON_STEPS = 6


def quantile(u: ArrayLike) -> Floats:
    """z with Φ(z) = u, for u strictly between 0 and 1; infinite at 0 and 1, NaN beyond."""
    return in_blocks(_quantile_block, u)


def distribution(z: ArrayLike) -> Floats:
    """Φ(z), the probability that a standard normal variable is at most z."""
    return in_blocks(_distribution_block, z)


def positive_median(mean: ArrayLike) -> Floats:
    r"""Median of a normal variable of this mean and standard deviation 1 that is known to be above 0.

    z - Φ^-1( Φ(z) / 2 );   for z far below 0 the m with  m (t + m/2) = ln 2 + ln( S(t + m) / S(t) ),  t = -z

    S(t) = (1 - Φ(t)) exp(t^2 / 2), which neither overflows nor vanishes. Near z itself where z is large, near
    ln 2 / t where t is.
    """
    z = np.asarray(mean, dtype=np.float64)
    flat = np.maximum(z, _CERTAIN).reshape(-1)
    found = flat - quantile(distribution(flat) / 2.0)
    far = np.flatnonzero(z.reshape(-1) < _CERTAIN)
    if len(far):
        found[far] = _far_median(-z.reshape(-1)[far])
    return found.reshape(z.shape)


def stratified(rng: np.random.Generator, rows: int, count: int) -> Floats:
    r"""[rows, count] standard normal draws, in each row the quantiles (k + 1/2) / count in random order.

    A Latin hypercube. So few draws as a hundred have the law's own mean and spread in every row, where independent ones
    miss the spread by 1 / sqrt(2 count), 7 %.
    """
    places = np.stack([rng.permutation(count) for _ in range(rows)])
    return quantile((places + 0.5) / count)


def uniforms(rng: np.random.Generator, shape: int | tuple[int, ...]) -> Floats:
    """Uniform draws strictly between 0 and 1, exact everywhere: (k + 1/2) / 2^52 for whole k."""
    return np.asarray((rng.integers(0, 2**52, size=shape, dtype=np.int64) + 0.5) * (1.0 / 2**52))


def _ratio(of: tuple[tuple[float, ...], tuple[float, ...]], x: Floats) -> Floats:
    return horner(of[0], x) / horner(of[1], x)


def _quantile_block(u: Floats) -> Floats:
    q = u - 0.5
    found = q * _ratio(_CENTRE, 0.180625 - q * q)
    outer = np.flatnonzero(~(np.abs(q) <= 0.425))
    if len(outer):
        found[outer] = _outer_quantile(u[outer], q[outer])
    return found


def _outer_quantile(u: Floats, q: Floats) -> Floats:
    """Beyond the middle 85 %; r is the square root of -ln of the smaller tail."""
    with np.errstate(invalid="ignore"):
        r = np.sqrt(-log(np.where(q < 0, u, 1.0 - u)))
        size = np.where(r <= 5.0, _ratio(_SIDES, r - 1.6), _ratio(_TAILS, np.minimum(r, 40.0) - 5.0))
        size = np.where(r == np.inf, np.inf, size)
        return np.where(q < 0, -size, size)


def _distribution_block(z: Floats) -> Floats:
    y = np.abs(z)
    found = 0.5 + z * _ratio(_NEAR_0, np.where(y <= _NEAR, z * z, 0.0))
    outer = np.flatnonzero(~(y <= _NEAR))
    if len(outer):
        tail = _scaled_tail(y[outer]) * _bell(y[outer])
        found[outer] = np.where(z[outer] > 0, 1.0 - tail, tail)
        found[outer] = np.where(np.isnan(z[outer]), np.nan, found[outer])
    return found


def _scaled_tail(y: Floats) -> Floats:
    """S(y) = (1 - Φ(y)) exp(y^2 / 2) for y above ``_NEAR``."""
    with np.errstate(invalid="ignore"):
        middle = _ratio(_MIDDLE, np.minimum(y, _FURTHER))
        x = 1.0 / (np.maximum(y, _FURTHER) * np.maximum(y, _FURTHER))
        far = (1.0 / _ROOT_2_PI - x * _ratio(_FAR, x)) / np.maximum(y, _FURTHER)
        return np.where(y <= _FURTHER, middle, far)


def _bell(y: Floats) -> Floats:
    """exp(-y^2 / 2), with y split so that its square is exact where it is large."""
    y = np.minimum(y, 40.0)
    coarse = np.floor(y * 16.0) / 16.0
    return exp(-0.5 * coarse * coarse) * exp(-0.5 * (y - coarse) * (y + coarse))


def _far_median(t: Floats) -> Floats:
    """Newton's method from ln 2 / t; the slope of -ln(1 - Φ) at y is 1 / (S(y) sqrt(2 pi))."""
    at_t = log(_scaled_tail(t))
    m = LN2 / t
    for _ in range(_NEWTON_STEPS):
        tail = _scaled_tail(t + m)
        excess = m * (t + 0.5 * m) - (log(tail) - at_t) - LN2
        m = m - excess * tail * _ROOT_2_PI
    return m
