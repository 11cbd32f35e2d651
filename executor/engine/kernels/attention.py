# mypy: disable-error-code=no-untyped-def
"""Decoding attention over the paged cache, split along the context, and the combination of the splits.

Each program takes one row, the query heads that share one KV head (GQA) or a block of heads (absorbed MLA), and one
split of the context; it keeps the running maximum m and sum l of the softmax (Milakov and Gimelshein, 2018):

    m' = max(m, max s),  l' = l 2^(m - m') + sum 2^(s - m'),  o' = o 2^(m - m') + 2^(s - m') v

with s = q . k * scale * log2(e). Splits are combined by their log-sum, as in Flash-Decoding (Dao et al., 2023).
"""

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from executor.engine.kernels import INTERPRETED, power_of_two

LOG2_E = 1.4426950408889634


@dataclass(frozen=True)
class DecodeShape:
    """How a decoding kernel is cut: tokens a block, warps, pipeline stages, programs a multiprocessor."""

    block: int = 64
    warps: int = 4
    stages: int = 3
    waves: int = 2
    heads: int = 16
    """Query heads a program, MLA only: GQA takes all that share a KV head."""


GQA_SHAPES = (DecodeShape(64, 4, 3, 2), DecodeShape(64, 4, 5, 2), DecodeShape(32, 4, 6, 4), DecodeShape(64, 8, 5, 2))
"""The page's number is loaded before the page: of two stages one holds numbers, so 3 keep one block of keys and
values ahead and 5 keep two (read off the compiled kernels' shared memory, Triton 3.7)."""
MLA_SHAPES = (
    DecodeShape(32, 4, 2, 2, heads=16),
    DecodeShape(64, 8, 2, 1, heads=64),
    DecodeShape(32, 8, 2, 1, heads=64),
    DecodeShape(32, 8, 3, 1, heads=64),
)
"""Candidates for tuning, the first the default. All compile for sm_90 without spilling registers."""


