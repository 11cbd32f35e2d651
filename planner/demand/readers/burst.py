"""How bursty many clients are together: their streams laid over one another, each with its law of gaps."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from executor.portable.elementary import exp, log1p, power
from executor.portable.gamma import gamma_quantile, log_gamma
from planner.demand.readers.trace import Burst, Floats, Ints, interarrival_cv
from planner.sampling import Key

WINDOWS = 24
"""Windows of the trace that are laid out, evenly spaced."""
STREAMS = 20_000
"""Streams laid out at most, over all windows: beyond 800 clients there are fewer windows."""
REQUESTS = 20_000
"""Requests laid out in a window at most."""

DOMAIN = "burst of a trace"


@dataclass(frozen=True)
class Streams:
    """Renewal streams: an entry for each window in which a client has a law, in order of client, then window.

    client  number of the client, from 0 in order of the ids
    window  number of the window
    rate    requests/s; 0: silent
    shape   shape of the law of the gaps
    weibull True: Weibull law, False: Gamma law
    """

    client: Ints
    window: Ints
    rate: Floats
    shape: Floats
    weibull: NDArray[np.bool_]

    @property
    def total(self) -> Floats:
        """Requests/s of all clients in each window."""
        return np.asarray(np.bincount(self.window, self.rate), dtype=np.float64)


def superposed(streams: Streams, window_s: float) -> Burst | None:
    """Coefficient of variation of the gaps of all streams together, averaged by requests over windows.

    None where there is too little traffic to see a gap.
    """
    total = streams.total
    seen = np.flatnonzero(total > 0)
    windows = min(WINDOWS, seen.size, max(1, STREAMS // (1 + int(streams.client.max()))))
    chosen = seen[np.linspace(0, seen.size - 1, windows).round().astype(np.int64)]
    found = [(total[window], _cv(streams, int(window), min(window_s, REQUESTS / total[window]))) for window in chosen]
    known = np.array([pair for pair in found if np.isfinite(pair[1])])
    if not known.size:
        return None
    mean = float(np.average(known[:, 1], weights=known[:, 0]))
    return Burst(mean, f"clients laid over one another, {len(known)} windows, gaps by each client's published law")


def _cv(streams: Streams, window: int, span_s: float) -> float:
    """One window, after a warm-up of the same length that lets every stream forget its start."""
    entries = np.flatnonzero((streams.window == window) & (streams.rate > 0))
    merged = np.sort(np.concatenate([_arrivals(streams, int(entry), span_s) for entry in entries]))
    inside = merged[(merged >= span_s) & (merged < 2 * span_s)]
    return interarrival_cv(inside) if inside.size > 2 else float("nan")


def _arrivals(streams: Streams, entry: int, span_s: float) -> Floats:
    rate, shape = float(streams.rate[entry]), float(streams.shape[entry])
    count = int(2 * span_s * rate * 2) + 64
    u = Key(0).uniform(DOMAIN, int(streams.window[entry]), int(streams.client[entry]), np.arange(count))
    # the law's own mean gap, so that dividing by it leaves a mean of one
    if streams.weibull[entry]:
        gaps = power(-log1p(-u), 1.0 / shape) / exp(log_gamma(1.0 + 1.0 / shape))
    else:
        gaps = gamma_quantile(shape, u) / shape
    return np.cumsum(gaps / rate)
