"""The audit trail: who did what to which run or schedule, and when."""

import getpass
import os
import socket
from contextvars import ContextVar
from functools import cache

from sqlalchemy import insert
from sqlalchemy.orm import Session

from db.columns import now
from db.schema import AuditRow


def note(
    session: Session, event: str, *, run_id: str | None = None, schedule: str | None = None, text: str = ""
) -> None:
    """Write one line, in the transaction of what it tells."""
    session.execute(
        insert(AuditRow).values(at=now(), run_id=run_id, schedule=schedule, event=event, note=text, actor=actor())
    )


_acting: ContextVar[str | None] = ContextVar("acting", default=None)


def act_as(name: str | None) -> None:
    """Whom the lines of this thread are about from now on; None: the account that this process runs under."""
    _acting.set(name)


def actor() -> str:
    """Who acts: the person named last in this thread, else account and host."""
    return _acting.get() or _account()


@cache
def _account() -> str:
    """Account and host, as far as the operating system tells them."""
    try:
        account = getpass.getuser()
    except (KeyError, OSError):
        account = str(os.getuid()) if hasattr(os, "getuid") else "unknown"
    return f"{account}@{socket.gethostname()}"
