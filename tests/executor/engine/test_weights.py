"""Weights directories: read right when they are right, refused with one clear error when they are not."""

import json
import random
import struct

import pytest
import torch
from safetensors.torch import load_file, save_file

from executor.engine import checkpoint, weights
from executor.engine.checkpoint import load, read_spec
from executor.engine.linear import FP8, Parts, Weight, dequantise, linear, quantise, scaled_product, stacked
from executor.engine.slices import WHOLE, Slice
from executor.engine.weights import DummyWeights, build
from executor.errors import BadInputError, DoesNotFitError, ExecutorError, FileError, UnsupportedModelError
from executor.model.spec import model_spec
from tests.executor.test_user_files import mutant

CPU = torch.device("cpu")


@pytest.fixture
def copy_of(small_model, tmp_path):
    """A function from a family's name to a fresh copy of its directory."""

    def copy(name):
        for path in small_model(name).directory.iterdir():
            (tmp_path / path.name).write_bytes(path.read_bytes())
        return tmp_path

    return copy


def shard(directory, files=3):
    """Split model.safetensors over several files with an index, as large models are published."""
    tensors = load_file(directory / "model.safetensors")
    (directory / "model.safetensors").unlink()
    weight_map = {}
    for place in range(files):
        name = f"model-{place + 1:05}-of-{files:05}.safetensors"
        part = {key: tensors[key] for key in sorted(tensors)[place::files]}
        save_file(part, directory / name)
        weight_map |= dict.fromkeys(part, name)
    write_index(directory, weight_map)
    return weight_map


def write_index(directory, weight_map):
    (directory / checkpoint.INDEX).write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))


def change_config(directory, **changes):
    path = directory / "config.json"
    config = json.loads(path.read_text())
    for key, value in changes.items():
        if value is None:
            config.pop(key)
        else:
            config[key] = value
    path.write_text(json.dumps(config))


def change_tensor(directory, name, change):
    tensors = load_file(directory / "model.safetensors")
    new = change(tensors[name])
    if new is None:
        del tensors[name]
    else:
        tensors[name] = new
    save_file(tensors, directory / "model.safetensors")


def refusal(directory, kind=BadInputError, part=WHOLE):
    with pytest.raises(kind) as caught:
        load(directory, torch.float32, CPU, part)
    return str(caught.value)


# -- right ones --------------------------------------------------------------------------------------------


def test_shards_hold_the_same_model(small_model, copy_of):
    directory = copy_of("deepseek_v3")
    _, whole = load(directory, torch.float32, CPU)
    shard(directory)
    _, sharded = load(directory, torch.float32, CPU)
    assert torch.equal(whole.head, sharded.head)
    for one, two in zip(whole.layers[1:], sharded.layers[1:], strict=True):
        assert torch.equal(one.mlp.experts.gate_up.data, two.mlp.experts.gate_up.data)


def test_experts_stored_one_by_one_are_fused(small_model, copy_of):
    directory = copy_of("qwen3_moe")
    _, weights = load(directory, torch.float32, CPU)
    stored = load_file(directory / "model.safetensors")
    experts = weights.layers[1].mlp.experts
    name = "model.layers.1.mlp.experts.5"
    gate, up = (stored[f"{name}.{which}_proj.weight"] for which in ("gate", "up"))
    assert torch.equal(experts.gate_up.data[5], torch.cat([gate, up]))
    assert torch.equal(experts.down.data[5], stored[f"{name}.down_proj.weight"])


def test_experts_stored_fused_are_taken_as_they_are(small_model, copy_of):
    directory = copy_of("qwen3_moe")
    _, one_by_one = load(directory, torch.float32, CPU)
    tensors = {k: v for k, v in load_file(directory / "model.safetensors").items() if ".experts." not in k}
    for index, layer in enumerate(one_by_one.layers):
        tensors[f"model.layers.{index}.mlp.experts.gate_up_proj"] = layer.mlp.experts.gate_up.data
        tensors[f"model.layers.{index}.mlp.experts.down_proj"] = layer.mlp.experts.down.data
    save_file(tensors, directory / "model.safetensors")
    _, fused = load(directory, torch.float32, CPU)
    assert torch.equal(fused.layers[2].mlp.experts.down.data, one_by_one.layers[2].mlp.experts.down.data)


