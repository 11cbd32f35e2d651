# mypy: disable-error-code=no-untyped-def
"""Routed experts as two grouped products, and the same product for one FP8 matrix with 128-block scales.

Pairs of token and expert are counted, given places sorted by expert, and cut into tiles of rows that share an
expert; each program multiplies one tile by one block of the expert's columns. Tiles are planned on the
device, to a number that depends on shapes alone, so the whole can be captured in a CUDA graph. Within one
expert the order of pairs is whatever the atomic counter gives; each pair's result does not depend on it.
"""

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from executor.engine.kernels import INTERPRETED, power_of_two
from executor.engine.kernels.elementwise import quantise_tokens, silu_mul
from executor.engine.linear import BLOCK, Weight
from executor.engine.moe import Experts


@dataclass(frozen=True)
class ProductShape:
    """How a product is cut: rows and columns a program, inputs a step, warps, pipeline stages."""

    rows: int = 16
    columns: int = 64
    inputs: int = 128
    warps: int = 4
    stages: int = 4


FEW_ROWS = (
    ProductShape(16, 64, 128, 4, 4),
    ProductShape(16, 128, 128, 4, 3),
    ProductShape(16, 32, 256, 4, 4),
    ProductShape(16, 128, 64, 8, 4),
)
MANY_ROWS = (
    ProductShape(128, 128, 64, 8, 4),
    ProductShape(64, 128, 128, 4, 3),
    ProductShape(64, 256, 64, 8, 3),
    ProductShape(128, 256, 64, 8, 3),
)
SCALINGS = {"none": 0, "tensor": 1, "row": 2, "block": 3}


def default_shape(rows_per_expert: float) -> ProductShape:
    """Before tuning: small tiles while an expert gets few rows, since each reads all of its weights."""
    if rows_per_expert <= 16:
        return FEW_ROWS[0]
    return ProductShape(64, 128, 128, 4, 3) if rows_per_expert <= 128 else MANY_ROWS[0]


@dataclass(frozen=True)
class Plan:
    """Which pairs each tile computes. Pair p is token p // pairs_per_token."""

    order: Tensor
    """[P] the pair at each place, sorted by expert."""
    offsets: Tensor
    """[E + 1] where each expert's places begin."""
    tile_expert: Tensor
    """[tiles] the expert of each tile, -1 for tiles not needed."""
    tile_first: Tensor
    """[tiles] its first place."""


@triton.jit
def _count_kernel(
    ids, offsets, cursors, tile_expert, tile_first, pairs, experts, tiles,
    ROWS: tl.constexpr, BLOCK_E: tl.constexpr, BLOCK_P: tl.constexpr,
):  # fmt: skip
    expert = tl.arange(0, BLOCK_E)
    counts = tl.zeros([BLOCK_E], tl.int32)
    for start in tl.range(0, pairs, BLOCK_P):
        pair = start + tl.arange(0, BLOCK_P)
        chosen = tl.load(ids + pair, mask=pair < pairs, other=experts).to(tl.int32)
        counts += tl.histogram(chosen, BLOCK_E)
    counts = tl.where(expert < experts, counts, 0)  # pairs of no expert here
    ends = tl.cumsum(counts, 0)
    begins = ends - counts
    tl.store(offsets + expert, begins, mask=expert <= experts)
    tl.store(cursors + expert, begins, mask=expert < experts)
    for start in tl.range(0, tiles, BLOCK_P):
        tile = start + tl.arange(0, BLOCK_P)
        tl.store(tile_expert + tile, tl.full([BLOCK_P], -1, tl.int32), mask=tile < tiles)
    tl.debug_barrier()
    needed = (counts + ROWS - 1) // ROWS
    first_tile = tl.cumsum(needed, 0) - needed
    for nth in tl.range(0, tl.max(needed, 0)):
        tl.store(tile_expert + first_tile + nth, expert, mask=nth < needed)
        tl.store(tile_first + first_tile + nth, begins + nth * ROWS, mask=nth < needed)


@triton.jit
def _place_kernel(ids, cursors, order, pairs, experts, BLOCK_P: tl.constexpr):
    pair = tl.program_id(0) * BLOCK_P + tl.arange(0, BLOCK_P)
    chosen = tl.load(ids + pair, mask=pair < pairs, other=experts).to(tl.int32)
    mine = (pair < pairs) & (chosen < experts)
    place = tl.atomic_add(cursors + chosen, 1, mask=mine)
    tl.store(order + place, pair, mask=mine)


