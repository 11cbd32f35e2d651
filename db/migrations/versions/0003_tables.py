"""Runs with their plans, the queue, schedules and notices, and read-only views for BI tools.

Views have names that stay, instants as timestamps, and one row for each thing.
"""

import re
from typing import Any

import sqlalchemy as sa
from alembic import op

from db.columns import STRICT, CalendarDate, Document, Flag, Real, Whole

revision = "0003"
down_revision = None


def upgrade() -> None:
    _make_tables()
    _make_indexes()
    postgresql = op.get_bind().dialect.name == "postgresql"
    for name, query in VIEWS.items():
        op.execute(f"CREATE VIEW {name} AS {_in_dialect(query, postgresql)}")


def downgrade() -> None:
    for name in reversed(VIEWS):
        op.execute(f"DROP VIEW {name}")
    for table in TABLES:
        op.drop_table(table)


TABLES = (
    *("notice", "difference", "schedule", "audit", "profile", "rival", "reservation", "order_line"),
    *("gate_month", "pool_month", "month", "plan", "run", "scenario"),
)
"""What refers to another table goes before it."""


TEXT, DATE, FLAG, DOCUMENT = sa.Text(), CalendarDate(), Flag(), Document()


def _table(name: str, *parts: sa.schema.SchemaItem) -> None:
    op.create_table(name, *parts, sqlite_strict=STRICT)


def _given(kind: Any, names: str) -> list[sa.Column[Any]]:
    """Columns of a kind that every row fills."""
    return [sa.Column(name, kind, nullable=False) for name in names.split()]


def _filled(name: str, kind: Any, value: str) -> sa.Column[Any]:
    """A column that is filled with an SQL value where a row leaves it out."""
    return sa.Column(name, kind, nullable=False, server_default=sa.text(value))


def _maybe(kind: Any, names: str) -> list[sa.Column[Any]]:
    """Columns of a kind that a row may leave out."""
    return [sa.Column(name, kind) for name in names.split()]


def _keys(names: str) -> list[sa.Column[Any]]:
    """Text columns that name a row."""
    return [sa.Column(name, TEXT, primary_key=True) for name in names.split()]


def _of_run() -> sa.Column[Any]:
    """The run that a row belongs to, and goes with."""
    return sa.Column("run_id", TEXT, sa.ForeignKey("run.id", ondelete="CASCADE"), primary_key=True)


