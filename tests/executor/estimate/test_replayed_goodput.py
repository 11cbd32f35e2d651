import csv
from dataclasses import replace

import pytest

import executor.estimate.replayed_goodput as module
from executor.errors import DoesNotFitError
from executor.estimate.calibration import belief, setup_of
from executor.estimate.lengths import Lengths
from executor.estimate.open_loop import goodput
from executor.estimate.replayed_goodput import (
    TABLE,
    Answer,
    Question,
    answered,
    closed_form,
    replayed,
    replayed_goodput,
    shipped_answers,
)
from executor.estimate.slo import Slo
from executor.model.cost import Layout
from executor.reference import SHIPPED
from executor.steptime.workload import Drafting
from planner.demand.summary import Cell
from planner.demand.traffic import traffic
from planner.open_scenario import open_scenario
from planner.scenario.load import shipped
from planner.sizing import asked_of

SETUP = setup_of("Qwen3-32B", "H100-SXM", "bf16", "sglang", Layout(tp=4))
LENGTHS = Lengths(800.0, 200.0)
SLO = Slo(2000.0, 50.0)


class Kept(dict):
    """A memory of the test's own."""

    def put(self, key, answer):
        self[key] = answer


def asked(setup=SETUP, lengths=LENGTHS, slo=SLO, requests=600, cells=(), reuse=0.0, version=""):
    return Question(setup, lengths, slo, reuse, version, cells, requests)


def test_the_level_is_the_replays_and_the_spread_the_closed_forms():
    formula = goodput(SETUP, LENGTHS, SLO)
    found = replayed_goodput(asked())
    # Equal lengths and few requests: the two forms agree to about a fifth.
    assert found.requests_per_s == pytest.approx(formula.requests_per_s, rel=0.3)
    assert found.requests_per_s != formula.requests_per_s
    assert found.high / found.low == pytest.approx(formula.high / formula.low, rel=1e-9)
    assert found.low < found.requests_per_s < found.high
    assert (found.label, found.sigma_log) == (formula.label, formula.sigma_log)
    assert "level by replay" in found.reason
    assert found.limits.startswith(("TPOT bound", "TTFT bound"))
    assert found.tpot_ms < SLO.tpot_ms
    # Little's law at the rate found: requests under way = rate x (TTFT + TPOT x 199 gaps), equal lengths.
    assert found.concurrency == pytest.approx(
        found.requests_per_s * (found.ttft_ms + 199 * found.tpot_ms) / 1e3, rel=1e-4
    )


def test_reuse_of_prefixes_raises_the_rate_and_a_tighter_bound_lowers_it():
    long = Lengths(6000.0, 100.0)
    plain = replayed_goodput(asked(lengths=long, requests=400)).requests_per_s
    assert replayed_goodput(asked(lengths=long, reuse=0.6, requests=400)).requests_per_s > plain
    assert replayed_goodput(asked(lengths=long, slo=Slo(2000.0, 30.0), requests=400)).requests_per_s < plain


def test_lengths_that_go_together_are_drawn_together():
    """Long prompts with long answers, or with short ones: the same margins, another rate."""
    halves = ((100.0, 50.0, 1500.0, 350.0), (100.0, 350.0, 1500.0, 50.0))
    rates = []
    for first_in, first_out, second_in, second_out in halves:
        cells = (
            Cell(weight=0.5, input=first_in, output=first_out),
            Cell(weight=0.5, input=second_in, output=second_out),
        )
        rates.append(replayed(asked(cells=cells)).requests_per_s)
    assert abs(rates[0] / rates[1] - 1) > 0.02  # more than the search's precision of 1 %


def test_an_slo_out_of_reach_and_a_model_that_does_not_fit_are_told_as_by_the_closed_form():
    assert replayed_goodput(asked(slo=Slo(1.0, 1.0))).requests_per_s == 0.0
    with pytest.raises(DoesNotFitError):
        replayed_goodput(asked(setup_of("DeepSeek-R1", "H100-SXM", "fp8", "sglang", Layout())))


def test_an_answer_is_the_same_whether_replayed_or_remembered():
    memory, question_ = Kept(), asked(requests=400)
    first = answered(question_, memory)
    assert memory == {question_.key: first}
    memory[question_.key] = replace(first, requests_per_s=123.0)
    assert answered(question_, memory).requests_per_s == 123.0, "a known answer is not replayed again"
    assert replayed(question_) == first


