"""Parts that pages share: what leaves the screen as a file, and how a table shows texts."""

import csv
import io

import pytest

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
