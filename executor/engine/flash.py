"""Prompt attention on CUDA: ragged flash attention from torch, or from the optional ``fa3-fwd`` wheel.

torch 2.11's ``varlen_attn`` has neither a block table nor a keyword for grouped heads; keys are therefore
gathered from the cache where a chunk has a past, and heads are repeated where the kernel does not share them.
All functions take what ``attention.prompt_rows`` takes.
"""

from __future__ import annotations

import inspect
from typing import Any

import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from executor.engine.batch import Chunks


def ragged(q: Tensor, keys: Tensor, values: Tensor, chunks: Chunks, scale: float) -> Tensor:
    """torch's varlen flash attention, KV heads shared by the kernel itself."""
    from torch.nn.attention.varlen import varlen_attn

    options: dict[str, Any] = {"scale": scale, "window_size": (-1, 0)}  # causal, aligned at the last key
    if q.shape[1] != keys.shape[1] and "enable_gqa" in inspect.signature(varlen_attn).parameters:
        options["enable_gqa"] = True
    width = values.shape[-1]
    padded = F.pad(values, (0, q.shape[-1] - width))  # this kernel has one width for keys and values
    out = varlen_attn(
        q, keys, padded, chunks.starts, chunks.context_starts, max(chunks.counts), max(chunks.contexts), **options
    )
    return out[..., :width]


def ragged_repeated(q: Tensor, keys: Tensor, values: Tensor, chunks: Chunks, scale: float) -> Tensor:
    """The same with each KV head repeated for the query heads that share it."""
    sharing = q.shape[1] // keys.shape[1]
    return ragged(q, keys.repeat_interleave(sharing, 1), values.repeat_interleave(sharing, 1), chunks, scale)


def fa3(q: Tensor, keys: Tensor, values: Tensor, chunks: Chunks, scale: float) -> Tensor:
    """FlashAttention 3 from ``fa3-fwd``: BF16, keys of 192 with values of 128 (MLA) included."""
    from fa3_fwd_interface import flash_attn_varlen_func  # type: ignore[import-not-found]

    out = flash_attn_varlen_func(
        q, keys, values, chunks.starts, chunks.context_starts, max(chunks.counts), max(chunks.contexts),
        softmax_scale=scale, causal=True,
    )  # fmt: skip
    return out[0] if isinstance(out, tuple) else out
