"""Laws against scipy's distributions and against themselves."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from executor.errors import UnknownNameError
from planner.sampling import (
    Beta,
    Constant,
    Empirical,
    Exponential,
    Gamma,
    Law,
    LogNormal,
    Lomax,
    Normal,
    Triangular,
    Uniform,
    law_from_dict,
)

PAIRS = [
    (Uniform(2, 5), stats.uniform(2, 3)),
    (Triangular(14, 45, 90), stats.triang((45 - 14) / 76, 14, 76)),
    (Triangular(0, 90, 90), stats.triang(1, 0, 90)),
    (Exponential(77), stats.expon(scale=77)),
    (Gamma(2.5, 0.1), stats.gamma(2.5, scale=10)),
    (LogNormal(270, 0.3), stats.lognorm(0.3, scale=270)),
    (Lomax(3.26, 1443), stats.lomax(3.26, scale=1443)),
    (Beta(2, 1), stats.beta(2, 1)),
    (Normal(100, 20), stats.norm(100, 20)),
]
LAWS: list[Law] = [law for law, _ in PAIRS] + [Constant(4.5), Empirical((3.0, 1.0, 2.0))]


@pytest.mark.parametrize(("law", "known"), PAIRS, ids=lambda value: getattr(value, "kind", ""))
def test_quantiles_and_means_are_those_of_scipy(law, known):
    u = np.array([1e-9, 0.001, 0.1, 0.5, 0.731, 0.99, 1 - 1e-9])
    assert law.quantile(u) == pytest.approx(known.ppf(u), rel=1e-9)  # two roundings of the same formula
    assert law.mean == pytest.approx(float(known.mean()), rel=1e-9)


def test_an_empirical_law_gives_each_value_equally_often():
    law = Empirical((3.0, 1.0, 2.0))
    assert law.quantile(np.array([0.01, 0.34, 0.99])).tolist() == [1.0, 2.0, 3.0]
    assert law.mean == 2.0


@given(st.sampled_from(LAWS), st.floats(1e-12, 1 - 1e-12), st.floats(1e-12, 1 - 1e-12))
def test_a_larger_uniform_never_gives_a_smaller_value(law, a, b):
    low, high = law.quantile(np.array(sorted((a, b))))
    assert low <= high


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.kind)
def test_a_law_survives_json(law):
    assert law_from_dict(json.loads(json.dumps(law.to_dict()))) == law


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.kind)
def test_the_shape_of_the_uniforms_is_kept(law):
    assert law.quantile(np.full((2, 3), 0.4)).shape == (2, 3)


def test_a_lomax_of_shape_one_has_no_mean():
    assert Lomax(1, 60).mean == math.inf


def test_a_lognormal_of_given_mean_and_variation_has_them():
    law = LogNormal.of_mean(8, 0.5)
    assert law.mean == pytest.approx(8)
    assert stats.lognorm(law.sigma, scale=law.median).std() == pytest.approx(4)


@pytest.mark.parametrize(
    ("make", "rule"),
    [
        (lambda: Triangular(5, 3, 9), "low, mode and high must be in this order"),
        (lambda: Uniform(2, 1), "low must not exceed high"),
        (lambda: Exponential(0), "scale must be positive"),
        (lambda: Gamma(0, 1), "shape and rate must be positive"),
        (lambda: LogNormal(-1, 1), "median must be positive"),
        (lambda: Lomax(1, 0), "shape and scale must be positive"),
        (lambda: Beta(1, 0), "a and b must be positive"),
        (lambda: Normal(0, -1), "sigma must not be negative"),
        (lambda: Constant(math.nan), "finite"),
        (lambda: Empirical(()), "at least one value"),
    ],
)
def test_impossible_parameters_are_told(make, rule):
    with pytest.raises(ValueError, match=rule):
        make()


def test_unknown_and_missing_words_are_told_with_the_nearest_known_one():
    with pytest.raises(UnknownNameError, match="did you mean triangular"):
        law_from_dict({"law": "triangula", "low": 1})
    with pytest.raises(UnknownNameError, match="did you mean mode"):
        law_from_dict({"law": "triangular", "low": 1, "mod": 2, "high": 3})
    with pytest.raises(ValueError, match="needs mode, high"):
        law_from_dict({"law": "triangular", "low": 1})
