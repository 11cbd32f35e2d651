"""Choosing back ends and kernel shapes: wrong, absent and slow candidates are passed over."""

import pytest
import torch

pytest.importorskip("triton")

from executor.engine import backends, tuning
from executor.engine.batch import Chunks
from executor.engine.kv import KvCache
from executor.engine.operators import TorchOperators, prompt_rows
from executor.engine.operators_triton import TritonOperators
from executor.engine.slices import WHOLE
from executor.engine.timing import time_calls
from executor.engine.tuning import Tuning, bucket, tune
from executor.engine.weights import DummyWeights
from executor.model.spec import ModelSpec, MoeSpec, RopeSpec

CPU = torch.device("cpu")


def test_the_first_right_candidate_is_chosen_and_the_others_faults_are_kept():
    def absent(x):
        raise ImportError("no such wheel\nmore")

    def wrong(x):
        return x + 1

    def nan(x):
        return x * float("nan")

    def right(x):
        return x

    x = torch.ones(4)
    chosen = backends.first_right("sum", [absent, wrong, nan, right], lambda call: backends._relative(call(x), x))
    assert chosen is right
    report = backends.REPORT.pop("sum")
    assert report.startswith("right (error 0.0000); absent: ImportError: no such wheel; wrong: error 1.000")
    with pytest.raises(RuntimeError, match="no sum works on this device"):
        backends.first_right("sum", [absent, wrong], lambda call: backends._relative(call(x), x))


def test_the_plain_prompt_attention_passes_its_own_check():
    generator = torch.Generator().manual_seed(0)
    for shape in ((8, 2, 64, 64), (4, 4, 48, 32)):
        assert backends._prompt_error(prompt_rows, shape, CPU, generator) < backends.TOLERANCE


def test_the_check_of_prompt_attention_notices_a_wrong_alignment():
    """Causal from the first key instead of the last: the usual difference between flash kernels."""

    def misaligned(q, keys, values, chunks, scale):
        shifted = Chunks(chunks.starts, chunks.context_starts, None, chunks.counts, chunks.counts)
        own = torch.cat([torch.arange(0, 70), torch.arange(70, 103)])
        return prompt_rows(q, keys[own], values[own], shifted, scale)

    generator = torch.Generator().manual_seed(0)
    assert backends._prompt_error(misaligned, (4, 2, 64, 64), CPU, generator) > backends.TOLERANCE


def test_repeating_heads_equals_sharing_them(monkeypatch):
    monkeypatch.setattr(backends, "ragged", prompt_rows)
    generator = torch.Generator().manual_seed(0)
    assert backends._prompt_error(backends.ragged_repeated, (8, 2, 64, 64), CPU, generator) < backends.TOLERANCE


@pytest.mark.parametrize("scaling", ["tensor", "row", "block"])
def test_the_check_of_fp8_products_passes_the_exact_one_and_notices_a_wrong_scale(scaling):
    from executor.engine.linear import dequantise

    def exact(x, weight):
        return x.float() @ dequantise(weight, torch.float32).t()

    generator = torch.Generator().manual_seed(0)
    assert backends._product_error(exact, scaling, CPU, generator) < 1e-6
    assert backends._product_error(lambda x, w: 1.1 * exact(x, w), scaling, CPU, generator) > backends.TOLERANCE


def test_the_cpu_gets_plain_torch_unless_kernels_are_asked_for():
    assert type(backends.operators(CPU, None)) is TorchOperators
    assert isinstance(backends.operators(CPU, True), TritonOperators)


def test_a_batch_takes_the_shapes_of_the_bucket_above_it():
    assert [bucket(rows) for rows in (0.3, 1, 2, 16, 17, 256, 1000)] == [1, 1, 4, 16, 64, 256, 256]


def test_a_candidate_that_fails_is_left_out_of_tuning():
    chosen = Tuning()

    def run(shape):
        if shape < 3:
            raise RuntimeError("out of shared memory")

    chosen.choose(("kernel", 1), [1, 2, 3], run, CPU)
    assert chosen.chosen == {("kernel", 1): 3}
    chosen.choose(("kernel", 2), [1, 2], run, CPU)
    assert ("kernel", 2) not in chosen.chosen


@pytest.mark.slow
def test_tuning_fills_every_bucket_with_a_shape_that_was_offered(monkeypatch):
    for name, value in (("BUCKETS", (1, 4)), ("TURNS", 1), ("SAMPLES", 1), ("CONTEXT", 32)):
        monkeypatch.setattr(tuning, name, value)
    spec = ModelSpec(
        name="tiny", model_type="qwen3_moe", layers=1, hidden=16, heads=2, kv_heads=1, head_dim=16,
        intermediate=16, vocab=31, rope=RopeSpec(10_000.0), rms_eps=1e-6, max_position=64,
        moe=MoeSpec(4, 2, 16),
    )  # fmt: skip
    cache = KvCache(spec, WHOLE, 8, 16, torch.float32, CPU)
    experts = DummyWeights(torch.float32, CPU).experts("layer", spec, WHOLE)
    chosen = Tuning()
    tune(chosen, spec, 2, cache, [experts], max_batch=4)
    assert {key[:2] for key in chosen.chosen} == {("gqa", 1), ("gqa", 4), ("experts", 1), ("experts", 4)}
    assert chosen.gqa(3, 2, 16) in tuning.GQA_SHAPES
    assert chosen.experts(2, experts) in tuning.FEW_ROWS


def test_timing_counts_single_calls_and_orders_its_quartiles():
    calls = []
    timing = time_calls([lambda: calls.append(0), lambda: calls.append(1)], CPU, samples=5, rounds=3)
    assert len(calls) == 2 + 5 * 3 * 2
    assert 0 < timing.low <= timing.median <= timing.high
    assert timing.captured is False
