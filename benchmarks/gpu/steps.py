"""Whole decoding steps: models that fit one GPU, and single expert-parallel ranks of those that do not.

A rank steps with all its layers on the pairs it would receive. The collectives between ranks are not there; they
are modelled elsewhere and never part of these figures.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from benchmarks.gpu.sizes import Sizes
from executor.engine.engine import Engine, Settings
from executor.engine.linear import Scaling
from executor.engine.routing import LEARNED, Routing
from executor.engine.slices import WHOLE, Slice
from executor.measure.parts import fill, time_step


@dataclass(frozen=True)
class Case:
    """One model, layout and routing."""

    model: str
    part: Slice = WHOLE
    scaling: Scaling = "none"
    routing: Routing = LEARNED

    @property
    def name(self) -> str:
        """As results and bars call it."""
        kind = "bf16" if self.scaling == "none" else f"fp8-{self.scaling}"
        rank = f" EP{self.part.ep_size}" if self.part.ep_size > 1 else ""
        law = "" if self.routing.law == "learned" else f" {self.routing.law}"
        return f"{self.model} {kind}{rank}{law}"


CASES = (
    Case("DeepSeek-V3", Slice(ep_size=32), "block", Routing("uniform")),
    Case("Kimi-K2-Instruct", Slice(ep_size=32), "block", Routing("uniform")),
    Case("DeepSeek-V3", Slice(ep_size=32), "block", Routing("power_law", exponent=1.2)),
)


def measure(case: Case, sizes: Sizes, device: torch.device) -> Iterator[dict[str, Any]]:
    """Rows: one decoding step at several batch sizes, all at the same context."""
    start = time.monotonic()
    small = sizes.divide > 1
    part = case.part if not small else Slice(ep_size=min(case.part.ep_size, 8))
    rows = max(sizes.step_rows)
    pages = rows * -(-(sizes.context + 1) // 64)
    settings = Settings(max_batch=rows, token_budget=rows, pages=pages, max_length=sizes.context + 64)
    dtype = torch.float32 if small else torch.bfloat16
    engine = Engine.dummy(sizes.spec(case.model), dtype, device, settings, part, case.routing, case.scaling)
    fill(engine, sizes.context)
    made = time.monotonic() - start
    weights = engine.decoder.weights.bytes
    for batch in sizes.step_rows:
        timing = time_step(engine, batch, sizes.context, sizes.samples)
        yield {
            "name": f"step {case.name} b={batch} c={sizes.context}",
            "layers": len(engine.decoder.weights.layers),
            "weights_gb": weights / 1e9,
            "ms": timing.median * 1e3,
            "ms_low": timing.low * 1e3,
            "ms_high": timing.high * 1e3,
            "tokens_per_s": batch / timing.median,
            "graph": engine.graphs is not None,
            "set_up_s": made,
        }