def quantise_directory(directory, scaling):
    """Store every matrix of the layers in FP8, as DeepSeek-V3 does (block) or others (tensor, row)."""
    tensors, plain = load_file(directory / "model.safetensors"), {}
    for name, tensor in list(tensors.items()):
        kept = tensor.dim() < 2 or (not name.endswith("_proj.weight") and "kv_a_proj" not in name)
        if kept:
            continue
        weight = quantise(tensor, scaling)
        tensors[name] = weight.data
        tensors[name + ("_scale_inv" if scaling == "block" else "_scale")] = weight.scale
        plain[name] = dequantise(weight, torch.float32)
    save_file(tensors, directory / "model.safetensors")
    block = {"weight_block_size": [128, 128]} if scaling == "block" else {}
    change_config(directory, quantization_config={"quant_method": "fp8", **block})
    return plain


@pytest.mark.parametrize("scaling", ["block", "row", "tensor"])
@pytest.mark.parametrize("name", ["deepseek_v3", "qwen3"])
def test_an_fp8_checkpoint_computes_what_its_dequantised_copy_computes(copy_of, name, scaling, small_model):
    from executor.engine.engine import Engine, Settings
    from executor.engine.sampling import Sampling

    directory = copy_of(name)
    plain = quantise_directory(directory, scaling)
    model = small_model(name).model
    original = {key: value.clone() for key, value in model.state_dict().items()}
    settings = Settings(max_batch=1, token_budget=64, page_size=16, pages=8, max_length=100)
    engine = Engine.load(directory, torch.float32, CPU, settings)
    tokens = engine.generate([list(range(5, 40))], Sampling(max_tokens=8))[0]
    tensors = load_file(directory / "model.safetensors")
    tensors = {key: plain.get(key, value) for key, value in tensors.items() if "_scale" not in key}
    save_file(tensors, directory / "model.safetensors")
    change_config(directory, quantization_config=None)
    reference = Engine.load(directory, torch.float32, CPU, settings)
    assert tokens == reference.generate([list(range(5, 40))], Sampling(max_tokens=8))[0]
    assert all(torch.equal(original[key], value) for key, value in model.state_dict().items())


def test_multi_token_prediction_layers_are_left_out(small_model, copy_of):
    directory = copy_of("deepseek_v3")
    change_tensor(directory, "model.norm.weight", lambda tensor: tensor)
    tensors = load_file(directory / "model.safetensors")
    tensors["model.layers.3.eh_proj.weight"] = torch.zeros(2, 2)
    save_file(tensors, directory / "model.safetensors")
    spec, weights = load(directory, torch.float32, CPU)
    assert len(weights.layers) == spec.layers == 3


# -- FP8 ---------------------------------------------------------------------------------------------------


