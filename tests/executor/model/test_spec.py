"""Specs against published parameter counts and cache sizes, and hostile config.json files."""

import json

import pytest

from executor.errors import BadInputError, UnknownNameError, UnsupportedModelError
from executor.model.spec import from_hf_config, known_models, model_spec

QWEN = {
    "model_type": "qwen3",
    "num_hidden_layers": 2,
    "hidden_size": 64,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "intermediate_size": 128,
    "vocab_size": 100,
}

DEEPSEEK = {
    "model_type": "deepseek_v3",
    "num_hidden_layers": 3,
    "hidden_size": 64,
    "num_attention_heads": 4,
    "q_lora_rank": None,
    "kv_lora_rank": 16,
    "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 4,
    "v_head_dim": 8,
    "intermediate_size": 128,
    "moe_intermediate_size": 32,
    "n_routed_experts": 8,
    "num_experts_per_tok": 2,
    "n_shared_experts": 1,
    "first_k_dense_replace": 1,
    "n_group": 4,
    "topk_group": 2,
    "vocab_size": 100,
}


def params(spec):
    """All weights, with embedding and LM head, counted once where they are tied."""
    copies = 1 if spec.tie_embeddings else 2
    return spec.always_active_params + spec.routed_params + copies * spec.embedding_params


@pytest.mark.parametrize(
    ("name", "published_billions"),
    [
        ("Qwen3-8B", 8.2),
        ("Qwen3-14B", 14.8),
        ("Qwen3-32B", 32.8),
        ("Qwen3-30B-A3B", 30.5),
        ("Qwen3-235B-A22B", 235),
        ("Llama-3.1-8B", 8.03),
        ("Llama-3.1-70B", 70.6),
        ("Llama-3.3-70B", 70.6),
        ("DeepSeek-V3", 671),
        ("DeepSeek-R1", 671),
        ("Kimi-K2", 1026),
        ("Kimi-K2.5", 1026),
        ("Qwen2.5-7B", 7.62),
        ("QwQ-32B", 32.8),
        ("Qwen2.5-72B", 72.7),
        ("Qwen3-0.6B", 0.596),
        ("Qwen3-4B", 4.02),
        ("Qwen3-Coder-480B-A35B", 480),
        ("Llama-3.1-405B", 406),
        ("Llama-3.2-1B", 1.24),
        ("Llama-3.2-3B", 3.21),
    ],
)
def test_a_built_in_model_has_its_published_number_of_parameters(name, published_billions):
    """Within 0.4 %: half a unit of the last of the three published digits."""
    assert params(model_spec(name)) / 1e9 == pytest.approx(published_billions, rel=0.004)


@pytest.mark.parametrize(
    ("name", "active_billions"),
    [("Qwen3-30B-A3B", 3.0), ("Qwen3-235B-A22B", 21.6), ("DeepSeek-V3", 36.6), ("Kimi-K2", 31.7)],
)
def test_a_token_uses_the_weights_of_its_experts_and_of_the_head_but_not_of_the_embedding(name, active_billions):
    """Within 1.5 %: the expected figures have two or three digits."""
    assert model_spec(name).active_params / 1e9 == pytest.approx(active_billions, rel=0.015)


@pytest.mark.parametrize(
    ("name", "kib"),
    [("Qwen3-8B", 144), ("Qwen3-32B", 256), ("Qwen3-30B-A3B", 96), ("DeepSeek-V3", 68.625), ("Kimi-K2", 68.625)],
)
def test_the_kv_cache_takes_the_textbook_bytes_per_token(name, kib):
    assert model_spec(name).kv_bytes_per_token() == kib * 1024


def test_fp8_halves_the_kv_cache():
    spec = model_spec("Qwen3-32B")
    assert spec.kv_bytes_per_token(1.0) == spec.kv_bytes_per_token() / 2


@pytest.mark.parametrize(
    "spelling",
    [
        "qwen3-32b",
        "QWEN/QWEN3-32B",
        "Qwen/Qwen3-32B-FP8",
        " Qwen3-32B ",
        "someone/Qwen3-32B-AWQ",
        "Qwen3-32B-FP8-dynamic",
    ],
)
def test_a_model_is_found_under_its_id_and_its_short_name_in_any_case(spelling):
    assert model_spec(spelling) == model_spec("Qwen/Qwen3-32B")


def test_an_unknown_model_lists_the_nearest_known_names():
    with pytest.raises(UnknownNameError, match=r"unknown model 'Qwen3-33B'.*Qwen/Qwen3-32B"):
        model_spec("Qwen3-33B")


