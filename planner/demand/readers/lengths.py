"""Lengths without arrivals: a distribution as JSON [[tokens, cumulative], ..], or one pair ISL/OSL."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from executor.errors import FileError
from planner.demand.readers.textfile import MAX_BYTES, number, read_json
from planner.demand.readers.trace import Floats, Histogram, Lengths, Trace

LEVELS = 400
"""A cumulative distribution becomes the means of so many equal steps of probability."""


def read_cdf(path: Path, max_bytes: int = MAX_BYTES) -> Floats:
    """Equally likely lengths, tokens, in ascending order, from a file of [[tokens, cumulative], ..].

    Between two points the length is even; below the first point it is even from 1 token on. FileError unless
    tokens rise and the cumulative shares rise to 1.
    """
    points = read_json(path, max_bytes)
    if not isinstance(points, list) or not points:
        mend = "write [[tokens, cumulative], ..]"
        raise FileError(path, "must be a list of points", found=points, mend=mend)
    tokens, until = [1.0], [0.0]
    for at, point in enumerate(points):
        if not isinstance(point, list) or len(point) != 2:
            raise FileError(path, f"point {at} must be [tokens, cumulative]", found=point)
        tokens.append(number(path, None, f"tokens of point {at}", point[0], least=1))
        until.append(number(path, None, f"cumulative share of point {at}", point[1]))
        if tokens[-1] < tokens[-2] or until[-1] < until[-2]:
            mend = "sort the points by tokens"
            raise FileError(path, f"point {at} lies below the one before", found=point, mend=mend)
    if abs(until[-1] - 1) > 1e-6:
        mend = "the last cumulative share is 1"
        raise FileError(path, "the cumulative shares do not end at 1", found=until[-1], mend=mend)
    return _step_means(np.array(tokens), np.array(until) / until[-1])


def lengths_of_cdf(name: str, inputs: Floats, outputs: Floats) -> Trace:
    """A trace of lengths alone from equally likely input and output lengths, independent of each other."""
    lengths = Lengths(
        weight=np.ones(1), input=_even(inputs), output=_even(outputs), pairing="independent: only margins given"
    )
    return Trace(name, lengths=lengths)


def fixed_lengths(name: str, input_tokens: float, output_tokens: float) -> Trace:
    """A trace in which every request has the same input and output length."""
    lengths = Lengths(
        weight=np.ones(1),
        input=_even(np.array([float(input_tokens)])),
        output=_even(np.array([float(output_tokens)])),
        pairing="every request alike",
    )
    return Trace(name, lengths=lengths)


def _step_means(tokens: Floats, until: Floats) -> Floats:
    r"""Mean of each of n = ``LEVELS`` equal steps of a piecewise linear quantile function, exactly.

    step k = n (I((k + 1) / n) - I(k / n)),    I(u) = \int_0^u Q(t) dt,    Q the quantile function
    """
    grid = np.linspace(0.0, 1.0, LEVELS + 1)
    knots = np.union1d(grid, until)
    # where two points share a cumulative value, Q jumps: each piece takes the side of the jump it lies on
    area = np.diff(knots) * (_right(tokens, until, knots[:-1]) + _left(tokens, until, knots[1:])) / 2
    integral = np.concatenate([[0.0], np.cumsum(area)])
    return np.diff(integral[np.searchsorted(knots, grid)]) * LEVELS


def _right(tokens: Floats, until: Floats, u: Floats) -> Floats:
    """Quantiles just above u."""
    at = np.minimum(np.searchsorted(until, u, side="right"), until.size - 1)
    return _between(tokens, until, u, at)


def _left(tokens: Floats, until: Floats, u: Floats) -> Floats:
    """Quantiles just below u."""
    at = np.maximum(np.searchsorted(until, u, side="left"), 1)
    return _between(tokens, until, u, at)


def _between(tokens: Floats, until: Floats, u: Floats, at: Floats) -> Floats:
    width = until[at] - until[at - 1]
    share = np.divide(u - until[at - 1], width, out=np.zeros_like(u), where=width > 0)
    return tokens[at - 1] + share * (tokens[at] - tokens[at - 1])


def _even(values: Floats) -> Histogram:
    return Histogram(np.zeros(values.size, dtype=np.int64), values, np.full(values.size, 1.0 / values.size))
