"""The step-time model against its check values, its limits, and rows made from known parameters."""

from dataclasses import fields, replace

import numpy as np
import pytest
from scipy.optimize import least_squares

from executor.errors import BadInputError, UnknownNameError
from executor.model.cost import Layout
from executor.model.roofline import Accelerator
from executor.model.spec import model_spec
from executor.steptime.fit import Calibration, Mode, fit, jacobian, predict, uncalibrated, v_opt
from executor.steptime.model import StepTimes, step_times
from executor.steptime.parameters import PARAMETERS, engine, known_engines, prior_for
from executor.steptime.workload import Drafting, Load, Setup, work_of

H100 = Accelerator(
    "H100-SXM", memory_gb=80, bandwidth_tb_s=3.35, bf16_tflops=989, fp8_tflops=1979, interconnect_gb_s=900
)


def setup(model="Qwen3-32B", precision="bf16", serving="sglang", layout=None, **given):
    return Setup(model_spec(model), H100, precision, engine(serving), layout or Layout(4), **given)


def work(rows, **given):
    """Rows of (isl, osl, concurrency) on one set-up."""
    return work_of([(setup(**given), Load(*row)) for row in rows])


def theta(**given):
    """The common prior's medians with h_req in ms and phi as given."""
    return prior_for("generic").with_(h_req=(given["h_req_ms"] / 1e3, 1.0), phi=(given["phi"], 1.0)).log_median


CHECKS = [
    pytest.param(
        {"layout": Layout(4)},
        (2048, 256, 64),
        {"h_req_ms": 1, "phi": 1.0},
        {
            "linear": 5.69,
            "attention": 3.63,
            "collectives": 2.04,
            "host": 3.72,
            "decode_step": 15.07,
            "prefill": 73.24,
            "cycle": 8603,
            "tpot": 23.52,
            "ttft": 2607,
        },
        id="Qwen3-32B TP4 SGLang",
    ),
    pytest.param(
        {"model": "Qwen3-235B-A22B", "precision": "fp8", "serving": "trtllm", "layout": Layout(8, moe_ep=8)},
        (1024, 512, 32),
        {"h_req_ms": 8, "phi": 0.15},
        {"decode_step": 17.79, "prefill": 22.62, "tpot": 19.00, "ttft": 178},
        id="Qwen3-235B TP8 TensorRT-LLM",
    ),
    pytest.param(
        {"model": "Llama-3.1-8B", "serving": "trtllm", "layout": Layout(1)},
        (2048, 512, 64),
        {"h_req_ms": 8, "phi": 0.15},
        {"decode_step": 15.79, "prefill": 53.74, "tpot": 21.86, "ttft": 408},
        id="Llama-3.1-8B TP1 TensorRT-LLM",
    ),
]


@pytest.mark.parametrize(("given", "load", "parameters", "expected_ms"), CHECKS)
def test_the_parts_equal_the_check_values_worked_out_with_the_form(given, load, parameters, expected_ms):
    """0.15 %: the check values are rounded to three or four digits, and efficiencies are capped softly here."""
    times = step_times(work([load], **given), theta(**parameters))
    for name, expected in expected_ms.items():
        assert getattr(times, name)[0] * 1e3 == pytest.approx(expected, rel=1.5e-3, abs=6e-3), name


def test_rows_and_draws_together_equal_rows_one_by_one():
    rows = [(1024, 128, 4), (4096, 512, 64), (2048, 256, 128)]
    draws = uncalibrated(prior_for("sglang")).draws(5)
    together = step_times(work(rows), draws)
    for place, row in enumerate(rows):
        for draw in range(5):
            alone = step_times(work([row]), draws[:, draw, 0])
            for field in fields(StepTimes):
                whole = np.broadcast_to(getattr(together, field.name), (5, 3))
                np.testing.assert_allclose(whole[draw, place], np.broadcast_to(getattr(alone, field.name), 1)[0])


def test_little_s_law_holds_between_cycle_and_throughput():
    times = step_times(work([(1024, 256, 32)]), prior_for("sglang").log_median)
    assert times.throughput_per_gpu[0] * 4 == pytest.approx(32 * 256 / times.cycle[0])
    assert times.cycle[0] == pytest.approx(times.ttft[0] + 255 * times.tpot[0])


def test_more_clients_never_lower_throughput_nor_tpot():
    loads = [(2048, 256, c) for c in (1, 2, 4, 8, 16, 32, 64, 128, 256)]
    times = step_times(work(loads), prior_for("vllm").log_median, burst_share=0.0)
    assert np.all(np.diff(times.throughput_per_gpu) > 0)
    assert np.all(np.diff(times.tpot) > 0)


