"""The tables, once for SQLite and PostgreSQL.

::

    scenario 1 ─── n run 1 ─── 0..1 plan 1 ─── n month, pool_month, gate_month, order_line, reservation, rival
                       n ─── 0..1 schedule (by name)
    run 1 ─── 0..1 difference (from the run before, in the same schedule)
    run 1 ─── n notice (an outbox: what a sink still has to be told)
    profile (serving figures of the user's own), audit (what happened, kept when the run is gone)

Instants are seconds since 1970 UTC on the database's clock; months are YYYY-MM; shares are 0..1; money is in
the plan's currency; GPUs are counted in the pool's unit of account.
"""

import datetime as dt
from typing import Annotated, Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, Text, UniqueConstraint, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from db.columns import CalendarDate, Document, Flag, Real, Whole

RUN_STATES = ("queued", "running", "done", "failed", "cancelled")
"""queued -> running -> done, failed or cancelled; queued -> cancelled; running -> queued on a stop."""

ENDED = ("done", "failed", "cancelled")

OfRun = Annotated[str, mapped_column(ForeignKey("run.id", ondelete="CASCADE"), primary_key=True)]
Key = Annotated[str, mapped_column(primary_key=True)]


class Base(DeclarativeBase):
    """Python's types to columns (db/columns.py). The migrations make the tables, on SQLite as STRICT ones."""

    type_annotation_map = {  # noqa: RUF012, SQLAlchemy reads it as a class attribute
        str: Text(),
        int: Whole,
        float: Real,
        bool: Flag(),
        dt.date: CalendarDate(),
        dict[str, Any]: Document(),
    }


class ScenarioRow(Base):
    """A scenario as it was planned; the same name gets a new version when its content changes."""

    __tablename__ = "scenario"
    __table_args__ = (UniqueConstraint("name", "version", name="scenario_name_version"),)

    hash: Mapped[Key]
    name: Mapped[str]
    version: Mapped[int]
    body: Mapped[dict[str, Any]]
    created: Mapped[float]


class RunRow(Base):
    """One run: what was asked, where it stands, and where its file lies. The lease is part of the row."""

    __tablename__ = "run"
    __table_args__ = (
        CheckConstraint("state IN ('queued', 'running', 'done', 'failed', 'cancelled')", name="run_state"),
        Index("run_by_state", "state", "priority", "created"),
        Index("run_by_created", "created"),
        Index("run_by_ended", "ended"),
        Index("run_by_identity", "identity"),
        Index("run_by_schedule", "schedule", "created"),
        Index(
            "run_one_per_lane",
            "lane",
            unique=True,
            sqlite_where=text("state = 'running'"),
            postgresql_where=text("state = 'running'"),
        ),
        Index("run_dedup", "dedup", unique=True),
    )

    id: Mapped[Key]
    kind: Mapped[str]
    state: Mapped[str]
    scenario_name: Mapped[str]
    scenario_hash: Mapped[str | None] = mapped_column(ForeignKey("scenario.hash"))
    seed: Mapped[int | None]
    identity: Mapped[str | None]
    """Hash of scenario, seed and version: a run of the same identity has the same result."""
    code_version: Mapped[str | None]
    """Version of Waferlag that computed it; for information, it routes nothing."""
    created: Mapped[float]
    started: Mapped[float | None]
    ended: Mapped[float | None]
    error: Mapped[str | None]
    artefact: Mapped[str | None]
    """Path of the Parquet file, relative to the folder of the runs."""
    artefact_sha256: Mapped[str | None]
    artefact_bytes: Mapped[int | None]

    args: Mapped[dict[str, Any] | None]
    lane: Mapped[str | None]
    """At most one run of a lane is running at a time."""
    dedup: Mapped[str | None]
    """While a run holds it, a second one with the same key cannot be queued."""
    priority: Mapped[int] = mapped_column(server_default=text("0"))
    not_before: Mapped[float] = mapped_column(server_default=text("0"))
    owner: Mapped[str | None]
    """Host, process and a random part of the worker; for information, the epoch is what counts."""
    epoch: Mapped[int] = mapped_column(server_default=text("0"))
    """Raised by every claim; a write with an older epoch changes nothing."""
    lease_until: Mapped[float | None]
    attempts: Mapped[int] = mapped_column(server_default=text("0"))
    """How often it was started."""
    deaths: Mapped[int] = mapped_column(server_default=text("0"))
    """How often its process was killed by a signal."""
    cancel: Mapped[bool] = mapped_column(server_default=text("false"))
    progress: Mapped[dict[str, Any] | None]
    retry_of: Mapped[str | None]
    schedule: Mapped[str | None]
    due: Mapped[float | None]
    """The instant of the schedule that this run answers."""


