"""Looking after a database: checking it against its files, copying it, and letting old runs go."""

import os
import shutil
import sqlite3
import subprocess
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sqlalchemy import delete, select, text

from db import audit
from db.artefacts import Artefact, ArtefactStore, replace_file
from db.columns import now
from db.connection import Database
from db.errors import ArtefactError, DatabaseError, DatabaseVersionError, sqlite_error
from db.queue import PLAN
from db.schema import ENDED, PlanRow, RunRow
from db.version import current_version

DAY = 86_400.0
BATCH = 200
"""Runs that are removed in one transaction: some tenths of a second."""
ORPHAN_SECONDS = 3_600.0
"""A folder that no run knows is left alone for so long: an attempt may be about to store it."""


@dataclass(frozen=True)
class Health:
    """What a check found."""

    version: str | None
    runs: int
    files: int
    problems: list[str]


def check(database: Database) -> Health:
    """Read all that is stored: the database's own check, every plan, every file against its SHA-256."""
    try:
        return _examine(database)
    except DatabaseVersionError as error:  # so damaged that SQLite cannot go on
        return Health(None, 0, 0, [str(error)])


def _examine(database: Database) -> Health:
    problems = []
    with database.read() as session:
        version = current_version(session.connection())
        if database.engine.dialect.name == "sqlite":
            problems += [row for (row,) in session.execute(text("PRAGMA integrity_check")) if row != "ok"]
            for table, *_ in session.execute(text("PRAGMA foreign_key_check")):
                problems.append(f"table {table}: a row refers to one that is not there")
        runs = session.execute(_RUNS).all()
        # A few plans at a time: all of them may be larger than the memory.
        plans = select(PlanRow.run_id, PlanRow.record).execution_options(yield_per=20)
        for run_id, body in session.execute(plans):
            problems += _unreadable(run_id, body)
    store = ArtefactStore(database.runs_folder)
    for run in runs:
        if run.state == "done" and run.kind == PLAN and run.plan is None:
            problems.append(f"run {run.id} is done and has no plan")
        if run.artefact is not None:
            try:
                store.content(Artefact(run.artefact, run.artefact_sha256, run.artefact_bytes))
            except ArtefactError as error:
                problems.append(f"run {run.id}: {error}")
    return Health(version, len(runs), sum(run.artefact is not None for run in runs), problems)


_RUNS = select(
    RunRow.id,
    RunRow.kind,
    RunRow.state,
    RunRow.artefact,
    RunRow.artefact_sha256,
    RunRow.artefact_bytes,
    PlanRow.run_id.label("plan"),
).outerjoin(PlanRow, PlanRow.run_id == RunRow.id)


def _unreadable(run_id: str, body: dict[str, object]) -> list[str]:
    from planner.record.models import PlanRecord

    try:
        PlanRecord.model_validate(body)
    except ValueError as error:
        first = str(error).splitlines()[0]
        return [f"run {run_id}: its plan cannot be read by this version ({first})"]
    return []


def backup(database: Database, target: Path) -> list[Path]:
    """Copy a database as of one moment, while others use it, and the runs' files beside it.

    SQLite becomes another SQLite file, PostgreSQL the custom archive of its own ``pg_dump`` (for ``pg_restore``).
    Returns what was written. Raises :class:`DatabaseError` with the mend where there is no ``pg_dump``.
    """
    if target.exists():
        raise DatabaseError(f"{target} exists: a backup overwrites nothing, name another file")
    copy = _copy_sqlite if database.engine.dialect.name == "sqlite" else _dump_postgresql
    replace_file(target, partial(copy, database))
    return [target, *_copy_runs(database.runs_folder, target.with_name(target.name + ".runs"))]


def _copy_sqlite(database: Database, temporary: Path) -> None:
    try:
        with closing(sqlite3.connect(temporary)) as copied, database.engine.connect() as source:
            source.connection.driver_connection.backup(copied)  # type: ignore[union-attr]
            # A backup is one file: without this it would keep the mode in which it needs two more beside it.
            copied.execute("PRAGMA journal_mode=DELETE")
    except sqlite3.Error as error:
        for file in temporary.parent.glob(f"{temporary.name}*"):
            file.unlink(missing_ok=True)
        raise sqlite_error(str(temporary.parent), error) from error