def test_a_full_cache_stops_the_growth_and_makes_the_rest_wait():
    rows = [(2048, 256, 8), (2048, 256, 64)]
    times = step_times(work(rows, kv_tokens=16_000.0), prior_for("sglang").log_median)
    assert times.in_service[1] < 8
    assert times.ttft[1] > 20 * times.ttft[0]


def test_weights_that_nearly_fill_the_memory_leave_some_cache_and_doubt():
    """DeepSeek-R1 on 8 H20 of 96 GB runs: a few requests at once, nobody knows how many."""
    whole = setup("DeepSeek-R1", "fp8", layout=Layout(8))
    tight, ample = (
        work_of([(replace(whole, accelerator=replace(H100, memory_gb=size)), Load(1024, 1024, 64))])
        for size in (96, 141)
    )
    prior = prior_for("sglang")
    assert 1 < step_times(tight, prior.log_median).slots[0] < 30
    assert step_times(ample, prior.log_median).slots[0] > 300
    spread, usual = (predict(rows, uncalibrated(prior))[1].spread[2, 0] for rows in (tight, ample))
    assert spread > 1.4 * usual


def test_stated_kv_tokens_replace_what_memory_would_leave():
    stated = step_times(work([(1024, 1024, 64)], kv_tokens=50_000.0), prior_for("sglang").log_median)
    assert stated.slots[0] == pytest.approx(50_000 / 1536)


def test_a_burst_delays_the_first_token_and_leaves_the_cycle_alone():
    row = work([(2048, 256, 64)])
    mode = prior_for("sglang").log_median
    calm, burst = (step_times(row, mode, burst_share=share) for share in (0.0, 1.0))
    assert burst.ttft[0] > 5 * calm.ttft[0]
    assert burst.cycle[0] == pytest.approx(calm.cycle[0])


def test_a_cached_prefix_shortens_prefill():
    given = setup()
    rows = work_of([(given, Load(4096, 256, 8)), (given, Load(4096, 256, 8, prefix_reuse=0.5))])
    times = step_times(rows, prior_for("sglang").log_median)
    assert times.prefill[1] < 0.6 * times.prefill[0]


def test_pipeline_stages_raise_throughput_per_replica_but_not_the_speed_of_one_token():
    one = work_of([(setup("Llama-3.1-70B", layout=Layout(4)), Load(1024, 256, 64))])
    two = work_of([(setup("Llama-3.1-70B", layout=Layout(4, pp=2)), Load(1024, 256, 128))])
    mode = prior_for("vllm").log_median
    first, second = step_times(one, mode, 0.0), step_times(two, mode, 0.0)
    assert second.decode_step[0] == pytest.approx(first.decode_step[0])
    # The front end serves twice the tokens for both stages, hence not exactly the same per GPU.
    assert second.throughput_per_gpu[0] == pytest.approx(first.throughput_per_gpu[0], rel=0.05)


def test_each_attention_data_parallel_rank_schedules_its_own_requests():
    """Host time per sequence counts the sequences of a rank, so eight ranks carry eight times as many."""
    mode = prior_for("sglang").log_median
    given = {"model": "DeepSeek-V3", "precision": "fp8", "kv_tokens": 1e9}
    ranks = work([(1024, 1024, 8 * 64)], layout=Layout(attention_dp=8), **given)
    one = work([(1024, 1024, 64)], layout=Layout(8), **given)
    assert step_times(ranks, mode).host[0] == pytest.approx(step_times(one, mode).host[0], rel=1e-6)


def test_overlap_hides_what_is_shorter_and_costs_a_second_reading_of_the_weights():
    mode = prior_for("sglang").log_median
    wide = Layout(attention_dp=32)
    loads = {"model": "DeepSeek-V3", "precision": "fp8", "layout": wide, "kv_tokens": 1e9}
    plain = step_times(work([(4096, 256, 32 * 128)], two_batch_overlap=False, **loads), mode)
    both = step_times(work([(4096, 256, 32 * 128)], **loads), mode)
    assert both.weights[0] == pytest.approx(2 * plain.weights[0], rel=0.02)
    assert max(both.collectives[0], both.linear[0]) < both.decode_step[0] < plain.decode_step[0]


