"""A marker in every input that may hold a secret: no command shows it, and no file but the database holds it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

MARK = "s3same-mark"
SCENARIO = "1-quickstart"
UNREADABLE = [
    f"postgresql://me:{MARK}@127.0.0.1:1/plans",
    f"postgresql://me@127.0.0.1:1/plans?password={MARK}",
    f"postgresql//me:{MARK}@127.0.0.1:1/plans",
    f"postgresql:/me:{MARK}@127.0.0.1:1/plans",
    f"postgresql://me:{MARK}@127.0.0.1:port/plans",
    f"postgresql://me:a@{MARK}@127.0.0.1:1/plans",
    f"postgressql://me:{MARK}@127.0.0.1:1/plans",
    f"me:{MARK}@127.0.0.1/plans",
]
ON_A_DATABASE = [
    *(["db", "init"], ["db", "check"], ["db", "gc"], ["db", "backup", "copy"], ["db", "upgrade"]),
    *(["runs", "list"], ["runs", "show", "a"], ["runs", "add", SCENARIO], ["runs", "export", "a"], ["report", "a"]),
    *(["schedule", "list"], ["schedule", "pause", "a"], ["profiles", "list"], ["worker", "--drain"]),
    *(["run-due", "--once"], ["plan", SCENARIO, "--quiet"]),
]


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.startswith("WAFERLAG_")]:
        monkeypatch.delenv(name)
    for name in ("CONFIG", "DATA", "CACHE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name.lower()))
    monkeypatch.chdir(tmp_path)


def _holds_no_mark(folder: Path, *said: str, left_out: tuple[str, ...] = ()) -> None:
    assert [text for text in said if MARK in text] == []
    for path in folder.rglob("*"):
        assert MARK not in path.name
        if path.is_file() and not path.name.startswith(left_out or "\0"):
            assert MARK.encode() not in path.read_bytes(), path


@pytest.mark.parametrize("words", ON_A_DATABASE, ids=lambda words: " ".join(words[:2]))
def test_a_database_that_cannot_be_reached_or_read_is_told_without_its_password(command, tmp_path, monkeypatch, words):
    for url in UNREADABLE:
        code, out, err = command(*words, "--db", url)
        assert code == 2, (url, out, err)
        _holds_no_mark(tmp_path, out, err)
    monkeypatch.setenv("WAFERLAG_DB", UNREADABLE[0])
    code, out, err = command(*words)
    assert code == 2
    _holds_no_mark(tmp_path, out, err)


@pytest.mark.parametrize(
    "slip",
    [
        f"[smtp]\npasswor = '{MARK}'\n",
        f"[smtpp]\npassword = '{MARK}'\n",
        f"smtp = '{MARK}'\n",
        f"db = ['{MARK}']\n",
        f"dbb = 'postgresql://me:{MARK}@host/name'\n",
        f"[smtp]\npassword = '{MARK}\n",
    ],
)
@pytest.mark.parametrize("words", [["db", "check"], ["runs", "list"], ["worker", "--drain"], ["plan", SCENARIO]])
def test_a_slip_in_the_settings_is_told_without_its_value(command, tmp_path, monkeypatch, slip, words):
    file = tmp_path / "own.toml"
    file.write_text(slip)
    monkeypatch.setenv("WAFERLAG_CONFIG", str(file))
    code, out, err = command(*words)
    assert code == 2
    file.unlink()
    _holds_no_mark(tmp_path, out, err)


@pytest.mark.parametrize(
    "words",
    [
        ["schedule", "add", "w", SCENARIO, "--cron", "0 7 * * *", "--sinkk", f"https://hooks.example/{MARK}"],
        ["schedule", "add", "w", SCENARIO, "--cron", "0 7 * * *", "--sink", f"htps://hooks.example/{MARK}"],
        ["schedule", "add", "w", SCENARIO, "--cron", "0 7 * * *", f"--sinkk=https://hooks.example/{MARK}"],
        ["runs", "list", "--bd", f"postgresql://me:{MARK}@host/name"],
        ["runs", "list", f"--dbb=postgresql://me:{MARK}@host/name"],
    ],
)
def test_a_slip_in_an_option_is_told_without_its_value(command, tmp_path, words):
    code, out, err = command(*words)
    assert code == 2
    _holds_no_mark(tmp_path, out, err)


@pytest.mark.slow
def test_what_a_database_keeps_is_in_no_list_report_export_or_log(tmp_path, make_record):
    """The whole way round in processes of their own, a message that is not delivered and its log included."""
    from db import notices
    from db.repository import RunRepository
    from db.session import open_database
    from waferlag.worker.sinks import sink_of

    file = tmp_path / "plans.sqlite"
    with open_database(str(file)) as database:
        run_id = RunRepository(database).add(make_record(), {"need": [1.0]})
        with database.write() as session:
            sink = sink_of(f"http://127.0.0.1:1/{MARK}?key={MARK}", ["goal"])
            notices.post(session, run_id, sink, "below the goal", {"topic": "goal"})
    environment = {
        **os.environ,
        "WAFERLAG_DB": str(file),
        "WAFERLAG_SMTP__HOST": "127.0.0.1",
        "WAFERLAG_SMTP__PASSWORD": MARK,
        "WAFERLAG_DEBUG": "1",
    }
    sink = f"https://planner:{MARK}@hooks.example/{MARK}"
    said = []
    for words in (
        ["schedule", "add", "w", SCENARIO, "--cron", "0 7 * * *", "--sink", sink, "--sink", f"http://10.0.0.1/{MARK}"],
        ["schedule", "list", "--json", "schedules.json"],
        ["worker", "--drain"],
        ["runs", "list", "--all", "--json", "runs.json"],
        ["runs", "show", run_id, "--json", "run.json"],
        ["runs", "export", run_id, "--what", "plan", "--out", "plan.json"],
        ["runs", "export", run_id, "--what", "orders", "--out", "orders.parquet"],
        ["report", run_id, "--html", "report.html"],
        ["db", "check"],
        ["db", "backup", "plans.sqlite-copy"],
        ["db", "gc"],
    ):
        command = [sys.executable, "-m", "waferlag", *words]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, (words, done.stderr)
        said += [done.stdout, done.stderr]
    assert any("was not told" in text for text in said), "the message was tried"
    _holds_no_mark(tmp_path, *said, left_out=("plans.sqlite",))
