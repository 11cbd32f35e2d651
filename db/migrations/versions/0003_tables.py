"""Runs with their plans, the queue, schedules and notices, and read-only views for BI tools.

Views have names that stay, instants as timestamps, and one row for each thing.
"""

import re
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op

from db.columns import STRICT, CalendarDate, Document, Flag, Real, Whole

revision = "0003"
down_revision = None

TEXT = sa.Text()
KINDS: dict[str, Any] = {"text": TEXT, "int": Whole, "real": Real}
KINDS |= {"date": CalendarDate(), "flag": Flag(), "json": Document()}

TABLES = {
    "audit": ("number id", "real at", "text? run_id schedule", "text event note actor"),
    "profile": ("key id", "text model gpu engine precision label", "json body", "real created"),
    "scenario": ("key hash", "text name", "int version", "json body", "real created"),
    "run": (
        *("key id", "text kind state scenario_name", "text? scenario_hash", "int? seed", "text? identity code_version"),
        *("real created", "real? started ended", "text? error artefact artefact_sha256", "int? artefact_bytes"),
        *("json? args", "text? lane dedup", "int=0 priority", "real=0 not_before", "text? owner", "int=0 epoch"),
        *("real? lease_until", "int=0 attempts deaths", "flag=false cancel", "json? progress"),
        *("text? retry_of schedule", "real? due"),
    ),
    "gate_month": ("of-run run_id", "key month gate state", "real share"),
    "month": (
        *("of-run run_id", "key month", "date start", "flag required"),
        "real probability probability_low probability_high spend_p10 spend_p50 spend_p90",
    ),
    "order_line": (
        *("of-run run_id", "line line", "text pool source sku month", "date order_on", "int gpus lots"),
        *("date? last_safe", "text? protects", "date? arrives_p10 arrives_p50 arrives_p90"),
        *("real arrives_within_horizon price prepayment probability_without cost_without", "text why"),
    ),
    "plan": (
        *("of-run run_id", "json record", "int schema_version", "text currency sentence", "flag feasible", "real goal"),
        *("text weakest_month", "real probability probability_low probability_high", "date? next_order_by"),
        "real mean_cost mean_cost_low mean_cost_high cost_p10 cost_p50 cost_p90 committed at_risk",
        "int gpus_ordered",
    ),
    "pool_month": (
        *("of-run run_id", "key month pool", "text unit", "real need_p10 need_p50 need_p90"),
        *("real in_service_p10 in_service_p50 in_service_p90 reserved", "real spot_p10 spot_p50 spot_p90"),
        *("real unmet_p10 unmet_p50 unmet_p90", "real probability probability_low probability_high"),
    ),
    "reservation": (
        *("of-run run_id", "line line", "text pool source sku month", "date reserve_by", "int gpus", "real price"),
    ),
    "rival": (
        *("of-run run_id", "key name", "text meaning", "real mean_cost cost_difference cost_difference_low"),
        *("real cost_difference_high", "text weakest_month", "real probability probability_low probability_high"),
        "real shortfall_share worst_tenth_shortfall gpus_ordered",
    ),
    "schedule": (
        *("key name", "text cron zone kind", "json args", "flag active", "text overlap misfire"),
        *("real? grace_seconds", "json sinks", "real? next_at last_at", "text last_note", "real created"),
    ),
    "difference": ("of-run run_id", "text previous_run_id sentence", "json body", "real created"),
    "notice": (
        *("key id", "text run_id", "json sink", "text subject", "json body", "text state", "int attempts"),
        *("real not_before", "text? error", "real created"),
    ),
}
"""Columns by kind: ``kind names``, filled by every row; ``kind? names``, which a row may leave out; ``kind=value
names``, filled with that SQL value where a row leaves them out; ``key``, a text, ``line``, a number, and ``number``,
one that the database counts on, name the row; ``of-run``, the run that a row belongs to and goes with. What refers to
another table comes after it."""


def _columns(group: str) -> Iterator[sa.Column[Any]]:
    """The columns of one group of :data:`TABLES`."""
    kind, *names = group.split()
    kind, _, value = kind.partition("=")
    for name in names:
        if kind == "of-run":
            yield sa.Column(name, TEXT, sa.ForeignKey("run.id", ondelete="CASCADE"), primary_key=True)
        elif kind in ("key", "line", "number"):
            counted: dict[str, Any] = {"autoincrement": True} if kind == "number" else {}
            yield sa.Column(name, TEXT if kind == "key" else Whole, primary_key=True, **counted)
        else:
            default = sa.text(value) if value else None
            yield sa.Column(name, KINDS[kind.rstrip("?")], nullable=kind.endswith("?"), server_default=default)


CONSTRAINTS: dict[str, tuple[sa.schema.SchemaItem, ...]] = {
    "scenario": (sa.UniqueConstraint("name", "version", name="scenario_name_version"),),
    "run": (
        sa.ForeignKeyConstraint(["scenario_hash"], ["scenario.hash"]),
        sa.CheckConstraint("state IN ('queued', 'running', 'done', 'failed', 'cancelled')", name="run_state"),
    ),
    "schedule": (
        sa.CheckConstraint("overlap IN ('skip', 'queue', 'cancel')", name="schedule_overlap"),
        sa.CheckConstraint("misfire IN ('once', 'all')", name="schedule_misfire"),
    ),
    "notice": (
        sa.ForeignKeyConstraint(["run_id"], ["run.id"], ondelete="CASCADE"),
        sa.CheckConstraint("state IN ('waiting', 'sent', 'failed')", name="notice_state"),
    ),
}


