"""A database that cannot be used says why, and how to mend it."""

import os
import sqlite3
import stat
import subprocess
import sys
import threading

import pytest
from sqlalchemy import select, text

import db.connection
from db import queries
from db.columns import now
from db.connection import database_url as parsed
from db.errors import (
    DatabaseError,
    DatabaseReadOnlyError,
    DatabaseUnavailableError,
    DatabaseUrlError,
    DatabaseVersionError,
    DiskFullError,
)
from db.maintenance import backup
from db.repository import RunRepository
from db.session import open_database

INSERT_A_RUN = "INSERT INTO run (id, kind, state, scenario_name, created) VALUES ('a', 'plan', 'done', 's', 1)"


@pytest.fixture
def impatient(monkeypatch):
    """Wait for a lock for a fifth of a second only."""
    monkeypatch.setattr(db.connection, "BUSY_SECONDS", 0.2)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("", "is empty"),
        ("  ", "is empty"),
        ("sqlite://", "in memory"),
        ("sqlite:///:memory:", "in memory"),
        ("mysql://a@b/c", "known: sqlite, postgresql"),
        ("postgressql://a@b/c", "did you mean postgresql"),
        ("postgresql://a:b@c:port/d", "is not a database URL"),
    ],
)
def test_a_url_that_names_no_database_is_refused_with_the_mend(url, says):
    with pytest.raises(DatabaseUrlError, match=says) as raised:
        parsed(url)
    assert raised.value.exit_code == 2


def test_a_password_is_shown_in_no_message():
    with pytest.raises(DatabaseUrlError) as raised:
        parsed("postgresql://me:sesame@c:port/d")
    assert "sesame" not in str(raised.value)
    with pytest.raises(DatabaseUnavailableError) as unreachable:
        open_database("postgresql://me:sesame@127.0.0.1:1/nothing")
    assert "sesame" not in str(unreachable.value)
    assert "is the server running?" in str(unreachable.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql//me:sesame@host/name",
        "postgresql:/me:sesame@host/name",
        "postgresql:me:sesame@host/name",
        "postgresql+//me:sesame@host/name",
        "me:sesame@host/name",
        "postgresql://me:sesame@@host/name",
        "postgresql://me:ses@sesame@host/name",
        "postgres//me@host/name?password=sesame",
        "mysql://me:sesame@host/name",
    ],
)
def test_a_url_with_a_slip_is_refused_without_its_text_and_never_taken_for_a_file(url, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DatabaseUrlError) as raised:
        open_database(url)
    assert "ses" not in str(raised.value).replace("sees", "")
    assert list(tmp_path.iterdir()) == []


def test_a_password_among_the_parameters_is_not_shown():
    with pytest.raises(DatabaseUnavailableError) as unreachable:
        open_database("postgresql://me@127.0.0.1:1/nothing?password=sesame&sslmode=disable")
    assert "sesame" not in str(unreachable.value)
    assert "password=***" in str(unreachable.value)


def test_a_path_is_an_sqlite_file_and_its_folder_is_made(tmp_path):
    with open_database(str(tmp_path / "new" / "plans.db")) as database:
        assert database.runs_folder == tmp_path / "new" / "plans.db.runs"
    assert (tmp_path / "new" / "plans.db").is_file()


def test_readers_see_a_writers_work_only_when_it_is_whole(database, make_record):
    """On SQLite this is what WAL gives: a reader is not locked out by an open writer."""
    with database.write() as session:
        session.execute(text(INSERT_A_RUN))
        assert queries.runs(database) == []
    assert len(queries.runs(database)) == 1


def test_an_open_reader_locks_no_writer_out(database, make_record):
    with database.read() as session:
        session.execute(text("SELECT count(*) FROM run"))
        RunRepository(database).add(make_record())


def test_the_clock_is_the_databases_own_and_utc(database):
    import time

    with database.read() as session:
        assert session.execute(select(now())).scalar_one() == pytest.approx(time.time(), abs=5)