def _make_tables() -> None:
    _table(
        "audit",
        sa.Column("id", Whole, primary_key=True, autoincrement=True),
        *_given(Real, "at"),
        *_maybe(TEXT, "run_id schedule"),
        *_given(TEXT, "event note actor"),
    )
    _table(
        "profile",
        *_keys("id"),
        *_given(TEXT, "model gpu engine precision label"),
        *_given(DOCUMENT, "body"),
        *_given(Real, "created"),
    )
    _table(
        "scenario",
        *_keys("hash"),
        *_given(TEXT, "name"),
        *_given(Whole, "version"),
        *_given(DOCUMENT, "body"),
        *_given(Real, "created"),
        sa.UniqueConstraint("name", "version", name="scenario_name_version"),
    )
    _table(
        "run",
        *_keys("id"),
        *_given(TEXT, "kind state scenario_name"),
        sa.Column("scenario_hash", TEXT, sa.ForeignKey("scenario.hash")),
        *_maybe(Whole, "seed"),
        *_maybe(TEXT, "identity code_version"),
        *_given(Real, "created"),
        *_maybe(Real, "started ended"),
        *_maybe(TEXT, "error artefact artefact_sha256"),
        *_maybe(Whole, "artefact_bytes"),
        *_maybe(DOCUMENT, "args"),
        *_maybe(TEXT, "lane dedup"),
        _filled("priority", Whole, "0"),
        _filled("not_before", Real, "0"),
        *_maybe(TEXT, "owner"),
        _filled("epoch", Whole, "0"),
        *_maybe(Real, "lease_until"),
        _filled("attempts", Whole, "0"),
        _filled("deaths", Whole, "0"),
        _filled("cancel", FLAG, "false"),
        *_maybe(DOCUMENT, "progress"),
        *_maybe(TEXT, "retry_of schedule"),
        *_maybe(Real, "due"),
        sa.CheckConstraint("state IN ('queued', 'running', 'done', 'failed', 'cancelled')", name="run_state"),
    )
    _table("gate_month", _of_run(), *_keys("month gate state"), *_given(Real, "share"))
    _table(
        "month",
        _of_run(),
        *_keys("month"),
        *_given(DATE, "start"),
        *_given(FLAG, "required"),
        *_given(Real, "probability probability_low probability_high spend_p10 spend_p50 spend_p90"),
    )
    _table(
        "order_line",
        _of_run(),
        sa.Column("line", Whole, primary_key=True),
        *_given(TEXT, "pool source sku month"),
        *_given(DATE, "order_on"),
        *_given(Whole, "gpus lots"),
        *_maybe(DATE, "last_safe"),
        *_maybe(TEXT, "protects"),
        *_maybe(DATE, "arrives_p10 arrives_p50 arrives_p90"),
        *_given(Real, "arrives_within_horizon price prepayment probability_without cost_without"),
        *_given(TEXT, "why"),
    )
    _table(
        "plan",
        _of_run(),
        *_given(DOCUMENT, "record"),
        *_given(Whole, "schema_version"),
        *_given(TEXT, "currency sentence"),
        *_given(FLAG, "feasible"),
        *_given(Real, "goal"),
        *_given(TEXT, "weakest_month"),
        *_given(Real, "probability probability_low probability_high"),
        *_maybe(DATE, "next_order_by"),
        *_given(Real, "mean_cost mean_cost_low mean_cost_high cost_p10 cost_p50 cost_p90 committed at_risk"),
        *_given(Whole, "gpus_ordered"),
    )
    _table(
        "pool_month",
        _of_run(),
        *_keys("month pool"),
        *_given(TEXT, "unit"),
        *_given(
            Real,
            "need_p10 need_p50 need_p90 in_service_p10 in_service_p50 in_service_p90 reserved "
            "spot_p10 spot_p50 spot_p90 unmet_p10 unmet_p50 unmet_p90 probability probability_low "
            "probability_high",
        ),
    )
    _table(
        "reservation",
        _of_run(),
        sa.Column("line", Whole, primary_key=True),
        *_given(TEXT, "pool source sku month"),
        *_given(DATE, "reserve_by"),
        *_given(Whole, "gpus"),
        *_given(Real, "price"),
    )
    _table(
        "rival",
        _of_run(),
        *_keys("name"),
        *_given(TEXT, "meaning"),
        *_given(Real, "mean_cost cost_difference cost_difference_low cost_difference_high"),
        *_given(TEXT, "weakest_month"),
        *_given(
            Real, "probability probability_low probability_high shortfall_share worst_tenth_shortfall gpus_ordered"
        ),
    )
    _table(
        "schedule",
        *_keys("name"),
        *_given(TEXT, "cron zone kind"),
        *_given(DOCUMENT, "args"),
        *_given(FLAG, "active"),
        *_given(TEXT, "overlap misfire"),
        *_maybe(Real, "grace_seconds"),
        *_given(DOCUMENT, "sinks"),
        *_maybe(Real, "next_at last_at"),
        *_given(TEXT, "last_note"),
        *_given(Real, "created"),
        sa.CheckConstraint("overlap IN ('skip', 'queue', 'cancel')", name="schedule_overlap"),
        sa.CheckConstraint("misfire IN ('once', 'all')", name="schedule_misfire"),
    )
    _table(
        "difference",
        _of_run(),
        *_given(TEXT, "previous_run_id sentence"),
        *_given(DOCUMENT, "body"),
        *_given(Real, "created"),
    )
    _table(
        "notice",
        *_keys("id"),
        sa.Column("run_id", TEXT, sa.ForeignKey("run.id", ondelete="CASCADE"), nullable=False),
        *_given(DOCUMENT, "sink"),
        *_given(TEXT, "subject"),
        *_given(DOCUMENT, "body"),
        *_given(TEXT, "state"),
        *_given(Whole, "attempts"),
        *_given(Real, "not_before"),
        *_maybe(TEXT, "error"),
        *_given(Real, "created"),
        sa.CheckConstraint("state IN ('waiting', 'sent', 'failed')", name="notice_state"),
    )


