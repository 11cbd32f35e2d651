"""Parts of a run for other programs: the same figures in CSV, Parquet and JSON."""

import csv
import io
import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from pyarrow import BufferReader

from db.errors import ArtefactError
from db.export import PARTS, export
from db.queue import RunQueue
from db.repository import NoPlanError, RunRepository
from db.session import open_database
from executor.errors import UnknownNameError
from planner.record.models import PlanRecord


def exported(database, run_id: str, part: str, form: str) -> bytes:
    out = io.BytesIO()
    export(database, run_id, part, form, out)
    return out.getvalue()


@pytest.fixture
def stored(tmp_path, make_record):
    with open_database(str(tmp_path / "plans.db")) as database:
        need = np.arange(2 * 1 * 3, dtype=float).reshape(2, 1, 3)
        yield database, RunRepository(database).add(make_record(), {"need": need, "cost": np.ones(2)})


@pytest.mark.parametrize("part", [part for part in PARTS if part != "plan"])
def test_the_three_forms_say_the_same(stored, part):
    database, run_id = stored
    body = json.loads(exported(database, run_id, part, "json"))
    table = pq.read_table(BufferReader(exported(database, run_id, part, "parquet")))
    lines = list(csv.DictReader(io.StringIO(exported(database, run_id, part, "csv").decode())))
    assert body["run"] == run_id
    assert len(body["rows"]) == table.num_rows == len(lines) > 0
    assert list(body["rows"][0]) == table.column_names == list(lines[0])[1:]
    for row, line in zip(body["rows"], lines, strict=True):
        assert line["run"] == run_id
        for name, value in row.items():
            assert line[name] == ("" if value is None else str(value)), name


def test_deliveries_say_when_each_order_serves(stored):
    database, run_id = stored
    (row,) = json.loads(exported(database, run_id, "deliveries", "json"))["rows"]
    assert (row["gpus"], row["arrives_p10"], row["arrives_p90"]) == (96, "2025-11-02", None)


def test_futures_are_the_arrays_in_long_form(stored):
    database, run_id = stored
    rows = json.loads(exported(database, run_id, "futures", "json"))["rows"]
    assert [row["value"] for row in rows] == [0, 1, 2, 3, 4, 5]
    assert rows[4] == {"array": "need", "replication": 1, "pool": "chat", "month": "2025-08", "value": 4.0}


def test_the_plan_comes_whole_and_can_be_read_back(stored, make_record):
    database, run_id = stored
    assert PlanRecord.model_validate_json(exported(database, run_id, "plan", "json")) == make_record()


def test_the_answer_of_a_plan_is_one_line_of_a_table(stored):
    database, run_id = stored
    (line,) = csv.DictReader(io.StringIO(exported(database, run_id, "plan", "csv").decode()))
    (row,) = pq.read_table(BufferReader(exported(database, run_id, "plan", "parquet"))).to_pylist()
    assert line["run"] == run_id
    for found in (line, row):
        assert (found["scenario"], float(found["probability"])) == ("by-hand", 0.91)
        assert found["sentence"] == "Order 96 H20 by 14 August 2025."


def test_a_plan_without_orders_has_a_table_with_columns_and_no_rows(stored, make_record):
    database, run_id = stored
    full = exported(database, run_id, "orders", "csv").decode().splitlines()
    empty = RunRepository(database).add(make_record(orders=[], gpus=1))
    assert exported(database, empty, "orders", "csv").decode().splitlines() == full[:1]
    assert exported(database, empty, "deliveries", "csv").startswith(b"run,line,pool,source")
    assert json.loads(exported(database, empty, "orders", "json"))["rows"] == []


@pytest.mark.parametrize("part", PARTS)
def test_a_run_that_has_no_plan_yet_is_refused(stored, make_scenario, part):
    database, _ = stored
    waiting, _ = RunQueue(database).put_scenario(make_scenario(name="waits"), (), "0.1.0")
    for form in ("csv", "json"):
        with pytest.raises((NoPlanError, ArtefactError), match=waiting):
            exported(database, waiting, part, form)


def test_an_unknown_part_or_form_has_a_nearest_one(stored):
    database, run_id = stored
    with pytest.raises(UnknownNameError, match="did you mean orders"):
        exported(database, run_id, "order", "csv")
    with pytest.raises(UnknownNameError, match="did you mean parquet"):
        exported(database, run_id, "orders", "parkett")


def test_a_name_that_a_spreadsheet_would_take_for_a_formula_is_quoted(stored, make_record, make_scenario):
    database, _ = stored
    body = make_record().orders[0].model_dump(mode="json") | {"pool": "=HYPERLINK(1)"}
    run_id = RunRepository(database).add(make_record(orders=[body]))
    assert ",'=HYPERLINK(1)," in exported(database, run_id, "orders", "csv").decode()


def test_long_arrays_are_written_a_few_replications_at_a_time_and_say_the_same(stored, monkeypatch):
    database, run_id = stored
    whole = {form: exported(database, run_id, "futures", form) for form in ("csv", "json")}
    monkeypatch.setattr("db.export.ROWS_AT_ONCE", 3)
    assert {form: exported(database, run_id, "futures", form) for form in ("csv", "json")} == whole
    table = pq.read_table(BufferReader(exported(database, run_id, "futures", "parquet")))
    assert table.to_pylist() == json.loads(whole["json"])["rows"]
