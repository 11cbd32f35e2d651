"""Opening a database: its tables are made, or brought to this version."""

from pathlib import Path

from db.connection import Database, connect, database_url, require_file
from db.version import ensure_version


def open_database(
    url: str, runs_folder: Path | str | None = None, upgrade: bool = True, create: bool = True
) -> Database:
    """Open the database at ``url``; create its tables, or bring them up to this version, where needed.

    ``url``: ``sqlite:///FILE``, ``postgresql://USER@HOST/NAME``, or the path of an SQLite file.
    ``runs_folder``: where the runs' Parquet files lie; None: beside the SQLite file, or in the user's data
    folder under the PostgreSQL database's name. Several workers need one that they share.
    ``upgrade``: False refuses tables of an older version instead of upgrading them.
    ``create``: False refuses a place where there is no database of Waferlag yet.

    Raises :class:`db.errors.DatabaseError` with the mend: a URL that names nothing, a file of another
    program, tables of a newer version, a database that is locked, read-only or cannot be reached.
    """

    if not create:
        require_file(database_url(url))
    database = connect(url, runs_folder)
    try:
        ensure_version(database, upgrade=upgrade, create=create)
    except BaseException:
        database.close()
        raise
    return database
