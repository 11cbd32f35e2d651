"""The operators a decoder is made of, and their plain implementation in torch.

``Operators`` is the seam: ``TorchOperators`` is the reference and the CPU's path, ``operators_triton`` the
device's. Shapes: T tokens, D decoding rows, H query heads, G KV heads, W head width.
"""

from __future__ import annotations

import torch
from torch import Tensor

from executor.engine import attention, layers, moe
from executor.engine.batch import Batch, Chunks, Tables
from executor.engine.kv import LayerCache
from executor.engine.layers import RopeTable
from executor.engine.moe import Experts
from executor.engine.routing import choose_experts


class TorchOperators:
    """Every operator in plain torch."""

    add_rms_norm = staticmethod(layers.add_rms_norm)
    """Norm of x + residual [T, hidden], and the sum."""
    silu_mul = staticmethod(layers.silu_mul)
    """[T, 2 I] to [T, I]."""
    choose_experts = staticmethod(choose_experts)
    """Router logits [T, experts] to ids and weights [T, top_k]."""

    @staticmethod
    def prepare_gqa(
        qkv: Tensor, heads: int, q_norm: Tensor | None, k_norm: Tensor | None, eps: float,
        rope: RopeTable, positions: Tensor, cells: Tensor, cache: LayerCache,
    ) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
        """Norm and rotate queries and keys of qkv [T, H + 2 G, W], store keys and values: q, keys, values."""
        groups = (qkv.shape[1] - heads) // 2
        q, keys, values = qkv.split([heads, groups, groups], dim=1)
        if q_norm is not None and k_norm is not None:
            q, keys = layers.rms_norm(q, q_norm, eps), layers.rms_norm(keys, k_norm, eps)
        q, keys = rope.rotate(q, positions), rope.rotate(keys, positions)
        cache.write(cells, keys, values)
        return q, keys, values

    @staticmethod
    def prepare_mla(
        q: Tensor, kv_latent: Tensor, weight: Tensor, eps: float, rope: RopeTable, positions: Tensor,
        cells: Tensor, cache: LayerCache,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        """Rotate the tails of q [T, H, W], norm and rotate the latent [T, cache_width] and store it."""
        rank = weight.shape[0]
        width = kv_latent.shape[1] - rank
        tails = torch.cat([q[..., -width:], kv_latent[:, None, rank:]], dim=1)
        tails = rope.rotate(tails, positions)
        q = torch.cat([q[..., :-width], tails[:, :-1]], dim=-1)
        compressed = layers.rms_norm(kv_latent[:, :rank], weight, eps)
        latent = torch.cat([compressed, tails[:, -1]], dim=-1)
        cache.write(cells, latent.unsqueeze(1), None)
        return q, latent

    def decode_gqa(self, q: Tensor, cache: LayerCache, batch: Batch, tables: Tables, scale: float) -> Tensor:
        """q [D, H, W] against the cache: [D, H, W]."""
        return attention.decode_rows(q, cache, batch, tables, scale)

    def decode_mla(
        self, absorbed: Tensor, q_rope: Tensor, cache: LayerCache, batch: Batch, tables: Tables, scale: float
    ) -> Tensor:
        """Absorbed queries [D, H, rank] and their rotated tails [D, H, rope] against the latents: [D, H, rank]."""
        q = torch.cat([absorbed, q_rope], dim=-1)
        return attention.decode_rows(q, cache, batch, tables, scale, value_width=absorbed.shape[-1])

    def prompt(self, q: Tensor, keys: Tensor, values: Tensor, chunks: Chunks, scale: float) -> Tensor:
        """Causal attention of ragged chunks: q [tokens, H, W], keys and values [context tokens, G, ...]."""
        return attention.prompt_rows(q, keys, values, chunks, scale)

    def run_experts(self, x: Tensor, ids: Tensor, weights: Tensor, experts: Experts) -> Tensor:
        """x [T, hidden] through the experts ids [T, k], added up with weights [T, k]."""
        return moe.run_by_loop(x, ids, weights, experts)


Operators = TorchOperators
"""What the decoder asks for; the device's operators derive from the plain ones."""