def test_all_that_moves_the_answer_is_in_the_key():
    base = asked()
    changed = [
        asked(slo=Slo(2000.0, 49.0)),
        asked(slo=Slo(2000.0, 50.0, 95.0)),
        asked(requests=500),
        asked(reuse=0.1),
        asked(cells=(Cell(weight=1.0, input=800.0, output=200.0),)),
        asked(lengths=Lengths(801.0, 200.0)),
        asked(lengths=Lengths(800.0, 200.0, input_quantiles=((0.5, 700.0),))),
        asked(replace(SETUP, kv_tokens=100_000.0)),
        asked(replace(SETUP, layout=Layout(tp=8))),
        asked(replace(SETUP, drafting=Drafting(1, 0.8))),
        asked(replace(SETUP, accelerator=SETUP.accelerator.with_figures(bandwidth_tb_s=3.3))),
        asked(setup_of("Qwen3-32B", "H100-SXM", "fp8", "sglang", Layout(tp=4))),
        asked(setup_of("Qwen3-32B", "H100-SXM", "bf16", "vllm", Layout(tp=4))),
    ]
    assert len({each.key for each in [base, *changed]}) == 1 + len(changed)
    assert asked().key == base.key


def test_rows_that_calibrate_and_beliefs_before_them_are_in_the_key(monkeypatch):
    key = asked().key
    believed = belief(SETUP)
    assert believed.rows, "else this proves nothing"
    slower = tuple(replace(row, tpot_ms=row.tpot_ms * 2) for row in believed.rows)
    monkeypatch.setattr(module, "belief", lambda *_: replace(believed, rows=slower))
    other_rows = asked().key
    monkeypatch.setattr(module, "belief", lambda *_: believed)
    monkeypatch.setattr(module, "priors_version", lambda: "another")
    assert len({key, other_rows, asked().key}) == 3


def test_a_fit_that_ends_elsewhere_asks_the_same_question(monkeypatch):
    """Keys are made of what is asked: no computed figure, and so no rounding, is in them."""
    key = asked().key
    believed = belief(SETUP)
    modes = tuple(
        replace(mode, theta=mode.theta + 0.01, covariance=mode.covariance * 1.01) for mode in believed.calibration.modes
    )
    nudged = replace(believed, calibration=replace(believed.calibration, modes=modes))
    monkeypatch.setattr(module, "belief", lambda *_: nudged)
    assert asked().key == key


# -- the table that ships ----------------------------------------------------------------------------------


def questions():
    """What the shipped scenarios ask, each once."""
    asked_by_key = {}
    for name in shipped():
        for pool in open_scenario(name, []).scenario.pools:
            for sku, layout in pool.layouts.items():
                found = asked_of(pool, sku, layout, traffic(pool))
                asked_by_key[found.key] = found
    return asked_by_key


def table():
    with (SHIPPED / TABLE).open(encoding="utf-8", newline="") as file:
        return {row["key"]: row for row in csv.DictReader(file)}


def test_every_shipped_scenario_is_answered_by_the_shipped_table():
    """Else it is stale: run ``make tables``."""
    known = shipped_answers()
    missing = [found.setup for key, found in questions().items() if known.get(key) is None]
    assert not missing, "executor/reference/replayed_goodput.csv is stale: run `make tables`"


def test_the_shipped_table_was_made_by_the_model_of_today():
    """A step-time model that moved needs a new version, else old answers are taken for its own."""
    rows = table()
    for key, found in questions().items():
        then = float(rows[key]["closed_form_requests_per_s"])
        assert closed_form(found).requests_per_s == then, (
            "raise executor.estimate.replayed_goodput.VERSION and run `make tables`"
        )


def test_a_table_of_another_version_answers_nothing(monkeypatch):
    monkeypatch.setattr(module, "VERSION", module.VERSION + 1)
    shipped_answers.cache_clear()
    try:
        assert shipped_answers() == {}
    finally:
        monkeypatch.undo()
        shipped_answers.cache_clear()


@pytest.mark.parametrize(("name", "sku"), [("1-quickstart", "H20-96GB"), ("4-domestic-first", "Ascend-950PR-server")])
def test_a_row_of_the_shipped_table_is_what_the_replay_gives(name, sku):
    pool = open_scenario(name, []).scenario.pools[0]
    question_ = asked_of(pool, sku, pool.layouts[sku], traffic(pool))
    row = table()[question_.key]
    found = replayed(question_)
    kept = Answer(
        float(row["requests_per_s"]), row["bound"], *(float(row[key]) for key in ("concurrency", "ttft_ms", "tpot_ms"))
    )
    assert found == kept
