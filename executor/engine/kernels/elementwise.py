# mypy: disable-error-code=no-untyped-def
"""Norms, rotations, activation, FP8 quantisation and the store to the cache, each a single pass over its data."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from executor.engine.kernels import power_of_two
from executor.engine.kv import LayerCache
from executor.engine.layers import RopeTable
from executor.engine.linear import FP8


@triton.jit
def _add_norm_kernel(
    x, residual, weight, normed, total, eps, x_row, width,
    BLOCK: tl.constexpr, ADD: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, BLOCK)
    mask = column < width
    value = tl.load(x + row * x_row + column, mask=mask, other=0.0).to(tl.float32)
    if ADD:
        value += tl.load(residual + row * width + column, mask=mask, other=0.0).to(tl.float32)
        value = value.to(total.dtype.element_ty)  # the sum is rounded before its norm is taken
        tl.store(total + row * width + column, value, mask=mask)
        value = value.to(tl.float32)
    value = value * tl.rsqrt(tl.sum(value * value, 0) / width + eps)
    scale = tl.load(weight + column, mask=mask, other=0.0)
    value = value.to(normed.dtype.element_ty).to(tl.float32) * scale.to(tl.float32)
    tl.store(normed + row * width + column, value, mask=mask)


def add_rms_norm(x: Tensor, residual: Tensor | None, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """Norm of x + residual, and the sum: [T, D], rows of x may be strided."""
    rows, width = x.shape
    normed = torch.empty(rows, width, dtype=x.dtype, device=x.device)
    total = x if residual is None else torch.empty_like(normed)
    if rows:
        block = power_of_two(width)
        _add_norm_kernel[(rows,)](
            x, residual if residual is not None else x, weight, normed, total, eps, x.stride(0), width,
            BLOCK=block, ADD=residual is not None, num_warps=max(1, min(16, block // 512)),
        )  # fmt: skip
    return normed, total


@triton.jit
def _silu_mul_kernel(gate_up, out, width, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    mask = column < width
    gate = tl.load(gate_up + row * 2 * width + column, mask=mask, other=0.0).to(tl.float32)
    up = tl.load(gate_up + (row * 2 + 1) * width + column, mask=mask, other=0.0).to(tl.float32)
    gate = (gate / (1 + tl.exp(-gate))).to(out.dtype.element_ty).to(tl.float32)
    tl.store(out + row * width + column, gate * up, mask=mask)


def silu_mul(gate_up: Tensor) -> Tensor:
    """silu(gate) * up of [T, 2 I]: [T, I]."""
    rows, width = gate_up.shape[0], gate_up.shape[1] // 2
    out = torch.empty(rows, width, dtype=gate_up.dtype, device=gate_up.device)
    if rows:
        block = min(1024, power_of_two(width))
        _silu_mul_kernel[(rows, triton.cdiv(width, block))](gate_up, out, width, BLOCK=block)
    return out


@triton.jit
def _gqa_kernel(
    qkv, q_norm, k_norm, cos, sin, positions, cells, keys, values, eps, row_stride, cell, heads, kv_heads,
    WIDTH: tl.constexpr, HALF: tl.constexpr, BLOCK: tl.constexpr, NORM: tl.constexpr,
):  # fmt: skip
    token, head = tl.program_id(0).to(tl.int64), tl.program_id(1)
    column = tl.arange(0, BLOCK)
    mask = column < HALF
    at = qkv + token * row_stride + head * WIDTH
    low = tl.load(at + column, mask=mask, other=0.0)
    high = tl.load(at + HALF + column, mask=mask, other=0.0)
    spot = tl.load(cells + token) * cell
    if head >= heads + kv_heads:
        to_value = values + spot + (head - heads - kv_heads) * WIDTH + column
        tl.store(to_value, low.to(values.dtype.element_ty), mask=mask)
        tl.store(to_value + HALF, high.to(values.dtype.element_ty), mask=mask)
    else:
        a, b = low.to(tl.float32), high.to(tl.float32)
        if NORM:
            inverse = tl.rsqrt((tl.sum(a * a, 0) + tl.sum(b * b, 0)) / WIDTH + eps)
            of_q = tl.load(q_norm + column, mask=mask, other=0.0)
            of_k = tl.load(k_norm + column, mask=mask, other=0.0)
            a = (a * inverse).to(low.dtype).to(tl.float32) * tl.where(head < heads, of_q, of_k)
            of_q = tl.load(q_norm + HALF + column, mask=mask, other=0.0)
            of_k = tl.load(k_norm + HALF + column, mask=mask, other=0.0)
            b = (b * inverse).to(low.dtype).to(tl.float32) * tl.where(head < heads, of_q, of_k)
        position = tl.load(positions + token).to(tl.int64)
        c = tl.load(cos + position * HALF + column, mask=mask, other=0.0)
        s = tl.load(sin + position * HALF + column, mask=mask, other=0.0)
        turned_low = (a * c - b * s).to(low.dtype)
        turned_high = (b * c + a * s).to(low.dtype)
        tl.store(at + column, turned_low, mask=mask)
        tl.store(at + HALF + column, turned_high, mask=mask)
        if head >= heads:
            to_key = keys + spot + (head - heads) * WIDTH + column
            tl.store(to_key, turned_low.to(keys.dtype.element_ty), mask=mask)
            tl.store(to_key + HALF, turned_high.to(keys.dtype.element_ty), mask=mask)


def prepare_gqa(
    qkv: Tensor, heads: int, q_norm: Tensor | None, k_norm: Tensor | None, eps: float,
    rope: RopeTable, positions: Tensor, cells: Tensor, cache: LayerCache,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Norm and rotate the queries and keys of qkv [T, H + 2 G, W] in place; store keys and values."""
    rows, all_heads, width = qkv.shape
    kv_heads = (all_heads - heads) // 2
    _gqa_kernel[(rows, all_heads)](
        qkv, q_norm if q_norm is not None else qkv, k_norm if k_norm is not None else qkv,
        rope.cos, rope.sin, positions, cells, cache.keys, cache.values, eps, qkv.stride(0),
        cache.keys.stride(1), heads, kv_heads,
        WIDTH=width, HALF=width // 2, BLOCK=power_of_two(width // 2), NORM=q_norm is not None, num_warps=1,
    )  # fmt: skip
    q, keys, values = qkv.split([heads, kv_heads, kv_heads], dim=1)
    return q, keys, values


