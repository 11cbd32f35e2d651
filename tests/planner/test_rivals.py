"""On the shipped scenarios nobody who keeps the goal does so for less than the recommended way."""

import os

import pytest

from planner.plan import plan
from planner.scenario.load import load, shipped

LONG = () if os.environ.get("WAFERLAG_TEST_SOAK") else ("2-h20-july-2025", "5-two-pools")
"""Twenty seconds each: with `make soak`."""
AS_SHIPPED = not LONG
"""`make soak` plans on as many futures as the scenarios say."""
FEW = {"training_futures": 100, "replications": 1000}
"""Few to plan on, but not to judge by: with 1,000 a goal of 90 % has a standard error of one point."""


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in sorted(shipped()) if name not in LONG])
def test_no_rival_is_cheaper_at_the_goal_with_common_random_numbers(name):
    """A rival that is short of the goal, or of what the plan reaches where the goal is out of reach, is no match;
    one within the 90 % interval of the paired difference ties, and the record says so."""
    scenario = load(name).scenario
    run = scenario.run if AS_SHIPPED else scenario.run.model_copy(update=FEW)
    record = plan(scenario.model_copy(update={"run": run}), processes=2, depth="answer").record
    verdicts = {rival.name: rival.verdict for rival in record.rivals}
    assert verdicts
    assert "cheaper" not in verdicts.values(), verdicts
    for rival in record.rivals:
        if rival.verdict == "ties":
            assert rival.cost_difference.low <= 0 <= rival.cost_difference.high
        if rival.verdict == "dearer":
            assert rival.cost_difference.low > 0
