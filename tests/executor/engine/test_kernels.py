"""Every Triton kernel against plain torch, under the interpreter (or on a GPU where there is one), at odd sizes."""

import pytest
import torch

pytest.importorskip("triton")

from executor.engine import layers, moe, routing
from executor.engine.batch import Batch, Tables
from executor.engine.kernels import attention, elementwise, experts, router
from executor.engine.kv import LayerCache
from executor.engine.layers import RopeTable
from executor.engine.linear import FP8, Weight, dequantise, quantise, quantise_tokens
from executor.engine.moe import Experts
from executor.engine.operators import decode_rows
from executor.model.spec import MoeSpec
from executor.scheduler.scheduler import Limits

pytestmark = pytest.mark.filterwarnings(  # rows of no expert hold whatever the memory held before
    "ignore:overflow encountered", "ignore:invalid value encountered"
)
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def randn(*shape, dtype=torch.float32):
    return torch.randn(*shape, device=DEVICE).to(dtype)


def paged(lengths, page, width, pages=30, heads=1, dtype=torch.float32, value_width=None):
    """A cache of scattered pages, its tables, and a batch of decoding rows of these lengths."""
    limits = Limits(pages, page, len(lengths) + 2, max_length=8 * page)
    tables = Tables(limits, torch.device(DEVICE))
    for slot in range(len(lengths) + 2):
        tables.pages[slot] = torch.randperm(pages)[: tables.pages.shape[1]].int()
    keys = randn(pages + 1, page, heads, width).to(dtype)
    values = randn(pages + 1, page, heads, width if value_width is None else value_width).to(dtype)
    positions = torch.tensor(lengths, dtype=torch.int32, device=DEVICE) - 1
    slots = torch.arange(len(lengths), dtype=torch.int32, device=DEVICE).flip(0) + 1
    batch = Batch(
        token_ids=slots, positions=positions, slots=slots, cells=slots, decodes=len(lengths),
        max_context=max(lengths), chunks=None, sample_rows=slots, sample_slots=slots,
    )  # fmt: skip
    return LayerCache(keys, values), tables, batch


LENGTHS = [1, 16, 17, 63, 64, 100]
"""One token, a full page, one more, one less than a block, a block, and an odd length over several pages."""


@pytest.mark.parametrize(
    ("heads", "kv_heads", "width", "page"),
    [(8, 2, 32, 16), (4, 4, 20, 4), (6, 1, 64, 64), (40, 1, 16, 16)],
    ids=["groups of four", "group of one, odd width, small pages", "one KV head", "group above a tile"],
)
@pytest.mark.slow
def test_gqa_decoding_equals_plain_attention(heads, kv_heads, width, page):
    lengths = [length for length in LENGTHS if length <= 8 * page]
    cache, tables, batch = paged(lengths, page, width, heads=kv_heads)
    q = randn(len(lengths), heads, width)
    expected = decode_rows(q, cache, batch, tables, 0.3)
    found = attention.decode_gqa(q, cache.keys, cache.values, tables.pages, batch.slots, batch.positions, 0.3)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("splits", [1, 2, 7])
