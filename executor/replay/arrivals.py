"""Requests as they arrive at a service: when, how long, and which prefixes they share."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from executor.arithmetic_series import Floats, Ints
from executor.errors import BadInputError
from executor.portable.elementary import interpolated
from executor.portable.gamma import gamma_quantile
from executor.portable.normal import uniforms


@dataclass(frozen=True)
class Arrivals:
    """Requests in order of arrival.

    arrival_s     seconds, never falling
    prompt, output    tokens, at least 1 each
    blocks        per request the names of its full prefix blocks, first to last; None: nothing is shared
    block_tokens  tokens of one block
    """

    arrival_s: Floats
    prompt: Ints
    output: Ints
    blocks: tuple[Sequence[Hashable], ...] | None = None
    block_tokens: int = 64

    def __post_init__(self) -> None:
        size = self.arrival_s.size
        if not size:
            raise BadInputError("there are no requests to serve")
        if self.prompt.size != size or self.output.size != size:
            raise BadInputError(
                f"each request needs an arrival, a prompt and an output length"
                f" (got {size}, {self.prompt.size} and {self.output.size})"
            )
        if not np.isfinite(self.arrival_s).all() or (np.diff(self.arrival_s) < 0).any():
            raise BadInputError("arrival times must be finite and never fall; sort the requests by arrival")
        if self.prompt.min() < 1 or self.output.min() < 1:
            raise BadInputError("prompt and output need at least 1 token each")
        if self.blocks is not None and len(self.blocks) != size:
            raise BadInputError(f"blocks of {len(self.blocks)} requests do not go with {size} arrivals")

    def __len__(self) -> int:
        return self.arrival_s.size

    @property
    def rate(self) -> float:
        """Requests/s between the first arrival and the last; infinite where all come at once."""
        span = float(self.arrival_s[-1] - self.arrival_s[0])
        return (len(self) - 1) / span if span > 0 else float("inf")

    def at_rate(self, rate: float) -> Arrivals:
        """The same requests in the same rhythm, faster or slower."""
        if not (np.isfinite(rate) and rate > 0):
            raise BadInputError(f"a rate must be a positive number of requests/s (got {rate!r})")
        if not np.isfinite(self.rate):
            raise BadInputError("requests that all come at once have no rate to change")
        first = self.arrival_s[0]
        return replace(self, arrival_s=(self.arrival_s - first) * (self.rate / rate))

    def first(self, count: int) -> Arrivals:
        """The first ``count`` requests."""
        blocks = None if self.blocks is None else self.blocks[:count]
        return Arrivals(self.arrival_s[:count], self.prompt[:count], self.output[:count], blocks, self.block_tokens)


def gaps(count: int, cv: float, chance: np.random.Generator) -> Floats:
    r"""Gaps between arrivals with mean 1 and coefficient of variation ``cv``, from a Gamma law.

    k = 1/cv^2,  gap ~ Gamma(k, 1/k);   cv 1 is a Poisson process, 0 a clock
    """
    if not (np.isfinite(cv) and cv >= 0):
        raise BadInputError(f"the gaps' coefficient of variation must be a number of 0 or more (got {cv!r})")
    if cv == 0:
        return np.ones(count)
    shape = 1.0 / (cv * cv)
    return gamma_quantile(shape, uniforms(chance, count)) / shape


def arrival_times(
    count: int, rate: float, cv: float, chance: np.random.Generator, hours: Sequence[float] = ()
) -> Floats:
    """Arrival times in seconds at a mean of ``rate`` requests/s.

    ``hours`` are ratios of each hour's load to ``rate``, repeated when they end; the clock of the gaps runs
    as fast as the load. Without them the load is even.
    """
    if not (np.isfinite(rate) and rate > 0):
        raise BadInputError(f"a rate must be a positive number of requests/s (got {rate!r})")
    if count < 1:
        raise BadInputError(f"the number of requests must be at least 1 (got {count})")
    work = np.cumsum(gaps(count, cv, chance)) / rate
    if not len(hours):
        return work
    pace = np.asarray(hours, dtype=float)
    if not (np.isfinite(pace).all() and (pace >= 0).all() and pace.sum() > 0):
        raise BadInputError("hourly ratios must be numbers of 0 or more, not all of them 0")
    rounds = int(np.ceil(work[-1] / (3600.0 * pace.sum()))) + 1
    done = np.concatenate([[0.0], np.cumsum(np.tile(pace, rounds)) * 3600.0])
    return interpolated(work, done, 3600.0 * np.arange(done.size))


def lengths_of_cells(
    count: int, weight: Floats, prompt: Floats, output: Floats, chance: np.random.Generator
) -> tuple[Ints, Ints]:
    """Prompt and output lengths drawn from the cells of a joint law, whole tokens, at least 1.

    Cells are taken by systematic sampling (one uniform start, equal steps), which keeps the means of a long
    draw, and dealt out in random order.
    """
    edges = np.cumsum(weight) / np.sum(weight)
    points = (np.arange(count) + chance.random()) / count
    chosen = np.minimum(np.searchsorted(edges, points, side="right"), weight.size - 1)
    chosen = chance.permutation(chosen)
    return _whole(prompt[chosen]), _whole(output[chosen])


def _whole(tokens: Floats) -> Ints:
    return np.maximum(1, np.rint(tokens)).astype(np.int64)
