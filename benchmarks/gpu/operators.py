"""Single operators: checked against plain torch on this device, then timed as fractions of measured ceilings."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from benchmarks.gpu.bars import PUBLIC_TFLOPS, PUBLIC_US
from benchmarks.gpu.sizes import Sizes
from executor.engine import moe
from executor.engine.backends import operators
from executor.engine.batch import Batch, Chunks, Tables
from executor.engine.kv import KvCache
from executor.engine.linear import Scaling, Weight, dequantise, linear, quantise
from executor.engine.operators import Operators, decode_rows, prompt_rows
from executor.engine.slices import WHOLE, Slice
from executor.engine.timing import time_calls
from executor.engine.weights import DummyWeights
from executor.scheduler.scheduler import Limits

L2_TURNS = 4
"""Sets of inputs in turn: together over 4 x the L2 of an H100 (50 MB) for all problems of that size."""


@dataclass(frozen=True)
class Problem:
    """One operator at one size: what to run, what it must equal, what it moves and computes."""

    name: str
    calls: list[Callable[[], Tensor]]
    exact: Callable[[], Tensor] | None
    bytes: float
    flops: float
    tolerance: float
    ceiling: str = "bf16"
    """Which measured product rate bounds it: bf16 or fp8."""


def ceilings(sizes: Sizes, device: torch.device) -> dict[str, float]:
    """Measured limits: bytes/s of a large copy (read and written), FLOP/s of a large square product."""
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    count = 2**30 // sizes.divide**2
    source = torch.randn(count, device=device, dtype=dtype)
    target = torch.empty_like(source)
    copy = time_calls([lambda: target.copy_(source)], device, sizes.samples, rounds=4)
    side = sizes.width(8192)
    a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    product = time_calls([lambda: F.linear(a, b)], device, sizes.samples, rounds=4)
    found = {"bytes_per_s": 2 * source.nbytes / copy.median, "bf16": 2 * side**3 / product.median}
    weight = quantise(b.float(), "row")
    fp8 = time_calls([lambda: linear(a, weight)], device, sizes.samples, rounds=4)
    found["fp8"] = 2 * side**3 / fp8.median
    return found


def measure(problem: Problem, limits: dict[str, float], sizes: Sizes, device: torch.device) -> dict[str, Any]:
    """Check, time and rate one problem. A wrong result is reported and not timed."""
    row: dict[str, Any] = {"name": problem.name, "bytes": problem.bytes, "flops": problem.flops}
    if problem.exact is not None:
        found, exact = problem.calls[0]().float(), problem.exact().float()
        error = float((found - exact).norm() / exact.norm())
        row |= {"error": error, "right": error <= problem.tolerance}
        if not row["right"]:
            return row
    timing = time_calls(problem.calls, device, sizes.samples, rounds=2)
    bound = max(problem.bytes / limits["bytes_per_s"], problem.flops / limits[problem.ceiling])
    row |= {
        "us": timing.median * 1e6,
        "us_low": timing.low * 1e6,
        "us_high": timing.high * 1e6,
        "samples": timing.samples,
        "graph": timing.captured,
        "gb_per_s": problem.bytes / timing.median / 1e9,
        "tflops": problem.flops / timing.median / 1e12,
        "fraction": bound / timing.median,
    }
    public = PUBLIC_US.get(problem.name)
    if problem.name in PUBLIC_TFLOPS:
        public = problem.flops / PUBLIC_TFLOPS[problem.name] / 1e6
    if public is not None and sizes.divide == 1:
        row |= {"public_us": public, "times_public": row["us"] / public}
    return row


def problems(sizes: Sizes, device: torch.device) -> Iterator[functools.partial[Problem]]:
    """All problems, each made only when its turn comes."""
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    ops = operators(device, None)
    scaling: Scaling
    for scaling in ("none", "row", "block"):
        for tokens in sizes.gemm_tokens:
            yield functools.partial(gemm, sizes, device, dtype, scaling, tokens)
    for rows, context in sizes.decode:
        yield functools.partial(decode_gqa, sizes, device, dtype, ops, rows, context)
    for tokens in sizes.prompts:
        yield functools.partial(prompt, sizes, device, dtype, ops, tokens)
    for rows in sizes.mla_rows:
        yield functools.partial(decode_mla, sizes, device, dtype, ops, rows)
    for tokens in sizes.moe_tokens:
        yield functools.partial(experts, sizes, device, dtype, ops, "Qwen3-30B-A3B", WHOLE, "none", tokens)
    for tokens in sizes.moe_tokens[1:3]:
        part = Slice(ep_size=8)
        yield functools.partial(experts, sizes, device, dtype, ops, "DeepSeek-V3", part, "block", tokens)


def gemm(sizes: Sizes, device: torch.device, dtype: torch.dtype, scaling: Scaling, tokens: int) -> Problem:
    """x [tokens, 5120] times [16384, 5120]: the public table's matrix."""
    inputs, outputs = sizes.width(5120), sizes.width(16384)
    x = torch.randn(tokens, inputs, device=device, dtype=dtype)
    weights: list[Weight] = [
        quantise(torch.randn(outputs, inputs, device=device, dtype=dtype) * inputs**-0.5, scaling)
        for _ in range(L2_TURNS)
    ]
    moved = weights[0].bytes + (x.nbytes + tokens * outputs * x.element_size())
    return Problem(
        name=f"gemm {scaling} m={tokens}",
        calls=[functools.partial(linear, x, weight) for weight in weights],
        exact=lambda: x.float() @ dequantise(weights[0], torch.float32).t(),
        bytes=moved,
        flops=2 * tokens * inputs * outputs,
        tolerance=0.01 if scaling == "none" else 0.06,
        ceiling="bf16" if scaling == "none" else "fp8",
    )


