"""What screens ask: read-only, answered in plain frozen data."""

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, Select, select
from sqlalchemy.orm import Session

from db.columns import now
from db.connection import Database
from db.notices import sealed
from db.repository import APPROVED, WITHDRAWN, full_run_id
from db.schema import (
    AuditRow,
    DifferenceRow,
    GateMonthRow,
    MonthRow,
    OrderRow,
    PlanRow,
    PoolMonthRow,
    ProfileRow,
    ReservationRow,
    RivalRow,
    RunRow,
    ScenarioRow,
    ScheduleRow,
)
from planner.compare.plans import Changes


@dataclass(frozen=True)
class RunSummary:
    """One run in a list: where it stands, and the head of its answer if it has one."""

    id: str
    kind: str
    state: str
    scenario: str
    scenario_version: int | None
    seed: int | None
    created: dt.datetime
    started: dt.datetime | None
    ended: dt.datetime | None
    attempts: int
    progress: dict[str, Any] | None
    """step: what is being done, in words; share: how much of the run is done, 0..1."""
    owner: str | None
    error: str | None
    retry_of: str | None
    schedule: str | None
    due: dt.datetime | None
    what_if_of: str | None
    """The run whose plan this one is held against; None: a plan in its own right."""
    code_version: str | None
    artefact: str | None
    sentence: str | None
    feasible: bool | None
    goal: float | None
    weakest_month: str | None
    probability: float | None
    probability_low: float | None
    probability_high: float | None
    next_order_by: dt.date | None
    currency: str | None
    mean_cost: float | None
    cost_p10: float | None
    cost_p90: float | None
    at_risk: float | None
    gpus_ordered: int | None

    @property
    def seconds(self) -> float | None:
        """How long it took, from start to end."""
        return (self.ended - self.started).total_seconds() if self.started and self.ended else None


_RENAMED = {"scenario": RunRow.scenario_name, "scenario_version": ScenarioRow.version, "what_if_of": RunRow.args}


def _column(name: str) -> Any:
    """Where a field of the summary is stored: under its own name with the run, else with the plan."""
    found = _RENAMED.get(name)
    return getattr(RunRow, name, getattr(PlanRow, name, None)) if found is None else found.label(name)


_SUMMARY: Select[Any] = (
    select(*(_column(name) for name in RunSummary.__dataclass_fields__))
    .outerjoin(PlanRow, PlanRow.run_id == RunRow.id)
    .outerjoin(ScenarioRow, ScenarioRow.hash == RunRow.scenario_hash)
)


def runs(database: Database, **asked: Any) -> list[RunSummary]:
    """The newest runs first: :func:`each_run`, all at once."""
    return list(each_run(database, **asked))


def each_run(
    database: Database,
    *,
    state: str | None = None,
    scenario: str | None = None,
    schedule: str | None = None,
    kind: str | None = "plan",
    limit: int = 100,
) -> Iterator[RunSummary]:
    """The newest runs first, at most ``limit``, read as they are asked for.

    A filter that is None lets everything pass; ``kind`` leaves out the comparisons of plans unless asked.
    """
    wanted = {RunRow.state: state, RunRow.scenario_name: scenario, RunRow.schedule: schedule, RunRow.kind: kind}
    where = [column == value for column, value in wanted.items() if value is not None]
    query = _SUMMARY.where(*where).order_by(RunRow.created.desc(), RunRow.id.desc()).limit(limit)
    with database.read() as session:
        yield from map(_summary, session.execute(query.execution_options(yield_per=500)))


def run(database: Database, run_id: str) -> RunSummary:
    """One run by its id or a beginning of it that no other run has."""
    with database.read() as session:
        return _summary(session.execute(_SUMMARY.where(RunRow.id == full_run_id(session, run_id))).one())


def _summary(row: Row[*tuple[Any, ...]]) -> RunSummary:
    about = row.what_if_of or {}
    return RunSummary(**{**_plain(row), "what_if_of": about.get("what_if_of")})


_MOMENTS = ("at", "created", "started", "ended", "due", "next_at", "last_at")
"""Columns that hold seconds since 1970 UTC."""


def _plain(row: Row[*tuple[Any, ...]]) -> dict[str, Any]:
    """Columns by name: the database's seconds made into moments in UTC, addresses of webhooks sealed."""
    return {name: _told(name, value) for name, value in row._mapping.items()}


def _told(name: str, value: Any) -> Any:
    if name in _MOMENTS and value is not None:
        return dt.datetime.fromtimestamp(value, dt.UTC)
    return {"sinks": [sealed(sink) for sink in value["sinks"]]} if name == "sinks" else value


def moment(database: Database) -> float:
    """Now, by the clock of the database: seconds since 1970 UTC."""
    with database.read() as session:
        return session.execute(select(now())).scalar_one()