def test_the_two_deepseek_names_share_their_shapes():
    v3, r1 = model_spec("DeepSeek-V3"), model_spec("DeepSeek-R1")
    assert (v3.mla, v3.moe, params(v3)) == (r1.mla, r1.moe, params(r1))


def test_deepseek_routes_by_groups_with_a_bias_and_kimi_without_groups():
    deepseek, kimi = model_spec("DeepSeek-V3").moe, model_spec("Kimi-K2").moe
    assert deepseek is not None
    assert kimi is not None
    assert (deepseek.groups, deepseek.topk_groups, deepseek.scoring, deepseek.bias) == (8, 4, "sigmoid", True)
    assert (kimi.experts, kimi.groups, kimi.first_dense_layers) == (384, 1, 1)


def test_kimi_k25_keeps_everything_but_the_experts_out_of_int4():
    stored = model_spec("Kimi-K2.5").quantisation
    assert stored is not None
    assert (stored.method, stored.group_size, stored.experts_only) == ("int4", 32, True)


def test_a_language_model_nested_in_a_multimodal_config_is_read():
    assert from_hf_config({"model_type": "wrapper", "text_config": QWEN}, "nested") == from_hf_config(QWEN, "nested")


def test_rope_is_read_in_both_spellings():
    old = {**QWEN, "rope_theta": 5e5, "rope_scaling": {"rope_type": "linear", "factor": 2.0}}
    new = {**QWEN, "rope_parameters": {"rope_theta": 5e5, "rope_type": "linear", "factor": 2.0}}
    assert from_hf_config(old, "m").rope == from_hf_config(new, "m").rope
    assert from_hf_config(old, "m").rope.theta == 5e5


def test_a_config_json_on_disk_is_read_by_path(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(DEEPSEEK))
    assert model_spec(str(path)).moe_layers == 2
    assert model_spec(str(tmp_path)) == model_spec(str(path))


def test_qwen2_has_a_bias_on_query_key_and_value_alone():
    spec = from_hf_config({**QWEN, "model_type": "qwen2"}, "m")
    assert (spec.attention_bias, spec.output_bias, spec.qk_norm) == (True, False, False)


def test_sliding_windows_are_refused():
    with pytest.raises(UnsupportedModelError, match="sliding-window"):
        from_hf_config({**QWEN, "use_sliding_window": True}, "m")


def test_tied_embeddings_are_counted_once():
    tied = from_hf_config({**QWEN, "tie_word_embeddings": True}, "m")
    assert params(from_hf_config(QWEN, "m")) - params(tied) == 100 * 64


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden_size": None}, "lacks hidden_size"),
        ({"hidden_size": -64}, "hidden_size must be a positive number"),
        ({"hidden_size": float("nan")}, "hidden_size must be a positive number"),
        ({"hidden_size": "64"}, "hidden_size must be a positive number"),
        ({"num_hidden_layers": 2.5}, "num_hidden_layers must be a whole number"),
        ({"num_key_value_heads": 3}, "cannot share 3 KV heads"),
    ],
)
def test_an_impossible_field_is_named(change, message):
    with pytest.raises(BadInputError, match=message):
        from_hf_config({**QWEN, **change}, "m")


@pytest.mark.parametrize(
    "change",
    [{"first_k_dense_replace": 3}, {"num_experts_per_tok": 9}, {"topk_group": 5}, {"n_group": 3, "topk_group": 2}],
)
def test_a_contradiction_between_expert_fields_is_refused(change):
    with pytest.raises(BadInputError):
        from_hf_config({**DEEPSEEK, **change}, "m")


@pytest.mark.parametrize(
    "change",
    [
        {"model_type": "mamba"},
        {"quantization_config": {"quant_method": "gguf"}},
        {"rope_scaling": {"rope_type": "longrope", "factor": 4}},
    ],
)
def test_what_is_not_modelled_is_refused_by_name(change):
    with pytest.raises(UnsupportedModelError, match="modelled"):
        from_hf_config({**QWEN, **change}, "m")


@pytest.mark.parametrize("content", ["", "{", "[1, 2]", '"text"', "\x00\x01"])
def test_a_broken_config_json_gives_one_clear_message(tmp_path, content):
    path = tmp_path / "config.json"
    path.write_text(content)
    with pytest.raises(BadInputError, match=r"config\.json"):
        model_spec(str(path))


def test_every_known_model_resolves_to_itself():
    assert {model_spec(name).name for name in known_models()} == set(known_models())
