"""Schedules: when a scenario is run again by itself. A due instant becomes one run, whoever looks first.

Which instants a cron expression means is not decided here: the caller's ``calendar`` says so, and the
database decides by its own clock which of them are due.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import and_, literal, or_, select
from sqlalchemy.orm import Session

from db import audit
from db.columns import Flag, now
from db.connection import Database
from db.queue import PLAN, WAITING_ONLY, Request, cancel, put
from db.repository import insert_or_ignore
from db.schema import RunRow, ScheduleRow
from executor.errors import UnknownNameError, UserMistakeError

OVERLAPS = ("skip", "queue", "cancel")
MISFIRES = ("once", "all")


class ScheduleError(UserMistakeError):
    """A schedule that cannot be made or changed as asked."""


@dataclass(frozen=True)
class Slots:
    """The instants of a cron expression around a moment, in seconds since 1970 UTC."""

    due: tuple[float, ...]
    """Those up to now, oldest first; a long gap is cut to the newest ones."""
    missed: int
    """How many there were before the newest one, those that were cut included."""
    next_at: float | None
    """The first one after now; None: there is none any more."""


Calendar = Callable[[str, str, float, float], Slots]
"""(cron expression, IANA zone, first instant not yet run, now) -> slots."""


@dataclass(frozen=True)
class Schedule:
    """What is to be run, and when."""

    name: str
    cron: str
    zone: str
    args: dict[str, Any]
    overlap: str = "skip"
    """skip: no new run while one is under way. queue: one may wait. cancel: the older one is cancelled."""
    misfire: str = "once"
    """once: however many instants were missed, one run. all: a run for each."""
    grace_seconds: float | None = None
    """An instant missed by more than this is dropped, which its note says. None: never too late."""
    sinks: tuple[dict[str, Any], ...] = ()
    kind: str = PLAN


class ScheduleRepository:
    """The schedules of one database."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def add(self, schedule: Schedule, calendar: Calendar) -> float | None:
        """Keep a new schedule; returns its first instant. A name that is taken is refused."""
        with self.database.write() as session:
            first = _next_from_now(session, schedule.cron, schedule.zone, calendar)
            row = {
                **{name: getattr(schedule, name) for name in _KEPT},
                "sinks": {"sinks": list(schedule.sinks)},
                "active": True,
                "next_at": first,
                "last_note": "",
                "created": now(),
            }
            stored = insert_or_ignore(session, ScheduleRow).values(**row).returning(ScheduleRow.name)
            if session.execute(stored).scalar_one_or_none() is None:
                raise ScheduleError(
                    f"there is a schedule {schedule.name!r} already: remove it first, or choose another name"
                )
            audit.note(session, "schedule added", schedule=schedule.name, text=schedule.cron)
        return first

    def pause(self, name: str) -> None:
        """No more runs until it is resumed; a run under way goes on."""
        with self.database.write() as session:
            _row(session, name).active = False
            audit.note(session, "schedule paused", schedule=name)

    def resume(self, name: str, calendar: Calendar) -> float | None:
        """Run again from the next instant on; those that passed meanwhile are not made up for."""
        with self.database.write() as session:
            row = _row(session, name)
            first = _next_from_now(session, row.cron, row.zone, calendar)
            row.active, row.next_at = True, first
            audit.note(session, "schedule resumed", schedule=name)
        return first

    def remove(self, name: str) -> None:
        """Forget a schedule; its runs stay."""
        with self.database.write() as session:
            session.delete(_row(session, name))
            audit.note(session, "schedule removed", schedule=name)

    def run_now(self, name: str) -> str:
        """Queue a run of a schedule besides its instants; returns its id. It waits for one under way."""
        with self.database.write() as session:
            row = _row(session, name)
            run_id = put(session, _request(row, None, None))
        assert run_id is not None, "a new id without a dedup key is free"
        return run_id

    def fire_due(self, calendar: Calendar) -> list[str]:
        """Queue a run for each schedule that is due; returns the ids of the new runs.

        Each schedule is fired in a short transaction of its own, its instants found before. Several processes may
        call it at once: each instant is fired by one of them. A schedule that was fired or added after now, the clock
        having been ahead, is read again from now on.
        """
        active = ScheduleRow.active == literal(True, Flag())
        ahead = or_(ScheduleRow.last_at > now(), ScheduleRow.created > now())
        with self.database.read() as session:
            due = session.execute(
                select(ScheduleRow.name, ScheduleRow.cron, ScheduleRow.zone, ScheduleRow.next_at, ahead.label("ahead"))
                .where(active, or_(ScheduleRow.next_at <= now(), ahead))
                .order_by(ScheduleRow.next_at)
            ).all()
            moment = session.execute(select(now())).scalar_one() if due else 0.0
        fired: list[str] = []
        for found in due:
            first = moment if found.ahead or found.next_at is None else found.next_at
            try:
                slots = calendar(found.cron, found.zone, first, moment)
            except UserMistakeError as error:
                self._pause(found, moment, error)
                continue
            with self.database.write() as session:
                unchanged = and_(ScheduleRow.name == found.name, active, ScheduleRow.next_at == found.next_at)
                row = session.execute(select(ScheduleRow).where(unchanged).with_for_update()).scalar_one_or_none()
                if row is not None:  # else another process was there first
                    fired += _fire(session, row, moment, slots)
        return fired

    def _pause(self, found: Any, moment: float, error: UserMistakeError) -> None:
        """A schedule that means nothing any more, its zone abolished say, must not stop the others."""
        with self.database.write() as session:
            row = session.get(ScheduleRow, found.name)
            if row is not None and row.next_at == found.next_at:
                row.active, row.last_at, row.last_note = False, moment, f"paused: {error}"
                audit.note(session, "schedule paused", schedule=row.name, text=str(error))


