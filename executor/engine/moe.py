"""Routed experts: pairs of token and expert are sorted by expert, multiplied in groups, and added up per token.

Nothing here waits for the device: group sizes stay there as offsets, found by search in the sorted ids.
"""

import itertools
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from executor.engine.layers import silu_mul
from executor.engine.linear import Weight, dequantise


@dataclass(frozen=True)
class Experts:
    """The routed experts of one layer on this rank: gate_up [E, 2 I, H] and down [E, H, I]."""

    gate_up: Weight
    down: Weight

    @property
    def count(self) -> int:
        """How many there are."""
        return self.gate_up.data.shape[0]


def _by_expert(ids: Tensor, experts: int) -> tuple[Tensor, Tensor]:
    """Pairs [T, k] sorted by expert id; ids equal to ``experts`` go to the end. Pair p is token p // k.

    Returns order [T k], the pair at each sorted place, and offsets [E + 1] int32, where each expert's pairs begin.
    """
    expert_of, order = ids.flatten().sort(stable=True)
    bounds = torch.arange(experts + 1, device=ids.device, dtype=expert_of.dtype)
    return order, torch.searchsorted(expert_of.contiguous(), bounds, out_int32=True)


def run_by_loop(x: Tensor, ids: Tensor, weights: Tensor, experts: Experts) -> Tensor:
    """The reference: one expert after the other; x [T, H] to [T, H]."""
    order, offsets = _by_expert(ids, experts.count)
    out = torch.zeros(ids.numel(), x.shape[1], dtype=x.dtype, device=x.device)
    for expert, (start, end) in enumerate(itertools.pairwise(offsets.tolist())):
        if start == end:
            continue
        pairs = order[start:end]
        inner = silu_mul(F.linear(x[pairs // ids.shape[1]], _one(experts.gate_up, expert, x.dtype)))
        out[pairs] = F.linear(inner, _one(experts.down, expert, x.dtype))
    return combine(out, weights)


def run_grouped(x: Tensor, ids: Tensor, weights: Tensor, experts: Experts) -> Tensor:
    """Large batches: torch's grouped product over the sorted pairs. Same shapes as ``run_by_loop``."""
    order, offsets = _by_expert(ids, experts.count)
    ends = offsets[1:]
    inner = silu_mul(_grouped(x[order // ids.shape[1]], experts.gate_up, ends))
    sorted_out = _grouped(inner, experts.down, ends)
    out = torch.empty_like(sorted_out)
    out[order] = sorted_out
    return combine(out.masked_fill((ids.flatten() == experts.count).unsqueeze(1), 0), weights)


def combine(pairs: Tensor, weights: Tensor) -> Tensor:
    """Add up pair outputs [T k, H] with their weights [T, k], in FP32: [T, H]."""
    by_token = pairs.view(*weights.shape, -1)
    return torch.einsum("tkh,tk->th", by_token.float(), weights.float()).to(pairs.dtype)


def _grouped(x: Tensor, weight: Weight, ends: Tensor) -> Tensor:
    matrix = dequantise(weight, x.dtype)
    return F.grouped_mm(x, matrix.transpose(-2, -1), offs=ends)


def _one(weight: Weight, expert: int, dtype: torch.dtype) -> Tensor:
    scale = None if weight.scale is None else weight.scale[expert]
    return dequantise(Weight(weight.data[expert], scale, weight.scaling), dtype)
