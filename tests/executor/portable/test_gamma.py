"""Gamma and Poisson distributions against SciPy.

Tolerance 4e-14 relative for shapes of 1/2 or more: the leading factor is the exponential of numbers up to about 30, so
it carries 30 units in the last place, and the upper tail down to a tenth is a difference. Smaller shapes raise u to the
power 1/a, and there the difference goes down to a hundredth: 3e-13.
"""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

from executor.portable.gamma import gamma_quantile, log_gamma, poisson_distribution
from executor.portable.normal import uniforms

U = np.r_[uniforms(np.random.default_rng(5), 4_000), 1e-12, 1e-6, 1 - 1e-6, 1 - 1e-12]


def test_log_gamma_is_the_libraries():
    for a in np.exp(np.linspace(-8, 12, 400)):
        expected = math.lgamma(a)
        assert log_gamma(float(a)) == pytest.approx(expected, rel=1e-14, abs=1e-14)


@pytest.mark.parametrize("shape", [0.5, 0.85, 1.0, 1.2, 2.0, 2.7, 5.0, 9.99, 10.0, 40.0, 300.0, 5000.0])
def test_the_gamma_quantile_is_scipys(shape):
    np.testing.assert_allclose(gamma_quantile(shape, U), special.gammaincinv(shape, U), rtol=4e-14, atol=0)


@pytest.mark.parametrize("shape", [0.05, 0.1, 0.2, 0.3])
def test_the_gamma_quantile_of_a_small_shape_is_scipys(shape):
    expected = special.gammaincinv(shape, U)
    seen = expected > 1e-290
    np.testing.assert_allclose(gamma_quantile(shape, U)[seen], expected[seen], rtol=3e-13, atol=0)


@pytest.mark.parametrize("shape", [1e-300, 1e-9, 1e-3, 1e8, 1e10, 1e15])
def test_the_gamma_quantile_of_an_extreme_shape_is_finite_and_in_order(shape):
    found = gamma_quantile(shape, np.sort(U))
    assert np.isfinite(found).all()
    assert (np.diff(found) >= 0).all()
    if shape > 1:
        # SciPy's own tails are off by 1e-8 at 1e15, where the law is normal to the last digits shown.
        middle = U[(U > 1e-3) & (U < 1 - 1e-3)]
        np.testing.assert_allclose(
            gamma_quantile(shape, middle), special.gammaincinv(shape, middle), rtol=1e-13, atol=0
        )


@given(st.floats(0.3, 200.0), st.lists(st.integers(0, len(U) - 1), min_size=1, max_size=5))
@settings(max_examples=40, deadline=None)
def test_an_element_has_the_same_bits_in_any_array(shape, chosen):
    """So that one process and several, which cut the futures into parts, agree."""
    np.testing.assert_array_equal(gamma_quantile(shape, U)[chosen], gamma_quantile(shape, U[chosen]))


def test_quantiles_have_their_ends():
    np.testing.assert_array_equal(gamma_quantile(2.0, [0.0, 1.0]), [0.0, np.inf])
    assert np.isnan(gamma_quantile(2.0, [np.nan, -1.0, 2.0])).all()


@pytest.mark.parametrize("most", [-1, 0, 1, 5, 30])
@pytest.mark.parametrize("mean", [0.0, 0.1, 1.0, 4.0, 20.0, 60.0])
def test_the_poisson_distribution_is_scipys(most, mean):
    expected = special.pdtr(most, mean) if most >= 0 else 0.0
    assert poisson_distribution(most, mean) == pytest.approx(expected, rel=1e-13)