_KEPT = [name for name in Schedule.__dataclass_fields__ if name != "sinks"]


def sinks_of(session: Session, name: str | None) -> list[dict[str, Any]]:
    """Who is told about the runs of a schedule."""
    row = session.get(ScheduleRow, name) if name is not None else None
    return [] if row is None else list(row.sinks["sinks"])


def _row(session: Session, name: str) -> ScheduleRow:
    row = session.get(ScheduleRow, name)
    if row is None:
        raise UnknownNameError("schedule", name, session.execute(select(ScheduleRow.name)).scalars())
    return row


def _next_from_now(session: Session, cron: str, zone: str, calendar: Calendar) -> float | None:
    moment = session.execute(select(now())).scalar_one()
    return calendar(cron, zone, moment, moment).next_at


def _fire(session: Session, row: ScheduleRow, moment: float, slots: Slots) -> list[str]:
    """The runs of one schedule at one wake-up, and the note that says what became of its instants."""
    wanted = slots.due if row.misfire == "all" else slots.due[-1:]
    in_time = [slot for slot in wanted if row.grace_seconds is None or moment - slot <= row.grace_seconds]
    if row.overlap == "cancel" and in_time:
        unfinished = select(RunRow.id).where(RunRow.schedule == row.name, RunRow.state.in_(("queued", "running")))
        for older in session.execute(unfinished).scalars().all():
            cancel(session, older)
    queued = [run_id for slot in in_time if (run_id := put(session, _request(row, slot, _dedup(row))))]
    row.next_at, row.created = slots.next_at, min(row.created, moment)
    if not wanted:  # read again after the clock was ahead
        row.last_at = None if row.last_at is None else min(row.last_at, moment)
        return []
    row.last_note = _note(row, slots, len(wanted), len(in_time), len(queued))
    row.last_at = moment
    session.flush()
    if not queued:
        audit.note(session, "schedule did not fire", schedule=row.name, text=row.last_note)
    return queued


def _request(row: ScheduleRow, slot: float | None, dedup: str | None) -> Request:
    stamp = None if slot is None else datetime.fromtimestamp(slot, UTC).strftime("%Y%m%dT%H%M%SZ")
    return Request(
        kind=row.kind,
        args=row.args,
        scenario_name=str(row.args.get("scenario", row.name)),
        run_id=None if stamp is None else f"{row.name}@{stamp}",
        lane=f"s:{row.name}",
        dedup=dedup,
        schedule=row.name,
        due=slot,
    )


def _dedup(row: ScheduleRow) -> str | None:
    """skip: the key is held to the end of a run; queue: until it starts. To catch up, nothing is held."""
    if row.misfire == "all" or row.overlap == "cancel":
        return None
    return f"s:{row.name}" if row.overlap == "skip" else f"{WAITING_ONLY}{row.name}"


def _note(row: ScheduleRow, slots: Slots, wanted: int, in_time: int, queued: int) -> str:
    """What became of the instants: how many were to be run, were so in time, and were queued."""
    parts = []
    if slots.missed and row.misfire == "once":
        parts.append(f"{slots.missed} missed before it")
    if slots.missed and row.misfire == "all":
        parts.append(f"caught up on {wanted - 1}")
    if row.misfire == "all" and slots.missed > wanted - 1:
        parts.append(f"{slots.missed - wanted + 1} older ones left out")
    if wanted > in_time:
        parts.append(f"{wanted - in_time} late by more than {row.grace_seconds:g} s, dropped")
    if in_time > queued:
        parts.append(f"{in_time - queued} skipped: the run before had not ended")
    return "; ".join(parts) or "in time"
