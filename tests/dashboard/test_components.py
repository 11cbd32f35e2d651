"""Parts that pages share: what leaves the screen as a file, and how a table shows texts."""

import csv
import io

import pytest

from dashboard.accuracy import gate_scores, published_day, score_tables, sections
from dashboard.charts.accuracy import day_compared, error_by_rows, gate_skill
from dashboard.components import shown_rows
from dashboard.text import csv_text
from planner.record.models import PlanRecord
from planner.report.sentences import rental_spans


def test_a_download_keeps_full_digits_and_every_row():
    rows = [{"month": "2025-07", "need": 1 / 3}, {"month": "2025-08", "need": 2.5e-9}]
    back = list(csv.DictReader(io.StringIO(csv_text(rows))))
    assert [float(row["need"]) for row in back] == [1 / 3, 2.5e-9]


@pytest.mark.parametrize("name", ["=1+1", "+cmd|' /C calc'!A0", "-2", "@sum(a)", "\tx"])
def test_a_spreadsheet_does_not_run_a_name_as_a_formula(name: str):
    assert next(csv.DictReader(io.StringIO(csv_text([{"pool": name}]))))["pool"] == f"'{name}"


def test_numbers_are_left_alone_when_they_are_negative():
    assert "-2.5" in csv_text([{"cost": -2.5}])


def test_an_empty_table_is_an_empty_file():
    assert csv_text([]) == ""


def test_a_table_shows_names_without_control_characters_and_numbers_as_numbers():
    assert shown_rows([{"a\u0007": "b\u202ec", "n": 3}]) == [{"a": "bc", "n": 3}]


def test_rental_of_equal_months_is_told_as_one_span(record: PlanRecord):
    span, *others = rental_spans(record)
    assert others == []
    assert (span.first, span.last, span.gpus) == ("2025-10", "2026-03", 16)
    assert span.price == pytest.approx(sum(item.price for item in record.reservations), rel=1e-12)


def test_a_month_without_rental_parts_two_spans(record: PlanRecord):
    kept = [item for item in record.reservations if item.month != "2025-12"]
    spans = rental_spans(record.model_copy(update={"reservations": kept}))
    assert [(span.first, span.last) for span in spans] == [("2025-10", "2025-11"), ("2026-01", "2026-03")]


def test_the_accuracy_page_is_read_in_sections_and_its_scores_are_numbers():
    found = sections()
    if not found:
        pytest.skip("docs/accuracy.md is not there")
    assert all(title and text for title, text in found)
    scores = score_tables(found)
    assert {row["metric"] for row in scores} == {"TPOT", "throughput", "TTFT"}
    assert all(0 <= row["error"] < 1000 for row in scores)


def test_gate_scores_and_the_published_day_are_read_where_they_are_written():
    found = sections()
    if not any("Gates" in title for title, _ in found):
        pytest.skip("docs/accuracy.md has no section on gates")
    laws = {row["law"] for row in gate_scores(found)}
    assert {"waferlag", "nothing changes"} <= laws
    day = published_day(found)
    assert len(day) in (0, 24)
    assert all(row["low"] <= row["predicted"] <= row["high"] for row in day)


def test_every_chart_of_the_accuracy_page_draws():
    found = sections()
    for rows, draw in (
        (score_tables(found), error_by_rows),
        (gate_scores(found), gate_skill),
        (published_day(found), day_compared),
    ):
        if rows:
            figure = draw(rows)
            figure.chart.to_dict(validate=True)
            assert figure.svg(500).startswith("<svg")


def test_an_accuracy_page_without_tables_has_no_scores():
    assert score_tables((("Serving throughput", "Nothing was measured."),)) == []
