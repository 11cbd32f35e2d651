"""How bursty many clients are together: their streams laid over one another, each with its law of gaps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from executor.portable.elementary import exp, log1p, power
from executor.portable.gamma import gamma_quantile, log_gamma
from planner.demand.readers.trace import Burst, Floats, interarrival_cv
from planner.sampling import Key

WINDOWS = 24
"""Windows of the trace that are laid out, evenly spaced."""
REQUESTS = 20_000
"""Requests laid out in a window at most."""

DOMAIN = "burst of a trace"


@dataclass(frozen=True)
class Streams:
    """Renewal streams, one row a client and one column a window.

    rate    requests/s; 0: silent
    shape   shape of the law of the gaps
    weibull True: Weibull law, False: Gamma law
    """

    rate: Floats
    shape: Floats
    weibull: np.ndarray


def superposed(streams: Streams, window_s: float) -> Burst | None:
    """Coefficient of variation of the gaps of all streams together, averaged by requests over windows.

    None where there is too little traffic to see a gap.
    """
    total = streams.rate.sum(axis=0)
    seen = np.flatnonzero(total > 0)
    chosen = seen[np.linspace(0, seen.size - 1, min(WINDOWS, seen.size)).round().astype(np.int64)]
    found = [(total[window], _cv(streams, int(window), min(window_s, REQUESTS / total[window]))) for window in chosen]
    known = np.array([pair for pair in found if np.isfinite(pair[1])])
    if not known.size:
        return None
    mean = float(np.average(known[:, 1], weights=known[:, 0]))
    return Burst(mean, f"clients laid over one another, {len(known)} windows, gaps by each client's published law")


def _cv(streams: Streams, window: int, span_s: float) -> float:
    """One window, after a warm-up of the same length that lets every stream forget its start."""
    arrivals = [
        _arrivals(streams, int(client), window, span_s) for client in np.flatnonzero(streams.rate[:, window] > 0)
    ]
    merged = np.sort(np.concatenate(arrivals))
    inside = merged[(merged >= span_s) & (merged < 2 * span_s)]
    return interarrival_cv(inside) if inside.size > 2 else float("nan")


def _arrivals(streams: Streams, client: int, window: int, span_s: float) -> Floats:
    rate, shape = float(streams.rate[client, window]), float(streams.shape[client, window])
    count = int(2 * span_s * rate * 2) + 64
    u = Key(0).uniform(DOMAIN, window, client, np.arange(count))
    # the law's own mean gap, so that dividing by it leaves a mean of one
    if streams.weibull[client, window]:
        gaps = power(-log1p(-u), 1.0 / shape) / exp(log_gamma(1.0 + 1.0 / shape))
    else:
        gaps = gamma_quantile(shape, u) / shape
    return np.cumsum(gaps / rate)
