"""The operators a decoder is made of, and their plain implementation in torch.

``Operators`` is the seam: ``TorchOperators`` is the reference and the CPU's path, ``operators_triton`` the
device's. Shapes: T tokens, D decoding rows, H query heads, G KV heads, W head width.
"""

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from executor.engine import layers, moe
from executor.engine.batch import Batch, Chunks, Tables
from executor.engine.kv import LayerCache
from executor.engine.layers import RopeTable
from executor.engine.moe import Experts
from executor.engine.routing import choose_experts


def decode_rows(
    q: Tensor, cache: LayerCache, batch: Batch, tables: Tables, scale: float, value_width: int | None = None
) -> Tensor:
    """One token a row: q [D, heads, width] to [D, heads, value width].

    With ``value_width`` (MLA, absorbed) the first so many elements of the cached latent are the values.
    """
    rows = batch.decodes
    places = torch.arange(batch.max_context, device=q.device)
    cells = tables.cells(batch.slots[:rows].unsqueeze(1).expand(-1, batch.max_context), places.expand(rows, -1))
    keys = cache.read_keys(cells, q.dtype)
    values = cache.read_values(cells, q.dtype) if value_width is None else keys[..., :value_width]
    seen = places <= batch.positions[:rows].unsqueeze(1)
    out = F.scaled_dot_product_attention(
        q.unsqueeze(2),
        keys.transpose(1, 2),
        values.transpose(1, 2),
        attn_mask=seen[:, None, None, :],
        scale=scale,
        enable_gqa=q.shape[1] != keys.shape[2],
    )
    return out.squeeze(2)


def prompt_rows(q: Tensor, keys: Tensor, values: Tensor, chunks: Chunks, scale: float) -> Tensor:
    """Causal attention, chunk by chunk: q [sum counts, heads, width], keys and values [sum contexts, kv heads, ...].

    The last ``count`` of each chunk's ``context`` keys are the chunk's own tokens.
    """
    outputs = []
    q_end = k_end = 0
    for count, context in zip(chunks.counts, chunks.contexts, strict=True):
        q_end, k_end = q_end + count, k_end + context
        own, past = slice(q_end - count, q_end), slice(k_end - context, k_end)
        last = torch.arange(context - count, context, device=q.device)
        seen = torch.arange(context, device=q.device) <= last.unsqueeze(1)
        out = F.scaled_dot_product_attention(
            q[own].transpose(0, 1).unsqueeze(0),
            keys[past].transpose(0, 1).unsqueeze(0),
            values[past].transpose(0, 1).unsqueeze(0),
            attn_mask=seen,
            scale=scale,
            enable_gqa=q.shape[1] != keys.shape[1],
        )
        outputs.append(out.squeeze(0).transpose(0, 1))
    return torch.cat(outputs)


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
        return decode_rows(q, cache, batch, tables, scale)

    def decode_mla(
        self, absorbed: Tensor, q_rope: Tensor, cache: LayerCache, batch: Batch, tables: Tables, scale: float
    ) -> Tensor:
        """Absorbed queries [D, H, rank] and their rotated tails [D, H, rope] against the latents: [D, H, rank]."""
        q = torch.cat([absorbed, q_rope], dim=-1)
        return decode_rows(q, cache, batch, tables, scale, value_width=absorbed.shape[-1])

    def prompt(self, q: Tensor, keys: Tensor, values: Tensor, chunks: Chunks, scale: float) -> Tensor:
        """Causal attention of ragged chunks: q [tokens, H, W], keys and values [context tokens, G, ...]."""
        return prompt_rows(q, keys, values, chunks, scale)

    def run_experts(self, x: Tensor, ids: Tensor, weights: Tensor, experts: Experts) -> Tensor:
        """x [T, hidden] through the experts ids [T, k], added up with weights [T, k]."""
        return moe.run_by_loop(x, ids, weights, experts)


Operators = TorchOperators
"""What the decoder asks for; the device's operators derive from the plain ones."""