def test_dequantising_blocks_multiplies_each_128_by_128_with_its_scale():
    """Against a plain double loop, with a ragged last block."""
    data = torch.randn(200, 300).to(FP8)
    scale = torch.rand(2, 3) + 0.5
    values = data.float()
    expected = torch.tensor(
        [[values[i, j] * scale[i // 128, j // 128] for j in range(0, 300, 7)] for i in range(0, 200, 3)]
    )
    assert torch.equal(dequantise(Weight(data, scale, "block"), torch.float32)[::3, ::7], expected)


@pytest.mark.parametrize("scaling", ["tensor", "row", "block"])
def test_quantising_loses_at_most_a_sixteenth_of_a_value(scaling):
    """e4m3 has 3 fraction bits: half a step is 1/16 of a normal value; small ones lose 2^-10 of the scale."""
    matrix = torch.randn(3, 150, 260)
    weight = quantise(matrix, scaling)
    error = (dequantise(weight, torch.float32) - matrix).abs()
    largest = weight.scale.amax()
    assert (error <= matrix.abs() / 16 + largest * 2**-10 + 1e-7).all()


def test_stacking_refuses_to_tear_a_block():
    whole, ragged = quantise(torch.randn(128, 64), "block"), quantise(torch.randn(100, 64), "block")
    assert isinstance(stacked([whole, ragged]), Weight)
    parts = stacked([ragged, whole])
    assert isinstance(parts, Parts)
    x = torch.randn(2, 64)
    assert linear(x, parts).shape == (2, 228)
    assert torch.equal(linear(x, parts)[:, :100], linear(x, ragged))


@pytest.mark.parametrize("scaling", ["tensor", "row"])
@pytest.mark.parametrize("tokens", [1, 16, 33])
def test_torchs_scaled_product_is_near_the_exact_one(scaling, tokens):
    """The product that CUDA uses, on the CPU; activations and weights of 4 significant bits."""
    matrix, x = torch.randn(48, 64), torch.randn(tokens, 64, dtype=torch.bfloat16)
    weight = quantise(matrix, scaling)
    exact = x.float() @ matrix.t()
    assert (scaled_product(x, weight).float() - exact).norm() < 0.08 * exact.norm()


# -- hostile ones ------------------------------------------------------------------------------------------


def test_a_missing_directory_or_config_is_told(tmp_path):
    assert "no such directory" in refusal(tmp_path / "absent")
    with pytest.raises(FileError, match=r"config\.json: cannot be read: No such file"):
        load(tmp_path, torch.float32, CPU)


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "\x00", "[" * 5000 + "]" * 5000])
def test_a_config_that_is_no_object_is_told(copy_of, content):
    directory = copy_of("qwen3")
    (directory / "config.json").write_text(content)
    assert "config.json" in refusal(directory)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden_size": None}, "lacks hidden_size"),
        ({"num_hidden_layers": -1}, "num_hidden_layers must be a positive number"),
        ({"num_hidden_layers": 10**9}, "is missing"),
        ({"num_hidden_layers": 10**12}, "num_hidden_layers must be a whole number of at most"),
        ({"vocab_size": 10**9}, "config.json asks for"),
        ({"rope_parameters": {"rope_type": "yarn", "factor": 2.0, "attention_factor": 3.0}}, "attention_factor"),
        ({"head_dim": 31}, "rotary width must be even"),
        ({"num_attention_heads": 3}, "cannot share"),
        ({"model_type": "gpt2"}, "is not modelled"),
        ({"hidden_act": "gelu"}, "hidden_act 'gelu' is not computed"),
        ({"use_sliding_window": True}, "sliding"),
        ({"quantization_config": {"quant_method": "fp8", "weight_block_size": [64, 64]}}, "64, 64"),
        ({"tie_word_embeddings": True, "model_type": "qwen3"}, ""),
    ],
)
def test_a_config_that_cannot_be_is_told(copy_of, changes, message):
    directory = copy_of("qwen3")
    change_config(directory, **changes)
    if message:
        assert message in refusal(directory, ExecutorError)
    else:
        load(directory, torch.float32, CPU)


ODD_VALUES = [
    None, "x", "", [], {}, [1, 2], {"a": 1}, -1, 0, 1, 1.5, float("nan"), float("inf"), 1e300, 10**30, True, [[]], "64",
    {"rope_type": "yarn"}, {"rope_theta": "x"}, {"rope_type": "llama3", "factor": 0}, {"rope_type": 5},
    {"rope_type": "yarn", "factor": 2.0, "mscale_all_dim": [1]}, {"rope_type": "yarn", "factor": 1e308, "mscale": "a"},
    {"quant_method": "fp8", "weight_block_size": "ab"}, {"quant_method": "fp8", "weight_block_size": [1]},
    {"quant_method": "fp8", "weight_block_size": [128, 128]}, {"quant_method": ["x"]},
    {"quant_method": "compressed-tensors", "config_groups": [1]},
]  # fmt: skip


@pytest.mark.parametrize("name", ["qwen3", "deepseek_v3"])
@pytest.mark.slow
def test_any_odd_value_of_any_field_loads_or_gives_one_of_our_errors(copy_of, name):
    """Never a traceback: each field of the config is set to each odd value in turn."""
    directory = copy_of(name)
    path = directory / "config.json"
    config = json.loads(path.read_text())
    fields = [*config, "rope_scaling", "quantization_config", "text_config", "scoring_func", "partial_rotary_factor"]
    skipped = {"architectures", "transformers_version", "dtype", "initializer_range", "use_cache"}
    refused = 0
    for field in fields:
        for value in ODD_VALUES if field not in skipped else []:
            path.write_text(json.dumps({**config, field: value}))
            try:
                with checkpoint.Shards(directory) as shards:
                    spec = read_spec(directory)
                    survey = checkpoint.Checkpoint(shards, spec, torch.float32, torch.device("meta"))
                    build(spec, WHOLE, survey)
                    survey.tell_problems(WHOLE)
            except ExecutorError:
                refused += 1
    assert refused > 200


@pytest.mark.parametrize("name", ["model-00002-of-00004.safetensors", "x" * 300 + ".safetensors"])
def test_a_missing_shard_is_told_by_name(copy_of, name):
    directory = copy_of("qwen3")
    weight_map = shard(directory)
    weight_map["model.norm.weight"] = name
    write_index(directory, weight_map)
    assert f"{name}: named by" in refusal(directory)


