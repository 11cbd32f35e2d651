"""Figures that benchmarks write into the accuracy pages have the form of those that ship, and can be told."""

from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import deepseek_day, goodput, promise
from dashboard.accuracy.figures import shipped, stored
from dashboard.accuracy.pages import section_text


def same_form(name, figures, rows):
    new, kept = stored(figures), shipped()[name]
    assert sorted(new) == sorted(kept)
    assert sorted(new[rows][0]) == sorted(kept[rows][0])
    return section_text(name, figures)


def test_goodput():
    rate, none = SimpleNamespace(rate=2.0, reason="TPOT bound: p90"), SimpleNamespace(rate=0.0, reason="none")
    formula, slo = (SimpleNamespace(requests_per_s=3.0, low=1.0, high=4.0), SimpleNamespace(ttft_ms=2e3, tpot_ms=50.0))
    rows = [goodput.Row("ours", "trace", slo, formula, each, rate, 1.0, 0.1) for each in (rate, none)]
    told = same_form("goodput-replay", goodput.figures(rows, 4000), "set_ups")
    assert "| ours | trace | 2000 / 50 | 3 (1-4) | 2 | 1.50 | TPOT bound | 2 |" in told
    assert "(geometric mean 1.50)" in told


def test_deepseek_day():
    rates = deepseek_day.Rates((3e4, 2e4, 4e4), (1.5e4, 1e4, 2e4), "extrapolated", "2 rows")
    hours = [f"2025-02-27T{hour:02d}:00" for hour in range(24)]
    figures = deepseek_day.figures(hours, np.full(24, 1 / 24), np.full(24, 227.0), rates)
    told = same_form("deepseek-day", figures, "hours")
    assert "30,000 (20,000-40,000) computed prompt tokens/s" in told
    assert told.count("| 1.00 | 227 |") == 24


def test_promise():
    def value(mean, low=0.0, high=1.0):
        return SimpleNamespace(value=mean, low=low, high=high)

    month = SimpleNamespace(
        month="2026-03", required=True, promised=value(0.92), seen=value(0.9, 0.89, 0.91), holds=False
    )
    record = SimpleNamespace(
        scenario=SimpleNamespace(name="ours", run=SimpleNamespace(replications=1000)),
        answer=SimpleNamespace(way="fixed-calendar"),
        kpis=SimpleNamespace(mean_cost=value(3.0)),
    )
    judged = {"verdict": "less-often", "joint": SimpleNamespace(chance=0.01)}
    audit = SimpleNamespace(record=record, months=[month], required=[month], weakest=month, cost=value(2.0), **judged)
    told = same_form("promises", {"futures": 500, "plans": [promise.figures(audit)]}, "plans")
    assert "| 2026-03 | 92.00 % | 90.00 % (89.00 %-91.00 %) | less often | 1 % | 0 of 1 | 2.00 | 1.500 |" in told


def test_replay_engine():
    replay_engine = pytest.importorskip("benchmarks.replay_engine", exc_type=ImportError)
    measured = {name: 10.0 for name, *_ in replay_engine.SHOWN}
    rounds = [replay_engine.Compared(measured, dict.fromkeys(measured, 10.0 * off)) for off in (0.9, 1.1, 1.2)]
    told = same_form("replay-engine", replay_engine.figures({2.0: rounds}, 100, 80, 3), "rows")
    assert "| 2.00 | mean_tpot_ms, ms | 10 | 11 | +10.0% (-10.0% to +20.0%) |" in told
