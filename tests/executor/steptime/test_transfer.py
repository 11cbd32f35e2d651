"""Transfer to GPUs never measured: identities, known directions, and intervals that grow."""

from dataclasses import replace

import numpy as np
import pytest

from executor.errors import MissingFigureError
from executor.model.cost import Layout
from executor.model.roofline import Accelerator
from executor.model.spec import model_spec
from executor.steptime.fit import predict, uncalibrated
from executor.steptime.model import step_times
from executor.steptime.parameters import engine, prior_for
from executor.steptime.transfer import carry, compute_efficiency, family_of, memory_efficiency, reference_accelerator
from executor.steptime.workload import Load, Setup, work_of

H100 = Accelerator(
    "H100-SXM", memory_gb=80, bandwidth_tb_s=3.35, bf16_tflops=989, fp8_tflops=1979, interconnect_gb_s=900
)
H200 = Accelerator(
    "H200-SXM", memory_gb=141, bandwidth_tb_s=4.8, bf16_tflops=989, fp8_tflops=1979, interconnect_gb_s=900
)
H20 = Accelerator("H20-96GB", memory_gb=96, bandwidth_tb_s=4.0, bf16_tflops=148, fp8_tflops=296, interconnect_gb_s=900)


def on(target, moved):
    """The set-up on the target with the kernel factor that was carried over."""
    return replace(target, kernel_factor=moved.kernel_factor)


def setup(card, model="Qwen3-32B", precision="bf16", tp=4):
    return Setup(model_spec(model), card, precision, engine("sglang"), Layout(tp))


def belief():
    return uncalibrated(prior_for("sglang"))


def test_equal_hardware_changes_no_efficiency():
    assert memory_efficiency(0.8, ratio=1.0) == pytest.approx(0.8)
    assert compute_efficiency(0.6, ratio=1.0, own=0.75) == pytest.approx(0.6)


def test_faster_memory_shortens_only_what_bandwidth_explains():
    """t = 1/0.8 of the ideal on the source; on memory twice as fast 0.5 + 0.25 of it."""
    assert memory_efficiency(0.8, ratio=2.0) == pytest.approx(0.5 / (0.5 + 0.25))


def test_a_small_peak_comes_near_its_own_efficiency():
    assert compute_efficiency(0.5, ratio=1e-6, own=0.85) == pytest.approx(0.85, rel=1e-4)
    assert compute_efficiency(0.68, ratio=148 / 989, own=0.85) == pytest.approx(0.819, abs=5e-4)


def test_a_share_of_one_stays_one():
    assert memory_efficiency(1.2, ratio=3.0) == 1.0


def test_h100_to_h200_adds_the_saved_bandwidth_time_and_nothing_else():
    """The weight reads of a decode step: additive means the excess over the ideal stays in seconds."""
    source, target = setup(H100), setup(H200)
    moved = carry(belief(), H100, target)
    before = step_times(work_of([(source, Load(1024, 256, 1))]), belief().theta)
    after = step_times(work_of([(on(target, moved), Load(1024, 256, 1))]), moved.calibration.theta)
    read = source.cost.dense_read_bytes
    expected = before.weights[0] - read / 3.35e12 + read / 4.8e12
    # The soft cap on efficiencies moves it by less than 0.1 %.
    assert after.weights[0] == pytest.approx(expected, rel=1e-3)


def test_h20_decodes_no_slower_than_h100_and_prefills_much_slower():
    load = Load(2048, 256, 8)
    source, target = setup(H100), setup(H20)
    moved = carry(belief(), H100, target)
    before = step_times(work_of([(source, load)]), belief().theta, 0.0)
    after = step_times(work_of([(on(target, moved), load)]), moved.calibration.theta, 0.0)
    assert after.decode_step[0] < 1.05 * before.decode_step[0]
    assert 2.5 < after.prefill[0] / before.prefill[0] < 989 / 148


def test_h20_reaches_its_own_share_of_its_small_peak():
    """Large BF16 GEMM: between 0.8 and 0.85 of 148 TFLOPS."""
    moved = carry(belief(), H100, setup(H20))
    work = work_of([(on(setup(H20), moved), Load(8192, 2, 64))])
    times = step_times(work, moved.calibration.theta)
    reached = 2.0 * times.in_service[0] * work.cost.active_values[0] / times.gemm[0]
    assert 0.78 < reached / 148e12 < 0.86


@pytest.mark.parametrize("name", ["H20-96GB", "Ascend-910C"])
def test_what_was_never_measured_has_a_wider_interval(name):
    card = Accelerator(name, memory_gb=128, bandwidth_tb_s=3.2, bf16_tflops=800, int8_tops=1504, interconnect_gb_s=700)
    load = Load(1024, 256, 32)
    _, here = predict(work_of([(setup(H100), load)]), belief())
    moved = carry(belief(), H100, setup(card))
    _, there = predict(work_of([(on(setup(card), moved), load)]), moved.calibration, extra_sd=moved.extra_sd)
    assert np.all(there.spread[1:] > here.spread[1:])
    assert "never measured" in moved.reason


def test_another_architecture_is_less_certain_than_another_hopper():
    other = family_of(Accelerator("Ascend-910C"))
    h20 = family_of(H20)
    same = family_of(H200)
    assert same.extra_sd < h20.extra_sd < other.extra_sd
    assert family_of(reference_accelerator()) == same


def test_a_missing_bandwidth_stops_the_transfer_by_name():
    card = Accelerator("H20-141GB", memory_gb=141, bf16_tflops=148, fp8_tflops=296, interconnect_gb_s=900)
    with pytest.raises(MissingFigureError, match="bandwidth_tb_s"):
        carry(belief(), H200, setup(card))
    given = card.with_figures(bandwidth_tb_s=4.8)
    assert carry(belief(), H200, setup(given)).extra_sd > 0
