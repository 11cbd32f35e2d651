"""Which inputs moved the answer: effects of single groups, and what only several did together."""

import pytest

from executor.errors import LimitError
from planner.compare.attribution import causes
from planner.report.change_sentences import cause
from planner.report.language import ENGLISH
from planner.scenario.models import Scenario


@pytest.fixture
def plan(make_record):
    """A planner whose answer is a known function of its inputs, so that each effect can be said beforehand.

    probability = 1 - 0.02 rate - 0.1 [gate not open], fifth of a point less where both press
    cost = 100 price
    """

    def plan(scenario: Scenario):
        rate = scenario.pools[0].load.requests_per_second
        closed = scenario.gates[0].always != "open"
        price = scenario.purchases[0].price.amount
        probability = 1 - 0.02 * rate - 0.1 * closed - 0.002 * rate * closed
        cost = {"value": 100 * price, "low": 0.0, "high": 2e9}
        record = make_record(scenario, probability=probability)
        return record.model_copy(
            update={
                "kpis": record.kpis.model_copy(update={"mean_cost": record.answer.probability.model_copy(update=cost)})
            }
        )

    return plan


def _scenario(make_scenario, rate=3.5, gate=None, price=98_000.0) -> Scenario:
    body = make_scenario().model_dump(mode="json")
    body["pools"][0]["load"]["requests_per_second"] = rate
    body["gates"][0]["always"] = gate
    body["sources"][0]["price"] = {"amount": price}
    return Scenario.model_validate(body)


def test_one_group_that_changed_is_the_whole_change_and_needs_no_second_plan(plan, make_scenario):
    before, after = plan(_scenario(make_scenario)), plan(_scenario(make_scenario, rate=4.5))

    def no_plan(scenario):
        raise AssertionError("nothing need be planned again")

    (cause,) = causes(before, after, no_plan)
    assert cause.group == "demand"
    assert cause.probability == pytest.approx(-0.022)  # -0.02 for the rate, -0.002 since the gate is not open
    assert cause.mean_cost == 0


def test_several_groups_are_measured_alone_and_the_rest_is_said_to_be_together(plan, make_scenario):
    before = plan(_scenario(make_scenario))
    after = plan(_scenario(make_scenario, rate=4.5, gate="open", price=99_000.0))
    found = {cause.group: cause for cause in causes(before, after, plan)}
    assert set(found) == {"demand", "gates", "prices", "together"}
    assert found["demand"].probability == pytest.approx(-0.022)
    assert found["gates"].probability == pytest.approx(0.107)  # 0.1 + 0.002 * 3.5
    assert found["prices"].mean_cost == pytest.approx(100_000)
    assert found["together"].probability == pytest.approx(0.002)
    total = after.answer.probability.value - before.answer.probability.value
    assert sum(cause.probability for cause in found.values()) == pytest.approx(total)
    assert cause(found["gates"], "CNY", ENGLISH) == "gates: +10.7 points, 0 CNY, 0 GPUs"


def test_a_change_of_version_is_measured_by_planning_the_old_scenario_anew(plan, make_scenario):
    old = plan(_scenario(make_scenario))
    shifted = old.answer.model_copy(update={"probability": old.answer.probability.model_copy(update={"value": 0.5})})
    old = old.model_copy(update={"answer": shifted, "versions": old.versions.model_copy(update={"waferlag": "0.0.9"})})
    new = plan(_scenario(make_scenario, rate=4.5))
    found = {cause.group: cause for cause in causes(old, new, plan)}
    assert found["version"].probability == pytest.approx(0.823 - 0.5)
    assert found["demand"].probability == pytest.approx(-0.022)


def test_a_group_that_cannot_be_swapped_alone_says_why(plan, make_scenario):
    before = plan(_scenario(make_scenario))
    after = plan(_scenario(make_scenario, rate=4.5, price=99_000.0))

    def too_much(scenario):
        if scenario.pools[0].load.requests_per_second == 4.5:
            raise LimitError("rate", 5, 4, "X")
        return plan(scenario)

    found = {cause.group: cause for cause in causes(before, after, too_much)}
    assert found["demand"].probability is None
    assert "above the limit" in found["demand"].problem
    assert cause(found["demand"], "CNY", ENGLISH).startswith("demand alone cannot be swapped (")
    assert found["prices"].mean_cost == pytest.approx(100_000)
