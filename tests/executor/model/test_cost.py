"""Bytes, flops and memory against hand arithmetic and published fits."""

import numpy as np
import pytest

from executor.errors import BadInputError, DoesNotFitError
from executor.model.cost import (
    Layout,
    decode_step_bytes,
    memory_fit,
    prefill_attention_flops,
    replica_cost,
    request_flops,
    stack,
    weight_bytes,
)
from executor.model.roofline import Accelerator
from executor.model.spec import known_models, model_spec

H100 = Accelerator("H100-SXM", memory_gb=80)
H20 = Accelerator("H20-96GB", memory_gb=96)


def params(spec):
    """All weights, with embedding and LM head, counted once where they are tied."""
    copies = 1 if spec.tie_embeddings else 2
    return spec.always_active_params + spec.routed_params + copies * spec.embedding_params


def test_qwen3_32b_in_bf16_on_one_h100_leaves_four_and_a_half_gib_for_kv():
    """The known case: 80 GB x 0.88 - 65.5 GB of weights. 0.1 GiB is the rounding of the figure."""
    fit = memory_fit(model_spec("Qwen3-32B"), Layout(), "bf16", H100)
    assert fit.free_gb * 1e9 / 2**30 == pytest.approx(4.5, abs=0.1)


def test_deepseek_r1_in_fp8_fits_eight_h20_of_96_gb_with_little_kv():
    fit = memory_fit(model_spec("DeepSeek-R1"), Layout(8), "fp8", H20)
    assert fit.fits
    assert 0 < fit.free_gb < 1
    assert fit.kv_tokens < 10_000


def test_deepseek_r1_in_fp8_does_not_fit_eight_h100_and_says_by_how_much():
    fit = memory_fit(model_spec("DeepSeek-R1"), Layout(8), "fp8", H100)
    with pytest.raises(DoesNotFitError, match="GB per GPU are missing") as caught:
        fit.require(1, "DeepSeek-R1")
    assert caught.value.short_by_gb == pytest.approx(84.1 - 70.4, abs=0.1)


def test_a_request_longer_than_the_cache_does_not_fit_and_says_by_how_much():
    fit = memory_fit(model_spec("Qwen3-32B"), Layout(), "bf16", H100)
    with pytest.raises(DoesNotFitError) as caught:
        fit.require(2 * fit.kv_tokens, "Qwen3-32B")
    assert caught.value.short_by_gb == pytest.approx(fit.free_gb)


def test_tensor_parallel_gpus_hold_equal_shares_of_a_dense_model():
    spec = model_spec("Qwen3-32B")
    whole, quarter = replica_cost(spec, Layout(), "bf16"), replica_cost(spec, Layout(4), "bf16")
    assert quarter.held_bytes == pytest.approx(whole.held_bytes / 4)
    assert quarter.kv_bytes == pytest.approx(whole.kv_bytes / 4)
    assert whole.held_bytes == 2 * params(spec)


def test_more_gpus_than_kv_heads_do_not_cut_a_kv_head():
    spec = model_spec("Qwen3-235B-A22B")
    assert replica_cost(spec, Layout(8), "fp8").kv_bytes == replica_cost(spec, Layout(4), "fp8").kv_bytes


def test_the_latent_cache_of_mla_is_copied_to_each_tensor_parallel_gpu():
    spec = model_spec("DeepSeek-V3")
    assert replica_cost(spec, Layout(8), "fp8").kv_bytes == replica_cost(spec, Layout(), "fp8").kv_bytes


def test_attention_data_parallel_copies_attention_and_spreads_the_cache():
    spec = model_spec("DeepSeek-V3")
    tensor = replica_cost(spec, Layout(8), "fp8")
    data = replica_cost(spec, Layout(attention_dp=8), "fp8")
    assert data.expert_read_bytes == tensor.expert_read_bytes
    assert data.dense_read_bytes == pytest.approx(8 * tensor.dense_read_bytes)
    assert data.kv_bytes == pytest.approx(tensor.kv_bytes / 8)


def test_attention_data_parallel_sends_tokens_to_their_experts():
    """DeepSeek-V3 on 32 GPUs: 8 experts of width 7168, one byte there and two back; out of the node once for each
    of at most 4 nodes (its routing is limited to 4 groups), 3 of 4 of them foreign."""
    cost = replica_cost(model_spec("DeepSeek-V3"), Layout(attention_dp=32), "fp8")
    assert cost.all_reduce_bytes == pytest.approx(8 * 7168 * 1.5 * 31 / 32)
    assert cost.cross_node_bytes == pytest.approx(4 * 7168 * 1.5 * 3 / 4)


def test_an_all_reduce_within_a_node_leaves_nothing_outside():
    cost = replica_cost(model_spec("Qwen3-32B"), Layout(8), "bf16")
    assert cost.all_reduce_bytes == pytest.approx(2 * 7 / 8 * 5120 * 2)
    assert cost.cross_node_bytes == 0


def test_the_layer_that_drafts_takes_memory_too():
    spec, card = model_spec("DeepSeek-V3"), Accelerator("H200-SXM", memory_gb=141)
    plain, drafting = (memory_fit(spec, Layout(8), "fp8", card, extra_layers=n) for n in (0, 1))
    assert drafting.weights_gb == pytest.approx(plain.weights_gb * 62 / 61)