@triton.jit
def _mla_kernel(
    q, kv_latent, weight, cos, sin, positions, cells, latent, cache, eps, q_row, q_head, kv_row, cell, heads,
    RANK: tl.constexpr, BLOCK_R: tl.constexpr, ROPE: tl.constexpr, BLOCK_P: tl.constexpr,
    NOPE: tl.constexpr, INTERLEAVED: tl.constexpr,
):  # fmt: skip
    token, head = tl.program_id(0).to(tl.int64), tl.program_id(1)
    pair = tl.arange(0, BLOCK_P)
    mask = pair < ROPE // 2
    step = 2 if INTERLEAVED else 1
    second = 1 if INTERLEAVED else ROPE // 2
    position = tl.load(positions + token).to(tl.int64)
    c = tl.load(cos + position * (ROPE // 2) + pair, mask=mask, other=0.0)
    s = tl.load(sin + position * (ROPE // 2) + pair, mask=mask, other=0.0)
    if head < heads:  # noqa: SIM108 - Triton wants a branch for pointers
        at = q + token * q_row + head * q_head + NOPE
    else:
        at = kv_latent + token * kv_row + RANK
    a = tl.load(at + step * pair, mask=mask, other=0.0)
    b = tl.load(at + step * pair + second, mask=mask, other=0.0)
    x, y = a.to(tl.float32), b.to(tl.float32)
    low, high = (x * c - y * s).to(a.dtype), (y * c + x * s).to(a.dtype)
    if head < heads:
        tl.debug_barrier()  # pairs leave their places for halves: all are read before any is written
        tl.store(at + pair, low, mask=mask)
        tl.store(at + ROPE // 2 + pair, high, mask=mask)
    else:
        column = tl.arange(0, BLOCK_R)
        inside = column < RANK
        value = tl.load(kv_latent + token * kv_row + column, mask=inside, other=0.0)
        wide = value.to(tl.float32)
        wide = wide * tl.rsqrt(tl.sum(wide * wide, 0) / RANK + eps)
        wide = wide.to(value.dtype).to(tl.float32) * tl.load(weight + column, mask=inside, other=0.0)
        value = wide.to(value.dtype)
        spot = cache + tl.load(cells + token) * cell
        kept = latent + token * (RANK + ROPE)
        tl.store(kept + column, value, mask=inside)
        tl.store(kept + RANK + pair, low, mask=mask)
        tl.store(kept + RANK + ROPE // 2 + pair, high, mask=mask)
        tl.store(spot + column, value.to(cache.dtype.element_ty), mask=inside)
        tl.store(spot + RANK + pair, low.to(cache.dtype.element_ty), mask=mask)
        tl.store(spot + RANK + ROPE // 2 + pair, high.to(cache.dtype.element_ty), mask=mask)


def prepare_mla(
    q: Tensor, kv_latent: Tensor, weight: Tensor, eps: float, rope: RopeTable, positions: Tensor,
    cells: Tensor, cache: LayerCache,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Rotate the tails of q [T, H, W] in place; norm, rotate and store the latent [T, rank + rope]."""
    rows, heads, width = q.shape
    rank = weight.shape[0]
    rotated = kv_latent.shape[1] - rank
    latent = torch.empty(rows, rank + rotated, dtype=q.dtype, device=q.device)
    _mla_kernel[(rows, heads + 1)](
        q, kv_latent, weight, rope.cos, rope.sin, positions, cells, latent, cache.keys, eps,
        q.stride(0), q.stride(1), kv_latent.stride(0), cache.keys.stride(1), heads,
        RANK=rank, BLOCK_R=power_of_two(rank), ROPE=rotated, BLOCK_P=power_of_two(rotated // 2),
        NOPE=width - rotated, INTERLEAVED=rope.interleaved, num_warps=1,
    )  # fmt: skip
    return q, latent


@triton.jit
def _quantise_kernel(x, data, scales, width, groups, GROUP: tl.constexpr, BLOCK: tl.constexpr):
    row, group = tl.program_id(0).to(tl.int64), tl.program_id(1)
    column = group * GROUP + tl.arange(0, BLOCK)
    mask = (tl.arange(0, BLOCK) < GROUP) & (column < width)
    value = tl.load(x + row * width + column, mask=mask, other=0.0).to(tl.float32)
    largest = tl.max(tl.abs(value), 0)
    scale = tl.where(largest > 0, largest / 448.0, 1.0)
    value = tl.minimum(tl.maximum(value / scale, -448.0), 448.0)
    tl.store(data + row * width + column, value.to(data.dtype.element_ty), mask=mask)
    tl.store(scales + row * groups + group, scale)


def quantise_tokens(x: Tensor, group: int | None = None) -> tuple[Tensor, Tensor]:
    """x [T, K] as e4m3 with FP32 scales [T, 1], or [T, ceil(K / group)] with one per group of inputs."""
    x = x.contiguous()
    rows, width = x.shape
    span = width if group is None else group
    groups = triton.cdiv(width, span)
    data = torch.empty(rows, width, dtype=FP8, device=x.device)
    scales = torch.empty(rows, groups, dtype=torch.float32, device=x.device)
    if rows:
        block = power_of_two(span)
        _quantise_kernel[(rows, groups)](
            x, data, scales, width, groups, GROUP=span, BLOCK=block, num_warps=max(1, min(16, block // 512))
        )
    return data, scales
