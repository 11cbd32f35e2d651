"""The version of the tables: made, raised and lowered by Alembic, by one process at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Connection, inspect, text

from db.connection import Database
from db.errors import DatabaseVersionError, told_plainly

REVISIONS = ("0003",)
"""Every revision in order; the last one is the version that this code reads and writes."""
EARLIER = ("0001", "0002")
"""Revisions on the way to the tables of Waferlag 0.1, which alone upgrades them."""

_MIGRATIONS = Path(__file__).parent / "migrations"
_LOCK = 0x7761666572  # "wafer": the key of the advisory lock on PostgreSQL


def ensure_version(database: Database, upgrade: bool = True, create: bool = True) -> None:
    """Create the tables or bring them to this version; refuse those of a newer version or another program."""
    with told_plainly(database.place), database.engine.connect() as connection:
        found = current_version(connection)
        _refuse_foreign(connection, found, database.place)
    if found == REVISIONS[-1]:
        return
    if not create and found is None:
        raise DatabaseVersionError(
            f"{database.place} has no tables of Waferlag: mend --db or WAFERLAG_DB, or make them with "
            "`waferlag db init`"
        )
    if not upgrade and found is not None:
        raise DatabaseVersionError(
            f"{database.place} has tables of version {found}, this Waferlag needs {REVISIONS[-1]}: run "
            "`waferlag db upgrade` (and `waferlag db backup` first)"
        )
    with _alone(database) as connection:
        if current_version(connection) != REVISIONS[-1]:
            _migrate(connection, "upgrade", "head")


def loses_data(database: Database, revision: str) -> bool:
    """Whether going to ``revision`` drops tables of ours: ``base`` does, if there are any."""
    with told_plainly(database.place), database.engine.connect() as connection:
        return revision == "base" and current_version(connection) is not None


def change_version(database: Database, revision: str) -> str:
    """Take the tables up or down to ``revision``: one of :data:`REVISIONS`, or ``base``, no tables at all.

    Returns where they are now.
    """
    with told_plainly(database.place), database.engine.connect() as connection:
        _refuse_foreign(connection, current_version(connection), database.place)
    with _alone(database) as connection:
        steps = ["base", *REVISIONS]
        down = steps.index(revision) < steps.index(current_version(connection) or "base")
        _migrate(connection, "downgrade" if down else "upgrade", revision)
        return current_version(connection) or "base"


def current_version(connection: Connection) -> str | None:
    """The tables' revision; None: no tables of ours."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()


def _refuse_foreign(connection: Connection, found: str | None, place: str) -> None:
    if found is None:
        tables = set(inspect(connection).get_table_names()) - {"alembic_version"}
        if tables:
            raise DatabaseVersionError(
                f"{place} holds tables of another program ({', '.join(sorted(tables)[:5])}): choose a "
                "database of Waferlag's own with --db"
            )
    elif found in EARLIER:
        raise DatabaseVersionError(
            f"{place} has tables of version {found}, which Waferlag 0.1 upgrades to {REVISIONS[0]}: run its "
            "`waferlag db upgrade` (`pip install waferlag==0.1.0`), or choose another with --db"
        )
    elif found not in REVISIONS:
        raise DatabaseVersionError(
            f"{place} has tables of version {found}, which this Waferlag does not know (its own is "
            f"{REVISIONS[-1]}): install the newer Waferlag that made them, or choose another with --db"
        )


@contextmanager
def _alone(database: Database) -> Iterator[Connection]:
    """A transaction in which nobody else migrates; all of a migration is kept, or none of it."""
    writing = database.engine.execution_options(waferlag_writes=True)
    with told_plainly(database.place), writing.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        yield connection


def _migrate(connection: Connection, direction: str, revision: str) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    getattr(command, direction)(config, revision)
