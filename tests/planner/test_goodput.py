import csv
from dataclasses import replace

import pytest

import planner.goodput as module
from executor.cost import Layout
from executor.errors import DoesNotFitError
from planner.belief import setup_of
from planner.demand.summary import Cell
from planner.demand.traffic import traffic
from planner.goodput import TABLE, Answer, answered, question, remember_in, replayed, replayed_goodput
from planner.intake import open_scenario
from planner.reference.table import SHIPPED
from planner.scenario.load import shipped
from planner.serving import Lengths, Slo, goodput_of
from planner.sizing import asked_of, capacities

SETUP = setup_of("Qwen3-32B", "H100-SXM", "bf16", "sglang", Layout(tp=4))
LENGTHS = Lengths(800.0, 200.0)
SLO = Slo(2000.0, 50.0)


@pytest.fixture
def memory(monkeypatch):
    """A memory of the test's own, forgotten afterwards."""

    class Kept(dict):
        def put(self, key, answer):
            self[key] = answer

    kept = Kept()
    monkeypatch.setattr(module, "_memories", [])
    remember_in(kept)
    yield kept
    replayed_goodput.cache_clear()


def asked(slo=SLO, requests=600, cells=(), reuse=0.0):
    formula = goodput_of(SETUP, LENGTHS, slo, reuse)
    return question(SETUP, LENGTHS, slo, reuse, "", requests, cells, formula)


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
    assert found.limits.startswith(("TPOT bound", "TTFT bound"))
    assert found.tpot_ms < SLO.tpot_ms
    # Little's law at the rate found: requests under way = rate x (TTFT + TPOT x 199 gaps), equal lengths.
    assert found.concurrency == pytest.approx(
        found.requests_per_s * (found.ttft_ms + 199 * found.tpot_ms) / 1e3, rel=1e-4
    )


def test_reuse_of_prefixes_raises_the_rate_and_a_tighter_bound_lowers_it():
    long = Lengths(6000.0, 100.0)
    plain = replayed_goodput(SETUP, long, SLO, requests=400).requests_per_s
    assert replayed_goodput(SETUP, long, SLO, prefix_reuse=0.6, requests=400).requests_per_s > plain
    assert replayed_goodput(SETUP, long, Slo(2000.0, 30.0), requests=400).requests_per_s < plain


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
    assert replayed_goodput(SETUP, LENGTHS, Slo(1.0, 1.0)).requests_per_s == 0.0
    with pytest.raises(DoesNotFitError):
        replayed_goodput(setup_of("DeepSeek-R1", "H100-SXM", "fp8", "sglang", Layout()), LENGTHS, SLO)


def test_an_answer_is_the_same_whether_replayed_or_remembered(memory):
    question_ = asked(requests=400)
    first = answered(question_)
    assert memory == {question_.key: first}
    memory[question_.key] = replace(first, requests_per_s=123.0)
    assert answered(question_).requests_per_s == 123.0, "a known answer is not replayed again"
    assert replayed(question_) == first


def test_all_that_moves_the_answer_is_in_the_key():
    base = asked()
    changed = [
        asked(slo=Slo(2000.0, 49.0)),
        asked(slo=Slo(2000.0, 50.0, 95.0)),
        asked(requests=500),
        asked(reuse=0.1),
        asked(cells=(Cell(weight=1.0, input=800.0, output=200.0),)),
        replace(base, time=replace(base.time, kv_tokens=base.time.kv_tokens + 1)),
        replace(base, time=replace(base.time, context=base.time.context * 1.01)),
        replace(base, lengths=Lengths(801.0, 200.0)),
        replace(base, start=base.start * 2),
    ]
    assert len({each.key for each in [base, *changed]}) == 1 + len(changed)
    assert asked().key == base.key


def test_times_that_differ_in_the_last_digits_ask_the_same_question():
    """Another machine's fit ends a rounding error away."""
    from planner.goodput import _rounded

    base = asked()
    nudged = replace(base.time, gemm=base.time.gemm * (1 + 1e-12), fixed=base.time.fixed * (1 - 1e-12))
    assert replace(base, time=_rounded(nudged)).key == base.key


# -- the table that ships ----------------------------------------------------------------------------------


def test_every_shipped_scenario_is_answered_by_the_shipped_table(monkeypatch):
    """Else it is stale: run ``python benchmarks/goodput_table.py``."""

    def not_shipped(question_):
        raise AssertionError("planner/reference/replayed_goodput.csv is stale")

    monkeypatch.setattr(module, "replayed", not_shipped)
    monkeypatch.setattr(module, "_memories", [])
    replayed_goodput.cache_clear()
    for name in shipped():
        for capacity in capacities(open_scenario(name, []).scenario):
            assert capacity.goodput.requests_per_s > 0
            assert "level by replay" in capacity.goodput.reason


@pytest.mark.parametrize(
    ("name", "sku"), [("1-quickstart", "H20-96GB"), ("4-domestic-first", "Ascend-950PR-server")]
)
def test_a_row_of_the_shipped_table_is_what_the_replay_gives(name, sku):
    pool = open_scenario(name, []).scenario.pools[0]
    wanted = asked_of(pool, sku, pool.layouts[sku], traffic(pool))
    setup = setup_of(pool.model, sku, wanted.precision, wanted.engine, wanted.layout)
    formula = goodput_of(setup, wanted.lengths, wanted.slo, wanted.prefix_reuse)
    question_ = question(
        setup, wanted.lengths, wanted.slo, wanted.prefix_reuse, "", None, wanted.cells, formula
    )
    with (SHIPPED / TABLE).open(encoding="utf-8", newline="") as file:
        row = next(row for row in csv.DictReader(file) if row["key"] == question_.key)
    found = replayed(question_)
    kept = Answer(
        float(row["requests_per_s"]),
        row["bound"],
        *(float(row[key]) for key in ("concurrency", "ttft_ms", "tpot_ms")),
    )
    assert found == kept