def test_gqa_decoding_does_not_depend_on_the_splits(splits, monkeypatch):
    """More splits than a short row has blocks: the empty ones weigh nothing."""
    monkeypatch.setattr(attention, "split_count", lambda *_: splits)
    cache, tables, batch = paged(LENGTHS, 16, 32, heads=2)
    q = randn(len(LENGTHS), 8, 32)
    found = attention.decode_gqa(q, cache.keys, cache.values, tables.pages, batch.slots, batch.positions, 0.2)
    torch.testing.assert_close(found, decode_rows(q, cache, batch, tables, 0.2), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(
    ("heads", "rank", "rope", "page", "per_program"),
    [(20, 32, 8, 16, 16), (3, 24, 8, 4, 16), (64, 64, 16, 64, 64), (1, 16, 4, 16, 16)],
    ids=["two head blocks", "odd rank, small pages", "one wide block", "one head"],
)
@pytest.mark.slow
def test_mla_decoding_equals_plain_attention(heads, rank, rope, page, per_program):
    lengths = [length for length in LENGTHS if length <= 8 * page]
    cache, tables, batch = paged(lengths, page, rank + rope, value_width=0)
    q = randn(len(lengths), heads, rank + rope)
    expected = decode_rows(q, cache, batch, tables, 0.2, value_width=rank)
    found = attention.decode_mla(
        q[..., :rank], q[..., rank:], cache.keys, tables.pages, batch.slots, batch.positions, 0.2,
        attention.DecodeShape(heads=per_program),
    )  # fmt: skip
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_decoding_reads_an_fp8_cache():
    cache, tables, batch = paged(LENGTHS, 16, 32, heads=2, dtype=FP8)
    q = randn(len(LENGTHS), 8, 32)
    found = attention.decode_gqa(q, cache.keys, cache.values, tables.pages, batch.slots, batch.positions, 0.2)
    torch.testing.assert_close(found, decode_rows(q, cache, batch, tables, 0.2), atol=1e-5, rtol=1e-5)


def test_bfloat16_decoding_is_as_exact_as_bfloat16_weights_allow():
    """Softmax weights are rounded to 8 bits before the second product."""
    cache, tables, batch = paged(LENGTHS, 16, 32, heads=2, dtype=torch.bfloat16)
    q = randn(len(LENGTHS), 8, 32, dtype=torch.bfloat16)
    found = attention.decode_gqa(q, cache.keys, cache.values, tables.pages, batch.slots, batch.positions, 0.2)
    exact = decode_rows(q.float(), cache, batch, tables, 0.2)
    torch.testing.assert_close(found.float(), exact, atol=0.02, rtol=0.02)


@pytest.mark.parametrize("rows", [1, 5])
def test_the_norm_of_a_sum(rows):
    x, residual, weight = randn(rows, 37), randn(rows, 37), randn(37)
    for found, expected in zip(
        elementwise.add_rms_norm(x, residual, weight, 1e-6), layers.add_rms_norm(x, residual, weight, 1e-6), strict=True
    ):
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-6)


