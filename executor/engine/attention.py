"""Attention over the paged cache, written plainly: the reference for every kernel, and the CPU's path.

A step's rows are decoding rows (one token each, all of the context in the cache) and prompt chunks (several
tokens each, causal, their own keys already written to the cache).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from executor.engine.batch import Batch, Chunks, Tables
from executor.engine.kv import LayerCache


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
