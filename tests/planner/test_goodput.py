import pytest

from executor.cost import Layout
from executor.errors import DoesNotFitError
from planner.belief import setup_of
from planner.goodput import replayed_goodput
from planner.serving import Lengths, Slo, goodput_of

SETUP = setup_of("Qwen3-32B", "H100-SXM", "bf16", "sglang", Layout(tp=4))
LENGTHS = Lengths(800.0, 200.0)
SLO = Slo(2000.0, 50.0)


def test_the_level_is_the_replays_and_the_spread_the_closed_forms():
    formula = goodput_of(SETUP, LENGTHS, SLO)
    found = replayed_goodput(SETUP, LENGTHS, SLO, requests=600)
    # Equal lengths and few requests: the two forms agree to about a fifth.
    assert found.requests_per_s == pytest.approx(formula.requests_per_s, rel=0.3)
    assert found.requests_per_s != formula.requests_per_s
    assert found.high / found.low == pytest.approx(formula.high / formula.low, rel=1e-9)
    assert found.low < found.requests_per_s < found.high
    assert (found.label, found.sigma_log) == (formula.label, formula.sigma_log)
    assert "level by replay" in found.reason


def test_reuse_of_prefixes_raises_the_rate_and_a_tighter_bound_lowers_it():
    long = Lengths(6000.0, 100.0)
    plain = replayed_goodput(SETUP, long, SLO, requests=400).requests_per_s
    assert replayed_goodput(SETUP, long, SLO, prefix_reuse=0.6, requests=400).requests_per_s > plain
    assert replayed_goodput(SETUP, long, Slo(2000.0, 30.0), requests=400).requests_per_s < plain


def test_an_slo_out_of_reach_and_a_model_that_does_not_fit_are_told_as_by_the_closed_form():
    assert replayed_goodput(SETUP, LENGTHS, Slo(1.0, 1.0)).requests_per_s == 0.0
    with pytest.raises(DoesNotFitError):
        replayed_goodput(setup_of("DeepSeek-R1", "H100-SXM", "fp8", "sglang", Layout()), LENGTHS, SLO)
