"""A database's address, and the two ways to use it: to read, and to write."""

import os
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError
from sqlalchemy.orm import Session

from db.artefacts import file_error, private_file, private_folder
from db.errors import BUSY_SECONDS, DatabaseError, DatabaseReadOnlyError, DatabaseUrlError, told_plainly
from executor.errors import did_you_mean

_SCHEMES = {
    "sqlite": "sqlite+pysqlite",
    "sqlite+pysqlite": "sqlite+pysqlite",
    "postgresql": "postgresql+psycopg",
    "postgres": "postgresql+psycopg",
    "postgresql+psycopg": "postgresql+psycopg",
}
"""What a URL may begin with, and the driver it means."""

_LIKE_A_URL = re.compile(r"^(postgres|sqlite|mysql)\w*[+/;,.]*//|:[^/]*@|://", re.IGNORECASE)
"""A URL with a slip in it, such as a missing colon: no path of a file."""
_SHOWN = ("mode", "uri", "immutable", "sslmode", "host", "port")
"""Parameters of a URL that hold no secret."""

_CONNECT_SECONDS = 10

Transaction = Session
"""What :meth:`Database.write` gives, for those who pass it on without knowing SQLAlchemy."""


@dataclass(frozen=True)
class Database(AbstractContextManager["Database"]):
    """An open database of the present version, and the folder in which its runs keep their files."""

    engine: Engine
    runs_folder: Path

    @property
    def place(self) -> str:
        """The URL without what may be secret in it, for messages."""
        return shown_url(self.engine.url)

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session that sees one moment; what it changes is not kept."""
        with told_plainly(self.place), Session(self.engine) as session:
            yield session
            session.rollback()

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A short transaction: all of it is kept, or after an exception none.

        SQLite takes its write lock at the start, so that what was read in the transaction still holds when it
        is written; PostgreSQL locks rows.
        """
        writing = self.engine.execution_options(waferlag_writes=True)
        with told_plainly(self.place), Session(writing) as session, session.begin():
            yield session

    def close(self) -> None:
        """Give the connections back."""
        self.engine.dispose()

    def __exit__(self, *raised: object) -> None:
        self.close()


def connect(url: str, runs_folder: Path | str | None = None) -> Database:
    """The database at ``url`` as it is, whatever the version of its tables: for migrations."""
    parsed = database_url(url)
    folder = Path(runs_folder or _default_runs_folder(parsed))
    return Database(_engine(_ready_file(parsed)), folder)


def shown_url(url: URL) -> str:
    """A URL for messages, without its password; of its query only what cannot be one is shown.

    >>> shown_url(make_url("postgresql+psycopg://planner:sesame@db.example/waferlag?password=sesame&sslmode=require"))
    'postgresql://planner:***@db.example/waferlag?password=***&sslmode=require'
    """
    query = {name: value if name in _SHOWN else "***" for name, value in url.query.items()}
    return url.set(drivername=url.get_backend_name(), query=query).render_as_string().replace("%2A%2A%2A", "***")


def database_url(text: str) -> URL:
    """The URL with its driver; a path alone is an SQLite file.

    Text that cannot be read is in no message: wherever the slip is, a password may stand there.

    >>> str(database_url("runs.db"))
    'sqlite+pysqlite:///runs.db'
    >>> str(database_url("postgres://planner@db.example/waferlag"))
    'postgresql+psycopg://planner@db.example/waferlag'
    """
    if not text.strip():
        raise DatabaseUrlError("the database's URL is empty: give sqlite:///FILE or postgresql://USER@HOST/NAME")
    if ":" not in text.partition("/")[0]:
        if _LIKE_A_URL.search(text):
            raise _unreadable()
        text = f"sqlite:///{Path(text).expanduser()}"
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise _unreadable() from None
    if "@" in (url.host or ""):
        raise DatabaseUrlError("the database's URL has more than one @: write %40 for the one in the password")
    if url.drivername not in _SCHEMES:
        nearest = did_you_mean(url.drivername, ["sqlite", "postgresql"])
        hint = f"did you mean {nearest}:?" if nearest else "known: sqlite, postgresql"
        raise DatabaseUrlError(f"the database's URL begins with {url.drivername!r} ({hint})")
    if url.drivername.startswith("sqlite") and url.database in (None, "", ":memory:"):
        raise DatabaseUrlError("an SQLite database in memory is seen by one process only: give a file, sqlite:///FILE")
    return url.set(drivername=_SCHEMES[url.drivername])