def plan(ids: Tensor, experts: int, rows: int) -> Plan:
    """Places and tiles of ``rows`` rows for pairs ids [T, k]; ids equal to ``experts`` get none."""
    pairs = ids.numel()
    tiles = pairs // rows + min(pairs, experts)
    space = torch.empty(pairs + 2 * (experts + 1) + 2 * tiles, dtype=torch.int32, device=ids.device)
    order, offsets, cursors, tile_expert, tile_first = space.split([pairs, experts + 1, experts + 1, tiles, tiles])
    flat = ids.reshape(-1)
    _count_kernel[(1,)](
        flat, offsets, cursors, tile_expert, tile_first, pairs, experts, tiles,
        ROWS=rows, BLOCK_E=power_of_two(experts + 1, 16), BLOCK_P=1024, num_warps=8,
    )  # fmt: skip
    _place_kernel[(triton.cdiv(pairs, 256),)](flat, cursors, order, pairs, experts, BLOCK_P=256)
    return Plan(order, offsets, tile_expert, tile_first)


@triton.jit
def _product_kernel(
    x, x_scale, weight, scale, out, order, offsets, tile_expert, tile_first, rows_total, tiles,
    columns, inputs, pairs_per_token, x_row, out_row, scale_expert, scale_row,
    DENSE: tl.constexpr, GATHER: tl.constexpr, SCATTER: tl.constexpr, SCALING: tl.constexpr,
    X_FP8: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, INPUTS: tl.constexpr,
    EVEN: tl.constexpr, EXACT: tl.constexpr,
):  # fmt: skip
    # eight tiles of rows share the columns' blocks in turn, so that weights are read from L2 again
    blocks = tl.cdiv(columns, COLUMNS)
    group = tl.program_id(0) // (8 * blocks)
    within = tl.program_id(0) % (8 * blocks)
    size = tl.minimum(tiles - group * 8, 8)
    tile = group * 8 + within % size
    block = within // size
    if DENSE:
        first = tile * ROWS
        end = rows_total
        matrix = weight
        scales = scale
    else:
        expert = tl.load(tile_expert + tile).to(tl.int64)
        if expert < 0:
            return
        first = tl.load(tile_first + tile)
        end = tl.load(offsets + expert + 1)
        matrix = weight + expert * columns * inputs
        scales = scale + expert * scale_expert
    place = first + tl.arange(0, ROWS)
    valid = place < end
    pair = place
    if GATHER or SCATTER:
        pair = tl.load(order + place, mask=valid, other=0)
    row = place.to(tl.int64)
    if GATHER:
        row = (pair // pairs_per_token).to(tl.int64)
    column = block * COLUMNS + tl.arange(0, COLUMNS)
    inside = column < columns
    x_scales = x_scale + row
    if SCALING == 3:
        x_scales = x_scale + row * tl.cdiv(inputs, 128)
    at_column = matrix + column[None, :].to(tl.int64) * inputs
    offset = tl.arange(0, INPUTS)
    total = tl.zeros([ROWS, COLUMNS], tl.float32)
    for start in tl.range(0, inputs, INPUTS):
        at = start + offset
        if EVEN:
            a = tl.load(x + row[:, None] * x_row + at[None, :], mask=valid[:, None], other=0.0)
            b = tl.load(at_column + at[:, None], mask=inside[None, :], other=0.0)
        else:
            a_mask = valid[:, None] & (at < inputs)[None, :]
            b_mask = inside[None, :] & (at < inputs)[:, None]
            a = tl.load(x + row[:, None] * x_row + at[None, :], mask=a_mask, other=0.0)
            b = tl.load(at_column + at[:, None], mask=b_mask, other=0.0)
        if SCALING > 0 and not X_FP8:
            b = b.to(a.dtype)
        if EXACT:
            part = tl.dot(a.to(tl.float32), b.to(tl.float32), input_precision="ieee")
        else:
            part = tl.dot(a, b, input_precision="ieee")
        if SCALING == 3:
            block_scale = tl.load(scales + (column // 128) * scale_row + start // 128, mask=inside, other=0.0)
            part *= block_scale[None, :]
            if X_FP8:
                part *= tl.load(x_scales + start // 128, mask=valid, other=0.0)[:, None]
        total += part
    if SCALING == 1:
        total *= tl.load(scales)
    if SCALING == 2:
        total *= tl.load(scales + column, mask=inside, other=0.0)[None, :]
    if X_FP8 and SCALING < 3:
        total *= tl.load(x_scales, mask=valid, other=0.0)[:, None]
    target = place.to(tl.int64)
    if SCATTER:
        target = pair.to(tl.int64)
    spot = out + target[:, None] * out_row + column[None, :]
    tl.store(spot, total.to(out.dtype.element_ty), mask=valid[:, None] & inside[None, :])


def product(
    x: Tensor, x_scale: Tensor | None, weight: Weight, planned: Plan | None, shape: ProductShape,
    out_rows: int, dtype: torch.dtype, gather: int = 0, scatter: bool = False,
) -> Tensor:  # fmt: skip
    """Rows of x times each row's expert: [out_rows, out].

    ``gather`` k: place p reads row order[p] // k of x, else row p. ``scatter``: place p writes row order[p],
    else row p. Without a plan, ``weight`` is one matrix. ``x_scale``: x is e4m3 with these scales.
    """
    columns, inputs = weight.data.shape[-2:]
    step = shape.inputs if weight.scaling != "block" else min(shape.inputs, BLOCK)
    step = min(step, power_of_two(inputs, 16))
    out = torch.empty(out_rows, columns, dtype=dtype, device=x.device)
    scale = weight.scale if weight.scale is not None else x
    tiles = triton.cdiv(out_rows, shape.rows) if planned is None else planned.tile_expert.numel()
    empty = planned or Plan(x, x, x, x)
    if out_rows == 0:
        return out
    _product_kernel[(triton.cdiv(columns, shape.columns) * tiles,)](
        x, x_scale if x_scale is not None else x, weight.data, scale, out, empty.order, empty.offsets,
        empty.tile_expert, empty.tile_first, out_rows, tiles, columns, inputs, max(1, gather), x.stride(0),
        out.stride(0), scale.stride(0) if weight.data.dim() == 3 and weight.scale is not None else 0,
        scale.stride(-2) if scale.dim() > 1 else 0,
        DENSE=planned is None, GATHER=gather > 0, SCATTER=scatter, SCALING=SCALINGS[weight.scaling],
        X_FP8=x_scale is not None, ROWS=shape.rows, COLUMNS=shape.columns, INPUTS=step,
        EVEN=inputs % step == 0, EXACT=INTERPRETED, num_warps=shape.warps, num_stages=shape.stages,
    )  # fmt: skip
    return out


@triton.jit
def _combine_kernel(pairs, ids, weights, out, width, experts, K: tl.constexpr, BLOCK: tl.constexpr):
    token = tl.program_id(0).to(tl.int64)
    column = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    mask = column < width
    total = tl.zeros([BLOCK], tl.float32)
    for nth in tl.static_range(K):
        here = tl.load(ids + token * K + nth) < experts
        share = tl.load(weights + token * K + nth).to(tl.float32)
        value = tl.load(pairs + (token * K + nth) * width + column, mask=mask & here, other=0.0)
        total += value.to(tl.float32) * share
    tl.store(out + token * width + column, total.to(out.dtype.element_ty), mask=mask)


def combine(pairs: Tensor, ids: Tensor, weights: Tensor, experts: int) -> Tensor:
    """Add up pair outputs [T k, H] by weights [T, k]; pairs of no expert here count as zero. [T, H]."""
    tokens, k = ids.shape
    width = pairs.shape[1]
    out = torch.empty(tokens, width, dtype=pairs.dtype, device=pairs.device)
    block = min(1024, power_of_two(width))
    _combine_kernel[(tokens, triton.cdiv(width, block))](
        pairs, ids, weights.contiguous(), out, width, experts, K=k, BLOCK=block
    )
    return out


def quantised(x: Tensor, weight: Weight) -> tuple[Tensor, Tensor | None]:
    """Activations as the weight wants them: e4m3 by groups of 128 for blocks, by token for others."""
    if weight.scaling == "none":
        return x, None
    return quantise_tokens(x, BLOCK if weight.scaling == "block" else None)


def run_experts(x: Tensor, ids: Tensor, weights: Tensor, experts: Experts, shape: ProductShape | None = None) -> Tensor:
    """x [T, H] through the experts ids [T, k], added up with weights [T, k]: [T, H]."""
    ids = ids.contiguous()
    pairs, count = ids.numel(), experts.count
    cut = shape or default_shape(pairs / count)
    planned = plan(ids, count, cut.rows)
    data, scale = quantised(x, experts.gate_up)
    inner = product(data, scale, experts.gate_up, planned, cut, pairs, x.dtype, gather=ids.shape[1])
    data, scale = quantised(silu_mul(inner), experts.down)
    outer = product(data, scale, experts.down, planned, cut, pairs, x.dtype, scatter=True)
    return combine(outer, ids, weights, count)


def fp8_product(x: Tensor, weight: Weight) -> Tensor:
    """x [T, K] times one FP8 matrix, whatever its scaling: [T, N]."""
    data, scale = quantised(x, weight)
    return product(data, scale, weight, None, default_shape(x.shape[0]), x.shape[0], x.dtype)
