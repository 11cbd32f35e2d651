# mypy: disable-error-code=no-untyped-def
"""The choice of experts in one kernel: scores, groups, top-k and weights of one token a program."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from executor.engine.kernels import power_of_two
from executor.model.spec import MoeSpec


@triton.jit
def _router_kernel(
    logits, bias, ids, weights, experts, scaling,
    TOP_K: tl.constexpr, BLOCK_K: tl.constexpr, BLOCK_E: tl.constexpr, GROUPS: tl.constexpr,
    TOPK_GROUPS: tl.constexpr, PER_GROUP: tl.constexpr, SIGMOID: tl.constexpr, BIAS: tl.constexpr,
    NORM: tl.constexpr,
):  # fmt: skip
    token = tl.program_id(0).to(tl.int64)
    expert = tl.arange(0, BLOCK_E)
    real = expert < experts
    low = float("-inf")
    logit = tl.load(logits + token * experts + expert, mask=real, other=low)
    if SIGMOID:
        score = 1 / (1 + tl.exp(-logit))
    else:
        score = tl.exp(logit - tl.max(logit, 0))
        score = score / tl.sum(score, 0)
    choice = score
    if BIAS:
        choice += tl.load(bias + expert, mask=real, other=0.0)
    choice = tl.where(real, choice, low)
    if GROUPS > 1:
        group = expert // PER_GROUP
        kept = expert < 0
        remaining = tl.full([BLOCK_E], low, tl.float32)  # each expert carries its group's score
        for nth in tl.static_range(GROUPS):
            member = tl.where(group == nth, choice, low)
            best = tl.max(member, 0)
            rest = tl.where(expert == tl.argmax(member, 0), low, member)
            two = best + (tl.max(rest, 0) if PER_GROUP > 1 else 0.0)
            remaining = tl.where(group == nth, two, remaining)
        remaining = tl.where(real, remaining, low)
        for _ in tl.static_range(TOPK_GROUPS):
            chosen = tl.argmax(remaining, 0) // PER_GROUP
            kept = kept | (group == chosen)
            remaining = tl.where(group == chosen, low, remaining)
        choice = tl.where(kept, choice, low)
    place = tl.arange(0, BLOCK_K)
    picked = tl.zeros([BLOCK_K], tl.int32)
    share = tl.zeros([BLOCK_K], tl.float32)
    for nth in tl.static_range(TOP_K):
        index = tl.argmax(choice, 0)
        value = tl.sum(tl.where(expert == index, score, 0.0), 0)
        picked = tl.where(place == nth, index.to(tl.int32), picked)
        share = tl.where(place == nth, value, share)
        choice = tl.where(expert == index, low, choice)
    if NORM:
        share = share / (tl.sum(share, 0) + 1e-20)
    inside = place < TOP_K
    tl.store(ids + token * TOP_K + place, picked, mask=inside)
    tl.store(weights + token * TOP_K + place, share * scaling, mask=inside)


def choose_experts(logits: Tensor, moe: MoeSpec, bias: Tensor | None) -> tuple[Tensor, Tensor]:
    """Router logits [T, experts] in FP32 to ids (int32) and weights (FP32), both [T, top_k]."""
    tokens, experts = logits.shape
    ids = torch.empty(tokens, moe.top_k, dtype=torch.int32, device=logits.device)
    weights = torch.empty(tokens, moe.top_k, dtype=torch.float32, device=logits.device)
    _router_kernel[(tokens,)](
        logits.contiguous(), bias if bias is not None else logits, ids, weights, experts, moe.scaling,
        TOP_K=moe.top_k, BLOCK_K=power_of_two(moe.top_k), BLOCK_E=power_of_two(experts, 16),
        GROUPS=moe.groups, TOPK_GROUPS=moe.topk_groups, PER_GROUP=experts // moe.groups,
        SIGMOID=moe.scoring == "sigmoid", BIAS=bias is not None, NORM=moe.norm_topk,
        num_warps=4 if experts > 128 else 1,
    )  # fmt: skip
    return ids, weights