def _make_indexes() -> None:
    op.create_index("run_by_created", "run", ["created"])
    op.create_index("run_by_ended", "run", ["ended"])
    op.create_index("run_by_identity", "run", ["identity"])
    op.create_index("audit_by_run", "audit", ["run_id", "id"])
    op.create_index("schedule_by_next", "schedule", ["active", "next_at"])
    op.create_index("notice_by_state", "notice", ["state", "not_before"])
    op.create_index("run_by_state", "run", ["state", "priority", "created"])
    op.create_index("run_by_schedule", "run", ["schedule", "created"])
    op.create_index("run_dedup", "run", ["dedup"], unique=True)
    running = sa.text("state = 'running'")
    op.create_index("run_one_per_lane", "run", ["lane"], unique=True, sqlite_where=running, postgresql_where=running)


def _in_dialect(query: str, postgresql: bool) -> str:
    """``utc(x)`` turns seconds since 1970 into a timestamp (PostgreSQL) or ISO 8601 text (SQLite)."""
    instant = r"to_timestamp(\1)" if postgresql else r"strftime('%Y-%m-%dT%H:%M:%SZ', \1, 'unixepoch')"
    return re.sub(r"utc\((.*?)\)", instant, query)


_RUN = """
    run.id AS run, run.scenario_name AS scenario, scenario.version AS scenario_version, run.schedule AS schedule,
    utc(run.ended) AS planned_at
"""
_OF_RUN = """
    JOIN run ON run.id = part.run_id
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
    "bi_plan": f"""
        SELECT {_RUN}, part.sentence AS sentence, part.feasible AS goal_met, part.goal AS goal,
               part.weakest_month AS weakest_month, part.probability AS probability,
               part.probability_low AS probability_low, part.probability_high AS probability_high,
               part.next_order_by AS next_order_by, part.gpus_ordered AS gpus_ordered,
               part.currency AS currency, part.mean_cost AS mean_cost, part.cost_p10 AS cost_p10,
               part.cost_p50 AS cost_p50, part.cost_p90 AS cost_p90, part.committed AS committed,
               part.at_risk AS at_risk
        FROM plan part {_OF_RUN}
    """,
    "bi_latest_plan": """
        SELECT newest.* FROM bi_plan newest WHERE newest.run = (
            SELECT run.id FROM run JOIN plan ON plan.run_id = run.id
            WHERE run.scenario_name = newest.scenario AND run.state = 'done'
            ORDER BY run.ended DESC, run.id DESC LIMIT 1
        )
    """,
    "bi_month": f"""
        SELECT {_RUN}, part.month AS month, part.start AS start, part.required AS required,
               part.probability AS probability, part.probability_low AS probability_low,
               part.probability_high AS probability_high, part.spend_p10 AS spend_p10,
               part.spend_p50 AS spend_p50, part.spend_p90 AS spend_p90
        FROM month part {_OF_RUN}
    """,
    "bi_pool_month": f"""
        SELECT {_RUN}, part.month AS month, part.pool AS pool, part.unit AS gpu, part.need_p10 AS need_p10,
               part.need_p50 AS need_p50, part.need_p90 AS need_p90, part.in_service_p10 AS in_service_p10,
               part.in_service_p50 AS in_service_p50, part.in_service_p90 AS in_service_p90,
               part.reserved AS reserved, part.spot_p50 AS spot_p50, part.spot_p90 AS spot_p90,
               part.unmet_p50 AS unmet_p50, part.unmet_p90 AS unmet_p90, part.probability AS probability
        FROM pool_month part {_OF_RUN}
    """,
    "bi_order": f"""
        SELECT {_RUN}, part.line AS line, part.pool AS pool, part.source AS source, part.sku AS gpu,
               part.month AS month, part.order_on AS order_on, part.last_safe AS last_safe,
               part.gpus AS gpus, part.lots AS lots, part.arrives_p10 AS arrives_p10,
               part.arrives_p50 AS arrives_p50, part.arrives_p90 AS arrives_p90,
               part.arrives_within_horizon AS arrives_within_horizon, part.price AS price,
               part.prepayment AS prepayment, part.protects AS protects,
               part.probability_without AS probability_without, part.why AS why
        FROM order_line part {_OF_RUN}
    """,
    "bi_gate_month": f"""
        SELECT {_RUN}, part.month AS month, part.gate AS gate, part.state AS state, part.share AS share
        FROM gate_month part {_OF_RUN}
    """,
    "bi_change": """
        SELECT difference.run_id AS run, difference.previous_run_id AS previous_run,
               run.schedule AS schedule, utc(difference.created) AS compared_at,
               difference.sentence AS sentence
        FROM difference JOIN run ON run.id = difference.run_id
    """,
}