@pytest.mark.parametrize(
    "name", ["../outside.safetensors", "/etc/passwd", "sub/model.safetensors", "weights.bin", 7, "..", ""]
)
def test_a_shard_outside_the_directory_is_refused(copy_of, name):
    directory = copy_of("qwen3")
    weight_map = shard(directory)
    weight_map["model.norm.weight"] = name
    write_index(directory, weight_map)
    assert "only safetensors files in the directory itself" in refusal(directory)


@pytest.mark.parametrize("content", ["{", "[]", '{"weight_map": []}', '{"weight_map": {}}'])
def test_a_broken_index_is_told(copy_of, content):
    directory = copy_of("qwen3")
    (directory / checkpoint.INDEX).write_text(content)
    assert checkpoint.INDEX in refusal(directory)


def test_an_index_that_names_what_no_file_holds_is_told(copy_of):
    directory = copy_of("qwen3")
    weight_map = shard(directory)
    write_index(directory, {**weight_map, "model.extra": weight_map["model.norm.weight"]})
    assert "names model.extra, which no file holds" in refusal(directory)


@pytest.mark.parametrize("size", [0, 4, 100, -1, -1000])
def test_a_truncated_file_is_told(copy_of, size):
    path = copy_of("qwen3") / "model.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[:size] if size >= 0 else content[: len(content) + size])
    assert "not a whole safetensors file" in refusal(path.parent)


def test_a_header_that_claims_to_be_huge_is_told(copy_of):
    path = copy_of("qwen3") / "model.safetensors"
    path.write_bytes((1 << 62).to_bytes(8, "little") + b"{}")
    assert "not a whole safetensors file" in refusal(path.parent)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_tensor_that_is_not_finite_is_told_by_name(copy_of, value):
    directory = copy_of("qwen3")
    name = "model.layers.1.mlp.down_proj.weight"

    def spoil(tensor):
        tensor[3, 5] = value
        return tensor

    change_tensor(directory, name, spoil)
    assert f"{name} holds NaN or infinity" in refusal(directory)


def test_an_fp8_nan_is_told(copy_of):
    directory = copy_of("qwen3")
    quantise_directory(directory, "block")
    name = "model.layers.0.mlp.up_proj.weight"

    def spoil(tensor):
        tensor.view(torch.uint8)[0, 0] = 0xFF
        return tensor

    change_tensor(directory, name, spoil)
    assert f"{name} holds NaN" in refusal(directory)


def test_all_problems_of_shape_are_told_at_once_before_anything_is_read(copy_of, monkeypatch):
    directory = copy_of("qwen3")
    change_tensor(directory, "model.norm.weight", lambda tensor: tensor[:5].clone())
    change_tensor(directory, "model.layers.0.self_attn.q_norm.weight", lambda tensor: None)
    change_tensor(directory, "model.layers.2.mlp.up_proj.weight", lambda tensor: tensor.t().contiguous())
    change_tensor(directory, "lm_head.weight", lambda tensor: tensor.to(torch.int32))
    monkeypatch.setattr(checkpoint.Shards, "read", lambda *_: pytest.fail("a tensor was read"))
    message = refusal(directory)
    assert "model.norm.weight has shape [5], config.json asks for [64]" in message
    assert "q_norm.weight is missing" in message
    assert "up_proj.weight has shape [64, 96], config.json asks for [96, 64]" in message
    assert "lm_head.weight has data type I32" in message


def test_a_tensor_the_model_has_no_part_for_is_told(copy_of):
    directory = copy_of("llama tied, biased, no sharing")
    change_config(directory, attention_bias=False)
    assert "q_proj.bias is stored, but a llama model has no such part" in refusal(directory)


def test_pickles_are_never_read(copy_of):
    directory = copy_of("qwen3")
    (directory / "model.safetensors").rename(directory / "pytorch_model.bin")
    assert "may be a pickle and is never read" in refusal(directory)


def test_several_files_without_an_index_are_refused(copy_of):
    directory = copy_of("qwen3")
    shard(directory)
    (directory / checkpoint.INDEX).unlink()
    assert "3 safetensors files and no" in refusal(directory)


def test_weights_larger_than_the_memory_are_refused_before_they_are_read(copy_of, monkeypatch):
    directory = copy_of("qwen3")
    monkeypatch.setattr(weights, "free_memory", lambda device: 2000)
    monkeypatch.setattr(checkpoint.Shards, "read", lambda *_: pytest.fail("a tensor was read"))
    assert "short by" in refusal(directory, DoesNotFitError)


