"""The outbox: what sinks have still to be told. Written with the run, sent later, as often as it takes.

A message is sent at least once: a process that dies between sending and noting it sends it again, under the
same id, by which a receiver can tell.
"""

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

from pydantic import SecretStr
from sqlalchemy import insert, or_, select, update
from sqlalchemy.orm import Session

from db import audit
from db.columns import now
from db.connection import Database
from db.schema import NoticeRow

FIRST_RETRY_SECONDS = 15.0
MAX_ATTEMPTS = 8
"""15 s, 30 s, ... doubling: the last attempt comes about half an hour after the first."""
LONGEST_WAIT_SECONDS = FIRST_RETRY_SECONDS * 2 ** (MAX_ATTEMPTS - 1)


def sealed(sink: dict[str, Any]) -> dict[str, Any]:
    """A sink as it is read: the address of a webhook does not show itself, for its path is often its secret."""
    return {**sink, "url": SecretStr(sink["url"])} if "url" in sink else sink


def shown_sink(sink: dict[str, Any]) -> str:
    """A sink for lists, pages and logs: of a webhook only the host."""
    if sink["kind"] == "webhook":
        url = sink["url"]
        parts = urlsplit(url.get_secret_value() if isinstance(url, SecretStr) else url)
        return f"{parts.scheme}://{parts.hostname}/…"
    return f"file:{sink['path']}" if sink["kind"] == "file" else f"mailto:{sink['to']}"


@dataclass(frozen=True)
class Notice:
    """A message to one sink."""

    id: str
    run_id: str
    sink: dict[str, Any]
    subject: str
    body: dict[str, Any]
    attempt: int


def post(session: Session, run_id: str, sink: dict[str, Any], subject: str, body: dict[str, Any]) -> None:
    """Put a message into the outbox, in the transaction of what it tells."""
    session.execute(
        insert(NoticeRow).values(
            id=uuid4().hex,
            run_id=run_id,
            sink=sink,
            subject=subject,
            body=body,
            state="waiting",
            attempts=0,
            not_before=now(),
            created=now(),
        )
    )


class Outbox:
    """The notices of one database."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def take(self) -> Notice | None:
        """The next message that is due; None: there is none. Until its retry is due, nobody else gets it."""
        # What waits for longer than any retry was put off while the clock was ahead.
        due = select(NoticeRow).where(
            NoticeRow.state == "waiting",
            or_(NoticeRow.not_before <= now(), NoticeRow.not_before > now() + LONGEST_WAIT_SECONDS),
        )
        with self.database.read() as session:
            if session.execute(due.limit(1)).scalar_one_or_none() is None:
                return None
        with self.database.write() as session:
            first = due.order_by(NoticeRow.created).limit(1).with_for_update(skip_locked=True)
            row = session.execute(first).scalar_one_or_none()
            if row is None:
                return None
            notice = Notice(row.id, row.run_id, sealed(row.sink), row.subject, row.body, row.attempts + 1)
            session.execute(
                update(NoticeRow)
                .where(NoticeRow.id == row.id)
                .values(attempts=notice.attempt, not_before=now() + FIRST_RETRY_SECONDS * 2 ** (notice.attempt - 1))
            )
            return notice

    def sent(self, notice: Notice) -> None:
        """The sink has taken it."""
        self._end(notice, "sent", None)

    def not_sent(self, notice: Notice, error: str) -> None:
        """The sink could not be reached: it is tried again, until the last attempt has failed."""
        if notice.attempt >= MAX_ATTEMPTS:
            self._end(notice, "failed", error)
            return
        with self.database.write() as session:
            session.execute(update(NoticeRow).where(NoticeRow.id == notice.id).values(error=error))

    def _end(self, notice: Notice, state: str, error: str | None) -> None:
        with self.database.write() as session:
            session.execute(update(NoticeRow).where(NoticeRow.id == notice.id).values(state=state, error=error))
            audit.note(session, f"notice {state}", run_id=notice.run_id, text=error or notice.subject)