def test_drafts_that_are_all_accepted_double_the_tokens_of_a_step():
    kept = Drafting(1, 1.0)
    assert kept.emitted == 2.0
    assert Drafting(3, 0.0).emitted == 1.0
    mode = prior_for("sglang").log_median
    plain, drafted = (
        step_times(work([(1024, 1024, 4)], model="DeepSeek-V3", precision="fp8", layout=Layout(8), drafting=d), mode)
        for d in (None, kept)
    )
    assert drafted.decode_step[0] > plain.decode_step[0]
    assert drafted.tpot[0] < plain.tpot[0]


@pytest.mark.parametrize("bad", [(0, 0.5), (17, 0.5), (1.5, 0.5), (1, -0.1), (1, float("nan"))])
def test_impossible_drafting_is_refused(bad):
    with pytest.raises(BadInputError):
        Drafting(*bad)


def test_no_efficiency_exceeds_its_cap_however_wild_the_draw():
    row = work([(2048, 256, 64)])
    wild = prior_for("sglang").with_(e_w=(50.0, 1.0), e_p=(50.0, 1.0)).log_median
    times = step_times(row, wild)
    least = row.cost.dense_read_bytes[0] / (row.bandwidth[0] * 0.95)
    assert times.weights[0] >= least * (1 - 1e-9)


def test_a_fit_finds_the_parameters_that_made_the_rows():
    """Rows made without noise from shifted parameters; predictions of unseen rows within 3 %, since the prior
    still pulls a little at what six rows leave open."""
    grid = [(i, o, c) for i in (1024, 4096) for o in (128, 512) for c in (8, 32, 128)]
    rows = work(grid)
    before = uncalibrated(prior_for("sglang"))
    true = before.theta.copy()
    for name, factor in (("e_w", 0.9), ("e_p", 1.3), ("h_seq", 1.8), ("tau0", 2.0), ("a_ar", 1.2)):
        true[PARAMETERS.index(name)] += np.log(factor)
    made = step_times(rows, true)
    seen = [0, 2, 4, 7, 9, 11]
    few = work([grid[place] for place in seen])
    found = fit(few, made.ttft[seen], made.tpot[seen], before)
    assert found.rows == 6
    again = step_times(rows, found.theta)
    np.testing.assert_allclose(again.tpot, made.tpot, rtol=0.03)
    np.testing.assert_allclose(again.throughput_per_gpu, made.throughput_per_gpu, rtol=0.03)


def test_the_minimum_found_is_the_one_that_scipy_finds():
    """Rows far from the prior. Half the sum of squares within 0.1 %: ours stops when a step gains less than 1e-5."""
    rows = work([(i, o, c) for i in (1024, 4096) for o in (128, 512) for c in (8, 128)])
    before = uncalibrated(prior_for("sglang"))
    true = before.theta + np.random.default_rng(3).normal(0, 0.5, len(PARAMETERS))
    made = step_times(rows, true)
    target = np.log(np.stack([made.ttft, made.tpot, made.cycle]))

    def residuals(theta):
        misfit = (step_times(rows, theta).logs() - target) / np.array([0.2, 0.04, 0.04])[:, None]
        # Soft L1 with its knee at 2, as scipy states it, and the prior left as it is.
        loss = np.sqrt(8.0 * (np.sqrt(1.0 + misfit**2 / 4.0) - 1.0))
        return np.concatenate([loss.ravel(), (theta - before.theta) / prior_for("sglang").sd])

    expected = least_squares(residuals, before.theta, method="trf", xtol=1e-12, ftol=1e-12, max_nfev=500)
    found = fit(rows, made.ttft, made.tpot, before)
    ours = 0.5 * float(np.sum(residuals(found.theta) ** 2))
    assert ours <= expected.cost * (1 + 1e-3)


def test_one_absurd_row_does_not_carry_the_fit():
    rows = work([(i, 256, c) for i in (1024, 2048, 4096) for c in (8, 64)])
    before = uncalibrated(prior_for("sglang"))
    made = step_times(rows, before.theta)
    tpot = made.tpot.copy()
    tpot[0] *= 3
    found = fit(rows, made.ttft, tpot, before)
    again = step_times(rows, found.theta)
    np.testing.assert_allclose(again.tpot[1:], made.tpot[1:], rtol=0.12)


def test_measured_rows_narrow_the_interval():
    rows = work([(i, 256, c) for i in (1024, 4096) for c in (8, 64)])
    before = uncalibrated(prior_for("sglang"))
    made = step_times(rows, before.theta)
    after = fit(rows, made.ttft, made.tpot, before)
    _, wide = predict(rows, before)
    _, narrow = predict(rows, after)
    assert np.all(narrow.spread < wide.spread)


