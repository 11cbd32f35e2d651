"""Which rows speak for a set-up: version, card, width of the weights, and how far they were carried."""

from dataclasses import replace

import pytest

from executor.errors import BadInputError
from executor.estimate.calibration import belief, prior_belief, setup_of
from executor.estimate.closed_loop import estimate
from executor.estimate.measured_points import case_of
from executor.model.cost import Layout


def rows(gpu="H100-SXM", precision="bf16", version="1", count=4, engine="sglang", slow=1.0):
    """Rows that the prior itself predicts, ``slow`` times slower."""
    made = []
    for line in range(count):
        cells = {
            "gpu": gpu,
            "engine": engine,
            "engine_version": version,
            "model": "Qwen/Qwen3-8B",
            "precision": precision,
            "input_tokens": str((1024, 4096)[line % 2]),
            "output_tokens": "256",
            "concurrency": str((8, 64)[line // 2 % 2]),
        }
        case = case_of(line + 2, cells, measured=False)
        found = estimate(case.setup, case.load, rows=())
        made.append(replace(case, ttft_ms=slow * found.ttft_ms.value, tpot_ms=slow * found.tpot_ms.value))
    return made


def asked(gpu="H100-SXM", precision="bf16", engine="sglang"):
    return setup_of("Qwen3-8B", gpu, precision, engine, Layout())


def test_rows_of_the_version_asked_for_come_first():
    both = [*rows(version="1", count=4), *rows(version="2", count=2)]
    assert belief(asked(), "2", both).calibration.rows == 2
    assert belief(asked(), "1", both).calibration.rows == 4


def test_without_its_version_the_one_with_most_rows_speaks_and_the_reason_says_so():
    found = belief(asked(), "3", [*rows(version="1", count=4), *rows(version="2", count=2)])
    assert found.calibration.rows == 4
    assert "version 3 has none" in found.reason


def test_rows_of_another_engine_or_precision_do_not_speak():
    for other in (rows(engine="vllm"), rows(precision="fp8")):
        assert belief(asked(), "", other).label == "estimated"


def test_rows_of_another_card_are_carried_over():
    found = belief(asked("H20-96GB"), "", rows())
    assert found.label == "extrapolated"
    assert found.extra_sd > 0
    assert "carried over from H100-SXM to H20-96GB" in found.reason


def test_rows_of_this_card_beat_rows_of_another():
    found = belief(asked("H20-96GB"), "", [*rows(), *rows("H20-96GB", count=2)])
    assert (found.label, found.calibration.rows, found.extra_sd) == ("calibrated", 2, 0.0)


def test_one_row_moves_the_belief_and_does_not_make_it_calibrated():
    found = belief(asked(), "", rows(count=1, slow=1.5))
    assert found.label == "estimated"
    assert "one measured row" in found.reason
    assert found.calibration.rows == 1


def test_eight_bit_rows_speak_for_eight_bit_integers_on_another_card_alone():
    measured = rows(precision="fp8")
    assert belief(asked("Ascend-910C", "int8"), "", measured).label == "extrapolated"
    assert belief(asked("H100-SXM", "int8"), "", measured).label == "estimated"


def test_the_prior_needs_no_transfer_where_it_was_fitted():
    assert prior_belief(asked("H200-SXM")).extra_sd == 0
    assert "never measured" in prior_belief(asked("H20-96GB")).reason


def test_layout_and_kv_cache_do_not_change_what_is_believed():
    measured = tuple(rows())
    first = belief(asked(), "", measured)
    second = belief(replace(asked(), layout=Layout(8), kv_tokens=5e4), "", measured)
    assert first is second


@pytest.mark.parametrize("tokens", [0.0, -1.0, float("inf"), float("nan")])
def test_kv_tokens_that_cannot_be_are_refused(tokens):
    with pytest.raises(BadInputError, match="kv_tokens"):
        setup_of("Qwen3-8B", "H100-SXM", "bf16", "vllm", Layout(), kv_tokens=tokens)
