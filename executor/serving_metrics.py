"""What a load of requests met, under the names of ``vllm bench serve``; measured and replayed alike.

TTFT  arrival to first token, queueing included
TPOT  (end-to-end - TTFT) / (output tokens - 1), one figure a request; none for a single token
ITL   one gap between two tokens of a request
E2EL  arrival to last token
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from executor.arithmetic_series import Floats, Ints, Ramps
from executor.errors import BadInputError

PERCENTILES = (50, 90, 95, 99)
TIMED = ("ttft", "tpot", "itl", "e2el")


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
    """Times of the requests that were completed, seconds, one entry each, and every gap between tokens."""

    ttft: Floats
    e2el: Floats
    prompt: Ints
    output: Ints
    itl: Ramps

    @property
    def tpot(self) -> Floats:
        """TPOT of each request; NaN where it has one token."""
        gaps = np.where(self.output > 1, self.output - 1, 1)
        return np.where(self.output > 1, (self.e2el - self.ttft) / gaps, np.nan)

    def good(self, bounds: Bounds) -> npt.NDArray[np.bool_]:
        """Which requests met every bound; a request of one token has no TPOT to miss."""
        tpot = np.nan_to_num(self.tpot, nan=0.0)
        return (
            (1e3 * self.ttft <= bounds.ttft_ms) & (1e3 * tpot <= bounds.tpot_ms) & (1e3 * self.e2el <= bounds.e2el_ms)
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
        found.update(_spread(name, values if isinstance(values, Ramps) else Ramps.of(values)))
    return found


def _spread(name: str, seconds: Ramps) -> dict[str, float]:
    """Mean, standard deviation, median and percentiles of one metric, ms; NaN are left out."""
    keep = np.isfinite(seconds.first)
    if not keep.all():
        seconds = Ramps.of(seconds.first[keep])
    if not seconds.total:
        return {}
    mean = seconds.mean()
    quantiles = seconds.quantiles([p / 100 for p in (50, *PERCENTILES)])
    named = {
        "mean": mean,
        "std": seconds.deviation(mean),
        **dict(zip(("median", *(f"p{p}" for p in PERCENTILES)), quantiles.tolist(), strict=True)),
    }
    return {f"{key}_{name}_ms": 1e3 * value for key, value in named.items()}
