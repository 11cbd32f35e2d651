"""Plans go in, plans come out: the same on SQLite and on PostgreSQL."""

import datetime as dt

import numpy as np
import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from db import queries
from db.errors import ArtefactError, DatabaseError
from db.identity import run_identity
from db.repository import RunRepository, profile_body, store_profile
from db.schema import Base, RunRow, ScenarioRow
from executor.errors import UnknownNameError


def _arrays() -> dict[str, np.ndarray]:
    generator = np.random.default_rng(3)
    return {
        "need": generator.gamma(5, 20, size=(50, 2, 3)).astype(np.float32),
        "cost": generator.normal(2e7, 1e6, size=50),
        "gate": generator.integers(0, 4, size=(20, 3), dtype=np.int16),
        "met": generator.random((50, 3)) < 0.9,
    }


def test_a_plan_comes_back_as_it_went_in(database, make_record):
    record = make_record()
    repository = RunRepository(database)
    run_id = repository.add(record)
    assert repository.get(run_id) == record
    assert repository.get(run_id).model_dump_json() == record.model_dump_json()


def test_arrays_come_back_bit_for_bit_with_their_shapes_and_types(database, make_record):
    arrays = _arrays()
    repository = RunRepository(database)
    run_id = repository.add(make_record(), arrays)
    back = repository.arrays(run_id)
    assert set(back) == set(arrays)
    for name, array in arrays.items():
        assert back[name].dtype == array.dtype
        np.testing.assert_array_equal(back[name], array)


def test_a_file_that_was_changed_is_refused_and_the_message_names_it(database, make_record):
    repository = RunRepository(database)
    run_id = repository.add(make_record(), _arrays())
    path = database.runs_folder / repository.artefact(run_id).path
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)
    with pytest.raises(ArtefactError, match="not the file that the run wrote") as raised:
        repository.arrays(run_id)
    assert str(path) in str(raised.value)
    path.unlink()
    with pytest.raises(ArtefactError, match="cannot be read"):
        repository.arrays(run_id)


def test_a_run_without_arrays_says_so(database, make_record):
    repository = RunRepository(database)
    with pytest.raises(ArtefactError, match="no replication-level arrays"):
        repository.arrays(repository.add(make_record()))


def test_a_plan_that_cannot_be_stored_leaves_neither_row_nor_file(database, make_record):
    record = make_record(physics={"bound": float("nan")})
    with pytest.raises(ValueError, match=r"physics\.bound = nan"):
        RunRepository(database).add(record, _arrays())
    with database.read() as session:
        for table in Base.metadata.sorted_tables:
            assert session.execute(select(func.count()).select_from(table)).scalar_one() == 0, table.name
    assert not list(database.runs_folder.rglob("*.parquet"))


def test_the_rows_say_what_the_record_says(database, make_record):
    record = make_record()
    run_id = RunRepository(database).add(record)
    months = queries.lines(database, run_id, "months")
    assert [line["month"] for line in months] == ["2025-07", "2025-08", "2025-09"]
    assert months[0]["probability_low"] == record.months[0].probability.low
    assert months[0]["start"] == dt.date(2025, 7, 1)
    assert months[0]["required"] is True
    pool = queries.lines(database, run_id, "pools")[1]
    assert (pool["month"], pool["pool"], pool["need_p90"]) == ("2025-08", "chat", 160)
    order = queries.lines(database, run_id, "orders")[0]
    assert (order["gpus"], order["last_safe"], order["arrives_p90"]) == (96, dt.date(2025, 8, 14), None)
    assert order["probability_without"] == record.orders[0].probability_without.value
    assert queries.lines(database, run_id, "reservations")[0]["gpus"] == 16
    assert queries.lines(database, run_id, "rivals")[0]["cost_difference"] == 8e6
    assert {(line["state"], line["share"]) for line in queries.lines(database, run_id, "gates")} == {
        ("promised", 0.7),
        ("open", 0.3),
    }


def test_a_summary_has_the_head_of_the_answer(database, make_record):
    run_id = RunRepository(database).add(make_record(probability=0.85), seconds=2.5)
    summary = queries.run(database, run_id)
    assert (summary.state, summary.feasible, summary.probability) == ("done", False, 0.85)
    assert summary.seconds == pytest.approx(2.5, abs=0.2)  # the two readings of the clock lie a moment apart
    assert summary.created.tzinfo is dt.UTC
    assert abs((dt.datetime.now(dt.UTC) - summary.created).total_seconds()) < 60
    assert summary.next_order_by == dt.date(2025, 8, 14)


def test_runs_are_listed_of_the_scenario_asked_for_and_no_more_than_asked_for(database, make_record, make_scenario):
    repository = RunRepository(database)
    repository.add(make_record())
    other = repository.add(make_record(make_scenario(name="other")))
    assert [run.id for run in queries.runs(database, scenario="other")] == [other]
    assert len(queries.runs(database, limit=1)) == 1


def test_changed_content_under_the_same_name_is_a_new_version_and_equal_content_is_not(
    database, make_record, make_scenario
):
    repository = RunRepository(database)
    for horizon in (3, 4, 3):
        repository.add(make_record(make_scenario(horizon_months=horizon)))
    with database.read() as session:
        versions = session.execute(select(ScenarioRow.version).order_by(ScenarioRow.version)).scalars()
        assert list(versions) == [1, 2]


def test_an_identical_run_is_found_whatever_the_number_of_processes(database, make_record, make_scenario):
    repository = RunRepository(database)
    run_id = repository.add(make_record(make_scenario(run={"processes": 2})))
    assert repository.find_identity(run_identity(make_scenario(run={"processes": 8}), "0.1.0")) == run_id
    assert repository.find_identity(run_identity(make_scenario(), "0.2.0")) is None
    assert repository.find_identity(run_identity(make_scenario(seed=8), "0.1.0")) is None


def test_a_beginning_of_an_id_is_enough_where_it_is_unique(database, make_record):
    repository = RunRepository(database)
    first, second = repository.add(make_record()), repository.add(make_record())
    assert repository.get(first[:-1] if first[:-1] != second[:-1] else first) == make_record()
    with pytest.raises(UnknownNameError, match="known: ") as raised:
        repository.get("20")
    assert first in str(raised.value)
    with pytest.raises(UnknownNameError, match="did you mean"):
        repository.get(first[:-1] + "x")
    with pytest.raises(UnknownNameError):
        repository.get("")


def test_a_profile_is_kept_once_and_comes_back(database):
    body = {"model": "Qwen3-32B", "gpu": "H100-SXM", "engine": "sglang", "points": [{"ttft_ms": 120.5}]}
    with database.write() as session:
        profile_id = store_profile(session, body)
        assert store_profile(session, dict(reversed(body.items()))) == profile_id
    assert profile_body(database, profile_id) == body
    assert [found.id for found in queries.profiles(database)] == [profile_id]
    with pytest.raises(UnknownNameError, match="serving profile"):
        profile_body(database, "nothing")


def test_text_in_a_number_column_is_refused_by_either_database(database):
    with pytest.raises((DatabaseError, IntegrityError)), database.write() as session:
        session.connection().exec_driver_sql(
            "INSERT INTO run (id, kind, state, scenario_name, created) VALUES ('a', 'plan', 'done', 's', 'yesterday')"
        )
    with database.read() as session:
        assert session.get(RunRow, "a") is None