def test_pipeline_stages_hold_their_own_layers():
    spec = model_spec("Llama-3.1-70B")
    assert replica_cost(spec, Layout(pp=4), "bf16").held_bytes == pytest.approx(params(spec) * 2 / 4)
    assert Layout(tp=2, pp=4).gpus == 8


def test_only_the_experts_of_kimi_k25_are_four_bit():
    """0.5 bytes and one BF16 scale for 32 values: 0.5625."""
    assert weight_bytes(model_spec("Kimi-K2.5"), "int4") == (2.0, 0.5625)
    assert weight_bytes(model_spec("Kimi-K2.5"), "fp8") == (1.0, 1.0)


def test_prefill_attention_is_half_of_the_full_square():
    """Qwen3-8B at 2,048 tokens: 4 h d L / 2 = 2.95e5 flops per squared token, 0.6 GFLOP per token."""
    per_token = prefill_attention_flops(model_spec("Qwen3-8B")) * 2048
    assert per_token / 1e9 == pytest.approx(0.6, abs=0.01)


def test_mla_prefill_uses_its_own_head_widths():
    """DeepSeek-V3 at 2,048 tokens: 5.1 GFLOP per token."""
    assert prefill_attention_flops(model_spec("DeepSeek-V3")) * 2048 / 1e9 == pytest.approx(5.1, abs=0.05)


def test_a_prefix_found_in_the_cache_saves_its_linear_flops_and_its_square():
    spec = model_spec("Qwen3-32B")
    full, half = request_flops(spec, 4096, 1), request_flops(spec, 4096, 1, prefix_reuse=0.5)
    linear = 2 * (spec.active_params - spec.embedding_params) * 4096
    square = prefill_attention_flops(spec) * 4096**2
    assert full - half == pytest.approx(linear / 2 + square / 4)


def test_one_token_reads_one_tokens_experts_and_a_thousand_read_nearly_all():
    cost = replica_cost(model_spec("Qwen3-30B-A3B"), Layout(), "bf16")
    one = decode_step_bytes(cost, 1, 0) - cost.dense_read_bytes
    many = decode_step_bytes(cost, 1000, 0) - cost.dense_read_bytes
    assert one == pytest.approx(cost.expert_read_bytes * 8 / 128)
    assert many == pytest.approx(cost.expert_read_bytes, rel=1e-6)


@pytest.mark.parametrize("name", known_models())
def test_all_gpus_together_hold_the_model_at_every_tensor_parallel_size(name):
    spec = model_spec(name)
    for tp in (size for size in (1, 2, 4, 8) if spec.heads % size == 0):
        held = replica_cost(spec, Layout(tp), "fp8").held_bytes * tp
        assert held == pytest.approx(replica_cost(spec, Layout(1), "fp8").held_bytes)


def test_stacked_costs_are_arrays_in_the_order_given():
    spec = model_spec("Qwen3-8B")
    rows = stack([replica_cost(spec, Layout(tp), "bf16") for tp in (1, 2)])
    np.testing.assert_array_equal(rows.gpus, [1, 2])


@pytest.mark.parametrize(
    ("layout", "model", "message"),
    [
        (Layout(3), "Qwen3-32B", "tp=3 does not divide the 64 attention heads"),
        (Layout(8, moe_tp=2, moe_ep=2), "DeepSeek-V3", "must equal tp x attention_dp = 8"),
        (Layout(pp=99), "Qwen3-8B", "more than the 36 layers"),
        (Layout(5), "Qwen3-14B", "KV heads"),
    ],
)
def test_a_layout_that_the_model_cannot_be_cut_into_is_refused(layout, model, message):
    with pytest.raises(BadInputError, match=message):
        layout.resolved(model_spec(model))


@pytest.mark.parametrize("bad", [0, -1, 1.5, True, "2"])
def test_a_layout_counts_whole_gpus(bad):
    with pytest.raises(BadInputError, match="tp must be a whole number"):
        Layout(tp=bad)


def test_experts_follow_the_attention_where_their_cut_is_not_stated():
    spec = model_spec("DeepSeek-V3")
    assert Layout(8).resolved(spec) == Layout(8, 1, 1, 8, 1)
    assert Layout(attention_dp=8).resolved(spec) == Layout(1, 1, 8, 1, 8)


@pytest.mark.parametrize("share", [0, -0.1, 1.1, float("nan")])
def test_a_usable_share_outside_zero_to_one_is_refused(share):
    with pytest.raises(BadInputError, match="usable memory share"):
        memory_fit(model_spec("Qwen3-8B"), Layout(), "bf16", H100, usable_share=share)


def test_unknown_data_types_are_refused():
    with pytest.raises(BadInputError, match="precision must be one of"):
        replica_cost(model_spec("Qwen3-8B"), Layout(), "fp16")
    with pytest.raises(BadInputError, match="KV precision must be one of"):
        replica_cost(model_spec("Qwen3-8B"), Layout(), "bf16", "fp4")