def split_count(programs: int, most: int, device: torch.device, waves: int) -> int:
    """Splits of the context that fill the device ``waves`` times and no further, at most one a block."""
    if device.type != "cuda":
        return min(4, most)
    processors = torch.cuda.get_device_properties(device).multi_processor_count
    return max(1, min(most, waves * processors // programs, 64))


@triton.jit
def _cells(table, start, offsets, length, PAGE: tl.constexpr, BLOCK: tl.constexpr):
    """Flat cells of tokens start + offsets; one page look-up where a block lies within a page."""
    if PAGE % BLOCK == 0:
        page = tl.load(table + start // PAGE).to(tl.int64)
        cells = page * PAGE + start % PAGE + offsets
    else:
        tokens = start + offsets
        pages = tl.load(table + tokens // PAGE, mask=tokens < length, other=0).to(tl.int64)
        cells = pages * PAGE + tokens % PAGE
    return cells


@triton.jit
def _product(a, b, EXACT: tl.constexpr):
    """a b in FP32. EXACT: the interpreter multiplies BF16 wrongly, so operands are widened there."""
    if EXACT:
        return tl.dot(a.to(tl.float32), b.to(tl.float32), input_precision="ieee")
    return tl.dot(a, b, input_precision="ieee")


@triton.jit
def _fold(score, value, largest, total, accumulated, EXACT: tl.constexpr):
    """Take a block of scores and values into the running softmax."""
    higher = tl.maximum(largest, tl.max(score, 1))
    fade = tl.exp2(largest - higher)
    weight = tl.exp2(score - higher[:, None])
    accumulated = accumulated * fade[:, None] + _product(weight.to(value.dtype), value, EXACT)
    return higher, total * fade + tl.sum(weight, 1), accumulated


@triton.jit
def _finish_split(
    accumulated, total, largest, out, partial, log_sums, place, head, heads, mask, column, width,
    out_row, row, split, splits, SINGLE: tl.constexpr,
):  # fmt: skip
    """Write the result, or this split's share of it with its log-sum (minus infinity for an empty split)."""
    result = accumulated / tl.where(total > 0, total, 1.0)[:, None]
    if SINGLE:
        tl.store(out + row * out_row + head[:, None] * width + column[None, :], result, mask=mask)
    else:
        spot = (row * heads + head) * splits + split
        tl.store(partial + spot[:, None] * width + column[None, :], result, mask=mask)
        level = tl.where(total > 0, largest + tl.log2(tl.where(total > 0, total, 1.0)), float("-inf"))
        tl.store(log_sums + spot, level, mask=place)


@triton.jit
def _gqa_kernel(
    q, keys, values, tables, slots, positions, out, partial, log_sums, scale,
    q_row, q_head, table_row, cell, kv_head_stride, heads, out_row,
    GROUP: tl.constexpr, BLOCK_H: tl.constexpr, WIDTH: tl.constexpr, BLOCK_W: tl.constexpr,
    PAGE: tl.constexpr, BLOCK: tl.constexpr, SINGLE: tl.constexpr, EXACT: tl.constexpr,
):  # fmt: skip
    row, kv_head, split = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    splits = tl.num_programs(2)
    table = tables + tl.load(slots + row).to(tl.int64) * table_row
    length = tl.load(positions + row).to(tl.int32) + 1
    blocks = tl.cdiv(length, BLOCK)
    share = tl.cdiv(blocks, splits)
    first = split * share
    last = tl.minimum(first + share, blocks)
    in_group = tl.arange(0, BLOCK_H)
    head = kv_head * GROUP + in_group
    column = tl.arange(0, BLOCK_W)
    mask = (in_group < GROUP)[:, None] & (column < WIDTH)[None, :]
    query = tl.load(q + row * q_row + head[:, None] * q_head + column[None, :], mask=mask, other=0.0)
    offsets = tl.arange(0, BLOCK)
    largest = tl.full([BLOCK_H], float("-inf"), tl.float32)
    total = tl.zeros([BLOCK_H], tl.float32)
    accumulated = tl.zeros([BLOCK_H, BLOCK_W], tl.float32)
    for block in tl.range(first, last):
        start = block * BLOCK
        seen = start + offsets < length
        at = _cells(table, start, offsets, length, PAGE, BLOCK) * cell + kv_head * kv_head_stride
        inside = seen[:, None] & (column < WIDTH)[None, :]
        key = tl.load(keys + at[:, None] + column[None, :], mask=inside, other=0.0).to(query.dtype)
        score = _product(query, tl.trans(key), EXACT) * scale
        score = tl.where(seen[None, :], score, float("-inf"))
        value = tl.load(values + at[:, None] + column[None, :], mask=inside, other=0.0).to(query.dtype)
        largest, total, accumulated = _fold(score, value, largest, total, accumulated, EXACT)
    _finish_split(
        accumulated, total, largest, out, partial, log_sums, in_group < GROUP, head, heads, mask, column,
        WIDTH, out_row, row, split, splits, SINGLE,
    )  # fmt: skip


@triton.jit
def _mla_kernel(
    absorbed, q_rope, latents, tables, slots, positions, out, partial, log_sums, scale,
    q_row, q_head, rope_row, rope_head, table_row, cell, heads, out_row,
    BLOCK_H: tl.constexpr, RANK: tl.constexpr, BLOCK_R: tl.constexpr, ROPE: tl.constexpr,
    BLOCK_P: tl.constexpr, PAGE: tl.constexpr, BLOCK: tl.constexpr, SINGLE: tl.constexpr,
    EXACT: tl.constexpr,
):  # fmt: skip
    row, head_block, split = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    splits = tl.num_programs(2)
    table = tables + tl.load(slots + row).to(tl.int64) * table_row
    length = tl.load(positions + row).to(tl.int32) + 1
    blocks = tl.cdiv(length, BLOCK)
    share = tl.cdiv(blocks, splits)
    first = split * share
    last = tl.minimum(first + share, blocks)
    head = head_block * BLOCK_H + tl.arange(0, BLOCK_H)
    column, tail = tl.arange(0, BLOCK_R), tl.arange(0, BLOCK_P)
    mask = (head < heads)[:, None] & (column < RANK)[None, :]
    tail_mask = (head < heads)[:, None] & (tail < ROPE)[None, :]
    query = tl.load(absorbed + row * q_row + head[:, None] * q_head + column[None, :], mask=mask, other=0.0)
    rotated = tl.load(q_rope + row * rope_row + head[:, None] * rope_head + tail[None, :], mask=tail_mask, other=0.0)
    offsets = tl.arange(0, BLOCK)
    largest = tl.full([BLOCK_H], float("-inf"), tl.float32)
    total = tl.zeros([BLOCK_H], tl.float32)
    accumulated = tl.zeros([BLOCK_H, BLOCK_R], tl.float32)
    for block in tl.range(first, last):
        start = block * BLOCK
        seen = start + offsets < length
        at = _cells(table, start, offsets, length, PAGE, BLOCK) * cell
        inside = seen[:, None] & (column < RANK)[None, :]
        latent = tl.load(latents + at[:, None] + column[None, :], mask=inside, other=0.0).to(query.dtype)
        tail_inside = seen[:, None] & (tail < ROPE)[None, :]
        key_tail = tl.load(latents + at[:, None] + RANK + tail[None, :], mask=tail_inside, other=0.0)
        score = _product(query, tl.trans(latent), EXACT)
        score += _product(rotated, tl.trans(key_tail.to(query.dtype)), EXACT)
        score = tl.where(seen[None, :], score * scale, float("-inf"))
        largest, total, accumulated = _fold(score, latent, largest, total, accumulated, EXACT)
    _finish_split(
        accumulated, total, largest, out, partial, log_sums, head < heads, head, heads, mask, column,
        RANK, out_row, row, split, splits, SINGLE,
    )  # fmt: skip


@triton.jit
def _combine_kernel(
    partial, log_sums, out, splits, heads, out_row,
    WIDTH: tl.constexpr, BLOCK_W: tl.constexpr, BLOCK_S: tl.constexpr,
):  # fmt: skip
    row, head = tl.program_id(0), tl.program_id(1)
    spot = (row * heads + head) * splits
    split = tl.arange(0, BLOCK_S)
    level = tl.load(log_sums + spot + split, mask=split < splits, other=float("-inf"))
    largest = tl.max(level, 0)
    total = tl.sum(tl.exp2(level - largest), 0)
    column = tl.arange(0, BLOCK_W)
    inside = column < WIDTH
    summed = tl.zeros([BLOCK_W], tl.float32)
    for nth in tl.range(0, splits):
        weight = tl.exp2(tl.load(log_sums + spot + nth) - largest) / total
        summed += weight * tl.load(partial + (spot + nth) * WIDTH + column, mask=inside, other=0.0)
    tl.store(out + row * out_row + head * WIDTH + column, summed, mask=inside)


def decode_gqa(
    q: Tensor, keys: Tensor, values: Tensor, tables: Tensor, slots: Tensor, positions: Tensor,
    scale: float, shape: DecodeShape = GQA_SHAPES[0],
) -> Tensor:  # fmt: skip
    """q [D, heads, W] against keys and values [pages, page, kv heads, W]: [D, heads, W].

    Row d attends to the positions[d] + 1 tokens whose pages tables[slots[d]] names.
    """
    rows, heads, width = q.shape
    page, kv_heads = keys.shape[1:3]
    block = max(16, min(shape.block, page))
    splits = split_count(rows * kv_heads, -(-tables.shape[1] * page // block), q.device, shape.waves)
    out, partial, log_sums = _space(q, splits)
    _gqa_kernel[(rows, kv_heads, splits)](
        q, keys, values, tables, slots, positions, out, partial, log_sums, scale * LOG2_E,
        q.stride(0), q.stride(1), tables.stride(0), keys.stride(1), keys.stride(2), heads, out.stride(0),
        GROUP=heads // kv_heads, BLOCK_H=power_of_two(heads // kv_heads, 16), WIDTH=width,
        BLOCK_W=power_of_two(width, 16), PAGE=page, BLOCK=block, SINGLE=splits == 1, EXACT=INTERPRETED,
        num_warps=shape.warps, num_stages=shape.stages,
    )  # fmt: skip
    return _combined(out, partial, log_sums, splits)


def decode_mla(
    absorbed: Tensor, q_rope: Tensor, latents: Tensor, tables: Tensor, slots: Tensor, positions: Tensor,
    scale: float, shape: DecodeShape = MLA_SHAPES[0],
) -> Tensor:  # fmt: skip
    """Absorbed queries [D, heads, rank] and rotated tails [D, heads, rope] against the latents [pages, page, 1, rank +
    rope]: the weighted sum of latents [D, heads, rank]."""
    rows, heads, rank = absorbed.shape
    page = latents.shape[1]
    block = max(16, min(shape.block, page))
    per_program = max(16, min(shape.heads, power_of_two(heads)))
    head_blocks = -(-heads // per_program)
    splits = split_count(rows * head_blocks, -(-tables.shape[1] * page // block), absorbed.device, shape.waves)
    out, partial, log_sums = _space(absorbed, splits)
    _mla_kernel[(rows, head_blocks, splits)](
        absorbed, q_rope, latents, tables, slots, positions, out, partial, log_sums, scale * LOG2_E,
        absorbed.stride(0), absorbed.stride(1), q_rope.stride(0), q_rope.stride(1), tables.stride(0),
        latents.stride(1), heads, out.stride(0),
        BLOCK_H=per_program, RANK=rank, BLOCK_R=power_of_two(rank, 16), ROPE=q_rope.shape[2],
        BLOCK_P=power_of_two(q_rope.shape[2], 16), PAGE=page, BLOCK=block, SINGLE=splits == 1,
        EXACT=INTERPRETED, num_warps=shape.warps, num_stages=shape.stages,
    )  # fmt: skip
    return _combined(out, partial, log_sums, splits)


def _space(q: Tensor, splits: int) -> tuple[Tensor, Tensor, Tensor]:
    """Room for the output, and FP32 room for the splits' results and log-sums: next to none for a single split."""
    rows, heads, width = q.shape
    shape = (rows, heads, splits) if splits > 1 else (1, 1, 1)
    out = torch.empty(rows, heads, width, dtype=q.dtype, device=q.device)
    log_sums = torch.empty(shape, dtype=torch.float32, device=q.device)
    return out, log_sums.new_empty(*shape, width), log_sums


def _combined(out: Tensor, partial: Tensor, log_sums: Tensor, splits: int) -> Tensor:
    rows, heads, width = out.shape
    if splits > 1:
        _combine_kernel[(rows, heads)](
            partial, log_sums, out, splits, heads, out.stride(0),
            WIDTH=width, BLOCK_W=power_of_two(width), BLOCK_S=power_of_two(splits),
        )  # fmt: skip
    return out
