"""Which scenario a run is about: as stored, as pinned, or the file as it stands when the schedule is due."""

import datetime as dt

import pytest

from executor.errors import FileError
from planner.scenario.errors import ScenarioError
from planner.scenario.load import load
from waferlag.worker.scenario_of_run import scenario_of

MONDAY_AT_SEVEN_IN_SHANGHAI = dt.datetime(2025, 9, 28, 23, 0, tzinfo=dt.UTC).timestamp()


def _job(args: dict, **more) -> dict:
    return {"run_id": "r", "args": args, "due": None, **more}


def test_a_queued_run_has_its_scenario_with_it(make_scenario):
    body = make_scenario(horizon_months=5).model_dump(mode="json")
    scenario, overrides = scenario_of(_job({"overrides": ["late"]}, scenario=body))
    assert scenario == make_scenario(horizon_months=5)
    assert overrides == ("late",)


def test_a_schedules_file_is_read_as_it_stands(tmp_path):
    file = tmp_path / "mine.yaml"
    text = (load("1-quickstart").folder / "1-quickstart.yaml").read_text()
    file.write_text(text)
    args = {"source": str(file), "overrides": [], "replications": 70, "seed": 5}
    first, _ = scenario_of(_job(args))
    assert (first.run.replications, first.seed) == (70, 5)
    file.write_text(text.replace(f"horizon_months: {first.horizon_months}", "horizon_months: 7"))
    assert scenario_of(_job(args))[0].horizon_months == 7
    file.unlink()
    with pytest.raises(FileError, match="no such file"):
        scenario_of(_job(args))


def test_a_pinned_schedule_keeps_the_file_as_it_was(make_scenario):
    args = {"body": make_scenario().model_dump(mode="json"), "overrides": []}
    assert scenario_of(_job(args))[0] == make_scenario()


def test_a_plan_can_start_on_the_day_it_is_due_in_the_schedules_zone():
    args = {"source": "1-quickstart", "overrides": [], "start": "due", "zone": "Asia/Shanghai"}
    job = {**_job(args), "due": MONDAY_AT_SEVEN_IN_SHANGHAI}
    assert scenario_of(job)[0].start == dt.date(2025, 9, 29)
    assert scenario_of({**job, "args": {**args, "zone": "UTC"}})[0].start == dt.date(2025, 9, 28)


def test_a_run_by_hand_of_such_a_schedule_starts_today():
    args = {"source": "1-quickstart", "overrides": [], "start": "due", "zone": "UTC"}
    assert abs((scenario_of(_job(args))[0].start - dt.datetime.now(dt.UTC).date()).days) <= 1


def test_a_stored_scenario_that_no_longer_passes_the_checks_is_refused(make_scenario):
    body = make_scenario().model_dump(mode="json") | {"horizon_months": -1}
    with pytest.raises(ScenarioError, match="the scenario of run r has 1 problem"):
        scenario_of(_job({}, scenario=body))
