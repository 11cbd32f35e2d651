"""Column types that mean the same on SQLite and PostgreSQL.

SQLite's STRICT tables know INTEGER, REAL, TEXT and BLOB only; PostgreSQL has a type of its own for each.

=============  =================  ====================
Python         SQLite             PostgreSQL
=============  =================  ====================
str            TEXT               TEXT
int            INTEGER            BIGINT
float          REAL               DOUBLE PRECISION
bool           INTEGER (0, 1)     BOOLEAN
datetime.date  TEXT (ISO 8601)    DATE
dict           TEXT (JSON)        JSON
=============  =================  ====================

Instants are seconds since 1970-01-01 UTC by the database's own clock (:class:`now`), so that workers whose
clocks differ agree on what is overdue. JSON rather than JSONB, because JSONB forgets the order of keys and a
stored plan must come back as it went in.
"""

import datetime as dt
import json
import sqlite3
from typing import Any

from sqlalchemy import BigInteger, Boolean, Date, Double, Integer, Text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine.interfaces import Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import FunctionElement
from sqlalchemy.types import TypeDecorator

STRICT = sqlite3.sqlite_version_info >= (3, 37)
"""STRICT tables came with SQLite 3.37; an older library gets ordinary ones."""


class Document(TypeDecorator[dict[str, Any]]):
    """A JSON object. A figure that is not a number is refused on writing, on both databases alike."""

    impl = Text().with_variant(postgresql.JSON(none_as_null=True), "postgresql")
    cache_ok = True

    def process_bind_param(self, value: dict[str, Any] | None, dialect: Dialect) -> Any:
        """To the database."""
        if value is None:
            return None
        text = json.dumps(value, allow_nan=False, ensure_ascii=False)
        return value if dialect.name == "postgresql" else text

    def process_result_value(self, value: Any, dialect: Dialect) -> dict[str, Any] | None:
        """From the database."""
        return json.loads(value) if isinstance(value, str) else value


class CalendarDate(TypeDecorator[dt.date]):
    """A day."""

    impl = Text().with_variant(Date(), "postgresql")
    cache_ok = True

    def process_bind_param(self, value: dt.date | None, dialect: Dialect) -> Any:
        """To the database."""
        return value if value is None or dialect.name == "postgresql" else value.isoformat()

    def process_result_value(self, value: Any, dialect: Dialect) -> dt.date | None:
        """From the database."""
        return dt.date.fromisoformat(value) if isinstance(value, str) else value


class Flag(TypeDecorator[bool]):
    """Yes or no."""

    impl = Integer().with_variant(Boolean(), "postgresql")
    cache_ok = True

    def process_result_value(self, value: Any, dialect: Dialect) -> bool | None:
        """From the database."""
        return None if value is None else bool(value)


Whole = BigInteger().with_variant(Integer(), "sqlite")
"""An integer of up to 63 bits and a sign."""

Real: Double[float] = Double().with_variant(sqlite.REAL(), "sqlite")
"""A double."""


class now(FunctionElement[float]):  # noqa: N801, spelt as the SQL function that it is
    """Seconds since 1970-01-01 UTC, by the clock of the database."""

    type = Double()
    inherit_cache = True


@compiles(now, "sqlite")
def _now_on_sqlite(element: now, compiler: SQLCompiler, **kw: Any) -> str:
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(now, "postgresql")
def _now_on_postgresql(element: now, compiler: SQLCompiler, **kw: Any) -> str:
    return "cast(extract(epoch from clock_timestamp()) as double precision)"