class PlanRow(Base):
    """The whole record of a plan, with its headline figures as columns."""

    __tablename__ = "plan"

    run_id: Mapped[OfRun]
    record: Mapped[dict[str, Any]]
    schema_version: Mapped[int]
    currency: Mapped[str]
    sentence: Mapped[str]
    feasible: Mapped[bool]
    goal: Mapped[float]
    weakest_month: Mapped[str]
    probability: Mapped[float]
    probability_low: Mapped[float]
    probability_high: Mapped[float]
    next_order_by: Mapped[dt.date | None]
    mean_cost: Mapped[float]
    mean_cost_low: Mapped[float]
    mean_cost_high: Mapped[float]
    cost_p10: Mapped[float]
    cost_p50: Mapped[float]
    cost_p90: Mapped[float]
    committed: Mapped[float]
    at_risk: Mapped[float]
    gpus_ordered: Mapped[int]


class MonthRow(Base):
    """One month of a plan."""

    __tablename__ = "month"

    run_id: Mapped[OfRun]
    month: Mapped[Key]
    start: Mapped[dt.date]
    required: Mapped[bool]
    probability: Mapped[float]
    probability_low: Mapped[float]
    probability_high: Mapped[float]
    spend_p10: Mapped[float]
    spend_p50: Mapped[float]
    spend_p90: Mapped[float]


class PoolMonthRow(Base):
    """One pool in one month: what is needed, what serves, what is missing, as quantiles over futures."""

    __tablename__ = "pool_month"

    run_id: Mapped[OfRun]
    month: Mapped[Key]
    pool: Mapped[Key]
    unit: Mapped[str]
    need_p10: Mapped[float]
    need_p50: Mapped[float]
    need_p90: Mapped[float]
    in_service_p10: Mapped[float]
    in_service_p50: Mapped[float]
    in_service_p90: Mapped[float]
    reserved: Mapped[float]
    spot_p10: Mapped[float]
    spot_p50: Mapped[float]
    spot_p90: Mapped[float]
    unmet_p10: Mapped[float]
    unmet_p50: Mapped[float]
    unmet_p90: Mapped[float]
    probability: Mapped[float]
    probability_low: Mapped[float]
    probability_high: Mapped[float]


class GateMonthRow(Base):
    """Share of futures in which a gate is in a state on the month's first day."""

    __tablename__ = "gate_month"

    run_id: Mapped[OfRun]
    month: Mapped[Key]
    gate: Mapped[Key]
    state: Mapped[Key]
    share: Mapped[float]


class OrderRow(Base):
    """One line of the order calendar."""

    __tablename__ = "order_line"

    run_id: Mapped[OfRun]
    line: Mapped[int] = mapped_column(primary_key=True)
    pool: Mapped[str]
    source: Mapped[str]
    sku: Mapped[str]
    month: Mapped[str]
    order_on: Mapped[dt.date]
    gpus: Mapped[int]
    lots: Mapped[int]
    last_safe: Mapped[dt.date | None]
    protects: Mapped[str | None]
    arrives_p10: Mapped[dt.date | None]
    arrives_p50: Mapped[dt.date | None]
    arrives_p90: Mapped[dt.date | None]
    arrives_within_horizon: Mapped[float]
    price: Mapped[float]
    prepayment: Mapped[float]
    probability_without: Mapped[float]
    cost_without: Mapped[float]
    why: Mapped[str]