def test_no_row_leaves_the_belief_as_it_was():
    before = uncalibrated(prior_for("vllm"), engine("vllm").readings)
    assert fit(work([]), *np.empty((2, 0)), before) is before


def test_rows_run_in_lock_step_are_recognised():
    lock_step, *_ = (r for r in engine("sglang").readings if r.name == "lock-step waves")
    before = uncalibrated(prior_for("sglang"), engine("sglang").readings)
    rows = work([(2048, 256, c) for c in (16, 64, 128)])
    made = step_times(rows, lock_step.on(prior_for("sglang")).log_median)
    found = fit(rows, made.ttft, made.tpot, before)
    assert np.exp(found.theta[PARAMETERS.index("phi")]) == pytest.approx(1.0, rel=0.15)


def test_slopes_agree_with_one_sided_differences():
    rows = work([(2048, 256, 64), (1024, 512, 8)])
    mode = prior_for("sglang").log_median
    slopes = jacobian(rows, mode)
    base = step_times(rows, mode).logs()
    for place in range(len(PARAMETERS)):
        shifted = mode.copy()
        shifted[place] += 1e-6
        forward = (step_times(rows, shifted).logs() - base) / 1e-6
        np.testing.assert_allclose(slopes[:, :, place], forward, atol=2e-4)


def test_the_interval_of_one_mode_follows_from_its_covariance():
    """With a covariance of zero only the floor remains: 0.06 for TPOT, times 1.4 and 1.18 without rows."""
    mode = Mode(prior_for("sglang").log_median, np.zeros((16, 16)), 1.0)
    _, band = predict(work([(2048, 256, 64)]), Calibration((mode,), rows=0))
    np.testing.assert_allclose(band.spread[:, 0], 1.4 * np.array([0.82 * 0.25, 1.18 * 0.06, 1.23 * 0.06]))
    low, high = band.interval(1)
    assert np.log(high / low) == pytest.approx(2 * 1.2816 * 1.4 * 1.18 * 0.06, rel=1e-3)


def test_draws_are_the_same_each_time_and_have_the_belief_s_spread():
    before = uncalibrated(prior_for("sglang"))
    draws = before.draws(4000)
    np.testing.assert_array_equal(draws, before.draws(4000))
    # 4,000 draws: the standard deviation is known to 1/sqrt(8000) = 1.1 %; four of these.
    np.testing.assert_allclose(draws[:, :, 0].std(axis=1), prior_for("sglang").sd, rtol=0.045)


def test_v_opt_lowers_the_mean_variance_more_than_the_first_rows_do():
    grid = [(i, o, c) for i in (1024, 4096) for o in (128, 512) for c in (4, 16, 64, 128)]
    rows = work(grid)
    before = uncalibrated(prior_for("sglang"))
    made = step_times(rows, before.theta)

    def mean_variance(places):
        few = work([grid[place] for place in places])
        found = fit(few, made.ttft[places], made.tpot[places], before)
        return float(np.mean(predict(rows, found)[1].spread[1:] ** 2))

    assert mean_variance(v_opt(rows, before, 3)) < mean_variance([0, 1, 2])


def test_v_opt_names_each_row_once_and_never_more_than_there_are():
    rows = work([(1024, 128, 8), (1024, 128, 8), (4096, 256, 64)])
    assert sorted(v_opt(rows, uncalibrated(prior_for("sglang")), 10)) == [0, 1, 2]


def test_an_unknown_engine_lists_the_known_ones():
    with pytest.raises(UnknownNameError, match="did you mean sglang"):
        engine("sglangg")
    assert engine("TensorRT-LLM").name == "trtllm"
    assert {engine(name).name for name in known_engines()} == set(known_engines())


def test_every_engine_s_readings_share_one_probability():
    """The stored weights have three digits."""
    for name in known_engines():
        assert sum(reading.weight for reading in engine(name).readings) == pytest.approx(1.0, abs=2e-3)


@pytest.mark.parametrize(
    "bad", [(float("nan"), 1, 1), (0, 1, 1), (1, 0, 1), (1, 1, 0), (1, 1, -4), (1, 1, float("inf")), (1e10, 1, 1)]
)
def test_an_impossible_load_is_refused(bad):
    with pytest.raises(BadInputError):
        Load(*bad)


def test_an_enormous_concurrency_gives_finite_numbers():
    times = step_times(work([(1024, 128, 1e9)]), prior_for("sglang").log_median)
    for field in fields(StepTimes):
        assert np.all(np.isfinite(getattr(times, field.name))), field.name
