"""Charts hold the record's own figures, say them in a sentence, and draw without a browser or a network."""

import json
import re
from collections.abc import Callable

import pytest

from dashboard.charts import fleet, gates, money, rivals, serving, supply
from dashboard.charts.figure import Figure
from dashboard.charts.money import quarters
from dashboard.charts.rivals import rival_rows
from dashboard.charts.theme import DARK, LIGHT, Look
from planner.record.models import PlanRecord
from planner.report.language import ENGLISH, Wording


def first_pool(record: PlanRecord) -> str:
    return record.scenario.pools[0].name


Draw = Callable[[PlanRecord, Look], Figure]
EVERY: dict[str, Draw] = {
    "fleet_fan": lambda record, look: fleet.fleet_fan(record, first_pool(record), look),
    "month_strip": fleet.month_strip,
    "gate_shares": lambda record, look: gates.gate_shares(record, "China import", look),
    "lead_times": supply.lead_times,
    "order_calendar": supply.order_calendar,
    "rivals_compared": rivals.rivals_compared,
    "cost_parts": money.cost_parts,
    "spend_by_month": money.spend_by_month,
    "goodput_by_pool": serving.goodput_by_pool,
}


@pytest.mark.parametrize("look", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize("draw", EVERY.values(), ids=EVERY.keys())
@pytest.mark.slow
def test_every_chart_draws_as_svg_in_both_looks(record: PlanRecord, draw: Draw, look: Look):
    svg = draw(record, look).svg(400, titled=True)
    assert svg.startswith("<svg")
    assert set(re.findall(r"https?://[^\"' )]+", svg)) <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}


@pytest.mark.parametrize("draw", EVERY.values(), ids=EVERY.keys())
def test_every_chart_has_a_sentence_a_text_alternative_and_its_rows(record: PlanRecord, draw: Draw):
    figure = draw(record, LIGHT)
    assert figure.takeaway.endswith(".")
    assert figure.sized(600)["description"] == figure.takeaway
    assert figure.rows
    json.dumps(figure.rows)
    figure.chart.to_dict(validate=True)


@pytest.mark.parametrize("draw", EVERY.values(), ids=EVERY.keys())
def test_hostile_names_stay_text_in_every_chart(hostile: PlanRecord, draw: Draw):
    svg = draw(hostile, LIGHT).svg(600, titled=True)
    assert not re.search(r"<(script|img|b)[ >]", svg)


def test_the_fan_shows_the_quantiles_of_the_record(record: PlanRecord):
    rows = fleet.fleet_fan(record, first_pool(record)).rows
    parts = [month.pools[0] for month in record.months]
    assert [row["need_p90"] for row in rows] == [part.need_gpus.p90 for part in parts]
    assert [row["in_service_p10"] for row in rows] == [part.in_service_gpus.p10 for part in parts]
    assert [row["with_rental"] for row in rows] == [
        part.in_service_gpus.p50 + part.reserved_gpus + part.spot_gpus.p50 for part in parts
    ]


def test_the_bands_are_labelled_in_words_on_the_chart(record: PlanRecord):
    svg = fleet.fleet_fan(record, first_pool(record)).svg(640)
    assert "needed: 8 in 10 futures lie here" in svg
    assert "in service: 8 in 10 futures lie here" in svg


def test_the_run_out_date_stands_on_the_chart_with_its_range(record: PlanRecord):
    text = re.sub(r"\s|\u00a0", " ", fleet.fleet_fan(record, first_pool(record)).svg(640))
    assert "Dec 2025 (Oct 2025 to Mar 2026)" in text


def test_no_run_out_date_is_drawn_when_the_fleet_of_today_lasts(record: PlanRecord):
    never = record.answer.runs_out.model_copy(update={"p10": None, "p50": None, "p90": None})
    lasting = record.model_copy(update={"answer": record.answer.model_copy(update={"runs_out": never})})
    assert "runs out" not in fleet.fleet_fan(lasting, first_pool(record)).svg(640)


def test_the_strip_marks_months_below_the_goal(record: PlanRecord):
    harder = record.model_copy(update={"answer": record.answer.model_copy(update={"goal": 0.95})})
    missed = [row["month"] for row in fleet.month_strip(harder).rows if row["verdict"] == "missed"]
    expected = [month.month for month in record.months if month.required and month.probability.value < 0.95]
    assert missed == expected
    assert f"missed in {len(expected)} of " in fleet.month_strip(harder).takeaway


def test_months_the_goal_does_not_bind_are_never_called_missed(record: PlanRecord):
    verdicts = {row["month"]: row["verdict"] for row in fleet.month_strip(record).rows}
    assert all(verdicts[month.month] == "not required" for month in record.months if not month.required)


def test_gate_states_are_stacked_from_closed_to_open_and_add_up(record: PlanRecord):
    rows = gates.gate_shares(record, "US licence").rows
    assert [row["state"] for row in rows[:4]] == ["closed", "promised", "conditional", "open"]
    for start in range(0, len(rows), 4):
        assert sum(row["share"] for row in rows[start : start + 4]) == pytest.approx(1.0, abs=1e-9)


def test_the_plan_stands_on_top_of_its_rivals_only_if_it_is_best(record: PlanRecord):
    assert rival_rows(record)[0]["ours"]
    cheap = record.rivals[1].model_copy(update={"mean_cost": record.kpis.mean_cost.model_copy(update={"value": 1.0})})
    beaten = record.model_copy(update={"rivals": [cheap]})
    assert not rival_rows(beaten)[0]["ours"]
    assert "not this plan" in rivals.rivals_compared(beaten).takeaway


def test_quarters_add_up_to_the_orders_and_the_rental(record: PlanRecord):
    rows = quarters(record)
    assert sum(row["prepayments"] for row in rows) == pytest.approx(
        sum(order.prepayment for order in record.orders), rel=1e-12
    )
    assert sum(row["reserved_rental"] for row in rows) == pytest.approx(
        sum(item.price for item in record.reservations), rel=1e-12
    )


def test_a_layout_that_does_not_fit_has_no_figure_and_is_counted(record: PlanRecord):
    refused = [row for row in serving.serving_table(record) if not row["fits"]]
    assert [row["requests_per_s"] for row in refused] == [None]
    assert "Layouts that do not fit: 1." in serving.goodput_by_pool(record).takeaway


def test_a_plan_without_orders_still_draws(record: PlanRecord):
    idle = record.model_copy(update={"orders": [], "rivals": [], "lead_times": []})
    for draw in (supply.order_calendar, rivals.rivals_compared, supply.lead_times):
        assert draw(idle).svg(400).startswith("<svg")
    assert supply.order_calendar(idle).takeaway == "Nothing is to be ordered."


def test_the_same_meaning_has_the_same_colour_on_every_chart(record: PlanRecord):
    fan = json.dumps(fleet.fleet_fan(record, first_pool(record), LIGHT).sized(600))
    calendar = json.dumps(supply.order_calendar(record, LIGHT).sized(600))
    lead = json.dumps(supply.lead_times(record, LIGHT).sized(600))
    for colour in (LIGHT.in_service, LIGHT.domestic):
        assert colour in fan
        assert colour in calendar
        assert colour in lead


def test_words_and_figures_of_a_takeaway_are_put_in_by_name():
    assert Wording("en")("{n} GPUs", n=96) == ENGLISH("{n} GPUs", n=96) == "96 GPUs"
