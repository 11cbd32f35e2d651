"""What screens ask: read-only, answered in plain frozen data."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, Select, select

from db.columns import now
from db.connection import Database
from db.repository import APPROVED, WITHDRAWN, full_run_id
from db.schema import (
    AuditRow,
    DifferenceRow,
    GateMonthRow,
    MonthRow,
    NoticeRow,
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


_SUMMARY = (
    select(
        RunRow.id,
        RunRow.kind,
        RunRow.state,
        RunRow.scenario_name.label("scenario"),
        ScenarioRow.version.label("scenario_version"),
        RunRow.seed,
        RunRow.created,
        RunRow.started,
        RunRow.ended,
        RunRow.attempts,
        RunRow.progress,
        RunRow.owner,
        RunRow.error,
        RunRow.retry_of,
        RunRow.schedule,
        RunRow.due,
        RunRow.args,
        RunRow.code_version,
        RunRow.artefact,
        PlanRow.sentence,
        PlanRow.feasible,
        PlanRow.goal,
        PlanRow.weakest_month,
        PlanRow.probability,
        PlanRow.probability_low,
        PlanRow.probability_high,
        PlanRow.next_order_by,
        PlanRow.currency,
        PlanRow.mean_cost,
        PlanRow.cost_p10,
        PlanRow.cost_p90,
        PlanRow.at_risk,
        PlanRow.gpus_ordered,
    )
    .outerjoin(PlanRow, PlanRow.run_id == RunRow.id)
    .outerjoin(ScenarioRow, ScenarioRow.hash == RunRow.scenario_hash)
)


def runs(
    database: Database,
    *,
    state: str | None = None,
    scenario: str | None = None,
    schedule: str | None = None,
    kind: str | None = "plan",
    limit: int = 100,
) -> list[RunSummary]:
    """The newest runs first, at most ``limit``.

    A filter that is None lets everything pass; ``kind`` leaves out the comparisons of plans unless asked.
    """
    query = _SUMMARY.order_by(RunRow.created.desc(), RunRow.id.desc()).limit(limit)
    if state is not None:
        query = query.where(RunRow.state == state)
    if scenario is not None:
        query = query.where(RunRow.scenario_name == scenario)
    if schedule is not None:
        query = query.where(RunRow.schedule == schedule)
    if kind is not None:
        query = query.where(RunRow.kind == kind)
    with database.read() as session:
        return [_summary(row) for row in session.execute(query)]


def run(database: Database, run_id: str) -> RunSummary:
    """One run by its id or a beginning of it that no other run has."""
    with database.read() as session:
        return _summary(session.execute(_SUMMARY.where(RunRow.id == full_run_id(session, run_id))).one())


def latest_run(database: Database, scenario: str | None = None) -> RunSummary | None:
    """The run with a plan that ended last, of one scenario or of any; None: there is none yet."""
    query = _SUMMARY.where(PlanRow.run_id.is_not(None)).order_by(RunRow.ended.desc(), RunRow.id.desc())
    if scenario is not None:
        query = query.where(RunRow.scenario_name == scenario)
    with database.read() as session:
        row = session.execute(query.limit(1)).one_or_none()
    return None if row is None else _summary(row)


def _summary(row: Row[*tuple[Any, ...]]) -> RunSummary:
    instants = {name: instant(getattr(row, name)) for name in ("created", "started", "ended", "due")}
    columns = dict(row._mapping)
    args = columns.pop("args") or {}
    return RunSummary(**{**columns, **instants, "what_if_of": args.get("what_if_of")})


def instant(seconds: float | None) -> dt.datetime | None:
    """A moment with its zone, UTC, from the database's seconds."""
    return None if seconds is None else dt.datetime.fromtimestamp(seconds, dt.UTC)


def moment(database: Database) -> float:
    """Now, by the clock of the database: seconds since 1970 UTC."""
    with database.read() as session:
        return session.execute(select(now())).scalar_one()


def failed_since(database: Database, began: float) -> list[str]:
    """Runs that ended as failed since then, oldest first."""
    failed = select(RunRow.id).where(RunRow.state == "failed", RunRow.ended >= began)
    with database.read() as session:
        return list(session.execute(failed.order_by(RunRow.ended)).scalars())


@dataclass(frozen=True)
class MonthLine:
    """One month of a plan: probability that every pool's demand is met, and money spent."""

    month: str
    start: dt.date
    required: bool
    probability: float
    probability_low: float
    probability_high: float
    spend_p10: float
    spend_p50: float
    spend_p90: float


@dataclass(frozen=True)
class PoolMonthLine:
    """One pool in one month. GPUs are counted in ``unit``."""

    month: str
    pool: str
    unit: str
    need_p10: float
    need_p50: float
    need_p90: float
    in_service_p10: float
    in_service_p50: float
    in_service_p90: float
    reserved: float
    spot_p10: float
    spot_p50: float
    spot_p90: float
    unmet_p10: float
    unmet_p50: float
    unmet_p90: float
    probability: float
    probability_low: float
    probability_high: float


@dataclass(frozen=True)
class GateMonthLine:
    """Share of futures in which a gate is in a state on the month's first day."""

    month: str
    gate: str
    state: str
    share: float