def upgrade() -> None:
    for name, groups in TABLES.items():
        columns = [column for group in groups for column in _columns(group)]
        op.create_table(name, *columns, *CONSTRAINTS.get(name, ()), sqlite_strict=STRICT)
    _make_indexes()
    postgresql = op.get_bind().dialect.name == "postgresql"
    for name, query in VIEWS.items():
        op.execute(f"CREATE VIEW {name} AS {_in_dialect(query, postgresql)}")


def downgrade() -> None:
    for name in reversed(VIEWS):
        op.execute(f"DROP VIEW {name}")
    for table in reversed(TABLES):
        op.drop_table(table)


def _make_indexes() -> None:
    for name, table, *columns in (
        ("run_by_created", "run", "created"),
        ("run_by_ended", "run", "ended"),
        ("run_by_identity", "run", "identity"),
        ("run_by_state", "run", "state", "priority", "created"),
        ("run_by_schedule", "run", "schedule", "created"),
        ("audit_by_run", "audit", "run_id", "id"),
        ("schedule_by_next", "schedule", "active", "next_at"),
        ("notice_by_state", "notice", "state", "not_before"),
    ):
        op.create_index(name, table, columns)
    op.create_index("run_dedup", "run", ["dedup"], unique=True)
    running = sa.text("state = 'running'")
    op.create_index("run_one_per_lane", "run", ["lane"], unique=True, sqlite_where=running, postgresql_where=running)


def _in_dialect(query: str, postgresql: bool) -> str:
    """``utc(x)`` turns seconds since 1970 into a timestamp (PostgreSQL) or ISO 8601 text (SQLite)."""
    instant = r"to_timestamp(\1)" if postgresql else r"strftime('%Y-%m-%dT%H:%M:%SZ', \1, 'unixepoch')"
    return re.sub(r"utc\((.*?)\)", instant, query)


def _of_run(table: str, columns: str) -> str:
    """A view of one table: these columns (``name`` or ``name=shown-as``) of done runs, behind the run's own."""
    pairs = (column.split("=") for column in columns.split())
    shown = ", ".join(f"part.{pair[0]} AS {pair[-1]}" for pair in pairs)
    return f"""
        SELECT run.id AS run, run.scenario_name AS scenario, scenario.version AS scenario_version,
               run.schedule AS schedule, utc(run.ended) AS planned_at, {shown}
        FROM {table} part JOIN run ON run.id = part.run_id
        LEFT JOIN scenario ON scenario.hash = run.scenario_hash
        WHERE run.state = 'done'
    """


VIEWS = {
    "bi_run": """
        SELECT run.id AS run, run.kind AS kind, run.state AS state, run.scenario_name AS scenario,
               scenario.version AS scenario_version, run.schedule AS schedule, utc(run.due) AS due_at,
               utc(run.created) AS asked_at, utc(run.started) AS started_at, utc(run.ended) AS ended_at,
               run.ended - run.started AS seconds, run.attempts AS attempts, run.seed AS seed,
               run.code_version AS waferlag_version, run.error AS error
        FROM run LEFT JOIN scenario ON scenario.hash = run.scenario_hash
    """,
    "bi_plan": _of_run(
        "plan",
        "sentence feasible=goal_met goal weakest_month probability probability_low probability_high next_order_by "
        "gpus_ordered currency mean_cost cost_p10 cost_p50 cost_p90 committed at_risk",
    ),
    "bi_latest_plan": """
        SELECT newest.* FROM bi_plan newest WHERE newest.run = (
            SELECT run.id FROM run JOIN plan ON plan.run_id = run.id
            WHERE run.scenario_name = newest.scenario AND run.state = 'done'
            ORDER BY run.ended DESC, run.id DESC LIMIT 1
        )
    """,
    "bi_month": _of_run(
        "month", "month start required probability probability_low probability_high spend_p10 spend_p50 spend_p90"
    ),
    "bi_pool_month": _of_run(
        "pool_month",
        "month pool unit=gpu need_p10 need_p50 need_p90 in_service_p10 in_service_p50 in_service_p90 reserved "
        "spot_p50 spot_p90 unmet_p50 unmet_p90 probability",
    ),
    "bi_order": _of_run(
        "order_line",
        "line pool source sku=gpu month order_on last_safe gpus lots arrives_p10 arrives_p50 arrives_p90 "
        "arrives_within_horizon price prepayment protects probability_without why",
    ),
    "bi_gate_month": _of_run("gate_month", "month gate state share"),
    "bi_change": """
        SELECT difference.run_id AS run, difference.previous_run_id AS previous_run,
               run.schedule AS schedule, utc(difference.created) AS compared_at,
               difference.sentence AS sentence
        FROM difference JOIN run ON run.id = difference.run_id
    """,
}
