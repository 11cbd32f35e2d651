"""Small dense linear algebra in a stated order of operations (see the package).

Sums over the last axis are NumPy's pairwise sums, whose order depends on the length alone; sums over another axis run
from the first entry to the last. Factors are Cholesky's, column by column. Matrices here have some tens of rows.
"""

import numpy as np
from numpy.typing import ArrayLike

from executor.portable.elementary import Floats


def dot(a: ArrayLike, b: ArrayLike) -> float:
    """Sum of the products of two vectors."""
    return float(np.sum(np.multiply(a, b)))


def product(a: Floats, b: Floats) -> Floats:
    """The matrix product of [.., n, k] and [.., k, m], summed over k from first to last."""
    found = a[..., :, 0, None] * b[..., 0, None, :]
    for k in range(1, a.shape[-1]):
        found = found + a[..., :, k, None] * b[..., k, None, :]
    return found


def times(a: Floats, x: Floats) -> Floats:
    """The product of a matrix [n, k] and a vector [k]."""
    return np.asarray((a * x).sum(axis=-1))


def cholesky(matrix: Floats) -> Floats:
    """The lower L with L L' = matrix [.., n, n], positive definite; a direction without spread is a column of zeros."""
    n = matrix.shape[-1]
    lower = np.zeros_like(matrix, dtype=np.float64)
    rest = np.array(matrix, dtype=np.float64)
    for k in range(n):
        pivot = np.sqrt(np.maximum(rest[..., k, k], 0.0))
        column = np.divide(
            rest[..., k:, k], pivot[..., None], out=np.zeros_like(rest[..., k:, k]), where=pivot[..., None] > 0
        )
        lower[..., k:, k] = column
        rest[..., k:, k:] -= column[..., :, None] * column[..., None, :]
    return lower


def forward(lower: Floats, right: Floats) -> Floats:
    """X with L X = right, for L [.., n, n] lower triangular and right [.., n, m]."""
    rest = np.array(np.broadcast_to(right, (*lower.shape[:-2], *right.shape[-2:])), dtype=np.float64)
    for k in range(lower.shape[-1]):
        rest[..., k, :] /= lower[..., k, k, None]
        rest[..., k + 1 :, :] -= lower[..., k + 1 :, k, None] * rest[..., k, None, :]
    return rest


def backward(lower: Floats, right: Floats) -> Floats:
    """X with L' X = right, for L [.., n, n] lower triangular and right [.., n, m]."""
    # From last to first, L' is lower triangular too.
    turned = np.swapaxes(lower[..., ::-1, ::-1], -1, -2)
    return forward(turned, right[..., ::-1, :])[..., ::-1, :]


def solve(matrix: Floats, right: Floats) -> Floats:
    """X with matrix X = right, for a positive definite matrix [.., n, n] and right [.., n, m]."""
    lower = cholesky(matrix)
    return backward(lower, forward(lower, right))


def inverse(matrix: Floats) -> Floats:
    """The inverse of a positive definite matrix, symmetric to the last bit."""
    half = forward(cholesky(matrix), np.eye(matrix.shape[-1]))
    return product(np.swapaxes(half, -1, -2), half)
