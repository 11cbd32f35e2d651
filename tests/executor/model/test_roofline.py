"""Published peaks, what is missing, and shares of a peak."""

import pytest

from executor.errors import BadInputError, ImpossibleFigureError, MissingFigureError
from executor.model.roofline import Accelerator, mbu, mfu

H20 = Accelerator("H20-96GB", memory_gb=96, bandwidth_tb_s=4.0, bf16_tflops=148, fp8_tflops=296)


def test_h20_turns_compute_bound_at_37_flops_per_byte():
    assert H20.peak_flops("bf16") / H20.bandwidth_bytes_s == pytest.approx(37.0)


def test_mfu_is_the_share_of_the_dense_peak():
    assert mfu(74e12, H20, "bf16") == pytest.approx(0.5)
    assert mfu(74e12, H20, "fp8") == pytest.approx(0.25)


def test_mbu_is_the_share_of_the_bandwidth():
    assert mbu(3e12, H20) == pytest.approx(0.75)


def test_a_share_above_one_is_an_error():
    with pytest.raises(ImpossibleFigureError, match="MFU is 2"):
        mfu(296e12, H20, "bf16")
    with pytest.raises(ImpossibleFigureError, match=r"MBU is 1\.25"):
        mbu(5e12, H20)


def test_rounded_data_sheets_may_give_a_share_of_just_one():
    assert mbu(4.01e12, H20) == 1.0


@pytest.mark.parametrize("rate", [float("nan"), float("inf"), -1.0])
def test_a_rate_that_is_no_rate_is_refused(rate):
    with pytest.raises(BadInputError):
        mbu(rate, H20)


def test_a_missing_figure_is_an_error_that_names_it():
    with pytest.raises(MissingFigureError, match=r"H20-141GB has no bandwidth_tb_s"):
        _ = Accelerator("H20-141GB", memory_gb=141).bandwidth_bytes_s


def test_a_missing_peak_names_the_precisions_there_are():
    with pytest.raises(MissingFigureError, match="use bf16 or int8"):
        Accelerator("Ascend-910C", bf16_tflops=800, int8_tops=1504).peak_flops("fp8")


def test_a_figure_the_caller_vouches_for_is_used_and_recorded():
    card = Accelerator("H20-141GB", source="press").with_figures(bandwidth_tb_s=4.8)
    assert card.bandwidth_bytes_s == 4.8e12
    assert card.source == "press; bandwidth_tb_s=4.8 given by the caller"


def test_four_bit_integers_are_multiplied_in_bf16():
    assert H20.peak_flops("int4") == H20.peak_flops("bf16")


def test_an_unknown_precision_is_refused():
    with pytest.raises(BadInputError, match="precision must be one of"):
        H20.peak_flops("fp16")


@pytest.mark.parametrize("value", [float("nan"), -1.0, float("inf")])
def test_a_figure_that_cannot_be_is_refused(value):
    with pytest.raises(BadInputError, match="memory_gb"):
        Accelerator("X", memory_gb=value)
