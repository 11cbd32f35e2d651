"""Slices: shards add up to the whole, expert-parallel ranks get the pairs they would receive."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from executor.engine.engine import Engine, Settings
from executor.engine.routing import Routing, draw, received, routing_tables
from executor.engine.sampling import Sampling
from executor.engine.slices import WHOLE, Slice
from executor.engine.weights import DummyWeights, build
from executor.errors import BadInputError
from executor.model.spec import MlaSpec, MoeSpec, model_spec
from executor.scheduler.sequence import Request

CPU = torch.device("cpu")
SMALL = Settings(max_batch=4, token_budget=64, page_size=4, pages=60, max_length=100)


def shrunk(name):
    """A built-in model with its own structure and small widths."""
    spec = model_spec(name)
    widths = {"layers": 3, "hidden": 64, "heads": 8, "intermediate": 64, "vocab": 96, "max_position": 512}
    moe, mla = spec.moe, spec.mla
    if moe is not None:
        moe = replace(moe, experts=16, top_k=4, expert_intermediate=16, groups=min(moe.groups, 4), topk_groups=1)
        moe = replace(moe, topk_groups=min(2, moe.groups), first_dense_layers=min(1, moe.first_dense_layers))
    if mla is not None:
        mla = MlaSpec(24, 32, 16, 8, 12)
        return replace(spec, **widths, kv_heads=8, head_dim=24, moe=moe, mla=mla)
    return replace(spec, **widths, kv_heads=4, head_dim=16, moe=moe)


def ranks(spec, parts, seed=5):
    """Engines of the whole model and of its ranks, with the same weights."""
    whole = Engine.dummy(spec, torch.float32, settings=SMALL, seed=seed)
    shards = [Engine(spec, build(spec, part, Cut(seed)), SMALL, part) for part in parts]
    return whole, shards


class Cut:
    """A source of dummy weights that draws each whole tensor and gives out the part asked for."""

    def __init__(self, seed):
        self.source = DummyWeights(torch.float32, CPU, seed=seed)

    def tensor(self, name, shape, rows=None):
        whole = self.source.tensor(name, shape)
        return whole if rows is None else whole[rows.start : rows.stop]

    def exact(self, name, shape):
        return self.source.exact(name, shape)

    def linear(self, name, shape, rows=None, columns=None, bias=False):
        whole = self.source.linear(name, shape, bias=bias)
        data = whole.data if rows is None else whole.data[rows.start : rows.stop]
        data = data if columns is None else data[:, columns.start : columns.stop]
        added = whole.bias if whole.bias is None or rows is None else whole.bias[rows.start : rows.stop]
        return replace(whole, data=data, bias=added)

    def experts(self, layer, spec, part):
        whole, mine, inner = (self.source.experts(layer, spec, WHOLE), part.experts(spec), part.expert_columns(spec))
        gate_up = whole.gate_up.data[mine.start : mine.stop].unflatten(1, (2, -1))[:, :, inner.start : inner.stop]
        down = whole.down.data[mine.start : mine.stop, :, inner.start : inner.stop]
        return replace(
            whole,
            gate_up=replace(whole.gate_up, data=gate_up.flatten(1, 2)),
            down=replace(whole.down, data=down.contiguous()),
        )


def attended(engine, x, layer=1):
    """One layer's attention output for a prompt of len(x) tokens with these normed hidden states."""
    engine.scheduler.add(Request("prompt", list(range(len(x))), 1))
    step = engine.scheduler.schedule()
    batch = engine._packer.pack(step)
    decoder = engine.decoder
    out = decoder._attention(decoder.weights.layers[layer], x.clone(), batch, decoder.cache.layers[layer])
    engine.scheduler.finish(step, [0])
    return out


@pytest.mark.parametrize("name", ["Qwen3-8B", "Qwen3-30B-A3B", "DeepSeek-V3"])
@pytest.mark.parametrize("size", [2, 8])
def test_tensor_parallel_shards_add_up_to_the_whole(name, size):
    """Attention and MLP of a layer; with more ranks than KV heads, ranks share one."""
    spec = shrunk(name)
    whole, shards = ranks(spec, [Slice(tp_size=size, tp_rank=rank) for rank in range(size)])
    x = torch.randn(9, 64)
    total = sum(attended(engine, x) for engine in shards)
    torch.testing.assert_close(total, attended(whole, x), atol=1e-5, rtol=1e-4)
    for layer in range(3):
        mlps = [engine.decoder._mlp(engine.decoder.weights.layers[layer].mlp, x, None) for engine in shards]
        expected = whole.decoder._mlp(whole.decoder.weights.layers[layer].mlp, x, None)
        torch.testing.assert_close(sum(mlps), expected, atol=1e-5, rtol=1e-4)
    heads = torch.cat([engine.decoder.weights.head for engine in shards])
    assert torch.equal(heads, whole.decoder.weights.head)


@pytest.mark.parametrize("name", ["Qwen3-30B-A3B", "DeepSeek-V3", "Kimi-K2-Instruct"])
def test_expert_parallel_ranks_add_up_to_the_whole(name):
    """With the model's own router each rank computes its experts' share; the shared expert is on every rank."""
    spec = shrunk(name)
    whole, shards = ranks(spec, [Slice(ep_size=4, ep_rank=rank) for rank in range(4)])
    x = torch.randn(9, 64)
    mlps = [engine.decoder._mlp(engine.decoder.weights.layers[2].mlp, x, None) for engine in shards]
    weights = whole.decoder.weights.layers[2].mlp
    expected = whole.decoder._mlp(weights, x, None)
    shared = 0 if weights.shared is None else whole.decoder._mlp(weights.shared, x, None)
    torch.testing.assert_close(sum(mlps) - 3 * shared, expected, atol=1e-5, rtol=1e-4)


