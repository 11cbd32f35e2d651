"""Whole decoding steps: models that fit one GPU, and single expert-parallel ranks of those that do not.

A rank steps with all its layers on the pairs it would receive. The collectives between ranks are not there; they
are modelled elsewhere and never part of these figures.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from benchmarks.gpu.sizes import Sizes
from executor.engine.engine import Engine, Settings
from executor.engine.graphs import DecodeGraphs
from executor.engine.linear import Scaling
from executor.engine.routing import LEARNED, Routing
from executor.engine.slices import WHOLE, Slice
from executor.engine.timing import Timing, time_calls


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
        timing = time_step(engine, batch, sizes)
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


def fill(engine: Engine, context: int) -> None:
    """Random keys and values in every page, and page tables that give each slot its own pages."""
    for layer in engine.decoder.cache.layers:
        for tensor in (layer.keys, layer.values):
            if tensor.numel():
                tensor.copy_(torch.randn(tensor.shape[1:], device=tensor.device))
    width = -(-(context + 1) // engine.tables.page_size)
    slots = engine.scheduler.limits.max_batch
    order = torch.randperm(engine.scheduler.limits.pages, device=engine.device).int()
    engine.tables.pages[:slots, :width] = order[: slots * width].view(slots, width)


def time_step(engine: Engine, batch: int, sizes: Sizes) -> Timing:
    """One decoding step of ``batch`` rows at the context, by graph replay where there are graphs."""
    slots = torch.arange(batch, device=engine.device, dtype=torch.int32)
    positions = torch.full_like(slots, sizes.context - 1)
    graphs = engine.graphs
    if graphs is None:
        graphs = DecodeGraphs(
            engine._forward, engine.tables, engine.scheduler.limits.max_batch, sizes.context
        )
        graphs.set_inputs(slots, positions)
        with torch.inference_mode():
            return time_calls(
                [lambda: engine._forward(graphs.static_batch(batch))], engine.device, sizes.samples
            )
    graphs.set_inputs(slots, positions)
    size = next(size for size in graphs.sizes if size >= batch)
    return time_replays(lambda: graphs.replay_size(size), sizes.samples)


def time_replays(replay: Callable[[], object], samples: int) -> Timing:
    """A graph cannot be captured into another, so replays are timed by events as they are."""
    seconds = []
    for sample in range(samples + 3):
        before, after = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        before.record()
        replay()
        after.record()
        after.synchronize()
        if sample >= 3:
            seconds.append(before.elapsed_time(after) / 1000)
    low, middle, high = statistics.quantiles(seconds, n=4)
    return Timing(middle, low, high, len(seconds), captured=True)