def failed_since(database: Database, began: float) -> list[str]:
    """Runs that ended as failed since then, oldest first."""
    failed = select(RunRow.id).where(RunRow.state == "failed", RunRow.ended >= began)
    with database.read() as session:
        return list(session.execute(failed.order_by(RunRow.ended)).scalars())


_LINES: dict[str, tuple[Any, ...]] = {
    "months": (MonthRow, MonthRow.month),
    "pools": (PoolMonthRow, PoolMonthRow.month, PoolMonthRow.pool),
    "gates": (GateMonthRow, GateMonthRow.month, GateMonthRow.gate, GateMonthRow.state),
    "orders": (OrderRow, OrderRow.line),
    "reservations": (ReservationRow, ReservationRow.line),
    "rivals": (RivalRow, RivalRow.mean_cost),
}
"""Parts of a plan that have rows of their own: their table, and the order in which they are told."""
PARTS = tuple(_LINES)


def columns_of(part: str) -> list[str]:
    """What each line of a part (:data:`PARTS`) says: the columns of its table but for the run."""
    return [column.name for column in _LINES[part][0].__table__.columns if column.name != "run_id"]


def lines(database: Database, run_id: str, part: str) -> list[dict[str, Any]]:
    """The lines of one part (:data:`PARTS`) of a run's plan: columns by name, units as in db/schema.py.

    Months, pools, gates and the order calendar come in their own order, rivals cheapest first.
    """
    table, *order = _LINES[part]
    query: Select[Any] = select(*(getattr(table, name) for name in columns_of(part))).order_by(*order)
    with database.read() as session:
        full = full_run_id(session, run_id)
        return [dict(row._mapping) for row in session.execute(query.where(table.run_id == full))]


@dataclass(frozen=True)
class ScenarioSummary:
    """A scenario that was planned, in one of its versions."""

    name: str
    version: int
    hash: str
    created: dt.datetime


def scenarios(database: Database) -> list[ScenarioSummary]:
    """Every version of every scenario, newest first."""
    with database.read() as session:
        return _read(session, ScenarioSummary, ScenarioRow, ScenarioRow.created.desc())


@dataclass(frozen=True)
class ScheduleSummary:
    """When a scenario is run again by itself, and how it went."""

    name: str
    cron: str
    zone: str
    kind: str
    args: dict[str, Any]
    active: bool
    overlap: str
    misfire: str
    grace_seconds: float | None
    sinks: dict[str, Any]
    next_at: dt.datetime | None
    last_at: dt.datetime | None
    last_note: str


def schedules(database: Database) -> list[ScheduleSummary]:
    """Every schedule by name."""
    with database.read() as session:
        return _read(session, ScheduleSummary, ScheduleRow, ScheduleRow.name)


@dataclass(frozen=True)
class AuditLine:
    """Something that happened to a run or a schedule."""

    at: dt.datetime
    run_id: str | None
    schedule: str | None
    event: str
    note: str
    actor: str


def audit_trail(
    database: Database, run_id: str | None = None, schedule: str | None = None, limit: int = 200
) -> list[AuditLine]:
    """What happened, newest first: to one run, to one schedule, or to all."""
    wanted = {AuditRow.run_id: run_id, AuditRow.schedule: schedule}
    where = [column == value for column, value in wanted.items() if value is not None]
    with database.read() as session:
        return _read(session, AuditLine, AuditRow, AuditRow.id.desc(), where=where, limit=limit)


def approval(database: Database, run_id: str) -> AuditLine | None:
    """Who approved a plan and when; None: nobody, or it was withdrawn."""
    lines = audit_trail(database, run_id)
    last = next((line for line in lines if line.event in (APPROVED, WITHDRAWN)), None)
    return last if last is not None and last.event == APPROVED else None


@dataclass(frozen=True)
class Difference:
    """What changed between a run and the one before it in its schedule."""

    run_id: str
    previous_run_id: str
    changes: Changes


def difference(database: Database, run_id: str) -> Difference | None:
    """What changed since the run before; None: there was none, or it is not compared yet."""
    with database.read() as session:
        row = session.get(DifferenceRow, full_run_id(session, run_id))
        return None if row is None else Difference(row.run_id, row.previous_run_id, Changes.model_validate(row.body))


@dataclass(frozen=True)
class ProfileSummary:
    """A serving profile in a list."""

    id: str
    model: str
    gpu: str
    engine: str
    precision: str
    label: str
    created: dt.datetime


def profiles(database: Database) -> list[ProfileSummary]:
    """Every serving profile, newest first."""
    with database.read() as session:
        return _read(session, ProfileSummary, ProfileRow, ProfileRow.created.desc())


def _read(
    session: Session, kind: Any, table: Any, *order: Any, where: Sequence[Any] = (), limit: int | None = None
) -> list[Any]:
    """Rows as plain data: the columns that ``kind`` names, seconds where it says moments made into those."""
    query = select(*(getattr(table, name) for name in kind.__dataclass_fields__)).where(*where).order_by(*order)
    return [kind(**_plain(row)) for row in session.execute(query.limit(limit))]
