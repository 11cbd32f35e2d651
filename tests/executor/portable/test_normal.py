"""The normal distribution against SciPy: 1e-14 relative, as both are published with errors of a few 1e-16."""

import math

import mpmath
import numpy as np
import pytest
from scipy import special
from scipy.stats import truncnorm

from executor.portable.normal import distribution, positive_median, quantile, stratified, uniforms

RNG = np.random.default_rng(11)


def test_the_quantile_is_scipys_in_the_middle_and_far_out():
    u = np.r_[uniforms(RNG, 50_000), np.exp(RNG.uniform(-700, -1, 20_000)), 1 - 2.0**-53]
    np.testing.assert_allclose(quantile(u), special.ndtri(u), rtol=1e-14, atol=0)


def test_the_quantile_of_a_half_is_0_and_the_ends_are_infinite():
    np.testing.assert_array_equal(quantile([0.0, 0.5, 1.0]), [-np.inf, 0.0, np.inf])
    assert np.isnan(quantile([-0.1, 1.1, np.nan])).all()


def test_the_distribution_is_scipys_in_the_middle():
    z = RNG.uniform(-6, 9, 50_000)
    np.testing.assert_allclose(distribution(z), special.ndtr(z), rtol=1e-14, atol=0)


def test_the_distribution_is_exact_far_out_where_scipys_is_not():
    """SciPy's error grows to 1.6e-13 at -37; the truth by mpmath with 40 digits."""
    z = np.linspace(-37.0, -5.0, 65)
    with mpmath.workdps(40):
        exact = [float(mpmath.ncdf(mpmath.mpf(float(each)))) for each in z]
    np.testing.assert_allclose(distribution(z), exact, rtol=1e-14, atol=0)


def test_the_distribution_has_its_limits():
    np.testing.assert_array_equal(distribution([-np.inf, 0.0, np.inf]), [0.0, 0.5, 1.0])
    assert np.isnan(distribution([np.nan])).all()


@pytest.mark.parametrize("z", [-30.0, -3.0, -0.5, 0.0, 2.0, 9.0])
def test_the_positive_median_is_that_of_the_truncated_normal(z):
    """SciPy's own median of it is good to 1e-6 at -30."""
    assert positive_median(z) == pytest.approx(truncnorm.median(-z, np.inf, loc=z), rel=1e-6)


@pytest.mark.parametrize("mean", [-1000.0, -60.0, -5.001, -4.999, -1.0, 0.0, 3.0])
def test_half_of_what_is_above_0_lies_above_the_median(mean):
    with mpmath.workdps(40):
        above = lambda x: mpmath.erfc((mpmath.mpf(x) - mean) / mpmath.sqrt(2))  # noqa: E731
        share = above(float(positive_median(mean))) / above(0)
    # Where the quantile is halved (above -5), -5 is subtracted from a number near it: five more units.
    assert float(share) == pytest.approx(0.5, rel=2e-14)


def test_the_median_is_ln_2_over_the_distance_far_below_0_and_the_mean_far_above():
    assert float(positive_median(-1e6)) == pytest.approx(math.log(2) / 1e6, rel=1e-9)
    assert float(positive_median(50.0)) == 50.0


def test_stratified_draws_have_the_laws_mean_and_spread_and_rows_that_do_not_go_together():
    drawn = stratified(np.random.default_rng(3), 4, 1000)
    np.testing.assert_array_equal(drawn, stratified(np.random.default_rng(3), 4, 1000))
    np.testing.assert_array_equal(np.sort(drawn, axis=1), np.tile(quantile((np.arange(1000) + 0.5) / 1000), (4, 1)))
    # Beyond the outermost quantiles some variance is missing: 0.2 % at a thousand.
    np.testing.assert_allclose(drawn.std(axis=1), 1.0, rtol=3e-3)
    # Four standard errors, 1 / sqrt(1000), of a correlation.
    assert np.abs(np.corrcoef(drawn) - np.eye(4)).max() < 4 / math.sqrt(1000)
