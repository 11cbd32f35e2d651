"""What-if: changes do what they say, the baseline is with common random numbers, and differences have intervals."""

import datetime as dt

import pytest

from dashboard.charts.whatif import comparison_sentence, odds_compared, tornado_bars
from planner.compare.answers import FullAnswer, compare, compare_in_full, input_differences, order_differences
from planner.compare.one_at_a_time import levers, tornado_row, widest_first
from planner.compare.what_if import Changes, QuickAnswer, quick_answer
from planner.record.models import PlanRecord


@pytest.fixture(scope="module")
def base(quickstart: PlanRecord) -> QuickAnswer:
    return quick_answer(quickstart)


@pytest.fixture(scope="module")
def doubled(quickstart: PlanRecord) -> QuickAnswer:
    return quick_answer(quickstart, Changes(demand=2.0))


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


def test_lead_times_are_stretched_and_a_gate_gets_a_dated_event(record: PlanRecord):
    day = dt.date(2025, 10, 1)
    changed = Changes(lead=1.5, events={"China import": (day, "closed")}).applied(record.scenario)
    assert {source.lead_time_factor for source in changed.purchases} == {1.5}
    event = changed.gates[1].events[-1]
    assert (event.date, event.state, event.note) == (day, "closed", "what-if")


def test_no_change_touches_the_serving_figures():
    """A quick answer finds them once for the plan's own scenario."""
    from planner.open_scenario import open_scenario
    from planner.sizing import capacities

    scenario = open_scenario("1-quickstart").scenario
    gates = {gate.name: "open" for gate in scenario.gates}
    everything = Changes(2.0, 0.5, 0.8, 0.7, 1.3, 2.0, gates, 1.5)
    assert capacities(everything.applied(scenario)) == capacities(scenario)


def test_growth_is_scaled_above_one_and_stays_in_order(record: PlanRecord):
    growth = Changes(growth=0.5).applied(record.scenario).pools[0].growth
    was = record.scenario.pools[0].growth
    assert growth.base == pytest.approx(1 + (was.base - 1) / 2, rel=1e-12)
    assert growth.low <= growth.base <= growth.high


def test_caps_are_scaled_to_whole_gpus(record: PlanRecord):
    sources = Changes(caps=0.3).applied(record.scenario).sources
    assert sources[0].max_gpus_per_month == round(512 * 0.3)


def test_the_same_question_has_the_same_answer(quickstart: PlanRecord, base: QuickAnswer):
    again = quick_answer(quickstart)
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
        {"input": "caps, halved or doubled", "gate": "", "cost_base": 10.0, "cost_low": 2.0, "cost_high": 14.0}
        | {"probability_base": 0.9, "probability_low": 0.8, "probability_high": 0.95}
    ]
    figure = tornado_bars(rows, "CNY")
    assert "caps, halved or doubled" in figure.takeaway
    assert figure.svg(500).startswith("<svg")


def test_a_lever_holds_low_and_high_against_the_baseline(
    quickstart: PlanRecord, base: QuickAnswer, doubled: QuickAnswer
):
    row = tornado_row(levers(quickstart.scenario)[0], base, base, doubled)
    assert row["cost_low"] == row["cost_base"] < row["cost_high"]
    narrow = {**row, "input": "narrow", "cost_high": row["cost_base"] + 1}
    assert [found["input"] for found in widest_first([narrow, row])] == [row["input"], "narrow"]


def test_two_records_are_compared_by_their_own_figures(record: PlanRecord):
    cheaper = record.kpis.model_copy(
        update={"mean_cost": record.kpis.mean_cost.model_copy(update={"value": 70e6, "low": 69e6, "high": 71e6})}
    )
    base, changed = FullAnswer(record), FullAnswer(record.model_copy(update={"kpis": cheaper}))
    found = compare_in_full(base, changed)
    assert found.cost.value == pytest.approx(70e6 - record.kpis.mean_cost.value)
    # 76.4 M (75.8 to 77.0) against 70 M (69 to 71): half-widths 0.6 and 1.0, put together by Pythagoras.
    assert (found.cost.high - found.cost.value) == pytest.approx((0.6**2 + 1.0**2) ** 0.5 * 1e6, rel=1e-6)
    assert found.probability.value == 0
    assert odds_compared(base, changed).rows[0]["probability"] == record.months[0].probability.value


def test_the_search_starts_from_the_calendar_settled_beforehand(record: PlanRecord, older: PlanRecord):
    from planner.compare.what_if import _start

    placed = [line.gpus for line in record.calendar.lines if line.placed > 0.5]
    assert _start(record).orders.sum() == sum(placed)
    assert _start(older).orders.sum() == sum(order.gpus for order in older.orders)
    assert _start(older).reserved.sum() == sum(item.gpus for item in older.reservations)
