from dataclasses import replace

import numpy as np
import pytest

from executor.estimate.calibration import belief, setup_of
from executor.model.cost import Layout
from executor.steptime.batch import batch_time
from executor.steptime.model import step_times
from executor.steptime.workload import CHUNK_TOKENS, Drafting, Load, work_of

SETUPS = {
    "mixed, dense": ("Qwen3-32B", "H100-SXM", "bf16", "vllm", Layout(tp=2)),
    "prefill first, dense": ("Qwen3-32B", "H100-SXM", "bf16", "sglang", Layout(tp=4)),
    "experts": ("Qwen3-235B-A22B", "H200-SXM", "fp8", "trtllm", Layout(tp=4)),
    "two stages": ("Qwen3-32B", "H100-SXM", "bf16", "vllm", Layout(tp=2, pp=2)),
    "attention DP with overlap": ("DeepSeek-R1", "H200-SXM", "fp8", "sglang", Layout(attention_dp=16)),
}


def timed(name):
    setup = setup_of(*SETUPS[name])
    believed = belief(setup)
    return believed.on(setup), believed.calibration.theta


@pytest.mark.parametrize("name", SETUPS)
@pytest.mark.parametrize("sequences", [1, 16, 200])
def test_a_decode_step_takes_what_the_closed_loop_form_says(name, sequences):
    setup, theta = timed(name)
    work = replace(work_of([(setup, Load(1000, 200, sequences))]), kv_tokens=np.array([np.inf]))
    expected = step_times(work, theta).decode_step[0]
    time = replace(batch_time(setup, theta), front_end=0.0)
    # Read off at limits that are not quite reached: 1e-9 sequences, smooth minima of power 8.
    assert time.decode(sequences, sequences * float(work.context[0])) == pytest.approx(expected, rel=1e-8)


@pytest.mark.parametrize("name", [name for name in SETUPS if "overlap" not in name])
@pytest.mark.parametrize("prompt", [100, 3000, 20_000])
def test_prompts_take_what_the_closed_loop_form_says(name, prompt):
    """The work of a cycle's prompts, spread over steps as ``steptime`` spreads it."""
    setup, theta = timed(name)
    served, output = 32, 200
    work = replace(work_of([(setup, Load(prompt, output, served))]), kv_tokens=np.array([np.inf]))
    expected = step_times(work, theta).prefill[0]
    time = replace(batch_time(setup, theta), front_end=0.0)
    batch = served / time.stages
    holding = output * -np.expm1(-batch * max(1.0, prompt / CHUNK_TOKENS) / output)
    tokens = batch * prompt / holding * time.stages
    sequences = 0 if time.prefill_first else served
    context = served * float(work.context[0])
    alone = time.decode(sequences, context) if sequences else 0.0
    each = holding * (time.step(sequences, context, tokens, 0.0, 0) - alone) / batch
    assert each + time.square * prompt**2 + time.request == pytest.approx(expected, rel=1e-8)


def test_overlapped_steps_in_a_row_are_those_taken_one_by_one():
    setup, theta = timed("attention DP with overlap")
    time = batch_time(setup, theta)
    assert not time.is_arithmetic
    steps = time.decode_many(64, 50_000, 20)
    assert steps == pytest.approx([time.decode(64, 50_000 + 64 * step) for step in range(20)], rel=1e-13)


def test_a_run_of_steps_is_those_taken_one_by_one_front_end_included():
    setup, theta = timed("mixed, dense")
    for front_end in (0.0, 0.0003):
        time = replace(batch_time(setup, theta), front_end=front_end)
        first, growth, most = time.run(64, 1000)
        for step in range(min(most, 300)):
            taken = first + growth * step
            assert taken == pytest.approx(time.decode(64, 1000 + 64 * step), rel=1e-12)
        if most < 10**6:
            assert time.decode(64, 1000 + 64 * (most + 1)) > first


def test_the_cache_is_the_closed_loop_forms_slots_or_the_start_up_logs_tokens():
    setup, theta = timed("mixed, dense")
    work = work_of([(setup, Load(2048, 1, 1))])
    slots = step_times(work, theta).slots[0]
    assert batch_time(setup, theta, 2048).kv_tokens == pytest.approx(slots * float(work.context[0]), abs=1)
    assert batch_time(replace(setup, kv_tokens=12_345.0), theta).kv_tokens == pytest.approx(12_345, abs=1)


@pytest.mark.parametrize("name", ["mixed, dense", "experts", "attention DP with overlap"])
@pytest.mark.parametrize("sequences", [1, 64])
def test_a_step_that_drafts_takes_what_the_closed_loop_form_says(name, sequences):
    setup, theta = timed(name)
    drafts = replace(setup, drafting=Drafting(2, 0.7))
    work = replace(work_of([(drafts, Load(1000, 200, sequences))]), kv_tokens=np.array([np.inf]))
    expected = step_times(work, theta).decode_step[0]
    time = replace(batch_time(drafts, theta), front_end=0.0)
    assert time.decode(sequences, sequences * float(work.context[0])) == pytest.approx(expected, rel=1e-8)
    assert time.emitted == pytest.approx(1 + 0.7 + 0.49)
    assert time.decode(sequences, 1000) > batch_time(setup, theta).decode(sequences, 1000)
