"""What-if: changes do what they say, the baseline is on the same luck, and differences have intervals."""

import pytest

from dashboard.charts.whatif import comparison_sentence, odds_compared, tornado_bars
from dashboard.whatif import (
    Changes,
    QuickAnswer,
    compare,
    input_differences,
    order_differences,
    quick_answer,
    without_order,
)
from planner.record import PlanRecord


@pytest.fixture(scope="module")
def base(quickstart: PlanRecord) -> QuickAnswer:
    return quick_answer(quickstart.scenario)


@pytest.fixture(scope="module")
def doubled(quickstart: PlanRecord) -> QuickAnswer:
    return quick_answer(Changes(demand=2.0).applied(quickstart.scenario))


def test_no_change_leaves_the_scenario_as_it_is(record: PlanRecord):
    assert Changes().applied(record.scenario) == record.scenario


def test_changes_touch_what_they_name_and_nothing_else(record: PlanRecord):
    changed = Changes(demand=1.5, price=0.8, gates={"US licence": "open"}).applied(record.scenario)
    assert {row["input"] for row in input_differences(record.scenario, changed)} == {
        "pools.chat.load.scale",
        "pools.coder.load.scale",
        "sources.H20 finished stock.price.amount",
        "sources.H20 part-finished.price.amount",
        "sources.H20 new wafers.price.amount",
        "sources.Ascend 910C.price.amount",
        "gates.US licence.always",
    }


def test_growth_is_scaled_above_one_and_stays_in_order(record: PlanRecord):
    growth = Changes(growth=0.5).applied(record.scenario).pools[0].growth
    was = record.scenario.pools[0].growth
    assert growth.base == pytest.approx(1 + (was.base - 1) / 2, rel=1e-12)
    assert growth.low <= growth.base <= growth.high


def test_caps_are_scaled_to_whole_gpus(record: PlanRecord):
    sources = Changes(caps=0.3).applied(record.scenario).sources
    assert sources[0].max_gpus_per_month == round(512 * 0.3)


def test_the_same_question_has_the_same_answer(quickstart: PlanRecord, base: QuickAnswer):
    again = quick_answer(quickstart.scenario)
    assert (again.cost == base.cost).all()
    assert again.orders == base.orders


def test_the_quick_answer_has_the_roots_months_and_required_months_of_the_plan(
    quickstart: PlanRecord, base: QuickAnswer
):
    assert base.months == tuple(month.month for month in quickstart.months)
    assert base.required == tuple(month.required for month in quickstart.months)
    assert base.met.shape == (quickstart.scenario.run.replications, len(quickstart.months))


def test_more_demand_costs_more_on_the_same_futures(base: QuickAnswer, doubled: QuickAnswer):
    found = compare(base, doubled)
    assert found.cost.low > 0
    assert found.cost.value == pytest.approx(float(doubled.cost.mean() - base.cost.mean()), rel=1e-9)


def test_nothing_changed_is_no_difference(base: QuickAnswer):
    found = compare(base, base)
    assert (found.cost.value, found.probability.value, found.gpus_ordered) == (0.0, 0.0, 0)
    assert order_differences(base, base) == []


def test_order_differences_say_what_was_added_dropped_or_resized(base: QuickAnswer, doubled: QuickAnswer):
    rows = order_differences(base, doubled)
    assert sum(row["after"] - row["before"] for row in rows) == compare(base, doubled).gpus_ordered
    kinds = {"added": (False, True), "dropped": (True, False), "resized": (True, True)}
    assert all(kinds[row["change"]] == (row["before"] > 0, row["after"] > 0) for row in rows)


def test_the_comparison_is_told_with_signs_and_intervals(base: QuickAnswer, doubled: QuickAnswer):
    sentence = comparison_sentence(compare(base, doubled), base)
    assert sentence.startswith("Cost +")
    assert odds_compared(base, doubled).svg(600).startswith("<svg")


def test_the_tornado_puts_the_widest_on_top_and_draws():
    rows = [
        {
            "input": "caps, halved or doubled",
            "gate": "",
            "cost_base": 10.0,
            "cost_low": 2.0,
            "cost_high": 14.0,
        }
        | {"probability_base": 0.9, "probability_low": 0.8, "probability_high": 0.95}
    ]
    figure = tornado_bars(rows, "CNY")
    assert "caps, halved or doubled" in figure.takeaway
    assert figure.svg(500).startswith("<svg")


def test_leaving_an_order_out_never_serves_more(quickstart: PlanRecord):
    assert quickstart.orders, "the quickstart orders something"
    whole, fewer = without_order(quickstart, 0)
    assert (fewer.met <= whole.met).all()
    assert compare(whole, fewer).probability.value <= 0
    assert compare(whole, fewer).gpus_ordered == -quickstart.orders[0].gpus


def test_the_whole_plan_on_the_same_futures_has_the_records_own_odds_and_cost(quickstart: PlanRecord):
    """The quickstart fixture was judged on as many futures as a quick answer uses, under the same root."""
    whole, _ = without_order(quickstart, 0)
    assert [whole.probability(at).value for at in range(len(whole.months))] == pytest.approx(
        [month.probability.value for month in quickstart.months], abs=1e-12
    )
    assert float(whole.cost.mean()) == pytest.approx(quickstart.kpis.mean_cost.value, rel=1e-9)
