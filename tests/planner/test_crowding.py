"""A plan whose own orders wait in one line is made and judged at its own volume."""

import numpy as np
import pytest

from planner.audit import audit
from planner.futures.sample import draw_prospects
from planner.plan import plan
from planner.scenario.load import load, merge, validate
from planner.sizing import capacities


def crowded(servers):
    """The quickstart with a board line of so few servers that own orders wait for each other."""
    document = load("6-global-no-gates").scenario.model_dump(mode="json")
    stage = {"name": "integration", "low": 20, "mode": 25, "high": 30}
    patch = {
        "run": {"training_futures": 60, "replications": 150, "engine": "fast"},
        "lines": [{"name": "board line", "servers": servers}],
        "sources": [
            {"name": source["name"], "route": [stage], "lines": {"integration": "board line"}}
            for source in document["sources"]
            if "entry" in source
        ],
    }
    return validate(merge(document, patch), "crowded")


def test_more_of_our_own_orders_arrive_later():
    scenario = crowded(1)
    serving = capacities(scenario)
    shape = (len(scenario.purchases), scenario.horizon_months)
    few, many = (draw_prospects(scenario, serving, 7, 60, volume=np.full(shape, gpus)).futures for gpus in (8, 40))
    assert np.all(many.arrival_month >= few.arrival_month)
    assert many.arrival_month.mean() > few.arrival_month.mean()


def test_a_line_with_room_for_everyone_makes_no_difference():
    scenario = crowded(10_000)
    serving = capacities(scenario)
    shape = (len(scenario.purchases), scenario.horizon_months)
    few, many = (draw_prospects(scenario, serving, 7, 60, volume=np.full(shape, gpus)).futures for gpus in (8, 16))
    # The last of two lots has random numbers of its own; neither waits.
    assert abs(many.arrival_month.mean() - few.arrival_month.mean()) < 0.2


@pytest.mark.parametrize("servers", [1, 10_000], ids=["crowded", "roomy"])
@pytest.mark.slow
def test_the_plan_says_whether_it_settled(servers):
    record = plan(crowded(servers), depth="answer").record
    told = record.physics["congestion"]
    assert told["moves"]
    assert any("Own orders lengthen" in reason for reason in record.reasons)
    if servers > 1:
        assert told["settled"]
    for month in audit(record, 300).months:
        # Four standard errors of the difference, at the largest spread that a probability can have.
        assert abs(month.seen.value - month.promised.value) < 4 * np.sqrt(0.25 / 150 + 0.25 / 300), month
