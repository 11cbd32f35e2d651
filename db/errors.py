"""What can go wrong between Waferlag and its database, each with the mend.

DatabaseError                    the database cannot be used as it is (exit code 2)
├── DatabaseUrlError             the URL names no database that Waferlag can use
├── DatabaseVersionError         the tables are of another version, or of another program
├── DatabaseUnavailableError     locked, or not reachable: waiting may help
├── DatabaseReadOnlyError        the file or the account may not write
├── DiskFullError                no room for the database or an artefact
└── ArtefactError                a run's file is missing, or not the one that was written
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, IntegrityError

from executor.errors import UserMistakeError

BUSY_SECONDS = 10
"""How long a statement waits for a lock; below the lease of a run (45 s), so that a worker can still beat."""


class DatabaseError(UserMistakeError):
    """The database cannot be used as it is; the message names it and the mend."""


class DatabaseUrlError(DatabaseError):
    """The URL names no database that Waferlag can use."""


class DatabaseVersionError(DatabaseError):
    """The tables were made by another version of Waferlag, or by another program."""


class DatabaseUnavailableError(DatabaseError):
    """Locked or not reachable; nothing was written, and trying again later may help."""


class DatabaseReadOnlyError(DatabaseError):
    """The file or the account may not write."""


class DiskFullError(DatabaseError):
    """No room is left; nothing half-written stays."""


class ArtefactError(DatabaseError):
    """A run's file is missing, or is not the one that was written."""


@contextmanager
def told_plainly(place: str) -> Iterator[None]:
    """Turn the driver's error into one of ours. ``place``: the database's URL without its password.

    An ``IntegrityError`` passes: it says something about the data, and the caller knows what.
    """
    try:
        yield
    except IntegrityError:
        raise
    except DBAPIError as error:
        if isinstance(error.orig, sqlite3.Error):
            raise sqlite_error(place, error.orig) from error
        raise _postgres_error(place, error) from error


def sqlite_error(place: str, error: sqlite3.Error) -> DatabaseError:
    """Our error for SQLite's."""
    text = str(error)
    if "locked" in text or "busy" in text:
        return DatabaseUnavailableError(
            f"{place} has been locked by another process for more than {BUSY_SECONDS} s; nothing was "
            "written. Try again, or see which process holds it open (`fuser FILE`)"
        )
    if "readonly" in text:
        return DatabaseReadOnlyError(
            f"{place} may not be written: make the file and its folder writable, or choose another database with --db"
        )
    if "full" in text or "disk I/O error" in text:
        return DiskFullError(f"{place}: no room left on the disk ({text}); free some, then run it again")
    if "not a database" in text or "malformed" in text:
        return DatabaseVersionError(
            f"{place} is not an SQLite database, or is damaged ({text}): restore a copy made by "
            "`waferlag db backup`, or choose another file with --db"
        )
    if "unable to open" in text:
        return DatabaseUrlError(
            f"{place} cannot be opened ({text}): check that the path is a file and that its folder exists "
            "and can be written"
        )
    return DatabaseError(f"{place}: {text}")


_POSTGRES_MENDS: dict[str, tuple[type[DatabaseError], str]] = {
    "25006": (DatabaseReadOnlyError, "may not be written: connect to the primary, or grant writing"),
    "42501": (DatabaseReadOnlyError, "refuses the account: grant it the rights on schema and tables"),
    "53100": (DiskFullError, "has no room left on its disk: free some, then run it again"),
    "55P03": (DatabaseUnavailableError, f"was locked for more than {BUSY_SECONDS} s; nothing was written"),
    "57P03": (DatabaseUnavailableError, "is starting up or shutting down: try again"),
    "28P01": (DatabaseUrlError, "refuses the password: mend the URL of --db or WAFERLAG_DB"),
    "28000": (DatabaseUrlError, "refuses the account: mend the URL of --db or WAFERLAG_DB"),
    "3D000": (DatabaseUrlError, "does not exist: create it with `createdb`, or mend the URL"),
}


def _postgres_error(place: str, error: DBAPIError) -> DatabaseError:
    code = getattr(error.orig, "sqlstate", None)
    first_line = (str(error.orig).strip().splitlines() or ["no message"])[0]
    for known, (kind, mend) in _POSTGRES_MENDS.items():
        if code == known or (code is None and _says(first_line, known)):
            return kind(f"{place} {mend} ({first_line})")
    if code is None or code.startswith(("08", "57P")) or error.connection_invalidated:
        return DatabaseUnavailableError(f"{place} cannot be reached ({first_line}): is the server running?")
    return DatabaseError(f"{place}: {first_line}")


def _says(line: str, code: str) -> bool:
    """While connecting, psycopg gives the server's words without its code."""
    words = {"28P01": "password authentication failed", "3D000": "does not exist", "57P03": "the database system is"}
    return code in words and words[code] in line
