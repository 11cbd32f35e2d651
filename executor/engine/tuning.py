"""The shapes of kernels found fastest on this device, by size of the problem: timed once, before graphs are captured.

Without tuning every kernel has a default shape that is correct everywhere. Times are medians of CUDA events
over inputs of the model's own sizes: pages scattered over the whole cache, experts chosen uniformly.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

import torch

from executor.engine.kernels import attention, experts
from executor.engine.kernels.attention import GQA_SHAPES, MLA_SHAPES, DecodeShape
from executor.engine.kernels.experts import FEW_ROWS, MANY_ROWS, ProductShape, default_shape
from executor.engine.kv import KvCache
from executor.engine.linear import FP8
from executor.engine.moe import Experts
from executor.engine.timing import time_calls
from executor.model.spec import ModelSpec

Shape = TypeVar("Shape")
BUCKETS = (1, 4, 16, 64, 256)
"""Rows for which shapes are timed; a batch takes those of the nearest bucket at or above it."""
SAMPLES = 5
TURNS = 8
"""Calls a sample; the experts' rotate over the layers."""
CONTEXT = 2048
"""Tokens of context at which decoding attention is timed: the bar of notes on operators is set there."""


class Tuning:
    """Chosen shapes by kernel and bucket; empty until ``tune`` fills it."""

    def __init__(self) -> None:
        self.chosen: dict[tuple[object, ...], Any] = {}

    def gqa(self, rows: int, sharing: int, width: int) -> DecodeShape:
        """For grouped-query decoding: rows, query heads a KV head, head width."""
        return self.chosen.get(("gqa", bucket(rows), sharing, width), GQA_SHAPES[0])

    def mla(self, rows: int, heads: int, rank: int) -> DecodeShape:
        """For absorbed decoding: rows, heads, latent rank."""
        return self.chosen.get(("mla", bucket(rows), heads, rank), MLA_SHAPES[0])

    def experts(self, rows: float, chosen: Experts) -> ProductShape:
        """For the experts' products: pairs an expert and the matrices' sizes."""
        key = ("experts", bucket(rows), *chosen.gate_up.data.shape, chosen.gate_up.scaling)
        return self.chosen.get(key, default_shape(rows))

    def choose(
        self, key: tuple[object, ...], candidates: Sequence[Shape], run: Callable[[Shape], object], device: torch.device
    ) -> None:
        """Time the candidates and keep the fastest; one that does not compile or launch here is left out."""
        times: dict[int, float] = {}
        for index, candidate in enumerate(candidates):
            try:
                times[index] = time_calls([partial(run, candidate)] * TURNS, device, SAMPLES).median
            except Exception:  # a shape may exceed this device's shared memory or registers
                continue
        if times:
            self.chosen[key] = candidates[min(times, key=times.__getitem__)]


def bucket(rows: float) -> int:
    """The smallest bucket that holds ``rows``, or the largest bucket."""
    return next((size for size in BUCKETS if rows <= size), BUCKETS[-1])


def tune(
    tuning: Tuning, spec: ModelSpec, heads: int, cache: KvCache, layer_experts: Sequence[Experts], max_batch: int
) -> None:
    """Fill ``tuning`` for one model: decoding attention by rows, experts by rows an expert."""
    for rows in BUCKETS:
        if rows <= bucket(max_batch):
            _tune_decoding(tuning, spec, heads, cache, rows)
        if layer_experts:
            _tune_experts(tuning, spec, layer_experts, rows)


def _tune_decoding(tuning: Tuning, spec: ModelSpec, heads: int, cache: KvCache, rows: int) -> None:
    layer = cache.layers[0]
    device = layer.keys.device
    dtype = layer.keys.dtype if layer.keys.dtype != FP8 else torch.bfloat16
    width = max(1, min(-(-CONTEXT // cache.page_size), cache.pages // rows))
    pages = torch.randperm(cache.pages, device=device)[: rows * width]
    tables = pages.resize_(rows, width).int() % cache.pages
    slots = torch.arange(rows, device=device, dtype=torch.int32)
    positions = torch.full((rows,), width * cache.page_size - 1, device=device, dtype=torch.int32)
    where = (tables, slots, positions, 0.1)
    if spec.mla is None:
        q = torch.randn(rows, heads, spec.head_dim, device=device, dtype=dtype)
        tuning.choose(
            ("gqa", rows, heads // layer.keys.shape[2], spec.head_dim),
            GQA_SHAPES,
            lambda shape: attention.decode_gqa(q, layer.keys, layer.values, *where, shape),
            device,
        )
        return
    rank = spec.mla.kv_lora_rank
    q = torch.randn(rows, heads, spec.mla.cache_width, device=device, dtype=dtype)
    tuning.choose(
        ("mla", rows, heads, rank),
        MLA_SHAPES,
        lambda shape: attention.decode_mla(q[..., :rank], q[..., rank:], layer.keys, *where, shape),
        device,
    )


def _tune_experts(tuning: Tuning, spec: ModelSpec, layers: Sequence[Experts], rows: int) -> None:
    """Rotates over the layers' weights, so that they come from memory and not from L2."""
    first = layers[0]
    device, count = first.gate_up.data.device, first.count
    moe = spec.moe
    assert moe is not None
    tokens = max(1, rows * count // moe.top_k)
    dtype = first.gate_up.data.dtype if first.gate_up.scaling == "none" else torch.bfloat16
    x = torch.randn(tokens, spec.hidden, device=device, dtype=dtype)
    ids = torch.rand(tokens, count, device=device).topk(min(moe.top_k, count), dim=-1).indices
    weights = torch.full(ids.shape, 1 / moe.top_k, device=device, dtype=dtype)
    turn = 0

    def run(shape: ProductShape) -> object:
        nonlocal turn
        turn += 1
        return experts.run_experts(x, ids, weights, layers[turn % len(layers)], shape)

    key = ("experts", rows, *first.gate_up.data.shape, first.gate_up.scaling)
    tuning.choose(key, FEW_ROWS if rows <= 16 else MANY_ROWS, run, device)
