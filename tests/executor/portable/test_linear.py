"""Small linear algebra in a stated order, against NumPy's LAPACK.

Tolerance: condition numbers stay below 1e4 here, and an error of 1e-16 grows by that: 1e-11.
"""

import numpy as np
import pytest

from executor.portable import linear

RNG = np.random.default_rng(2)


def positive(*shape):
    """Symmetric positive definite matrices with condition numbers of some hundreds."""
    half = RNG.normal(size=shape)
    return half @ np.swapaxes(half, -1, -2) + np.eye(shape[-2])


@pytest.mark.parametrize("shape", [(1, 1), (5, 5), (16, 16), (7, 4, 4)])
def test_factors_solutions_and_inverses_are_numpys(shape):
    matrix, right = positive(*shape), RNG.normal(size=(*shape[:-1], 3))
    np.testing.assert_allclose(linear.cholesky(matrix), np.linalg.cholesky(matrix), rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(linear.solve(matrix, right), np.linalg.solve(matrix, right), rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(linear.inverse(matrix), np.linalg.inv(matrix), rtol=1e-9, atol=1e-11)


def test_an_inverse_is_symmetric_to_the_last_bit():
    inverse = linear.inverse(positive(16, 16))
    np.testing.assert_array_equal(inverse, inverse.T)


def test_a_direction_without_spread_keeps_none():
    lower = linear.cholesky(np.array([[4.0, 0.0], [0.0, 0.0]]))
    np.testing.assert_array_equal(lower, [[2.0, 0.0], [0.0, 0.0]])


def test_products_are_numpys():
    a, b, x = RNG.normal(size=(3, 4, 6)), RNG.normal(size=(3, 6, 2)), RNG.normal(size=6)
    np.testing.assert_allclose(linear.product(a, b), a @ b, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(linear.times(a[0], x), a[0] @ x, rtol=1e-12, atol=1e-14)
    assert linear.dot(x, x) == pytest.approx(x @ x, rel=1e-14)
    np.testing.assert_array_equal(linear.times(np.zeros((0, 6)), x), [])
