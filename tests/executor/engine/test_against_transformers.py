"""The engine computes what transformers computes: logits within 1e-4, greedy tokens the same."""

import random
from dataclasses import replace

import pytest
import torch

from executor.engine.engine import Engine, Settings
from executor.engine.sampling import Sampling

PROMPTS = [[1, 2, 3], list(range(5, 40)), [7] * 17, [9]]
SMALL = Settings(max_batch=4, token_budget=16, page_size=4, pages=120, max_length=200)


def engine_for(model, settings=SMALL, dtype=torch.float32):
    return Engine.load(model.directory, dtype, settings=settings)


def with_logits(engine):
    """The rows of logits that the engine samples from, in order, as it runs."""
    rows = []
    forward = engine._forward

    def record(batch):
        logits = forward(batch)
        rows.extend(logits.float())
        return logits

    engine._forward = record
    return rows


@pytest.mark.slow
def test_logits_of_64_steps_are_within_a_ten_thousandth_and_tokens_equal(small_model, family):
    """FP32 on both sides; the sums are ordered differently, which costs about 1e-5."""
    model = small_model(family)
    engine = engine_for(model)
    prompt = PROMPTS[1]
    rows = with_logits(engine)
    tokens = engine.generate([prompt], Sampling(max_tokens=64))[0]
    reference = model.logits([*prompt, *tokens])[len(prompt) - 1 : -1]
    assert torch.stack(rows).shape == reference.shape
    assert (torch.stack(rows) - reference).abs().max() < 1e-4
    assert tokens == model.greedy(prompt, 64)


@pytest.mark.parametrize("kind", ["Qwen3", "Qwen3Moe", "Llama", "DeepseekV3"])
@pytest.mark.parametrize("seed", range(6))
def test_random_configurations_agree_too(random_model, kind, seed):
    """Random widths, heads, experts, groups, rotary scalings, biases and norms; random chunks and pages."""
    model = random_model(kind, seed)
    chance = random.Random(seed)
    settings = Settings(
        max_batch=2,
        token_budget=chance.choice([7, 16, 64]),
        page_size=chance.choice([1, 4, 16]),
        pages=200,
        max_length=150,
    )
    engine = engine_for(model, settings)
    prompt = [chance.randrange(50) for _ in range(chance.randint(1, 60))]
    rows = with_logits(engine)
    tokens = engine.generate([prompt], Sampling(max_tokens=12))[0]
    reference = model.logits([*prompt, *tokens])[len(prompt) - 1 : -1]
    assert (torch.stack(rows) - reference).abs().max() < 1e-4


@pytest.mark.slow
def test_greedy_tokens_of_a_batch_equal_those_of_each_prompt_alone(small_model, main_family):
    model = small_model(main_family)
    together = engine_for(model).generate(PROMPTS, Sampling(max_tokens=64))
    assert together == [model.greedy(prompt, 64) for prompt in PROMPTS]


def test_tokens_do_not_depend_on_the_order_of_the_batch(small_model, main_family):
    model = small_model(main_family)
    forward = engine_for(model).generate(PROMPTS, Sampling(max_tokens=32))
    backward = engine_for(model).generate(PROMPTS[::-1], Sampling(max_tokens=32))
    assert forward == backward[::-1]


@pytest.mark.parametrize("budget", [4, 7, 64])
@pytest.mark.slow
def test_tokens_do_not_depend_on_the_chunk_size(small_model, main_family, budget):
    model = small_model(main_family)
    settings = Settings(max_batch=4, token_budget=budget, page_size=4, pages=120, max_length=200)
    assert engine_for(model, settings).generate(PROMPTS, Sampling(max_tokens=24)) == [
        model.greedy(prompt, 24) for prompt in PROMPTS
    ]


def test_tokens_do_not_depend_on_preemption(small_model, main_family):
    model = small_model(main_family)
    settings = Settings(max_batch=4, token_budget=16, page_size=4, pages=25, max_length=100, prefix_caching=False)
    engine = engine_for(model, settings)
    tokens = engine.generate(PROMPTS, Sampling(max_tokens=60))
    assert engine.scheduler.counters.preemptions > 0
    assert tokens == [model.greedy(prompt, 60) for prompt in PROMPTS]


@pytest.mark.slow
def test_tokens_do_not_depend_on_the_prefix_cache(small_model, main_family):
    model = small_model(main_family)
    engine = engine_for(model)
    prompts = [[*range(30), 50], [*range(30), 51], list(range(30))]
    first = engine.generate(prompts, Sampling(max_tokens=20))
    again = engine.generate(prompts, Sampling(max_tokens=20))
    assert engine.scheduler.counters.prompt_tokens_cached >= 28 * 3
    assert first == again == [model.greedy(prompt, 20) for prompt in prompts]


def test_tokens_do_not_depend_on_look_ahead(small_model, main_family):
    model = small_model(main_family)
    settings = Settings(max_batch=3, token_budget=16, page_size=4, pages=40, max_length=120, look_ahead=True)
    engine = engine_for(model, settings)
    stop = model.greedy(PROMPTS[0], 24)[12]
    sampling = Sampling(max_tokens=24, stop_ids=frozenset({stop}))
    expected = [until(model.greedy(prompt, 24), stop) for prompt in PROMPTS]
    assert engine.generate(PROMPTS, sampling) == expected
    assert engine.scheduler.pool.held == 0


def until(tokens, stop):
    return tokens[: tokens.index(stop) + 1] if stop in tokens else tokens


@pytest.mark.parametrize("name", ["qwen3", "deepseek_v3"])
def test_bfloat16_stays_near_the_single_precision_logits(small_model, name):
    """BF16 keeps 8 bits; over three layers the logits' relative error stays within a few per cent."""
    model = small_model(name)
    engine = engine_for(model, dtype=torch.bfloat16)
    rows = with_logits(engine)
    engine.generate([PROMPTS[1]], Sampling(max_tokens=1))
    reference = model.logits(PROMPTS[1])[-1]
    assert (rows[0] - reference).norm() < 0.05 * reference.norm()


@pytest.mark.parametrize("name", ["llama", "deepseek_v3"])
def test_padding_a_decoding_batch_as_a_graph_does_changes_nothing(small_model, name):
    """The path of CUDA graphs without CUDA: padded rows go to the trash page."""
    from executor.engine.graphs import DecodeGraphs

    model = small_model(name)
    engine = engine_for(model, Settings(max_batch=6, token_budget=64, page_size=4, pages=60, max_length=100))
    graphs = DecodeGraphs(engine._forward, engine.tables, 6, 100)
    forward = engine._forward
    padded = []

    def pad(batch):
        if batch.chunks is not None:
            return forward(batch)
        padded.append(batch.decodes)
        size = next(size for size in graphs.sizes if size >= batch.decodes)
        graphs.set_inputs(batch.slots, batch.positions)
        return forward(replace(graphs.static_batch(size), max_context=batch.max_context))[: batch.decodes]

    engine._forward = pad
    prompts = PROMPTS[:3]
    assert engine.generate(prompts, Sampling(max_tokens=16)) == [model.greedy(p, 16) for p in prompts]
    assert set(padded) == {3}