class ReservationRow(Base):
    """Rental reserved for one month."""

    __tablename__ = "reservation"

    run_id: Mapped[OfRun]
    line: Mapped[int] = mapped_column(primary_key=True)
    pool: Mapped[str]
    source: Mapped[str]
    sku: Mapped[str]
    month: Mapped[str]
    reserve_by: Mapped[dt.date]
    gpus: Mapped[int]
    price: Mapped[float]


class RivalRow(Base):
    """Another way to act, on the same futures."""

    __tablename__ = "rival"

    run_id: Mapped[OfRun]
    name: Mapped[Key]
    meaning: Mapped[str]
    mean_cost: Mapped[float]
    cost_difference: Mapped[float]
    cost_difference_low: Mapped[float]
    cost_difference_high: Mapped[float]
    weakest_month: Mapped[str]
    probability: Mapped[float]
    probability_low: Mapped[float]
    probability_high: Mapped[float]
    shortfall_share: Mapped[float]
    worst_tenth_shortfall: Mapped[float]
    gpus_ordered: Mapped[float]


class ProfileRow(Base):
    """A serving profile: what one replica delivers, measured or brought in."""

    __tablename__ = "profile"

    id: Mapped[Key]
    """The first twelve digits of the SHA-256 of its body."""
    model: Mapped[str]
    gpu: Mapped[str]
    engine: Mapped[str]
    precision: Mapped[str]
    label: Mapped[str]
    body: Mapped[dict[str, Any]]
    created: Mapped[float]


class AuditRow(Base):
    """Something that happened to a run or a schedule. Not tied to the run's row: it outlives it."""

    __tablename__ = "audit"
    __table_args__ = (Index("audit_by_run", "run_id", "id"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    at: Mapped[float]
    run_id: Mapped[str | None]
    schedule: Mapped[str | None]
    event: Mapped[str]
    note: Mapped[str]
    actor: Mapped[str]


class ScheduleRow(Base):
    """When to run a scenario again, by itself."""

    __tablename__ = "schedule"
    __table_args__ = (
        CheckConstraint("overlap IN ('skip', 'queue', 'cancel')", name="schedule_overlap"),
        CheckConstraint("misfire IN ('once', 'all')", name="schedule_misfire"),
        Index("schedule_by_next", "active", "next_at"),
    )

    name: Mapped[Key]
    cron: Mapped[str]
    zone: Mapped[str]
    """IANA time zone in which the cron expression is read."""
    kind: Mapped[str]
    args: Mapped[dict[str, Any]]
    active: Mapped[bool]
    overlap: Mapped[str]
    """skip: no new run while one is under way. queue: one may wait. cancel: the older one is cancelled."""
    misfire: Mapped[str]
    """once: however many instants were missed, one run. all: a run for each."""
    grace_seconds: Mapped[float | None]
    """An instant missed by more than this is dropped, and the note says so."""
    sinks: Mapped[dict[str, Any]]
    next_at: Mapped[float | None]
    last_at: Mapped[float | None]
    last_note: Mapped[str]
    created: Mapped[float]


class DifferenceRow(Base):
    """What changed between a run and the one before it in its schedule."""

    __tablename__ = "difference"

    run_id: Mapped[OfRun]
    previous_run_id: Mapped[str]
    sentence: Mapped[str]
    body: Mapped[dict[str, Any]]
    created: Mapped[float]


class NoticeRow(Base):
    """A message that a sink has still to be told, or was told."""

    __tablename__ = "notice"
    __table_args__ = (
        CheckConstraint("state IN ('waiting', 'sent', 'failed')", name="notice_state"),
        Index("notice_by_state", "state", "not_before"),
    )

    id: Mapped[Key]
    run_id: Mapped[str] = mapped_column(ForeignKey("run.id", ondelete="CASCADE"))
    sink: Mapped[dict[str, Any]]
    subject: Mapped[str]
    body: Mapped[dict[str, Any]]
    state: Mapped[str]
    attempts: Mapped[int]
    not_before: Mapped[float]
    error: Mapped[str | None]
    created: Mapped[float]
