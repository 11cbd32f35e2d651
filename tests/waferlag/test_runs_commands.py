"""`waferlag runs`, `db`, `schedule`, `worker`, `run-due`: as a user types them."""

import json
import re
import subprocess
import sys
import time

import pytest
from typer.testing import CliRunner

from db import queries
from db.repository import RunRepository
from db.session import open_database
from waferlag import settings as settings_module
from waferlag.main import app

QUICK = "1-quickstart"


@pytest.fixture(autouse=True)
def own_database(tmp_path, monkeypatch):
    monkeypatch.setenv("WAFERLAG_DB", str(tmp_path / "plans.db"))
    monkeypatch.setenv("WAFERLAG_POLL_SECONDS", "0.1")
    settings_module.settings.cache_clear()
    yield
    settings_module.settings.cache_clear()


@pytest.fixture
def run():
    """Run a command; returns (exit code, stdout, the error that the front door would tell)."""

    def run(*words: str):
        done = CliRunner().invoke(app, list(words))
        error = None if isinstance(done.exception, SystemExit) else done.exception
        return done.exit_code, done.stdout, error

    return run


@pytest.fixture
def database(tmp_path):
    with open_database(str(tmp_path / "plans.db")) as opened:
        yield opened


def _mistake(answer, says: str) -> None:
    _, _, error = answer
    assert getattr(error, "exit_code", None) == 2, error
    assert re.search(says, str(error)), str(error)


def test_an_empty_list_says_how_to_fill_it(run):
    assert "waferlag plan SCENARIO" in run("runs", "list")[1]
    assert "waferlag schedule add" in run("schedule", "list")[1]


def test_runs_are_listed_and_shown(run, database, make_record, tmp_path):
    run_id = RunRepository(database).add(make_record(), seconds=2)
    code, out, _ = run("runs", "list", "--json", str(tmp_path / "list.json"))
    assert code == 0
    assert re.search(rf"{run_id}  done +by-hand +91% \(88%-94%\) in 2025-09, goal 90%", out)
    body = json.loads((tmp_path / "list.json").read_text())
    assert body["schema_version"] == 1
    assert body["runs"][0]["id"] == run_id
    assert body["runs"][0]["next_order_by"] == "2025-08-14"
    out = run("runs", "show", run_id[:-1], "--json", str(tmp_path / "plan.json"))[1]
    for words in ("Order 96 H20", "took         2.0 s", "cost         21,000,000 CNY", "stored"):
        assert words in out
    assert json.loads((tmp_path / "plan.json").read_text())["answer"]["goal"] == 0.9


def test_adding_prints_the_id_and_nothing_else_and_an_identical_run_is_found(run):
    code, first, _ = run("runs", "add", QUICK, "--replications", "50")
    assert code == 0
    assert re.fullmatch(r"\d{8}-\d{6}-[0-9a-f]{6}\n", first)
    assert run("runs", "add", QUICK, "--replications", "50")[1] == first
    assert run("runs", "add", QUICK, "--replications", "50", "--again")[1] != first
    assert run("runs", "add", QUICK, "--replications", "60")[1] != first
    assert run("runs", "list")[1].count("queued") == 3


def test_a_waiting_run_is_cancelled_and_retried(run):
    run_id = run("runs", "add", QUICK)[1].strip()
    assert run("runs", "cancel", run_id)[1] == f"{run_id} is cancelled\n"
    _mistake(run("runs", "cancel", run_id), "is cancelled: only a waiting")
    new = run("runs", "retry", run_id)[1].strip()
    assert f"retry of     {run_id}" in run("runs", "show", new)[1]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["runs", "show", "nothing"], "unknown run 'nothing'"),
        (["runs", "cancel", "nothing"], "unknown run"),
        (["runs", "list", "--state", "don"], "did you mean done"),
        (["runs", "add", "no-such-scenario"], "unknown scenario"),
        (["runs", "add", QUICK, "--replications", "0"], "replications"),
        (["runs", "list", "--db", "mysql://a/b"], "known: sqlite, postgresql"),
        (["db", "upgrade", "--to", "0009"], "unknown revision"),
        (["schedule", "add", "w", QUICK, "--cron", "never"], "no cron expression"),
        (["schedule", "add", "w", QUICK, "--cron", "0 7 * * *", "--zone", "Asia/Shanghia"], "Asia/Shanghai"),
        (["schedule", "add", "a/b", QUICK, "--cron", "0 7 * * *"], "name has letters"),
        (["schedule", "add", "w", QUICK, "--cron", "0 7 * * *", "--overlap", "skipp"], "did you mean skip"),
        (["schedule", "add", "w", QUICK, "--cron", "0 7 * * *", "--sink", "ftp://x"], "is no sink"),
        (["schedule", "add", "w", QUICK, "--cron", "0 7 * * *", "--sink", "https://x", "--tell", "goals"], "goal"),
        (["schedule", "pause", "w"], "unknown schedule"),
    ],
)
def test_a_mistake_gets_one_message_with_the_mend(run, words, says):
    _mistake(run(*words), says)