def test_int4_weights_are_told_to_be_unsupported(copy_of):
    directory = copy_of("qwen3")
    groups = {"group_0": {"weights": {"num_bits": 4, "group_size": 32}}}
    change_config(directory, quantization_config={"quant_method": "compressed-tensors", "config_groups": groups})
    assert "int4 weights cannot be run" in refusal(directory, UnsupportedModelError)


# -- dummy weights -----------------------------------------------------------------------------------------


def small(spec, **changes):
    from dataclasses import replace

    return replace(spec, layers=2, hidden=256, intermediate=128, vocab=64, **changes)


@pytest.mark.parametrize("scaling", ["none", "tensor", "row", "block"])
def test_dummy_weights_are_seeded_and_keep_activations_near_one(scaling):
    spec = small(model_spec("Qwen3-8B"), heads=4, kv_heads=2, head_dim=32)
    one, two, other = (build(spec, WHOLE, DummyWeights(torch.float32, CPU, scaling, seed)) for seed in (1, 1, 2))
    gate_up = [weights.layers[1].mlp.gate_up for weights in (one, two, other)]
    assert torch.equal(gate_up[0].data.float(), gate_up[1].data.float())
    assert not torch.equal(gate_up[0].data.float(), gate_up[2].data.float())
    out = linear(torch.randn(64, 256), gate_up[0])
    assert 0.7 < float(out.std()) < 1.3
    assert not (gate_up[0].data.float() == 0).all()


def test_a_layers_dummy_weights_do_not_depend_on_the_other_layers():
    spec = small(model_spec("Qwen3-8B"), heads=4, kv_heads=2, head_dim=32)
    source = DummyWeights(torch.float32, CPU)
    both, second = build(spec, WHOLE, source), build(spec, Slice(layers=(1,)), source)
    assert len(second.layers) == 1
    assert torch.equal(second.layers[0].mlp.down.data, both.layers[1].mlp.down.data)


def test_whole_deepseek_v3_is_told_not_to_fit_without_making_it():
    """Sizes from the meta device: 671 billion weights of one byte, and what is kept in BF16."""
    spec = model_spec("DeepSeek-V3")
    needed = build(spec, WHOLE, DummyWeights(torch.bfloat16, torch.device("meta"), "block")).bytes
    assert 660e9 < needed < 700e9


def test_read_spec_names_the_model_after_its_directory(copy_of):
    directory = copy_of("qwen3")
    assert read_spec(directory).name == directory.name


@pytest.mark.parametrize("changed", ["config.json", checkpoint.INDEX, "header"])
def test_mutants_of_a_directory_are_read_or_refused(copy_of, changed):
    """Seeded; 60 of each, and nothing but an ExecutorError leaves the reader."""
    directory = copy_of("qwen3")
    shard(directory)
    path = directory / (changed if changed != "header" else "model-00001-of-00003.safetensors")
    whole = path.read_bytes()
    size = struct.unpack("<Q", whole[:8])[0] if changed == "header" else 0
    document = json.loads(whole[8 : 8 + size] if size else whole)
    chance, refused = random.Random(11), 0
    for _ in range(60):
        text = mutant(document, chance).encode("utf-8", "surrogatepass")
        path.write_bytes(struct.pack("<Q", len(text)) + text + whole[8 + size :] if size else text)
        try:
            load(directory, torch.float32, CPU)
        except ExecutorError:
            refused += 1
    assert refused > 20
    path.write_bytes(whole)
    load(directory, torch.float32, CPU)


def test_a_weights_file_that_is_a_link_out_of_the_directory_is_refused(copy_of, tmp_path_factory):
    directory, elsewhere = copy_of("qwen3"), tmp_path_factory.mktemp("elsewhere")
    (directory / "model.safetensors").rename(elsewhere / "model.safetensors")
    (directory / "model.safetensors").symlink_to(elsewhere / "model.safetensors")
    with pytest.raises(FileError, match="lies outside"):
        load(directory, torch.float32, CPU)


def test_the_links_of_hugging_face_s_cache_are_followed(copy_of, tmp_path_factory):
    source, cache = copy_of("qwen3"), tmp_path_factory.mktemp("hub") / "models--org--tiny"
    snapshot, blobs = cache / "snapshots" / "abc", cache / "blobs"
    for folder in (snapshot, blobs):
        folder.mkdir(parents=True)
    for path in source.iterdir():
        (blobs / path.name).write_bytes(path.read_bytes())
        (snapshot / path.name).symlink_to(f"../../blobs/{path.name}")
    assert load(snapshot, torch.float32, CPU)[1].bytes == load(source, torch.float32, CPU)[1].bytes
