"""Laws against scipy's distributions and against themselves."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from planner.sampling import Constant, Exponential, Law, Lomax, Triangular

PAIRS = [
    (Triangular(14, 45, 90), stats.triang((45 - 14) / 76, 14, 76)),
    (Triangular(0, 90, 90), stats.triang(1, 0, 90)),
    (Exponential(77), stats.expon(scale=77)),
    (Lomax(3.26, 1443), stats.lomax(3.26, scale=1443)),
]
LAWS: list[Law] = [law for law, _ in PAIRS] + [Constant(4.5)]


@pytest.mark.parametrize(("law", "known"), PAIRS, ids=lambda value: type(value).__name__)
def test_quantiles_and_means_are_those_of_scipy(law, known):
    u = np.array([1e-9, 0.001, 0.1, 0.5, 0.731, 0.99, 1 - 1e-9])
    assert law.quantile(u) == pytest.approx(known.ppf(u), rel=1e-9)  # two roundings of the same formula
    assert law.mean == pytest.approx(float(known.mean()), rel=1e-9)


@given(st.sampled_from(LAWS), st.floats(1e-12, 1 - 1e-12), st.floats(1e-12, 1 - 1e-12))
def test_a_larger_uniform_never_gives_a_smaller_value(law, a, b):
    low, high = law.quantile(np.array(sorted((a, b))))
    assert low <= high


@pytest.mark.parametrize("law", LAWS, ids=lambda law: type(law).__name__)
def test_the_shape_of_the_uniforms_is_kept(law):
    assert law.quantile(np.full((2, 3), 0.4)).shape == (2, 3)


def test_a_lomax_of_shape_one_has_no_mean():
    assert Lomax(1, 60).mean == math.inf


@pytest.mark.parametrize(
    ("make", "rule"),
    [
        (lambda: Triangular(5, 3, 9), "low, mode and high must be in this order"),
        (lambda: Exponential(0), "scale must be positive"),
        (lambda: Lomax(1, 0), "shape and scale must be positive"),
        (lambda: Constant(math.nan), "finite"),
    ],
)
def test_impossible_parameters_are_told(make, rule):
    with pytest.raises(ValueError, match=rule):
        make()
