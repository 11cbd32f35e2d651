"""What a load of requests met, under the names of ``vllm bench serve``; measured and replayed alike.

TTFT  arrival to first token, queueing included
TPOT  (end-to-end - TTFT) / (output tokens - 1), one figure a request; none for a single token
ITL   one gap between two tokens of a request
E2EL  arrival to last token
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from executor.errors import BadInputError

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

PERCENTILES = (50, 90, 95, 99)
TIMED = ("ttft", "tpot", "itl", "e2el")
SORT_AT_ONCE = 100_000
"""Values up to which sorting all of them is fast."""
BINS_PER_E_FOLD = 500.0


@dataclass(frozen=True)
class Bounds:
    """Bounds on a request's TTFT, TPOT and E2EL, ms; a request that meets all of them is good work."""

    ttft_ms: float = math.inf
    tpot_ms: float = math.inf
    e2el_ms: float = math.inf

    def __post_init__(self) -> None:
        for name in ("ttft_ms", "tpot_ms", "e2el_ms"):
            if not getattr(self, name) > 0:
                raise BadInputError(f"{name} must be above 0 (got {getattr(self, name)!r})")


def bounds_of(given: Sequence[str]) -> Bounds:
    """Bounds written as ``vllm bench serve --goodput`` takes them: ``ttft:500 tpot:50 e2el:20000``, ms.

    >>> bounds_of(["ttft:500", "tpot:50"]).tpot_ms
    50.0
    """
    found: dict[str, float] = {}
    for pair in " ".join(given).split():
        name, colon, text = pair.partition(":")
        if name not in ("ttft", "tpot", "e2el") or not colon:
            raise BadInputError(f"goodput bound {pair!r}: write ttft:MS, tpot:MS or e2el:MS")
        try:
            found[f"{name}_ms"] = float(text)
        except ValueError:
            raise BadInputError(f"goodput bound {pair!r}: {text!r} is not a number of ms") from None
    return Bounds(**found)


@dataclass(frozen=True)
class Latencies:
    """Times of the requests that were completed, seconds, one entry each.

    ``itl`` holds gaps with how often each occurred in ``itl_count``, since a replay knows them by step.
    """

    ttft: Floats
    e2el: Floats
    prompt: Ints
    output: Ints
    itl: Floats
    itl_count: Ints = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    @property
    def tpot(self) -> Floats:
        """TPOT of each request; NaN where it has one token."""
        gaps = np.where(self.output > 1, self.output - 1, 1)
        return np.where(self.output > 1, (self.e2el - self.ttft) / gaps, np.nan)

    def good(self, bounds: Bounds) -> npt.NDArray[np.bool_]:
        """Which requests met every bound; a request of one token has no TPOT to miss."""
        tpot = np.nan_to_num(self.tpot, nan=0.0)
        return (
            (1e3 * self.ttft <= bounds.ttft_ms)
            & (1e3 * tpot <= bounds.tpot_ms)
            & (1e3 * self.e2el <= bounds.e2el_ms)
        )


def bench_metrics(
    latencies: Latencies, duration: float, failed: int, bounds: Bounds | None = None, concurrent: int = 0
) -> dict[str, float]:
    """Counts, rates and percentiles under the names of ``vllm bench serve``; rates over ``duration`` seconds.

    A metric of which there is no sample (TPOT of single tokens) is left out. Failed requests count as misses
    of the goodput, since only completed ones are in ``latencies``.
    """
    rates = duration if duration > 0 else math.inf
    prompt, output = int(latencies.prompt.sum()), int(latencies.output.sum())
    found: dict[str, float] = {
        "duration": duration,
        "completed": len(latencies.ttft),
        "failed": failed,
        "total_input_tokens": prompt,
        "total_output_tokens": output,
        "request_throughput": len(latencies.ttft) / rates,
        "output_throughput": output / rates,
        "total_token_throughput": (prompt + output) / rates,
    }
    if bounds is not None:
        found["request_goodput"] = int(latencies.good(bounds).sum()) / rates
    if concurrent:
        found["max_concurrent_requests"] = concurrent
    for name in TIMED:
        values = getattr(latencies, name)
        counts = latencies.itl_count if name == "itl" and latencies.itl_count.size else None
        found.update(_spread(name, values, counts))
    return found


def _spread(name: str, seconds: Floats, counts: Ints | None) -> dict[str, float]:
    """Mean, standard deviation, median and percentiles of one metric, ms."""
    keep = np.isfinite(seconds)
    whole = bool(keep.all())
    values = 1e3 * (seconds if whole else seconds[keep])
    weights = np.ones(values.size, dtype=np.int64) if counts is None else counts if whole else counts[keep]
    total = int(weights.sum())
    if not total:
        return {}
    mean = float(np.dot(values, weights)) / total
    spread = math.sqrt(max(0.0, float(np.dot(weights, (values - mean) ** 2)) / total))
    quantiles = weighted_quantiles(values, weights, [p / 100 for p in (50, *PERCENTILES)])
    named = dict(zip(("median", *(f"p{p}" for p in PERCENTILES)), (float(q) for q in quantiles), strict=True))
    return {f"{key}_{name}_ms": value for key, value in {"mean": mean, "std": spread, **named}.items()}


def weighted_quantiles(values: Floats, counts: Ints, shares: Sequence[float]) -> Floats:
    """Quantiles of values that occur ``counts`` times, interpolated as numpy does with each written out.

    >>> weighted_quantiles(np.array([1.0, 3.0]), np.array([1, 3]), [0.25, 0.5]).tolist()
    [2.5, 3.0]
    """
    place = np.asarray(shares) * (int(counts.sum()) - 1)
    wanted = np.concatenate([np.floor(place), np.ceil(place)])
    below, above = np.split(_ranked(values, counts, wanted), 2)
    return below + (above - below) * (place - np.floor(place))


def _ranked(values: Floats, counts: Ints, ranks: Floats) -> Floats:
    """The values at those places of the sorted list; many values are put into bins first, and only the bins
    that hold a wanted place are sorted.
    """
    if values.size < SORT_AT_ONCE or values.min() <= 0:
        return _ranked_by_sorting(values, counts, ranks)
    bins = (BINS_PER_E_FOLD * np.log(values)).astype(np.int64)
    bins -= bins.min()
    until = np.cumsum(np.bincount(bins, counts))
    found = np.empty(ranks.size)
    for place in np.unique(at := np.searchsorted(until, ranks + 0.5)):
        inside = np.flatnonzero(bins == place)
        before = until[place - 1] if place else 0.0
        found[at == place] = _ranked_by_sorting(values[inside], counts[inside], ranks[at == place] - before)
    return found


def _ranked_by_sorting(values: Floats, counts: Ints, ranks: Floats) -> Floats:
    order = np.argsort(values, kind="stable")
    return values[order][np.searchsorted(np.cumsum(counts[order]) - 1, ranks)]
