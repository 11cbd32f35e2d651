"""The device's operators: Triton kernels, with flash attention for prompts and grouped products for large batches."""

from collections.abc import Callable

import torch
from torch import Tensor

from executor.engine import moe
from executor.engine.batch import Batch, Chunks, Tables
from executor.engine.kernels import attention, elementwise, experts, router
from executor.engine.kv import LayerCache
from executor.engine.moe import Experts
from executor.engine.operators import TorchOperators, prompt_rows
from executor.engine.tuning import Tuning

Prompt = Callable[[Tensor, Tensor, Tensor, Chunks, float], Tensor]
GROUPED_ROWS = 256
"""Rows an expert from which torch's grouped product (CUTLASS) takes over from the Triton one, for BF16.
Estimated: the tile kernel's 128-row tiles are full from there on; ``benchmarks/gpu`` prints both."""


class TritonOperators(TorchOperators):
    """Every operator as a kernel; ``tuning`` holds the shapes found fastest on this device."""

    add_rms_norm = staticmethod(elementwise.add_rms_norm)
    silu_mul = staticmethod(elementwise.silu_mul)
    choose_experts = staticmethod(router.choose_experts)
    prepare_gqa = staticmethod(elementwise.prepare_gqa)
    prepare_mla = staticmethod(elementwise.prepare_mla)

    def __init__(self, prompt: Prompt = prompt_rows, prompt_mla: Prompt = prompt_rows) -> None:
        self.tuning = Tuning()
        self._prompt = prompt
        self._prompt_mla = prompt_mla

    def decode_gqa(self, q: Tensor, cache: LayerCache, batch: Batch, tables: Tables, scale: float) -> Tensor:
        """Split-KV attention against the pages."""
        shape = self.tuning.gqa(q.shape[0], q.shape[1] // cache.keys.shape[2], q.shape[2])
        rows = batch.decodes
        return attention.decode_gqa(
            q, cache.keys, cache.values, tables.pages, batch.slots[:rows], batch.positions[:rows], scale, shape
        )

    def decode_mla(
        self, absorbed: Tensor, q_rope: Tensor, cache: LayerCache, batch: Batch, tables: Tables, scale: float
    ) -> Tensor:
        """Split-KV attention against the latents."""
        shape = self.tuning.mla(absorbed.shape[0], absorbed.shape[1], absorbed.shape[2])
        rows = batch.decodes
        return attention.decode_mla(
            absorbed, q_rope, cache.keys, tables.pages, batch.slots[:rows], batch.positions[:rows], scale, shape
        )

    def prompt(self, q: Tensor, keys: Tensor, values: Tensor, chunks: Chunks, scale: float) -> Tensor:
        """Flash attention of ragged chunks; plain where it was not checked, that is, for other types than BF16."""
        if q.dtype != torch.bfloat16:
            return prompt_rows(q, keys, values, chunks, scale)
        chosen = self._prompt if keys.shape[-1] == values.shape[-1] else self._prompt_mla
        return chosen(q, keys, values, chunks, scale)

    def run_experts(self, x: Tensor, ids: Tensor, weights: Tensor, chosen: Experts) -> Tensor:
        """Fused tiles; torch's grouped product where BF16 experts get many rows each."""
        rows = ids.numel() / chosen.count
        if rows >= GROUPED_ROWS and chosen.gate_up.scaling == "none" and x.is_cuda:
            return moe.run_grouped(x, ids, weights, chosen)
        return experts.run_experts(x, ids, weights, chosen, self.tuning.experts(rows, chosen))
