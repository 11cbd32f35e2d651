"""Functions from the four operations and the square root, held against NumPy's.

Tolerance 1e-15 relative: both are within about one unit in the last place (1.1e-16 relative to 2.2e-16) of the truth,
and sums of two such errors stay below five of them.
"""

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from executor.portable import elementary
from executor.portable.elementary import BLOCK, hypot, interpolated, log2, power, square, whole_power

CLOSE = 1e-15
RNG = np.random.default_rng(7)
SPREAD = {
    "exp": np.r_[RNG.uniform(-700, 700, 20_000), RNG.uniform(-1, 1, 20_000)],
    "expm1": np.r_[RNG.uniform(-700, 700, 20_000), RNG.uniform(-2, 2, 20_000), RNG.uniform(-1, 1, 5_000) * 1e-9],
    "log": np.r_[np.exp(RNG.uniform(-700, 700, 20_000)), RNG.uniform(0.5, 2, 20_000)],
    "log1p": np.r_[RNG.uniform(-1, 1, 20_000), RNG.uniform(-1, 1, 5_000) * 1e-9, np.exp(RNG.uniform(0, 700, 5_000))],
}
EDGES = [0.0, -0.0, 1.0, -1.0, math.inf, -math.inf, math.nan, 1e-310, 5e-324, 709.7, 710.0, -744.0, -750.0, 1e9, -1e9]


@pytest.mark.parametrize("name", SPREAD)
def test_values_are_those_of_numpy(name):
    x = SPREAD[name]
    np.testing.assert_allclose(getattr(elementary, name)(x), getattr(np, name)(x), rtol=CLOSE, atol=0)


@pytest.mark.parametrize("name", SPREAD)
def test_limits_are_those_of_numpy(name):
    with np.errstate(all="ignore"):
        expected = getattr(np, name)(np.array(EDGES))
    found = getattr(elementary, name)(np.array(EDGES))
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
    np.testing.assert_allclose(found, expected, rtol=1e-14, atol=5e-324)


@pytest.mark.parametrize("name", SPREAD)
def test_a_float_an_array_and_a_part_of_one_get_the_same_bits(name):
    """What is replayed number by number equals what is computed at once, whatever the blocks."""
    function, x = getattr(elementary, name), np.r_[SPREAD[name][::97], EDGES]
    whole = function(np.resize(x, BLOCK + 321))[: x.size]
    np.testing.assert_array_equal([function(float(each)) for each in x], whole)
    np.testing.assert_array_equal(function(x[::3]), whole[::3])
    assert isinstance(function(0.5), float)
    assert function(x.reshape(1, -1, 1)).shape == (1, x.size, 1)


@given(st.floats(0, 1e300), st.floats(-3, 3))
@example(0.0, 0.0)
@example(0.0, 2.0)
@settings(max_examples=300, deadline=None)
def test_power_is_that_of_numpy_to_what_its_logarithm_carries(x, y):
    with np.errstate(all="ignore"):
        expected = float(np.float64(x) ** y)
    # e^z has the absolute error of z as its relative one.
    steep = 1.0 + abs(y * math.log(x)) if x > 0 else 1.0
    assert power(x, y) == pytest.approx(expected, rel=2 * CLOSE * steep, abs=1e-307)
    assert power(np.array([x]), y)[0] == power(x, y) or math.isnan(power(x, y))


@given(st.floats(0.5, 2.0), st.integers(1, 64))
@settings(max_examples=200, deadline=None)
def test_a_whole_power_is_the_power(x, n):
    assert whole_power(x, n) == pytest.approx(x**n, rel=n * CLOSE)


def test_powers_of_two_have_whole_logarithms():
    powers = np.arange(-1000, 1000)
    np.testing.assert_array_equal(log2(2.0 ** powers.astype(float)), powers)
    np.testing.assert_allclose(log2(np.array([3.0, 10.0])), np.log2([3.0, 10.0]), rtol=CLOSE)


def test_sides_of_a_right_triangle():
    assert hypot(3.0, 4.0) == 5.0
    np.testing.assert_array_equal(hypot(np.array([3.0, 5.0]), np.array([4.0, 12.0])), [5.0, 13.0])
    assert square(-3.0) == 9.0


@given(st.lists(st.integers(-50, 50), min_size=1, max_size=8, unique=True), st.integers(-60, 60))
@settings(max_examples=200, deadline=None)
def test_straight_lines_between_points_are_those_of_numpy(places, x):
    at = np.sort(np.array(places, dtype=float))
    values = np.sin(at)
    assert interpolated(x, at, values) == pytest.approx(np.interp(x, at, values), abs=1e-14)
