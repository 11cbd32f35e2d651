"""Estimates and goodput: labels, fits, limits, known queueing answers, and directions that must hold."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from executor.errors import BadInputError, DoesNotFitError, MissingFigureError, UserMistakeError
from executor.estimate.calibration import setup_of
from executor.estimate.closed_loop import estimate as estimate_of
from executor.estimate.lengths import Lengths
from executor.estimate.open_loop import goodput
from executor.estimate.slo import Slo
from executor.model.cost import Layout
from executor.steptime.workload import Drafting, Load

CHAT = Lengths(
    1200,
    300,
    ((0.0, 10), (0.5, 800), (0.9, 3000), (0.99, 8000), (1.0, 16_000)),
    ((0.0, 1), (0.5, 200), (0.9, 700), (1.0, 4000)),
)
RELAXED = Slo(ttft_ms=5000, tpot_ms=50, percentile=90)


def estimate(model, gpu, precision, engine, layout, isl, osl, concurrency, prefix_reuse=0.0, **given_):
    setup = setup_of(model, gpu, precision, engine, layout, **given_)
    return estimate_of(setup, Load(isl, osl, concurrency, prefix_reuse))


def qwen(gpu="H100-SXM", tp=4, **given_):
    body = {"precision": "bf16", "engine": "sglang", "isl": 2048, "osl": 256, "concurrency": 64} | given_
    return estimate("Qwen3-32B", gpu, layout=Layout(tp), **body)


def chat(gpu="H100-SXM", slo=RELAXED, lengths=CHAT, tp=4, **given_):
    reuse = given_.pop("prefix_reuse", 0.0)
    setup = setup_of("Qwen3-32B", gpu, "bf16", "sglang", Layout(tp), **given_)
    return goodput(setup, lengths, slo, reuse)


def test_a_measured_set_up_is_estimated_within_its_interval():
    """The public row: TTFT 2317 ms, TPOT 22.40 ms at TP4, 2048/256, 64 clients."""
    found = qwen()
    assert found.label == "calibrated"
    assert found.ttft_ms.low <= 2317 <= found.ttft_ms.high
    assert found.tpot_ms.low <= 22.40 <= found.tpot_ms.high


@pytest.mark.parametrize(
    ("model", "gpu", "precision", "engine", "layout", "label"),
    [
        ("Qwen3-32B", "H100-SXM", "bf16", "sglang", Layout(2), "calibrated"),
        ("DeepSeek-V3", "H200-SXM", "fp8", "sglang", Layout(8), "calibrated"),
        ("Qwen3-32B", "H20-96GB", "bf16", "sglang", Layout(2), "extrapolated"),
        ("Qwen3-32B", "H800-SXM", "bf16", "sglang", Layout(2), "extrapolated"),
        ("Qwen3-8B", "H100-SXM", "bf16", "sglang", Layout(), "estimated"),
        ("Qwen3-32B", "Ascend-910C", "bf16", "generic", Layout(4), "estimated"),
    ],
)
def test_the_label_says_which_rows_speak(model, gpu, precision, engine, layout, label):
    found = estimate(model, gpu, precision, engine, layout, 1024, 256, 16)
    assert found.label == label
    assert found.reason
    if label == "calibrated":
        assert found.calibration_rows >= 2
    if gpu not in ("H100-SXM", "H200-SXM"):
        assert "never measured" in found.reason


def test_the_interval_widens_from_calibrated_over_extrapolated_to_another_architecture():
    def width(gpu):
        figure = qwen(gpu).tpot_ms
        return math.log(figure.high / figure.low)

    assert width("H100-SXM") < width("H800-SXM") < width("H20-96GB") < width("Ascend-910C")


def test_the_parts_of_a_token_add_up_to_its_time_at_the_mode():
    found = estimate("Qwen3-8B", "H100-SXM", "bf16", "vllm", Layout(), 1024, 256, 16)
    # TPOT is the mean over readings of the benchmark, the parts those of the likeliest: within a fifth.
    assert sum(found.parts_ms.values()) == pytest.approx(found.tpot_ms.value, rel=0.2)


def test_a_full_cache_is_named_as_the_limit():
    assert "KV cache" in qwen(tp=1).limits
    assert qwen(tp=1).in_service < 64


def test_kv_tokens_from_the_start_up_log_are_taken():
    assert qwen(tp=1, kv_tokens=150_000).in_service == pytest.approx(64, rel=0.1)


def test_what_does_not_fit_says_by_how_much():
    with pytest.raises(DoesNotFitError, match=r"47\.1 GB per GPU are missing"):
        estimate("Qwen3-235B-A22B", "H100-SXM", "bf16", "sglang", Layout(4), 1024, 128, 1)
    with pytest.raises(DoesNotFitError, match="cannot hold one request"):
        estimate("Qwen3-32B", "H100-SXM", "bf16", "sglang", Layout(), 30_000, 1000, 1)


def test_deepseek_r1_fits_eight_h20_of_96_gb_with_little_kv():
    found = estimate("DeepSeek-R1", "H20-96GB", "fp8", "sglang", Layout(8), 1024, 1024, 1)
    assert found.memory.fits
    assert found.kv_tokens < 10_000


def test_a_request_fits_that_an_engine_which_serves_would_hold():
    """The usual share of the memory leaves 5,078 tokens, three times as many are likely; 60,000 are out of reach."""
    found = estimate("DeepSeek-R1", "H20-96GB", "fp8", "sglang", Layout(8), 4096, 1536, 16)
    assert found.in_service < 5
    assert "room for about" in found.limits
    with pytest.raises(DoesNotFitError, match="cannot hold one request"):
        estimate("DeepSeek-R1", "H20-96GB", "fp8", "sglang", Layout(8), 60_000, 1536, 16)


def test_h20_of_141_gb_asks_for_its_bandwidth():
    with pytest.raises(MissingFigureError, match="bandwidth_tb_s"):
        qwen("H20-141GB")
    slow, fast = (qwen("H20-141GB", figures={"bandwidth_tb_s": b}) for b in (4.0, 4.8))
    assert fast.tpot_ms.value < slow.tpot_ms.value


@pytest.mark.parametrize("change", [{"gpu": "H300"}, {"gpu": "H20"}, {"engine": "sglangg"}, {"precision": "fp7"}])
def test_an_unknown_or_ambiguous_name_is_an_error(change):
    with pytest.raises(UserMistakeError):
        qwen(**change)


@pytest.mark.parametrize(
    "change",
    [
        {"concurrency": float("nan")},
        {"concurrency": -1},
        {"isl": 0},
        {"osl": float("inf")},
        {"kv_tokens": -5},
        {"kv_tokens": float("nan")},
        {"prefix_reuse": 1.0},
    ],
)
def test_impossible_loads_are_refused(change):
    with pytest.raises(BadInputError):
        qwen(**change)


def test_an_enormous_concurrency_waits_and_stays_finite():
    found = qwen(concurrency=1e8)
    assert math.isfinite(found.ttft_ms.value)
    assert found.in_service < 1e4


def test_accepted_drafts_shorten_a_token_and_refused_ones_lengthen_it():
    def r1(acceptance):
        drafting = None if acceptance is None else Drafting(1, acceptance)
        return estimate("DeepSeek-R1", "H200-SXM", "fp8", "sglang", Layout(8), 1024, 1024, 16, drafting=drafting)

    plain, kept, refused = (r1(a) for a in (None, 0.8, 0.0))
    assert kept.tpot_ms.value < plain.tpot_ms.value < refused.tpot_ms.value
    # One more token per step at 0.8: at best 1.8 times faster, less what verifying and drafting cost.
    assert 1.1 < plain.tpot_ms.value / kept.tpot_ms.value < 1.8
    assert kept.kv_tokens < plain.kv_tokens


def test_the_same_question_has_the_same_answer():
    assert qwen() == qwen()
    assert chat() == chat()


def test_goodput_states_its_spread_label_and_limit():
    found = chat()
    assert 0 < found.low < found.requests_per_s < found.high
    assert found.sigma_log == pytest.approx(math.log(found.high / found.low) / 2 / 1.2816, rel=1e-3)
    assert found.label == "calibrated"
    assert "TPOT" in found.limits or "TTFT" in found.limits
    assert 0 < found.mfu < 1
    assert 0 < found.mbu < 1


def test_a_goodput_keeps_the_slo_in_the_closed_loop_of_the_same_occupancy():
    """At its mean occupancy the mean TPOT of the closed loop lies below the bound on the percentile."""
    found = chat()
    assert found.tpot_ms < RELAXED.tpot_ms


def test_a_tighter_slo_never_gives_more():
    rates = [chat(slo=Slo(5000, tpot, 90)).requests_per_s for tpot in (15, 25, 50, 100)]
    assert rates == sorted(rates)
    rates = [chat(slo=Slo(ttft, 80, 90)).requests_per_s for ttft in (600, 1200, 5000)]
    assert rates == sorted(rates)
    assert chat(slo=Slo(5000, 50, 99)).requests_per_s <= chat(slo=Slo(5000, 50, 90)).requests_per_s


def test_reuse_of_prefixes_and_more_gpus_give_more():
    assert chat(prefix_reuse=0.5).requests_per_s > chat().requests_per_s
    assert chat(tp=8).requests_per_s > chat(tp=4).requests_per_s


def test_h20_serves_fewer_long_prompts_than_h100_and_is_less_certain():
    assert chat("H20-96GB").requests_per_s < chat().requests_per_s
    assert chat("H20-96GB").sigma_log > chat().sigma_log


def test_an_slo_that_no_rate_meets_is_an_answer_with_its_reason():
    found = chat(slo=Slo(ttft_ms=5, tpot_ms=50))
    assert found.requests_per_s == 0
    assert "cannot be met at any rate" in found.limits
    assert "TTFT" in found.limits
    assert "a lone request has TTFT" in found.reason


def test_a_wait_bound_in_prefill_matches_the_m_g_1_tail():
    """With TPOT and KV out of the way the rate is where 1 - rho exp(-(bound - own) rho / W) meets the percentile.

    Equal prompts make the server M/D/1; the simulated wait (Lindley, 200,000 arrivals) of the same rate and service
    must meet the bound for about the share asked for. The exponential tail errs by 2 points at rho below 0.9.
    """
    lengths = Lengths(8192, 2)
    slo = Slo(ttft_ms=6000, tpot_ms=1e9, percentile=90)
    found = chat(slo=slo, lengths=lengths)
    lone = chat(slo=Slo(1e9, 1e9, 90), lengths=lengths)
    own = qwen(isl=8192, osl=2, concurrency=1).ttft_ms.value / 1e3
    service = 1 / (lone.requests_per_s * 1.0)
    rng = np.random.default_rng(5)
    gaps = rng.exponential(1 / found.requests_per_s, 200_000)
    wait, met = 0.0, 0
    for gap in gaps:
        wait = max(0.0, wait + service - gap)
        met += wait + own <= 6.0
    assert met / len(gaps) == pytest.approx(0.9, abs=0.05)


@settings(max_examples=25, deadline=None)
@given(
    isl=st.floats(16, 30_000),
    osl=st.floats(2, 4000),
    concurrency=st.floats(1, 2000),
    gpu=st.sampled_from(["H100-SXM", "H200-SXM", "H20-96GB", "H800-SXM", "Ascend-910C"]),
)
def test_any_possible_question_has_a_finite_answer_below_the_limits(isl, osl, concurrency, gpu):
    found = estimate("Llama-3.1-8B", gpu, "bf16", "vllm", Layout(2), isl, osl, concurrency)
    for figure in (found.ttft_ms, found.tpot_ms, found.output_tokens_per_s_per_gpu):
        assert 0 < figure.low <= figure.value <= figure.high < math.inf
    assert 0 <= found.mfu <= 1
    assert 0 <= found.mbu <= 1


@pytest.mark.parametrize(
    "bad",
    [
        {"input_mean": 0, "output_mean": 1},
        {"input_mean": float("nan"), "output_mean": 1},
        {"input_mean": 10, "output_mean": 1, "input_quantiles": ((0.5, 10), (0.2, 20))},
        {"input_mean": 10, "output_mean": 1, "input_quantiles": ((0.2, 20), (0.5, 10))},
        {"input_mean": 10, "output_mean": 1, "output_quantiles": ((1.2, 20),)},
    ],
)
def test_lengths_that_are_no_distribution_are_refused(bad):
    with pytest.raises(BadInputError, match="lengths"):
        Lengths(**bad)


def test_a_length_grid_keeps_the_mean_and_the_order():
    grid = CHAT.grid("input")
    assert grid.mean() == pytest.approx(1200)
    assert np.all(np.diff(grid) >= 0)


@pytest.mark.parametrize("bad", [(0, 50, 90), (100, -1, 90), (100, 50, 0), (100, 50, 100), (float("nan"), 50, 90)])
def test_an_slo_that_is_none_is_refused(bad):
    with pytest.raises(BadInputError, match="SLO"):
        Slo(*bad)
