"""The worker: takes runs from the queue, one at a time, each in a process of its own; fires due schedules.

The worker computes nothing itself. It beats for its run, passes progress on, kills the process when the run
is cancelled or lost, and stores the result. It may die at any moment: its lease runs out, and the run is
taken over by any other worker, or by the same one started again.
"""

import logging
import os
import secrets
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

from db.connection import Database
from db.errors import DatabaseError, DatabaseUnavailableError, DiskFullError
from db.maintenance import clear
from db.notices import Outbox
from db.queue import Claim, RunQueue
from db.schedules import ScheduleRepository
from waferlag.settings import Settings
from waferlag.worker import cron
from waferlag.worker.child_process import Child
from waferlag.worker.job import NO_ROOM
from waferlag.worker.results import is_known, job_of, store, tell_of_failure
from waferlag.worker.sinks import send

T = TypeVar("T")
PASSING = (DatabaseUnavailableError, DiskFullError)
"""What may pass by itself; everything else is raised at once."""
JOB_COMMAND = (sys.executable, "-m", "waferlag.worker.job")
DAY = 86_400.0
LEASE_KEPT = 0.8
"""A worker that could not renew its lease for this share of it ends its run: another may soon begin it."""

log = logging.getLogger("waferlag.worker.loop")


class Patience:
    """Waits out an outage: tries again, once a second, until it works or ``seconds`` are over.

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
                if began is None:
                    log.warning("%s; trying again for %.0f s", error, self.seconds)
                    began = time.monotonic()
                if time.monotonic() - began > self.seconds or self.stopping.wait(1.0):
                    raise
                continue
            if began is not None:
                log.info("the database is usable again after %.0f s", time.monotonic() - began)
            return result


class Worker:
    """One worker of one database.

    ``command`` starts the process of a run; the run's folder is appended. The default speaks as
    waferlag/worker/job.py says.
    """

    def __init__(self, database: Database, settings: Settings, command: Sequence[str] = JOB_COMMAND) -> None:
        self.database = database
        self.settings = settings
        self.command = tuple(command)
        self.queue = RunQueue(database, tell_of_failure)
        self.schedules = ScheduleRepository(database)
        self.owner = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(2)}"
        self.stopping = threading.Event()
        self.patience = Patience(settings.outage_seconds, self.stopping)
        self._looked = float("-inf")
        self._cleared = float("-inf")

    def work(self, drain: bool = False) -> None:
        """Work until stopped or, with ``drain``, until nothing waits or runs any more, anywhere.

        Raises the database's error once it has been unusable for longer than the setting ``outage_seconds``.
        """
        messenger = threading.Thread(target=self._send_notices, daemon=True)
        messenger.start()
        claimed = partial(self.queue.claim, self.owner, self.settings.lease_seconds, self.settings.retry_seconds)
        while not self.stopping.is_set():
            self.patience.during(self.look_around)
            self.patience.during(self.tidy)
            claim = self.patience.during(claimed)
            if claim is not None:
                self.attend(claim)
            elif drain and self.patience.during(self.queue.is_empty):
                break
            else:
                self.stopping.wait(self.settings.poll_seconds)
        self.stopping.set()
        messenger.join()

    def look_around(self) -> None:
        """Fire what is due; looks once in ``poll_seconds`` at most."""
        if time.monotonic() - self._looked < self.settings.poll_seconds:
            return
        self._looked = time.monotonic()
        for run_id in self.schedules.fire_due(cron.slots):
            log.info("run %s is due and queued", run_id)

    def tidy(self) -> None:
        """Once a day, between two runs, remove what is old."""
        if time.monotonic() - self._cleared < DAY:
            return
        self._cleared = time.monotonic()
        cleared = clear(self.database, self.settings.keep_days)
        if cleared.runs or cleared.folders:
            log.info("removed %d old run(s) and %d folder(s)", cleared.runs, cleared.folders)

    def attend(self, claim: Claim) -> None:
        """See one run through: done, failed, cancelled, given back, or lost to another worker."""
        log.info("run %s begins, attempt %d: %s", claim.run_id, claim.attempt, claim.scenario_name)
        folder = self.database.runs_folder / claim.run_id / str(claim.epoch)
        child = self.patience.during(lambda: Child(self.command, folder, job_of(self.database, claim)))
        try:
            verdict = self._watch(claim, child)
        finally:
            child.kill()
        log.info("run %s: %s", claim.run_id, self.patience.during(lambda: self._conclude(claim, child, verdict)))

    def _watch(self, claim: Claim, child: Child) -> str:
        """Beat for a run while its process works.

        Returns ``ended``, or why the process must be ended: ``cancel``, ``lost`` or ``stop``.
        """
        heard = time.monotonic()
        told: dict[str, Any] | None = None
        away = False
        beat_seconds = self.settings.beat_seconds
        while child.process.poll() is None:
            if self.stopping.is_set():
                return "stop"
            silent = time.monotonic() - heard
            try:
                child.answer(lambda identity: is_known(self.database, identity))
                self.look_around()
                news = child.progress is not told and silent >= min(1.0, beat_seconds)
                if news or silent >= beat_seconds:
                    told = child.progress
                    verdict = self.queue.beat(claim, self.settings.lease_seconds, told)
                    if verdict != "go":
                        return verdict
                    heard = time.monotonic()
            except DatabaseError as error:
                if not isinstance(error, PASSING) or silent > LEASE_KEPT * self.settings.lease_seconds:
                    log.warning("run %s is given up: %s", claim.run_id, error)
                    return "lost"
                if not away:
                    log.warning("run %s goes on while the database is away: %s", claim.run_id, error)
                away = True
            else:
                away = False
            child.wait(min(1.0 if away else 0.05, beat_seconds / 4))
        return "ended"

    def _conclude(self, claim: Claim, child: Child, verdict: str) -> str:
        """Write down how a run ended; fenced by the epoch: it may be repeated. Returns it in words."""
        code = child.process.returncode
        if verdict == "lost":
            return "lost; another worker has it or will take it"
        if verdict == "cancel":
            mine, words = self.queue.finish(claim, "cancelled"), "cancelled"
        elif verdict == "stop":
            mine = self.queue.give_back(claim, "its worker was stopped")
            words = "given back, the worker stops"
        elif code < 0:
            words = f"its process was ended by signal {signal.Signals(-code).name}"
            mine = self.queue.give_back(claim, words, self.settings.retry_seconds, died=True)
        elif code == NO_ROOM:
            words = "no room left on the disk for its files"
            mine = self.queue.give_back(claim, words, self.settings.retry_seconds, counted=True)
        elif code > 0:
            words = child.last_words()
            mine = self.queue.finish(claim, "failed", words)
            words = f"failed: {words.splitlines()[-1]}"
        else:
            mine, words = self._store(claim, child)
        return words if mine else "lost; its result was not stored"

    def _store(self, claim: Claim, child: Child) -> tuple[bool, str]:
        """Store what the process left. What cannot be read fails its run, and not one worker after the other."""
        try:
            return store(self.queue, claim, child.result(), self.settings), "done"
        except DatabaseError:
            raise
        except Exception as error:
            log.exception("run %s", claim.run_id)
            words = f"its result cannot be read: {type(error).__name__}: {error}"
            return self.queue.finish(claim, "failed", words), words

    def _send_notices(self) -> None:
        """Tell the sinks, in a thread of its own: a slow one must not cost a run its lease."""
        outbox = Outbox(self.database)
        away = False
        while True:
            last_round = self.stopping.is_set()
            try:
                while (notice := outbox.take()) is not None:
                    send(outbox, notice, self.settings)
            except DatabaseError as error:
                if not away:
                    log.warning("notices wait: %s", error)
                away = True
            else:
                away = False
            if last_round:
                return
            self.stopping.wait(self.settings.poll_seconds)


def stop_on_signals(worker: Worker) -> None:
    """SIGTERM and SIGINT end the run's process, give the run back, and end the worker with exit code 0."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, frame: worker.stopping.set())