def _dump_postgresql(database: Database, temporary: Path) -> None:
    url = database.engine.url.set(drivername="postgresql")
    program = shutil.which("pg_dump")
    if program is None:
        raise DatabaseError(
            "PostgreSQL is copied by its own pg_dump, which is not on the PATH here: install PostgreSQL's client, "
            f"or run on its machine `pg_dump --format=custom --file=FILE '{database.place}'` and copy "
            f"{database.runs_folder} with it"
        )
    # The password goes by the environment: everybody on the machine can read a command line.
    password = url.password or url.query.get("password")
    environment = {**os.environ, **({"PGPASSWORD": str(password)} if password else {})}
    place = url.difference_update_query(["password"])._replace(password=None).render_as_string()
    words = [program, "--format=custom", f"--file={temporary}", "--no-password", f"--dbname={place}"]
    done = subprocess.run(words, env=environment, capture_output=True, text=True)
    if done.returncode:
        temporary.unlink(missing_ok=True)
        raise DatabaseError(f"{database.place}: pg_dump failed: {done.stderr.strip() or done.returncode}")


def _copy_runs(folder: Path, target: Path) -> list[Path]:
    """Files of runs never change once they are there, so that copying them one by one is safe."""
    written = []
    for file in sorted(folder.rglob("*.parquet")) if folder.is_dir() else []:
        copy = target / file.relative_to(folder)
        replace_file(copy, partial(shutil.copyfile, file))
        written.append(copy)
    return written


@dataclass(frozen=True)
class Cleared:
    """What was let go."""

    runs: int
    folders: int
    size: int
    """Bytes of files that became free."""


def clear(database: Database, keep_days: float | None) -> Cleared:
    """Remove ended runs older than ``keep_days`` (None: none) and folders that no run knows any more.

    Rows go first, in short transactions; a crash between rows and files leaves folders for the next call.
    The newest finished run of each schedule stays: the next one is compared with it.
    """
    removed = 0
    while keep_days is not None and (batch := _remove_rows(database, keep_days)):
        removed += batch
    return _remove_folders(database, removed)


def shrink(database: Database) -> tuple[int, str]:
    """Make an SQLite file as small as what it holds.

    Returns the bytes that became free, and why there are none where it is in use. PostgreSQL uses freed room again
    by itself, and its files are its own business: 0.
    """
    if database.engine.dialect.name != "sqlite" or "uri" in database.engine.url.query:
        return 0, ""
    file = Path(str(database.engine.url.database))
    before = file.stat().st_size
    connection = database.engine.raw_connection()
    try:
        cursor = connection.cursor()
        cursor.execute("VACUUM")
        cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        ((busy, *_),) = cursor.fetchall()
    except sqlite3.Error as error:
        return 0, str(sqlite_error(database.place, error))
    finally:
        connection.close()
    return max(0, before - file.stat().st_size), "another process is reading it" if busy else ""


def _remove_rows(database: Database, keep_days: float) -> int:
    """Remove a batch of old runs in a transaction that locks nobody out for long; returns how many."""
    finished = select(RunRow.id, RunRow.schedule).where(RunRow.schedule.is_not(None), RunRow.state == "done")
    with database.write() as session:
        kept: dict[str, str] = {}
        for run_id, schedule in session.execute(finished.order_by(RunRow.created.desc())):
            kept.setdefault(str(schedule), run_id)
        old = select(RunRow.id).where(
            RunRow.state.in_(ENDED), RunRow.ended < now() - keep_days * DAY, RunRow.id.not_in(list(kept.values()))
        )
        doomed = list(session.execute(old.limit(BATCH)).scalars())
        session.execute(delete(RunRow).where(RunRow.id.in_(doomed)))
        for run_id in doomed:
            audit.note(session, "removed", run_id=run_id, text=f"ended more than {keep_days:g} days ago")
    return len(doomed)


def _remove_folders(database: Database, runs: int) -> Cleared:
    store = ArtefactStore(database.runs_folder)
    with database.read() as session:
        known = set(session.execute(select(RunRow.id)).scalars())
        moment = session.execute(select(now())).scalar_one()
        losers = session.execute(
            select(RunRow.id, RunRow.epoch, RunRow.artefact).where(
                RunRow.state.in_(ENDED), RunRow.ended < now() - ORPHAN_SECONDS
            )
        ).all()
    folders, size = 0, 0
    for run_id in store.run_ids():
        if run_id not in known and _age(store.folder / run_id, moment) > ORPHAN_SECONDS:
            size += store.remove(run_id)
            folders += 1
    for run_id, epoch, artefact in losers:
        winner = int(artefact.split("/")[1]) if artefact else epoch
        size += store.remove(run_id, keep_epoch=winner)
    return Cleared(runs, folders, size)


def _age(path: Path, moment: float) -> float:
    """Seconds since anything in the folder changed."""
    newest = max((os.stat(file).st_mtime for file in [path, *path.rglob("*")]), default=0.0)
    return moment - newest
