"""Lengths without arrivals: a distribution as JSON [[tokens, cumulative], ..], or one pair ISL/OSL."""

from pathlib import Path
from typing import Literal

import numpy as np

from executor.errors import FileError
from planner.demand.readers.textfile import MAX_BYTES, Budget, number, read_json
from planner.demand.readers.trace import Floats, Histogram, Lengths, Trace

LEVELS = 400
"""A cumulative distribution becomes the means of so many equal steps of probability."""


def read_cdf(path: Path, max_bytes: int = MAX_BYTES) -> Floats:
    """Equally likely lengths, tokens, in ascending order, from a file of [[tokens, cumulative], ..].

    Between two points the length is even; below the first point it is even from 1 token on. FileError unless
    tokens rise and the cumulative shares rise to 1.
    """
    points = read_json(path, Budget(max_bytes))
    if not isinstance(points, list) or not points:
        raise FileError(path, "must be a list of points", found=points, mend="write [[tokens, cumulative], ..]")
    tokens, until = [1.0], [0.0]
    for at, point in enumerate(points):
        if not isinstance(point, list) or len(point) != 2:
            raise FileError(path, f"point {at} must be [tokens, cumulative]", found=point)
        tokens.append(number(path, None, f"tokens of point {at}", point[0], least=1))
        until.append(number(path, None, f"cumulative share of point {at}", point[1]))
        if tokens[-1] < tokens[-2] or until[-1] < until[-2]:
            message = f"point {at} lies below the one before"
            raise FileError(path, message, found=point, mend="sort the points by tokens")
    if abs(until[-1] - 1) > 1e-6:
        mend = "the last cumulative share is 1"
        raise FileError(path, "the cumulative shares do not end at 1", found=until[-1], mend=mend)
    return _step_means(np.array(tokens), np.array(until) / until[-1])


def read_cdf_pair(inputs: Path, outputs: Path, name: str, max_bytes: int = MAX_BYTES) -> Trace:
    """A trace of lengths alone from two files of [[tokens, cumulative], ..], independent of each other."""
    sent, answered = (_even(read_cdf(path, max_bytes)) for path in (inputs, outputs))
    return Trace(name, lengths=Lengths(np.ones(1), sent, answered, "independent: only margins given"))


def fixed_lengths(name: str, input_tokens: float, output_tokens: float) -> Trace:
    """A trace in which every request has the same input and output length."""
    inputs, outputs = (_even(np.array([float(tokens)])) for tokens in (input_tokens, output_tokens))
    return Trace(name, lengths=Lengths(np.ones(1), inputs, outputs, "every request alike"))


def _step_means(tokens: Floats, until: Floats) -> Floats:
    r"""Mean of each of n = ``LEVELS`` equal steps of a piecewise linear quantile function, exactly.

    step k = n (I((k + 1) / n) - I(k / n)),    I(u) = \int_0^u Q(t) dt,    Q the quantile function
    """
    grid = np.linspace(0.0, 1.0, LEVELS + 1)
    knots = np.union1d(grid, until)
    # where two points share a cumulative value, Q jumps: each piece takes the side of the jump it lies on
    area = (
        np.diff(knots)
        * (_quantiles(tokens, until, knots[:-1], "right") + _quantiles(tokens, until, knots[1:], "left"))
        / 2
    )
    integral = np.concatenate([[0.0], np.cumsum(area)])
    return np.diff(integral[np.searchsorted(knots, grid)]) * LEVELS


def _quantiles(tokens: Floats, until: Floats, u: Floats, side: Literal["left", "right"]) -> Floats:
    """Quantiles just below u (left) or just above it (right)."""
    at = np.searchsorted(until, u, side).clip(1, until.size - 1)
    width = until[at] - until[at - 1]
    share = np.divide(u - until[at - 1], width, out=np.zeros_like(u), where=width > 0)
    return tokens[at - 1] + share * (tokens[at] - tokens[at - 1])


def _even(values: Floats) -> Histogram:
    return Histogram(np.zeros(values.size, dtype=np.int64), values, np.full(values.size, 1.0 / values.size))