def test_a_subset_of_layers_runs_those_layers():
    spec = shrunk("Qwen3-8B")
    engine = Engine.dummy(spec, torch.float32, settings=SMALL, part=Slice(layers=(0, 2)))
    assert len(engine.decoder.weights.layers) == len(engine.decoder.cache.layers) == 2
    assert len(engine.generate([[1, 2, 3]], Sampling(max_tokens=5))[0]) == 5


@pytest.mark.parametrize("law", ["uniform", "power_law", "replayed"])
@pytest.mark.parametrize("name", ["DeepSeek-V3", "Kimi-K2-Instruct"])
def test_one_rank_steps_with_all_layers(name, law, tmp_path):
    spec = shrunk(name)
    record = tmp_path / "record.npy"
    np.save(record, np.random.default_rng(0).integers(0, 4, (2, 7, 4)) * 4 + np.arange(4))
    engine = Engine.dummy(
        spec,
        torch.float32,
        settings=SMALL,
        part=Slice(ep_size=4),
        routing=Routing(law, record=record if law == "replayed" else None),
    )
    assert engine.decoder.weights.layers[1].mlp.experts.count == 4
    tokens = engine.generate([[1, 2, 3], list(range(20))], Sampling(max_tokens=6))
    assert [len(one) for one in tokens] == [6, 6]


# -- routing -----------------------------------------------------------------------------------------------

MOE = MoeSpec(experts=32, top_k=4, expert_intermediate=8)


def loads(routing, tokens=4000):
    chosen = draw(MOE, routing, tokens, np.random.default_rng(1))
    assert (np.sort(chosen, axis=1)[:, 1:] != np.sort(chosen, axis=1)[:, :-1]).all()  # distinct
    return np.sort(np.bincount(chosen.ravel(), minlength=32) / chosen.size)[::-1]


def test_uniform_routing_gives_every_expert_the_same_share():
    """16,000 choices: four standard deviations of a share of 1/32 are 0.0055."""
    assert abs(loads(Routing("uniform")) - 1 / 32).max() < 0.0055


def test_power_law_routing_is_skewed_and_more_so_with_a_larger_exponent():
    mild, strong = (loads(Routing("power_law", exponent=e)) for e in (0.5, 1.5))
    assert strong[0] > mild[0] > 1.5 / 32
    assert strong[0] <= 0.25  # each token chooses an expert at most once, of four


def test_the_most_loaded_rank_receives_its_pairs_and_no_others():
    chosen = draw(MOE, Routing("power_law"), 64 * 8, np.random.default_rng(3))
    local = received(chosen, 32, Slice(ep_size=8), 64)
    by_rank = np.bincount((chosen // 4).ravel(), minlength=8)
    assert len(local) == 64
    assert (local < 4).sum() == by_rank.max()
    first = by_rank.argmax() * 4
    counts = np.bincount(local[local < 4], minlength=4)
    assert (counts == np.bincount(chosen.ravel(), minlength=32)[first : first + 4]).all()


def test_layers_choose_differently_and_dense_layers_not_at_all():
    spec = shrunk("DeepSeek-V3")
    tables = routing_tables(spec, WHOLE, Routing("uniform", seed=4), 50, CPU)
    assert tables[0] is None
    assert tables[1].shape == (50, 4)
    assert not torch.equal(tables[1], tables[2])
    again = routing_tables(spec, WHOLE, Routing("uniform", seed=4), 50, CPU)
    assert torch.equal(tables[2], again[2])


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((2, 3)),
        np.zeros((2, 3, 4)),
        np.zeros((2, 3, 5), dtype=int),
        np.full((2, 3, 4), 16),
        np.full((2, 3, 4), -1),
        np.zeros((0, 3, 4), dtype=int),
        np.array([{"a": 1}], dtype=object),
    ],
)
def test_a_record_that_cannot_be_is_refused(array, tmp_path):
    path = tmp_path / "record.npy"
    np.save(path, array, allow_pickle=True)
    with pytest.raises(BadInputError, match=r"record\.npy"):
        routing_tables(shrunk("DeepSeek-V3"), WHOLE, Routing("replayed", record=path), 5, CPU)


def test_a_replay_needs_a_record():
    with pytest.raises(BadInputError, match="needs a record"):
        routing_tables(shrunk("DeepSeek-V3"), WHOLE, Routing("replayed"), 5, CPU)


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"tp_size": 3}, "heads do not divide"),
        ({"ep_size": 3}, "experts do not divide"),
        ({"layers": (3,)}, "layers 0 to 2"),
    ],
)
def test_a_slice_that_cannot_be_cut_is_refused(part, message):
    with pytest.raises(BadInputError, match=message):
        Slice(**part).check(shrunk("DeepSeek-V3"))


def test_a_rank_that_does_not_exist_is_refused():
    with pytest.raises(BadInputError, match="rank 2 of 2"):
        Slice(tp_size=2, tp_rank=2)
    with pytest.raises(BadInputError, match="no experts"):
        Slice(ep_size=2).check(shrunk("Qwen3-8B"))
