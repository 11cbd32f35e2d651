"""The views that BI tools read: they say what the plans say, and the page about them names every column."""

import re
from pathlib import Path

import pytest
from sqlalchemy import inspect, text

from db.repository import RunRepository

PAGE = Path(__file__).parents[2] / "docs" / "database.md"


def _columns(database, view: str) -> list[str]:
    return [column["name"] for column in inspect(database.engine).get_columns(view)]


def test_the_views_say_what_the_plan_says(database, make_record):
    record = make_record()
    run_id = RunRepository(database).add(record, seconds=3)
    with database.read() as session:
        plan = session.execute(text("SELECT * FROM bi_plan")).mappings().one()
        assert (plan["run"], plan["scenario"], plan["scenario_version"]) == (run_id, "by-hand", 1)
        assert bool(plan["goal_met"]) is True
        assert plan["mean_cost"] == record.kpis.mean_cost.value
        months = session.execute(text("SELECT month, probability FROM bi_month ORDER BY month")).all()
        assert [tuple(row) for row in months] == [(m.month, m.probability.value) for m in record.months]
        order = session.execute(text("SELECT gpus, gpu, source FROM bi_order")).one()
        assert tuple(order) == (96, "H20-96GB", "h20")
        assert session.execute(text("SELECT sum(share) FROM bi_gate_month")).scalar_one() == pytest.approx(3)
        assert session.execute(text("SELECT need_p90 FROM bi_pool_month")).scalars().first() == 160
        run = session.execute(text("SELECT state, seconds FROM bi_run")).one()
        assert run.state == "done"
        assert run.seconds == pytest.approx(3, abs=0.2)
        assert str(plan["planned_at"]).startswith("20")


def test_the_latest_plan_is_one_row_per_scenario(database, make_record, make_scenario):
    repository = RunRepository(database)
    for name in ("a", "b", "a"):
        run_id = repository.add(make_record(make_scenario(name=name)))
        with database.write() as session:
            session.execute(
                text("UPDATE run SET ended = ended + (SELECT count(*) FROM run) WHERE id = :id"), {"id": run_id}
            )
    with database.read() as session:
        rows = session.execute(text("SELECT scenario, run FROM bi_latest_plan")).all()
    assert sorted(row.scenario for row in rows) == ["a", "b"]
    assert run_id in {row.run for row in rows}


def test_every_view_and_column_is_on_the_page_and_nothing_else(database):
    page = PAGE.read_text(encoding="utf-8")
    told = {
        name: re.findall(r"`(\w+)`", columns)
        for name, columns in re.findall(r"^\| `(bi_\w+)` \|[^|]*\| (.*) \|$", page, re.MULTILINE)
    }
    views = inspect(database.engine).get_view_names()
    assert told == {view: _columns(database, view) for view in views}