def test_limits_are_kept_before_anything_is_queued(run, monkeypatch):
    monkeypatch.setenv("WAFERLAG_MAX_REPLICATIONS", "100")
    settings_module.settings.cache_clear()
    _mistake(run("runs", "add", QUICK), "WAFERLAG_MAX_REPLICATIONS")
    assert "No runs yet" in run("runs", "list")[1]


def test_a_schedule_is_added_listed_paused_resumed_and_removed(run, tmp_path):
    words = ["--cron", "0 7 * * MON", "--zone", "Asia/Shanghai", "--sink", "https://hooks.example/T?key=sesame"]
    code, out, _ = run("schedule", "add", "weekly", QUICK, *words)
    assert code == 0
    assert re.fullmatch(r"weekly runs first at \d{4}-\d\d-\d\d 07:00 CST\n", out)
    _mistake(run("schedule", "add", "weekly", QUICK, *words), "already")
    out = run("schedule", "list", "--json", str(tmp_path / "s.json"))[1]
    assert re.search(r"weekly +0 7 \* \* MON +\d{4}-\d\d-\d\d 07:00 CST +never yet", out)
    assert "sesame" not in (tmp_path / "s.json").read_text()
    run("schedule", "pause", "weekly")
    assert "paused" in run("schedule", "list")[1]
    assert "runs next" in run("schedule", "resume", "weekly")[1]
    run_id = run("schedule", "run-now", "weekly")[1].strip()
    assert "weekly" in run("runs", "show", run_id)[1]
    run("schedule", "remove", "weekly")
    assert "No schedules yet" in run("schedule", "list")[1]


def test_a_schedules_scenario_is_checked_when_it_is_added(run, tmp_path):
    bad = tmp_path / "bad.yaml"
    bad.write_text("name: bad\n")
    _mistake(run("schedule", "add", "w", str(bad), "--cron", "0 7 * * *"), "is required")


@pytest.mark.parametrize(
    "words",
    [["plan", "--no-save"], ["check"], ["size"], ["runs", "add"], ["schedule", "add", "w", "--cron", "0 7 * * *"]],
    ids=lambda words: " ".join(words[:2]),
)
def test_the_limit_of_a_trace_is_that_of_the_setting(run, tiny, tmp_path, monkeypatch, words):
    rows = "".join(f"2024-05-10 00:00:{second:02},200,50\n" for second in range(60))
    (tmp_path / "own.csv").write_text(f"TIMESTAMP,ContextTokens,GeneratedTokens\n{rows}")
    scenario = str(tiny(lambda body: body["pools"][0]["load"].update(trace="own.csv")))
    monkeypatch.setenv("WAFERLAG_MAX_TRACE_BYTES", "1000")
    _mistake(run(*words, scenario), "WAFERLAG_MAX_TRACE_BYTES")


def test_the_database_is_made_checked_copied_and_cleared(run, tmp_path, make_record):
    assert "is ready" in run("db", "init")[1]
    with open_database(str(tmp_path / "plans.db")) as database:
        RunRepository(database).add(make_record(), {"need": [1.0]})
        artefact = next(database.runs_folder.rglob("*.parquet"))
    assert "1 run(s), 1 file(s), no problem(s)" in run("db", "check")[1]
    assert "1 file(s) of runs beside it" in run("db", "backup", str(tmp_path / "b.db"))[1]
    assert "removed 0 run(s)" in run("db", "gc", "--keep-days", "30")[1]
    assert run("db", "upgrade", "--to", "0003")[1].strip().endswith("version 0003")
    assert run("db", "upgrade")[1].strip().endswith("0003")
    artefact.write_bytes(b"")
    code, out, _ = run("db", "check")
    assert code == 3
    assert "not the file that the run wrote" in out
    assert "removed 1 run(s)" in run("db", "gc", "--keep-days", "0")[1]