@dataclass(frozen=True)
class OrderLine:
    """One line of the order calendar; money in the plan's currency."""

    line: int
    pool: str
    source: str
    sku: str
    month: str
    order_on: dt.date
    gpus: int
    lots: int
    last_safe: dt.date | None
    protects: str | None
    arrives_p10: dt.date | None
    arrives_p50: dt.date | None
    arrives_p90: dt.date | None
    arrives_within_horizon: float
    price: float
    prepayment: float
    probability_without: float
    cost_without: float
    why: str


@dataclass(frozen=True)
class ReservationLine:
    """Rental reserved for one month."""

    line: int
    pool: str
    source: str
    sku: str
    month: str
    reserve_by: dt.date
    gpus: int
    price: float


@dataclass(frozen=True)
class RivalLine:
    """Another way to act, on the same futures."""

    name: str
    meaning: str
    mean_cost: float
    cost_difference: float
    cost_difference_low: float
    cost_difference_high: float
    weakest_month: str
    probability: float
    probability_low: float
    probability_high: float
    shortfall_share: float
    worst_tenth_shortfall: float
    gpus_ordered: float


def months(database: Database, run_id: str) -> list[MonthLine]:
    """The months of a plan in order."""
    return _lines(database, run_id, MonthRow, MonthLine, "month")


def pool_months(database: Database, run_id: str) -> list[PoolMonthLine]:
    """The pools of a plan, month by month."""
    return _lines(database, run_id, PoolMonthRow, PoolMonthLine, "month", "pool")


def gate_months(database: Database, run_id: str) -> list[GateMonthLine]:
    """The gates of a plan, month by month."""
    return _lines(database, run_id, GateMonthRow, GateMonthLine, "month", "gate", "state")


def orders(database: Database, run_id: str) -> list[OrderLine]:
    """The order calendar of a plan, in the plan's order."""
    return _lines(database, run_id, OrderRow, OrderLine, "line")


def reservations(database: Database, run_id: str) -> list[ReservationLine]:
    """The reserved rental of a plan, in the plan's order."""
    return _lines(database, run_id, ReservationRow, ReservationLine, "line")


def rivals(database: Database, run_id: str) -> list[RivalLine]:
    """The rivals of a plan, cheapest first."""
    return _lines(database, run_id, RivalRow, RivalLine, "mean_cost")


def _lines(database: Database, run_id: str, table: Any, line: Any, *order: str) -> list[Any]:
    """The rows of one run as plain data: the columns that ``line`` names."""
    columns = [getattr(table, name) for name in line.__dataclass_fields__]
    query: Select[Any] = select(*columns).order_by(*(getattr(table, name) for name in order))
    with database.read() as session:
        full = full_run_id(session, run_id)
        return [line(**row._mapping) for row in session.execute(query.where(table.run_id == full))]


@dataclass(frozen=True)
class ScenarioSummary:
    """A scenario that was planned, in one of its versions."""

    name: str
    version: int
    hash: str
    created: dt.datetime


def scenarios(database: Database) -> list[ScenarioSummary]:
    """Every version of every scenario, newest first."""
    query = select(ScenarioRow.name, ScenarioRow.version, ScenarioRow.hash, ScenarioRow.created)
    with database.read() as session:
        rows = session.execute(query.order_by(ScenarioRow.created.desc())).all()
    return [
        ScenarioSummary(row.name, row.version, row.hash, dt.datetime.fromtimestamp(row.created, dt.UTC)) for row in rows
    ]


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
    names = ScheduleSummary.__dataclass_fields__
    columns = [getattr(ScheduleRow, name) for name in names]
    with database.read() as session:
        rows = session.execute(select(*columns).order_by(ScheduleRow.name)).all()
    return [
        ScheduleSummary(**{**row._mapping, "next_at": instant(row.next_at), "last_at": instant(row.last_at)})
        for row in rows
    ]


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
    query = select(AuditRow).order_by(AuditRow.id.desc()).limit(limit)
    if run_id is not None:
        query = query.where(AuditRow.run_id == run_id)
    if schedule is not None:
        query = query.where(AuditRow.schedule == schedule)
    with database.read() as session:
        return [
            AuditLine(
                dt.datetime.fromtimestamp(row.at, dt.UTC), row.run_id, row.schedule, row.event, row.note, row.actor
            )
            for row in session.execute(query).scalars()
        ]


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
class NoticeLine:
    """A message to a sink, sent or still to be sent."""

    id: str
    run_id: str
    sink: dict[str, Any]
    subject: str
    state: str
    attempts: int
    error: str | None


def notices(database: Database, run_id: str | None = None, limit: int = 100) -> list[NoticeLine]:
    """The newest notices, of one run or of all."""
    columns = [getattr(NoticeRow, name) for name in NoticeLine.__dataclass_fields__]
    query = select(*columns).order_by(NoticeRow.created.desc(), NoticeRow.id).limit(limit)
    if run_id is not None:
        query = query.where(NoticeRow.run_id == run_id)
    with database.read() as session:
        return [NoticeLine(**row._mapping) for row in session.execute(query)]


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
    columns: Sequence[Any] = [getattr(ProfileRow, name) for name in ProfileSummary.__dataclass_fields__]
    with database.read() as session:
        rows = session.execute(select(*columns).order_by(ProfileRow.created.desc())).all()
    return [
        ProfileSummary(**{**row._mapping, "created": dt.datetime.fromtimestamp(row.created, dt.UTC)}) for row in rows
    ]
