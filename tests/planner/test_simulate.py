"""Given orders carried through: arrival quantiles, fates that add up, and a result that can be had again."""

import datetime as dt
import json

import numpy as np
import pytest

from benchmarks.supply import same
from planner.report.orders import arrival
from planner.sampling.seeds import root_of
from planner.scenario.load import scenario_hash
from planner.simulate import try_orders
from planner.supply.order_lines import OrderLine

OPEN = [{"name": "us", "authority": "us", "always": "open"}]
CLOSED = [{"name": "us", "authority": "us", "always": "closed"}]
STOCK = [{"name": "h20", "sku": "H20-96GB", "price": 98_000, "gates": ["us"], "entry": "finished-stock"}]
YEAR = 12
"""Months: from finished stock to service takes a quarter of a year and more."""
LINES = (OrderLine("chat", "h20", 0, 16), OrderLine("chat", "h20", 1, 8))


@pytest.fixture
def scenario(make_scenario):
    return make_scenario(
        horizon_months=YEAR,
        sources=STOCK,
        gates=OPEN,
        run={"training_futures": 2, "replications": 100, "engine": "fast"},
    )


def test_every_gpu_has_one_fate(scenario):
    trial = try_orders(scenario, LINES)
    assert sum(trial.gpus().values()) == pytest.approx(24)  # rounding of means
    for at in range(len(LINES)):
        assert sum(trial.shares(at).values()) == pytest.approx(1)


def test_nothing_passes_a_gate_that_never_opens(make_scenario, scenario):
    shut = try_orders(
        make_scenario(horizon_months=YEAR, sources=STOCK, gates=CLOSED, run=scenario.run.model_dump()), LINES
    )
    assert shut.gpus()["delivered"] == 0
    assert shut.arrives(0).p10 is None
    assert try_orders(scenario, LINES).gpus()["delivered"] > 12


def test_finished_stock_arrives_after_the_order_and_in_order_of_quantiles(scenario):
    arrives = try_orders(scenario, LINES).arrives(0)
    assert scenario.start < arrives.p10 <= arrives.p50 <= arrives.p90


def test_both_engines_carry_the_orders_alike(scenario):
    fast, simpy = (try_orders(scenario, LINES, engine=engine) for engine in ("fast", "simpy"))
    assert same(fast.deliveries, simpy.deliveries)
    assert (fast.engine, simpy.engine) == ("fast", "simpy")


def test_a_further_line_changes_nothing_for_the_first(scenario):
    alone = try_orders(scenario, LINES[:1]).deliveries.delivered_at[:, 0]
    assert np.array_equal(try_orders(scenario, LINES).deliveries.delivered_at[:, 0], alone)


def test_no_orders_are_carried_too(scenario):
    trial = try_orders(scenario, ())
    assert set(trial.gpus().values()) == {0.0}
    assert trial.as_json()["orders"] == []


def test_the_json_holds_what_is_needed_to_run_again(scenario):
    trial = try_orders(scenario, LINES, overrides=("gates-open",))
    body = json.loads(json.dumps(trial.as_json(), allow_nan=False))
    assert body["scenario_hash"] == scenario_hash(scenario)
    assert body["roots"] == {"validate": root_of(scenario.seed, "validate")}
    assert body["overrides"] == ["gates-open"]
    assert [(line["month"], line["gpus"]) for line in body["orders"]] == [("2025-07", 16), ("2025-08", 8)]


def test_quantiles_of_arrival_count_what_never_comes_as_later(scenario):
    day = 1440
    arrived = np.array([day, 2 * day, 3 * day, -1, -1], dtype=np.int64)
    found = arrival(scenario.start, arrived)
    assert (found.p10, found.p50, found.p90) == (dt.date(2025, 7, 18), dt.date(2025, 7, 19), None)


def test_what_is_scrapped_is_told_beside_the_outcomes(make_scenario, scenario):
    route = [{"name": "package", "low": 20, "mode": 30, "high": 40, "yield_share": 0.5}]
    lossy = make_scenario(
        horizon_months=YEAR,
        sources=[{**STOCK[0], "route": route}, *STOCK[1:]],
        gates=OPEN,
        run=scenario.run.model_dump(),
    )
    trial = try_orders(lossy, LINES[:1])
    found = trial.gpus()
    assert sum(found.values()) == pytest.approx(LINES[0].gpus)
    assert found["delivered"] > 0
    assert found["scrapped"] == pytest.approx(found["delivered"])  # of 16 pieces 8, never a part of one
    assert "scrapped" in trial.as_json()["gpus"]
    assert "scrapped" not in try_orders(scenario, LINES[:1]).gpus()