def test_an_exception_keeps_nothing(database):
    def break_off():
        with database.write() as session:
            session.execute(text(INSERT_A_RUN))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        break_off()
    assert queries.runs(database) == []


def test_a_file_that_is_no_database_is_refused(tmp_path):
    file = tmp_path / "notes.txt"
    file.write_text("order 96 GPUs " * 500)
    with pytest.raises(DatabaseVersionError, match="not an SQLite database"):
        open_database(str(file))
    assert file.read_text().startswith("order 96")


def test_a_folder_in_place_of_the_file_is_refused(tmp_path):
    with pytest.raises(DatabaseUrlError, match="cannot be opened"):
        open_database(str(tmp_path))


def test_a_file_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DatabaseUrlError, match="cannot be made"):
        open_database(str(tmp_path / "file" / "plans.db"))


def test_a_locked_sqlite_file_is_waited_for_with_a_limit(tmp_path, make_record, impatient):
    file = tmp_path / "plans.db"
    with open_database(str(file)) as database:
        holder = sqlite3.connect(file, isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(DatabaseUnavailableError, match="locked by another process"):
            RunRepository(database).add(make_record(), {"need": [1.0]})
        assert not list(database.runs_folder.rglob("*.parquet"))
        holder.execute("ROLLBACK")
        holder.close()
        RunRepository(database).add(make_record())


def test_a_lock_that_ends_in_time_is_not_noticed(tmp_path, make_record):
    file = tmp_path / "plans.db"
    with open_database(str(file)) as database:
        holder = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
        holder.execute("BEGIN IMMEDIATE")
        threading.Timer(0.5, lambda: holder.execute("ROLLBACK")).start()
        RunRepository(database).add(make_record())


def test_a_read_only_sqlite_database_can_be_read_and_says_so_when_written(tmp_path, make_record):
    file = tmp_path / "plans.db"
    with open_database(str(file)) as database:
        run_id = RunRepository(database).add(make_record())
    with open_database(f"sqlite:///file:{file}?mode=ro&uri=true", tmp_path / "runs") as database:
        assert RunRepository(database).get(run_id) == make_record()
        with pytest.raises(DatabaseReadOnlyError, match="may not be written"):
            RunRepository(database).add(make_record())


@pytest.mark.postgres
def test_a_read_only_postgresql_says_so_when_written(postgres_url, tmp_path, make_record):
    with open_database(postgres_url, tmp_path / "runs") as database:
        run_id = RunRepository(database).add(make_record())
        with database.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            name = database.engine.url.database
            connection.execute(text(f"ALTER DATABASE {name} SET default_transaction_read_only = on"))
    with open_database(postgres_url, tmp_path / "runs") as database:
        assert RunRepository(database).get(run_id) == make_record()
        with pytest.raises(DatabaseReadOnlyError, match="connect to the primary"):
            RunRepository(database).add(make_record())


@pytest.mark.postgres
def test_a_postgresql_database_that_does_not_exist_says_so(postgres_url):
    with pytest.raises(DatabaseUrlError, match=r"createdb.*does not exist"):
        open_database(postgres_url.replace("/test_", "/no_such_"))


@pytest.mark.postgres
def test_a_connection_that_was_cut_is_made_again(postgres_url, tmp_path, make_record):
    with open_database(postgres_url, tmp_path / "runs") as database:
        RunRepository(database).add(make_record())
        with database.engine.connect() as connection:
            connection.execute(
                text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            )
        RunRepository(database).add(make_record())
        with pytest.raises(DatabaseUnavailableError), database.write() as session:
            session.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
        assert len(queries.runs(database)) == 2


def test_a_full_sqlite_file_says_so_and_keeps_what_was_stored(tmp_path, make_record):
    """A limit on its pages fills the file as a full disk would: SQLite answers SQLITE_FULL to both."""
    with open_database(str(tmp_path / "plans.db")) as database:
        run_id = RunRepository(database).add(make_record())
        with database.engine.connect() as connection:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
            connection.exec_driver_sql(f"PRAGMA max_page_count={pages + 2}")
        record = make_record(physics={"lots": "x" * 50_000})
        with pytest.raises(DiskFullError, match="no room left on the disk"):
            RunRepository(database).add(record, {"need": [1.0]})
        assert RunRepository(database).get(run_id) == make_record()
        stored = {run.artefact for run in queries.runs(database)} - {None}
        on_disk = {p.relative_to(database.runs_folder).as_posix() for p in database.runs_folder.rglob("*.parquet")}
        assert on_disk == stored


def test_a_full_disk_under_an_artefact_says_so_and_leaves_nothing(tmp_path, make_record):
    """A limit on the size of files stops the write in the middle; the child of the test carries the limit."""
    script = """
import resource, signal, sys
import numpy as np
from pathlib import Path
from db.artefacts import ArtefactStore
from db.errors import DatabaseError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    ArtefactStore(Path(sys.argv[1])).write("run", 1, {"need": np.random.default_rng(1).random(500_000)})
except DatabaseError as error:
    print(type(error).__name__, error)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stdout.startswith("DiskFullError"), done.stdout + done.stderr
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_every_error_of_the_database_is_the_users_to_mend():
    for kind in DatabaseError.__subclasses__():
        assert kind.exit_code == 2


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o777])
def test_what_is_stored_is_its_owners_alone_whatever_the_umask(tmp_path, make_record, umask):
    before = os.umask(umask)
    try:
        with open_database(str(tmp_path / "new" / "plans.db")) as database:
            RunRepository(database).add(make_record(), {"need": [1.0]})
            backup(database, tmp_path / "new" / "copy.db")
            modes = {path: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "new").rglob("*")}
    finally:
        os.umask(before)
    assert {path.name for path in modes} > {"plans.db", "plans.db-wal", "plans.db-shm", "copy.db", "plans.db.runs"}
    assert {mode for path, mode in modes.items() if path.is_file()} == {0o600}
    assert {mode for path, mode in modes.items() if path.is_dir()} == {0o700}
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700


READ_ONLY = """
import sys
from db import queries
from db.errors import DatabaseError
from db.queue import Request, RunQueue
from db.session import open_database
try:
    with open_database(sys.argv[1]) as database:
        print(len(queries.runs(database)))
        RunQueue(database).put(Request(kind="plan", args={}, scenario_name="s"))
except DatabaseError as error:
    print(type(error).__name__, error)
"""


def _on_a_read_only_mount(folder, file) -> str:
    """What a process says that reads and writes the file where its folder is mounted read-only."""
    words = ["unshare", "-rm", "sh", "-c", 'mount --bind -o ro "$0" "$0" && exec "$@"', str(folder)]
    try:
        done = subprocess.run(
            [*words, sys.executable, "-c", READ_ONLY, str(file)], capture_output=True, text=True, timeout=120
        )
    except FileNotFoundError:
        pytest.skip("this system has no unshare")
    if not done.stdout:
        pytest.skip(f"a read-only mount cannot be made here: {done.stderr[-200:]}")
    return done.stdout


def test_a_database_on_a_read_only_mount_can_be_listed_and_says_why_not_written(tmp_path, make_record):
    with open_database(str(tmp_path / "plans.db")) as database:
        RunRepository(database).add(make_record())
    said = _on_a_read_only_mount(tmp_path, tmp_path / "plans.db").splitlines()
    assert said[0] == "1"
    assert said[1].startswith("DatabaseReadOnlyError")
    assert "may not be written" in said[1]


def test_changes_that_the_file_does_not_hold_yet_are_not_left_out_in_silence(tmp_path, make_record):
    with open_database(str(tmp_path / "plans.db")) as database:
        RunRepository(database).add(make_record())
        said = _on_a_read_only_mount(tmp_path, tmp_path / "plans.db")
    assert said.startswith("DatabaseReadOnlyError")
    assert "its last changes are in plans.db-wal" in said