def paged(
    device: torch.device, rows: int, context: int, spec_name: str, sizes: Sizes, dtype: torch.dtype
) -> tuple[KvCache, Tables, Batch]:
    """A cache of scattered pages that every row fills to ``context`` tokens, and the decoding batch."""
    spec = sizes.spec(spec_name)
    size = 64
    width = -(-context // size)
    turns = max(1, min(L2_TURNS, 20_000 // (rows * width)))
    limits = Limits(pages=turns * rows * width, page_size=size, max_batch=turns * rows, token_budget=turns * rows,
                    max_length=width * size)  # fmt: skip
    cache = KvCache(spec, Slice(layers=(0,)), limits.pages, size, dtype, device)
    for layer in cache.layers:
        layer.keys.normal_()
        layer.values.normal_()
    tables = Tables(limits, device)
    order = torch.randperm(limits.pages, device=device).int().view(turns * rows, width)
    tables.pages[: turns * rows, :width] = order
    slots = torch.arange(rows, device=device, dtype=torch.int32)
    positions = torch.full((rows,), context - 1, device=device, dtype=torch.int32)
    batch = Batch(slots, positions, slots, slots, rows, context, None, slots, slots)
    return cache, tables, batch


def turned(batch: Batch, tables: Tables) -> list[Batch]:
    """The batch over each set of slots, so that no set's pages stay in L2."""
    rows = batch.decodes
    return [replace(batch, slots=batch.slots + start) for start in range(0, tables.trash_slot, rows)]


def decode_gqa(
    sizes: Sizes, device: torch.device, dtype: torch.dtype, ops: Operators, rows: int, context: int
) -> Problem:
    """32 query heads over 8 KV heads of width 128 (Llama-3.1-8B, Qwen3-8B)."""
    spec = sizes.spec("Qwen3-8B")
    cache, tables, batch = paged(device, rows, context, "Qwen3-8B", sizes, dtype)
    q = torch.randn(rows, spec.heads, spec.head_dim, device=device, dtype=dtype)
    layer, scale = cache.layers[0], spec.head_dim**-0.5
    read = rows * context * spec.kv_elements_per_token_per_layer * q.element_size()
    return Problem(
        name=f"decode gqa b={rows} c={context}",
        calls=[functools.partial(ops.decode_gqa, q, layer, one, tables, scale) for one in turned(batch, tables)],
        exact=lambda: decode_rows(q.float(), layer, batch, tables, scale),
        bytes=read + 2 * q.nbytes,
        flops=4 * rows * context * spec.heads * spec.head_dim,
        tolerance=0.01,
    )


def decode_mla(sizes: Sizes, device: torch.device, dtype: torch.dtype, ops: Operators, rows: int) -> Problem:
    """All heads over one latent (DeepSeek-V3: 128 heads, 512 + 64)."""
    spec, context = sizes.spec("DeepSeek-V3"), sizes.context
    assert spec.mla is not None
    rank, rope = spec.mla.kv_lora_rank, spec.mla.qk_rope
    cache, tables, batch = paged(device, rows, context, "DeepSeek-V3", sizes, dtype)
    absorbed = torch.randn(rows, spec.heads, rank, device=device, dtype=dtype) * 0.3
    q_rope = torch.randn(rows, spec.heads, rope, device=device, dtype=dtype) * 0.3
    layer, scale = cache.layers[0], spec.head_dim**-0.5
    q = torch.cat([absorbed, q_rope], dim=-1)
    exact = None
    if rows <= 32:  # the reference widens the cache to FP32
        exact = lambda: decode_rows(q.float(), layer, batch, tables, scale, rank)  # noqa: E731
    return Problem(
        name=f"decode mla b={rows} c={context}",
        calls=[
            functools.partial(ops.decode_mla, absorbed, q_rope, layer, one, tables, scale)
            for one in turned(batch, tables)
        ],
        exact=exact,
        bytes=rows * context * spec.mla.cache_width * q.element_size() + q.nbytes + absorbed.nbytes,
        flops=2 * rows * context * spec.heads * (spec.mla.cache_width + rank),
        tolerance=0.01,
    )


def prompt(sizes: Sizes, device: torch.device, dtype: torch.dtype, ops: Operators, tokens: int) -> Problem:
    """One causal prompt, 32 query heads over 8."""
    spec = sizes.spec("Qwen3-8B")
    q = torch.randn(tokens, spec.heads, spec.head_dim, device=device, dtype=dtype)
    keys, values = (torch.randn(tokens, spec.kv_heads, spec.head_dim, device=device, dtype=dtype) for _ in range(2))
    starts = torch.tensor([0, tokens], dtype=torch.int32, device=device)
    chunks = Chunks(starts, starts, None, (tokens,), (tokens,))
    scale = spec.head_dim**-0.5
    exact = None
    if tokens <= 2048:
        exact = lambda: prompt_rows(q.float(), keys.float(), values.float(), chunks, scale)  # noqa: E731
    return Problem(
        name=f"prompt t={tokens}",
        calls=[functools.partial(ops.prompt, q, keys, values, chunks, scale)],
        exact=exact,
        bytes=2 * q.nbytes + keys.nbytes + values.nbytes,
        flops=2 * tokens**2 * spec.heads * spec.head_dim,
        tolerance=0.01,
    )


def experts(
    sizes: Sizes, device: torch.device, dtype: torch.dtype, ops: Operators, name: str, part: Slice,
    scaling: Scaling, tokens: int,
) -> Problem:  # fmt: skip
    """The routed experts of one layer, chosen uniformly; a rank of EP8 gets what 8 ranks' tokens send it."""
    spec = sizes.spec(name)
    assert spec.moe is not None
    here, k = len(part.experts(spec)), spec.moe.top_k
    source = DummyWeights(dtype, device, scaling)
    layers = [source.experts(f"layer.{turn}", spec, part) for turn in range(L2_TURNS)]
    x = torch.randn(tokens, spec.hidden, device=device, dtype=dtype)
    ids = torch.rand(tokens, here, device=device).topk(min(k, here), dim=-1).indices
    weights = torch.full(ids.shape, 1 / k, device=device, dtype=dtype)
    touched = ids.unique().numel() / here
    layer_bytes = (layers[0].gate_up.bytes + layers[0].down.bytes) * touched
    kind = f" EP{part.ep_size}" if part.ep_size > 1 else ""
    return Problem(
        name=f"moe {name}{kind} t={tokens}",
        calls=[functools.partial(ops.run_experts, x, ids, weights, one) for one in layers],
        exact=lambda: moe.run_by_loop(x, ids, weights, layers[0]),
        bytes=layer_bytes + 2 * x.nbytes,
        flops=2 * ids.numel() * spec.expert_params,
        tolerance=0.02 if scaling == "none" else 0.1,
        ceiling="bf16" if scaling == "none" else "fp8",
    )
