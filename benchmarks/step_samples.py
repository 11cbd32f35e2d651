"""Timed steps of a real engine, and a replay's step times fitted to them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import nnls

from executor.errors import BadInputError
from executor.portable import linear
from executor.portable.elementary import interpolated
from executor.steptime.batch import SECONDS, BatchTime

Array = np.ndarray

MOST_COEFFICIENTS = 6
"""Coefficients of a fit to timed steps; it needs at least as many."""
OUTLIERS = 0.02
"""Share of timed steps that a fit leaves out."""
OFTEN = 6
"""Steps of one number of decoding sequences from which that number has a level of its own: their mean is then known to
half of what one step scatters by, or better."""


class StepSample(NamedTuple):
    """One step of a real engine: what was in it, and how long it took. Symbols as in ``BatchTime``."""

    sequences: int
    context: float
    tokens: int
    square: float
    completed: int
    seconds: float


def fitted_batch_time(
    samples: Sequence[StepSample], kv_tokens: int, chunk_tokens: int, prefill_first: bool = False
) -> BatchTime:
    r"""Step times of an engine whose steps were timed one by one, without a model of its hardware.

        t = fixed + h(B) + context X + collective (B + m) + square Q + request n,    all >= 0

    h is straight between knots at each number of decoding sequences that was seen often, at 1, 2, 4, 8 .. and at the
    most that were seen: a matrix product of two rows is another kernel than one of a single row, and one of four takes
    less time than one of three. Least squares of relative errors; the samples that miss most, one in fifty, are left
    out of a second fit, since a machine is now and then busy with something else. Holds between the batches sampled,
    not beyond.
    """
    if len(samples) < MOST_COEFFICIENTS:
        raise BadInputError(f"{len(samples)} timed steps are too few to fit: give {MOST_COEFFICIENTS} or more")
    seen = np.array(samples, dtype=float)
    batch, context, tokens, square, completed, seconds = seen.T
    knots = _knots(batch)
    hats = [interpolated(batch, (0.0, *knots), np.eye(len(knots) + 1)[at + 1]) for at in range(len(knots))]
    columns = np.stack([np.ones(len(seen)), context, batch + tokens, square, completed, *hats], axis=1)
    scaled = columns / seconds[:, None]
    found, _ = nnls(scaled, np.ones(len(seen)))
    miss = np.abs(linear.times(scaled, found) - 1.0)
    kept = miss <= np.quantile(miss, 1.0 - OUTLIERS)
    found, _ = nnls(scaled[kept], np.ones(int(kept.sum())))
    zero = dict.fromkeys(SECONDS, 0.0)
    names = ("fixed", "context", "collective", "square", "request")
    fitted: dict[str, Any] = {name: float(value) for name, value in zip(names, found, strict=False)}
    return BatchTime(
        **{**zero, **fitted},
        untouched_log=0.0,
        halves=1,
        stages=1,
        kv_tokens=kv_tokens,
        chunk_tokens=chunk_tokens,
        prefill_first=prefill_first,
        knots=tuple(zip(knots, found[len(names) :].tolist(), strict=True)),
    )


def _knots(batch: Array) -> tuple[float, ...]:
    """The numbers of decoding sequences that were seen often, powers of two that were seen, and the largest one."""
    seen, times = np.unique(batch[batch > 0], return_counts=True)
    kept = (times >= OFTEN) | (np.frexp(seen)[0] == 0.5)
    kept[-1:] = True
    return tuple(seen[kept].tolist())
