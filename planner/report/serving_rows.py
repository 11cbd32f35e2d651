"""What each set-up serves, as rows of the record."""

from typing import Any

from planner.record.models import Interval, Serving
from planner.sizing import Capacity


def _profile(capacity: Capacity) -> dict[str, Any]:
    """What the sizing stands on, short enough to read."""
    found = capacity.goodput
    return {
        "model": capacity.model,
        "gpu": capacity.sku,
        "precision": capacity.precision,
        "engine": capacity.engine,
        "label": found.label,
        "calibration_rows": found.calibration_rows,
        "kv_tokens": found.kv_tokens,
        "reason": found.reason,
    }


SERVING_LEVEL = 0.8
"""Interval of a serving figure, as its model was scored."""


def serving_row(capacity: Capacity) -> Serving:
    """The capacity as a plan's record shows it."""
    found = capacity.goodput
    layout = capacity.layout
    return Serving(
        pool=capacity.pool,
        sku=capacity.sku,
        model=capacity.model,
        precision=capacity.precision,
        engine=capacity.engine,
        layout={"tp": layout.tp, "pp": layout.pp, "attention_dp": layout.attention_dp},
        gpus_per_replica=layout.gpus,
        fits=found.memory.fits,
        requests_per_s=Interval(value=found.requests_per_s, low=found.low, high=found.high, level=SERVING_LEVEL),
        gpus_per_request_per_s=layout.gpus / found.requests_per_s,
        ttft_ms=found.ttft_ms,
        tpot_ms=found.tpot_ms,
        concurrency=found.concurrency,
        label=found.label,
        mfu=found.mfu,
        mbu=found.mbu,
        limits=found.limits,
        reason=found.reason,
    )
