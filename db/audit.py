"""The audit trail: who did what to which run or schedule, and when."""

import getpass
import os
import socket
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
        insert(AuditRow).values(
            at=now(), run_id=run_id, schedule=schedule, event=event, note=text, actor=actor()
        )
    )


@cache
def actor() -> str:
    """Account and host, as far as the operating system tells them."""
    try:
        account = getpass.getuser()
    except (KeyError, OSError):
        account = str(os.getuid()) if hasattr(os, "getuid") else "unknown"
    return f"{account}@{socket.gethostname()}"
