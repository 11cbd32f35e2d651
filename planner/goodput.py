"""Goodput at an SLO with its level from the replay of the scheduler and its spread from the closed form.

The closed form (``planner.serving``) answers for every posterior draw at once, but takes queues as M/G/1 and the number
in service as Poisson-like, and so promises 7 to 46 % too much (docs/accuracy.md, "Goodput by formula against replay").
The replay runs the engine's scheduler request by request, at the most likely parameters only.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np

from executor.batchtime import batch_time
from executor.metrics import Bounds
from executor.replay import goodput_by_replay, replica_limits
from executor.steptime import Setup
from planner.belief import belief
from planner.serving import Goodput, Lengths, Slo, goodput_of

TURNOVERS = 50
"""Requests of each run of the search / requests in service at once: a queue needs many lives to settle. The rate
found then still varies with the luck, by 2 % for short answers and 10 % for a reasoning model's."""
FEWEST, MOST = 3000, 8000
"""Requests of a run at least and at most."""
LENGTHS = 512
"""Equally likely lengths that stand for a distribution."""
MOST_BATCH = 8192
"""Sequences that a replica may run at once: memory and the SLO limit it, not a setting."""


@lru_cache(maxsize=256)
def replayed_goodput(
    setup: Setup,
    lengths: Lengths,
    slo: Slo,
    prefix_reuse: float = 0.0,
    version: str = "",
    requests: int | None = None,
) -> Goodput:
    """``planner.serving.goodput_of`` with its rates brought to what the replay serves within the SLO.

    The spread stays the closed form's, and so do label, memory and what it says of TTFT and TPOT. Raises as
    ``goodput_of`` does. Where the closed form finds no rate, its answer stands.
    """
    formula = goodput_of(setup, lengths, slo, prefix_reuse, version)
    if not formula.requests_per_s:
        return formula
    believed = belief(setup, version)
    time = batch_time(
        believed.on(setup), believed.calibration.theta, lengths.input_mean + lengths.output_mean / 2
    )
    prompt, output = (
        np.maximum(1, np.rint(lengths.grid(side, LENGTHS))).astype(np.int64) for side in ("input", "output")
    )
    peak = goodput_by_replay(
        time,
        prompt,
        output,
        Bounds(slo.ttft_ms, slo.tpot_ms),
        slo.percentile / 100,
        requests=requests or int(min(MOST, max(FEWEST, TURNOVERS * formula.concurrency))),
        limits=replica_limits(time, max_batch=MOST_BATCH),
        prefix_reuse=prefix_reuse,
        start=formula.requests_per_s,
    )
    return _at_rate(formula, peak.rate, peak.reason)


def _at_rate(formula: Goodput, rate: float, reason: str) -> Goodput:
    """The closed form's answer at another rate; what is proportional to it follows."""
    factor = rate / formula.requests_per_s
    return replace(
        formula,
        requests_per_s=rate,
        low=formula.low * factor,
        high=formula.high * factor,
        concurrency=formula.concurrency * factor,
        output_tokens_per_s_per_gpu=formula.output_tokens_per_s_per_gpu * factor,
        mfu=formula.mfu * factor,
        reason=f"{formula.reason}; level by replay, {factor:.2f} of the closed form ({reason})",
    )