def test_the_norm_of_strided_rows():
    x, weight = randn(4, 37), randn(20)
    found, _ = elementwise.add_rms_norm(x[:, 7:27], None, weight, 1e-6)
    torch.testing.assert_close(found, layers.rms_norm(x[:, 7:27], weight, 1e-6), atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("width", [1, 23, 1500])
def test_the_activation(width):
    gate_up = randn(3, 2 * width)
    torch.testing.assert_close(elementwise.silu_mul(gate_up), layers.silu_mul(gate_up), atol=1e-6, rtol=1e-6)


def rope_table(width, interleaved=False):
    angles = torch.outer(torch.arange(50.0), torch.rand(width // 2)).to(DEVICE)
    return RopeTable(angles.cos(), angles.sin(), interleaved)


@pytest.mark.parametrize("normed", [True, False])
@pytest.mark.parametrize("kv_dtype", [torch.float32, torch.bfloat16])
def test_preparing_gqa_norms_rotates_and_stores(normed, kv_dtype):
    from executor.engine.operators import TorchOperators

    heads, kv_heads, width = 6, 2, 20
    qkv = randn(3, heads + 2 * kv_heads, width)
    norms = (randn(width), randn(width)) if normed else (None, None)
    cache, _, batch = paged([1, 17, 33], 16, width, heads=kv_heads, dtype=kv_dtype)
    batch = Batch(**{**vars(batch), "cells": torch.tensor([0, 31, 200], device=DEVICE)})
    other = LayerCache(cache.keys.clone(), cache.values.clone())
    rope = rope_table(width)
    expected = TorchOperators().prepare_gqa(qkv.clone(), heads, *norms, 1e-6, rope, batch.positions, batch.cells, other)
    found = elementwise.prepare_gqa(qkv, heads, *norms, 1e-6, rope, batch.positions, batch.cells, cache)
    for one, two in zip((*found, cache.keys, cache.values), (*expected, other.keys, other.values), strict=True):
        torch.testing.assert_close(one, two, atol=1e-5, rtol=1e-2 if one.dtype == torch.bfloat16 else 1e-5)


@pytest.mark.parametrize("interleaved", [True, False])
def test_preparing_mla_norms_rotates_and_stores(interleaved):
    from executor.engine.operators import TorchOperators

    heads, nope, rank, rope_width = 3, 12, 24, 8
    q, latent, weight = randn(3, heads, nope + rope_width), randn(3, rank + rope_width), randn(rank)
    cache, _, batch = paged([1, 17, 33], 16, rank + rope_width, value_width=0)
    batch = Batch(**{**vars(batch), "cells": torch.tensor([0, 31, 200], device=DEVICE)})
    other = LayerCache(cache.keys.clone(), cache.values)
    rope = rope_table(rope_width, interleaved)
    expected = TorchOperators().prepare_mla(q.clone(), latent, weight, 1e-6, rope, batch.positions, batch.cells, other)
    found = elementwise.prepare_mla(q, latent, weight, 1e-6, rope, batch.positions, batch.cells, cache)
    for one, two in zip((*found, cache.keys), (*expected, other.keys), strict=True):
        torch.testing.assert_close(one, two, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("group", [None, 128])
def test_quantising_tokens_is_exact_on_numbers_that_e4m3_holds(group):
    """Only such numbers: the interpreter loses the carry when rounding reaches the next power of two."""
    scales = torch.tensor([[0.5, 2.0], [1.0, 1.0], [8.0, 0.25]]).repeat_interleave(128, 1)
    x = (torch.randint(-7, 8, (3, 256)).float() * 32 * scales).to(DEVICE)
    x[:, ::128] = 448 * scales[:, ::128].to(DEVICE)
    data, scale = elementwise.quantise_tokens(x, group)
    wide = scale.repeat_interleave(128, 1) if group else scale
    expected, expected_scale = quantise_tokens(x, group)
    torch.testing.assert_close(scale, expected_scale)
    if group:
        torch.testing.assert_close(data.float() * wide, x)
        assert torch.equal(data.view(torch.uint8), expected.view(torch.uint8))


def test_quantising_a_ragged_last_group_and_zeros():
    data, scale = elementwise.quantise_tokens(torch.zeros(2, 300, device=DEVICE), 128)
    assert scale.tolist() == [[1.0] * 3] * 2
    assert not data.float().any()


EXPERT_SHAPES = [
    pytest.param((1, 2, 5, 64, 24), id="one token"),
    pytest.param((7, 3, 4, 160, 136), id="ragged columns and inputs"),
    pytest.param((40, 2, 3, 32, 16), id="several tiles an expert"),
    pytest.param((9, 1, 1, 16, 16), id="one expert"),
]


def random_experts(count, hidden, inner, scaling="none"):
    return Experts(
        quantise(randn(count, 2 * inner, hidden) * hidden**-0.5, scaling),
        quantise(randn(count, hidden, inner) * inner**-0.5, scaling),
    )


def choices(tokens, k, count):
    """Distinct ids; the one past the last stands for an expert of another rank."""
    return torch.stack([torch.randperm(count + 1)[:k] for _ in range(tokens)]).to(DEVICE)


@pytest.mark.parametrize("shape", EXPERT_SHAPES)
def test_fused_experts_equal_the_loop(shape):
    tokens, k, count, hidden, inner = shape
    chosen = random_experts(count, hidden, inner)
    x, ids, weights = randn(tokens, hidden), choices(tokens, k, count), torch.rand(tokens, k, device=DEVICE)
    expected = moe.run_by_loop(x, ids, weights, chosen)
    found = experts.run_experts(x, ids, weights, chosen)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_empty_experts_and_one_crowded_expert():
    chosen = random_experts(6, 32, 16)
    x, ids = randn(50, 32), torch.full((50, 1), 4, device=DEVICE)
    weights = torch.rand(50, 1, device=DEVICE)
    expected = moe.run_by_loop(x, ids, weights, chosen)
    torch.testing.assert_close(experts.run_experts(x, ids, weights, chosen), expected, atol=1e-5, rtol=1e-4)


def test_no_expert_of_this_rank_is_chosen():
    chosen = random_experts(3, 32, 16)
    ids = torch.full((4, 2), 3, device=DEVICE)
    found = experts.run_experts(randn(4, 32), ids, torch.rand(4, 2, device=DEVICE), chosen)
    assert torch.equal(found, torch.zeros_like(found))


@pytest.mark.parametrize("rows", [16, 64])
def test_a_plan_gives_every_pair_one_place_among_its_expert(rows):
    ids = torch.randint(0, 8, (33, 4), device=DEVICE)  # 7 is past the last
    planned = experts.plan(ids, 7, rows)
    flat, offsets = ids.flatten().tolist(), planned.offsets.tolist()
    assert offsets == [sum(i < e for i in flat) for e in range(8)]
    seen = {}
    for expert, first in zip(planned.tile_expert.tolist(), planned.tile_first.tolist(), strict=True):
        if expert >= 0:
            for place in range(first, min(first + rows, offsets[expert + 1])):
                seen[int(planned.order[place])] = expert
    assert seen == {pair: expert for pair, expert in enumerate(flat) if expert < 7}


@pytest.mark.parametrize("scaling", ["tensor", "row", "block"])
@pytest.mark.parametrize("sizes", [(1, 256, 40), (7, 160, 136), (40, 128, 200)])
def test_the_fp8_product_equals_the_product_of_what_was_quantised(scaling, sizes, monkeypatch):
    """Activations are quantised by torch here, since the interpreter rounds them otherwise."""
    monkeypatch.setattr(experts, "quantise_tokens", padded_quantise)
    tokens, inputs, columns = sizes
    weight = quantise(randn(columns, inputs) * inputs**-0.5, scaling)
    x = randn(tokens, inputs)
    data, scale = padded_quantise(x, 128 if scaling == "block" else None)
    wide = scale.repeat_interleave(128, 1)[:, :inputs] if scaling == "block" else scale
    expected = (data.float() * wide) @ dequantise(weight, torch.float32).t()
    torch.testing.assert_close(experts.fp8_product(x, weight), expected, atol=1e-4, rtol=1e-4)


def padded_quantise(x, group=None):
    if group is None:
        return quantise_tokens(x)
    width = x.shape[1]
    data, scale = quantise_tokens(torch.nn.functional.pad(x, (0, -width % group)), group)
    return data[:, :width].contiguous(), scale


@pytest.mark.parametrize("scaling", ["tensor", "row", "block"])
def test_fp8_experts_are_as_near_as_e4m3_activations_allow(scaling, monkeypatch):
    """Two products with activations of 4 significant bits: a relative error of about 0.04."""
    monkeypatch.setattr(experts, "quantise_tokens", padded_quantise)
    chosen = random_experts(4, 160, 136, scaling)
    x, ids, weights = randn(7, 160), choices(7, 3, 4), torch.rand(7, 3, device=DEVICE)
    expected = moe.run_by_loop(x, ids, weights, chosen)
    found = experts.run_experts(x, ids, weights, chosen)
    assert (found - expected).norm() < 0.08 * expected.norm()


@pytest.mark.parametrize(
    ("spec", "count"),
    [
        pytest.param(MoeSpec(16, 4, 8, groups=4, topk_groups=2, scoring="sigmoid", bias=True, scaling=2.5), 16),
        pytest.param(MoeSpec(12, 3, 8, scoring="sigmoid", bias=True), 12),
        pytest.param(MoeSpec(9, 2, 8, norm_topk=False), 9),
        pytest.param(MoeSpec(8, 8, 8), 8),
        pytest.param(MoeSpec(6, 2, 8, groups=6, topk_groups=3, scoring="sigmoid", bias=True), 6),
    ],
    ids=["deepseek", "kimi, count no power of two", "qwen unnormalised", "all chosen", "groups of one"],
)
def test_the_router_chooses_as_torch_does(spec, count):
    logits = randn(6, count)
    bias = randn(count) * 0.3 if spec.bias else None
    ids, weights = router.choose_experts(logits, spec, bias)
    expected_ids, expected_weights = routing.choose_experts(logits, spec, bias)
    ids, order = ids.long().sort()
    expected_ids, expected_order = expected_ids.sort()
    assert torch.equal(ids, expected_ids)
    torch.testing.assert_close(weights.gather(1, order), expected_weights.gather(1, expected_order))


def test_a_weight_knows_its_bytes():
    weight = quantise(randn(200, 300), "block")
    assert weight.bytes == 200 * 300 + 4 * 2 * 3
    assert Weight(randn(2, 3)).bytes == 24


@pytest.mark.parametrize("name", ["qwen3_moe", "deepseek_v3"])
@pytest.mark.slow
def test_the_whole_engine_on_kernels_gives_transformers_tokens(small_model, name):
    """Both kinds of attention, norm of queries and keys, both routers, shared expert; the rest is the same code."""
    from executor.engine.engine import Engine, Settings
    from executor.engine.sampling import Sampling

    model = small_model(name)
    settings = Settings(max_batch=3, token_budget=16, page_size=16, pages=12, max_length=64, triton=True)
    engine = Engine.load(model.directory, torch.float32, DEVICE, settings)
    prompts = [[1, 2, 3], list(range(5, 23))]
    assert engine.generate(prompts, Sampling(max_tokens=3)) == [model.greedy(p, 3) for p in prompts]
