"""Waiting out an outage: a database that is locked, full or away, with one line in the log."""

import logging
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from db.errors import DatabaseError, DatabaseUnavailableError, DiskFullError

T = TypeVar("T")
PASSING = (DatabaseUnavailableError, DiskFullError)
"""What may pass by itself; everything else is raised at once."""

log = logging.getLogger("waferlag.worker.loop")


class Patience:
    """Tries again, once a second, until it works or ``seconds`` are over.

    ``stopping``: once set, the error is raised at once instead.
    """

    def __init__(self, seconds: float, stopping: threading.Event) -> None:
        self.seconds = seconds
        self.stopping = stopping

    def during(self, call: Callable[[], T]) -> T:
        """The result of ``call``, which must be harmless to repeat."""
        began: float | None = None
        while True:
            try:
                result = call()
            except PASSING as error:
                began = began or self._told(error)
                if time.monotonic() - began > self.seconds or self.stopping.wait(1.0):
                    raise
                continue
            if began is not None:
                log.info("the database is usable again after %.0f s", time.monotonic() - began)
            return result

    def _told(self, error: DatabaseError) -> float:
        log.warning("%s; trying again for %.0f s", error, self.seconds)
        return time.monotonic()