def test_going_to_base_asks_before_everything_is_dropped(run, database, make_record):
    run_id = RunRepository(database).add(make_record())
    _mistake(run("db", "upgrade", "--to", "base"), "drops every table.*--yes.*db backup")
    assert run_id in run("runs", "list")[1]
    assert run("db", "upgrade", "--to", "base", "--yes")[1].strip().endswith("version base")
    assert run("db", "upgrade", "--to", "base")[0] == 0, "there is nothing to drop any more"


@pytest.mark.parametrize(
    "words", [["db", "check"], ["db", "gc"], ["db", "backup", "copy.db"]], ids=lambda words: words[1]
)
def test_what_looks_after_a_database_makes_none(run, tmp_path, words):
    _mistake(run(*words, "--db", str(tmp_path / "no" / "such.db")), "there is no database at .*db init")
    assert not (tmp_path / "no").exists()
    assert list(tmp_path.glob("*.db")) == []


@pytest.mark.parametrize(
    ("host", "says"), [("nope.invalid", "give an address of this machine"), ("8.8.8.8", "cannot assign")]
)
def test_a_dashboard_on_a_host_that_is_not_this_machine_is_refused(run, host, says):
    _mistake(run("dashboard", "--host", host, "--no-browser"), f"(?i)--host {host}: .*{says}")


def test_a_part_of_a_run_is_exported(run, database, make_record, tmp_path):
    run_id = RunRepository(database).add(make_record())
    assert run("runs", "export", run_id)[1].splitlines()[1].startswith(f"{run_id},1,chat,h20,H20-96GB")
    assert run("runs", "export", run_id, "--what", "months", "--out", str(tmp_path / "m.parquet"))[0] == 0
    assert (tmp_path / "m.parquet").read_bytes()[:4] == b"PAR1"
    _mistake(run("runs", "export", run_id, "--out", str(tmp_path / "m.xlsx")), "unknown form")
    _mistake(run("runs", "export", run_id, "--what", "plans"), "did you mean plan")


@pytest.mark.slow
def test_a_schedule_that_is_due_is_run_compared_and_told(run, database, tiny, tmp_path):
    """The whole of it with real plans, small ones: the second run has a dearer source, and says so."""
    from sqlalchemy import text

    scenario = tiny(horizon_months=4)
    told = tmp_path / "told.jsonl"
    words = ["--cron", "0 7 * * *", "--replications", "40", "--sink", f"file:{told}", "--tell", "changed,goal"]
    assert run("schedule", "add", "daily", str(scenario), *words)[0] == 0

    with database.write() as session:
        at = (time.time() // 86_400) * 86_400 - 86_400 + 7 * 3600
        session.execute(text("UPDATE schedule SET next_at = :at"), {"at": at})
    assert run("run-due", "--once")[0] == 0
    (first,) = queries.runs(database, schedule="daily")
    assert first.state == "done", first.error
    assert "nothing to compare" in run("runs", "changes", first.id)[1].lower()

    body = scenario.read_text()
    scenario.write_text(body.replace("requests_per_second: ", "requests_per_second: 1"))
    second = run("schedule", "run-now", "daily")[1].strip()
    assert run("run-due", "--once")[0] == 0
    assert queries.run(database, second).state == "done"
    out = run("runs", "changes", second)[1]
    assert f"since {first.id}" in out
    assert "demand: " in out
    lines = [json.loads(line) for line in told.read_text().splitlines()]
    assert any(line["topic"] == "changed" and line["run"] == second for line in lines)


def test_help_loads_no_database():
    code = "import sys, waferlag.main; print(sorted({'sqlalchemy', 'alembic', 'cronsim'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "[]"


def test_a_worker_loads_nothing_of_what_its_runs_need():
    heavy = {"numpy", "scipy", "pyarrow", "planner.plan", "planner.record.models", "highspy"}
    code = f"import sys, waferlag.worker.loop; print(sorted({heavy!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "[]"