def _unreadable() -> DatabaseUrlError:
    return DatabaseUrlError(
        "what --db or WAFERLAG_DB gives is not a database URL (it is not shown: it may hold a password): give "
        "sqlite:///FILE or postgresql://USER@HOST/NAME, or the path of a file"
    )


def require_file(url: URL) -> None:
    """Refuse an SQLite file that is not there, which SQLite would make."""
    if url.drivername == "sqlite+pysqlite" and "uri" not in url.query and not Path(str(url.database)).exists():
        raise DatabaseUrlError(
            f"there is no database at {url.database}: mend --db or WAFERLAG_DB, or make one with `waferlag db init`"
        )


def _ready_file(url: URL) -> URL:
    """The URL of an SQLite file that can be opened: made, its owner's alone, or read as it is on a read-only mount.

    SQLite gives the files of its log the rights of the database.
    """
    if url.drivername != "sqlite+pysqlite" or "uri" in url.query:
        return url
    file = Path(str(url.database))
    try:
        private_folder(file.parent)
        private_file(file)
    except OSError as error:
        if file.parent.is_dir():
            raise file_error(file, error) from error
        raise DatabaseUrlError(f"the database's folder {file.parent} cannot be made ({error.strerror})") from error
    return _unchanging(url, file) if os.statvfs(file.parent).f_flag & os.ST_RDONLY else url


def _unchanging(url: URL, file: Path) -> URL:
    """A file in a folder that cannot be written: SQLite makes no lock and no log there, and reads the file alone."""
    log = file.with_name(f"{file.name}-wal")
    if log.exists() and log.stat().st_size:
        raise DatabaseReadOnlyError(
            f"{file} lies in a folder that cannot be written, and its last changes are in {log.name}: open it once "
            "where it can be written, or copy both files there"
        )
    query = {**url.query, "mode": "ro", "immutable": "1", "uri": "true"}
    return url.set(database=f"file:{quote(str(file))}", query=query)


def _default_runs_folder(url: URL) -> Path:
    if url.drivername == "sqlite+pysqlite":
        file = Path(str(url.database).removeprefix("file:"))
        return file.with_name(file.name + ".runs").absolute()
    base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(base) / "waferlag" / f"{url.database}.runs"


def _engine(url: URL) -> Engine:
    if url.drivername == "sqlite+pysqlite":
        engine = create_engine(url, connect_args={"timeout": BUSY_SECONDS})
        event.listen(engine, "connect", _set_up_sqlite if url.query.get("mode") != "ro" else _set_up_unchanging)
        event.listen(engine, "begin", _begin_on_sqlite)
        return engine
    timeouts = f"-c lock_timeout={BUSY_SECONDS}s -c idle_in_transaction_session_timeout=60s"
    try:
        return create_engine(
            url, pool_pre_ping=True, connect_args={"connect_timeout": _CONNECT_SECONDS, "options": timeouts}
        )
    except (ModuleNotFoundError, NoSuchModuleError) as error:
        raise DatabaseError("PostgreSQL needs the psycopg driver: pip install 'waferlag[postgres]'") from error


def _set_up_sqlite(connection: Any, record: Any) -> None:
    """Let us begin transactions ourselves; check keys; write ahead, so that readers and a writer coexist."""
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.execute("PRAGMA synchronous=FULL")
    if cursor.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        cursor.execute("PRAGMA journal_mode=WAL")
    cursor.close()


def _set_up_unchanging(connection: Any, record: Any) -> None:
    """Let us begin transactions ourselves; a file that may not be written keeps the log that it has."""
    connection.isolation_level = None


def _begin_on_sqlite(connection: Connection) -> None:
    """Writers take the lock at once; a reader must not, or one open screen would lock everybody out."""
    writes = connection.get_execution_options().get("waferlag_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
