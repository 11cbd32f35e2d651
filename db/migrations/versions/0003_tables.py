"""Runs with their plans, the queue, schedules and notices, and read-only views for BI tools.

Views have names that stay, instants as timestamps, and one row for each thing.
"""

import re

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


def _make_tables() -> None:
    op.create_table(
        "audit",
        sa.Column("id", Whole, primary_key=True, autoincrement=True),
        sa.Column("at", Real, nullable=False),
        sa.Column("run_id", sa.Text()),
        sa.Column("schedule", sa.Text()),
        sa.Column("event", sa.Text(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sqlite_strict=STRICT,
    )
    op.create_table(
        "profile",
        sa.Column("id", sa.Text(), primary_key=True),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("gpu", sa.Text(), nullable=False),
        sa.Column("engine", sa.Text(), nullable=False),
        sa.Column("precision", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("body", Document(), nullable=False),
        sa.Column("created", Real, nullable=False),
        sqlite_strict=STRICT,
    )
    op.create_table(
        "scenario",
        sa.Column("hash", sa.Text(), primary_key=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version", Whole, nullable=False),
        sa.Column("body", Document(), nullable=False),
        sa.Column("created", Real, nullable=False),
        sa.UniqueConstraint("name", "version", name="scenario_name_version"),
        sqlite_strict=STRICT,
    )
    op.create_table(
        "run",
        sa.Column("id", sa.Text(), primary_key=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("scenario_name", sa.Text(), nullable=False),
        sa.Column("scenario_hash", sa.Text(), sa.ForeignKey("scenario.hash")),
        sa.Column("seed", Whole),
        sa.Column("identity", sa.Text()),
        sa.Column("code_version", sa.Text()),
        sa.Column("created", Real, nullable=False),
        sa.Column("started", Real),
        sa.Column("ended", Real),
        sa.Column("error", sa.Text()),
        sa.Column("artefact", sa.Text()),
        sa.Column("artefact_sha256", sa.Text()),
        sa.Column("artefact_bytes", Whole),
        sa.Column("args", Document()),
        sa.Column("lane", sa.Text()),
        sa.Column("dedup", sa.Text()),
        sa.Column("priority", Whole, nullable=False, server_default=sa.text("0")),
        sa.Column("not_before", Real, nullable=False, server_default=sa.text("0")),
        sa.Column("owner", sa.Text()),
        sa.Column("epoch", Whole, nullable=False, server_default=sa.text("0")),
        sa.Column("lease_until", Real),
        sa.Column("attempts", Whole, nullable=False, server_default=sa.text("0")),
        sa.Column("deaths", Whole, nullable=False, server_default=sa.text("0")),
        sa.Column("cancel", Flag(), nullable=False, server_default=sa.text("false")),
        sa.Column("progress", Document()),
        sa.Column("retry_of", sa.Text()),
        sa.Column("schedule", sa.Text()),
        sa.Column("due", Real),
        sa.CheckConstraint("state IN ('queued', 'running', 'done', 'failed', 'cancelled')", name="run_state"),
        sqlite_strict=STRICT,
    )
    op.create_table(
        "gate_month",
        sa.Column("run_id", sa.Text(), sa.ForeignKey("run.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("month", sa.Text(), primary_key=True),
        sa.Column("gate", sa.Text(), primary_key=True),
        sa.Column("state", sa.Text(), primary_key=True),
        sa.Column("share", Real, nullable=False),
        sqlite_strict=STRICT,
    )
    op.create_table(
        "month",
        sa.Column("run_id", sa.Text(), sa.ForeignKey("run.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("month", sa.Text(), primary_key=True),
        sa.Column("start", CalendarDate(), nullable=False),
        sa.Column("required", Flag(), nullable=False),
        sa.Column("probability", Real, nullable=False),
        sa.Column("probability_low", Real, nullable=False),
        sa.Column("probability_high", Real, nullable=False),
        sa.Column("spend_p10", Real, nullable=False),
        sa.Column("spend_p50", Real, nullable=False),
        sa.Column("spend_p90", Real, nullable=False),
        sqlite_strict=STRICT,
    )
    op.create_table(
        "order_line",
        sa.Column("run_id", sa.Text(), sa.ForeignKey("run.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("line", Whole, primary_key=True),
        sa.Column("pool", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("sku", sa.Text(), nullable=False),
        sa.Column("month", sa.Text(), nullable=False),
        sa.Column("order_on", CalendarDate(), nullable=False),
        sa.Column("gpus", Whole, nullable=False),
        sa.Column("lots", Whole, nullable=False),
        sa.Column("last_safe", CalendarDate()),
        sa.Column("protects", sa.Text()),
        sa.Column("arrives_p10", CalendarDate()),
        sa.Column("arrives_p50", CalendarDate()),
        sa.Column("arrives_p90", CalendarDate()),
        sa.Column("arrives_within_horizon", Real, nullable=False),
        sa.Column("price", Real, nullable=False),
        sa.Column("prepayment", Real, nullable=False),
        sa.Column("probability_without", Real, nullable=False),
        sa.Column("cost_without", Real, nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sqlite_strict=STRICT,
    )
    op.create_table(
        "plan",
        sa.Column("run_id", sa.Text(), sa.ForeignKey("run.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("record", Document(), nullable=False),
        sa.Column("schema_version", Whole, nullable=False),
        sa.Column("currency", sa.Text(), nullable=False),
        sa.Column("sentence", sa.Text(), nullable=False),
        sa.Column("feasible", Flag(), nullable=False),
        sa.Column("goal", Real, nullable=False),
        sa.Column("weakest_month", sa.Text(), nullable=False),
        sa.Column("probability", Real, nullable=False),
        sa.Column("probability_low", Real, nullable=False),
        sa.Column("probability_high", Real, nullable=False),
        sa.Column("next_order_by", CalendarDate()),
        sa.Column("mean_cost", Real, nullable=False),
        sa.Column("mean_cost_low", Real, nullable=False),
        sa.Column("mean_cost_high", Real, nullable=False),
        sa.Column("cost_p10", Real, nullable=False),
        sa.Column("cost_p50", Real, nullable=False),
        sa.Column("cost_p90", Real, nullable=False),
        sa.Column("committed", Real, nullable=False),
        sa.Column("at_risk", Real, nullable=False),
        sa.Column("gpus_ordered", Whole, nullable=False),
        sqlite_strict=STRICT,
    )
    op.create_table(
        "pool_month",
        sa.Column("run_id", sa.Text(), sa.ForeignKey("run.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("month", sa.Text(), primary_key=True),
        sa.Column("pool", sa.Text(), primary_key=True),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("need_p10", Real, nullable=False),
        sa.Column("need_p50", Real, nullable=False),
        sa.Column("need_p90", Real, nullable=False),
        sa.Column("in_service_p10", Real, nullable=False),
        sa.Column("in_service_p50", Real, nullable=False),
        sa.Column("in_service_p90", Real, nullable=False),
        sa.Column("reserved", Real, nullable=False),
        sa.Column("spot_p10", Real, nullable=False),
        sa.Column("spot_p50", Real, nullable=False),
        sa.Column("spot_p90", Real, nullable=False),
        sa.Column("unmet_p10", Real, nullable=False),
        sa.Column("unmet_p50", Real, nullable=False),
        sa.Column("unmet_p90", Real, nullable=False),
        sa.Column("probability", Real, nullable=False),
        sa.Column("probability_low", Real, nullable=False),
        sa.Column("probability_high", Real, nullable=False),
        sqlite_strict=STRICT,
    )
    op.create_table(
        "reservation",
        sa.Column("run_id", sa.Text(), sa.ForeignKey("run.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("line", Whole, primary_key=True),
        sa.Column("pool", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("sku", sa.Text(), nullable=False),
        sa.Column("month", sa.Text(), nullable=False),
        sa.Column("reserve_by", CalendarDate(), nullable=False),
        sa.Column("gpus", Whole, nullable=False),
        sa.Column("price", Real, nullable=False),
        sqlite_strict=STRICT,
    )
    op.create_table(
        "rival",
        sa.Column("run_id", sa.Text(), sa.ForeignKey("run.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column("meaning", sa.Text(), nullable=False),
        sa.Column("mean_cost", Real, nullable=False),
        sa.Column("cost_difference", Real, nullable=False),
        sa.Column("cost_difference_low", Real, nullable=False),
        sa.Column("cost_difference_high", Real, nullable=False),
        sa.Column("weakest_month", sa.Text(), nullable=False),
        sa.Column("probability", Real, nullable=False),
        sa.Column("probability_low", Real, nullable=False),
        sa.Column("probability_high", Real, nullable=False),
        sa.Column("shortfall_share", Real, nullable=False),
        sa.Column("worst_tenth_shortfall", Real, nullable=False),
        sa.Column("gpus_ordered", Real, nullable=False),
        sqlite_strict=STRICT,
    )
    op.create_table(
        "schedule",
        sa.Column("name", sa.Text(), primary_key=True),
        sa.Column("cron", sa.Text(), nullable=False),
        sa.Column("zone", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("args", Document(), nullable=False),
        sa.Column("active", Flag(), nullable=False),
        sa.Column("overlap", sa.Text(), nullable=False),
        sa.Column("misfire", sa.Text(), nullable=False),
        sa.Column("grace_seconds", Real),
        sa.Column("sinks", Document(), nullable=False),
        sa.Column("next_at", Real),
        sa.Column("last_at", Real),
        sa.Column("last_note", sa.Text(), nullable=False),
        sa.Column("created", Real, nullable=False),
        sa.CheckConstraint("overlap IN ('skip', 'queue', 'cancel')", name="schedule_overlap"),
        sa.CheckConstraint("misfire IN ('once', 'all')", name="schedule_misfire"),
        sqlite_strict=STRICT,
    )
    op.create_table(
        "difference",
        sa.Column("run_id", sa.Text(), sa.ForeignKey("run.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("previous_run_id", sa.Text(), nullable=False),
        sa.Column("sentence", sa.Text(), nullable=False),
        sa.Column("body", Document(), nullable=False),
        sa.Column("created", Real, nullable=False),
        sqlite_strict=STRICT,
    )
    op.create_table(
        "notice",
        sa.Column("id", sa.Text(), primary_key=True),
        sa.Column("run_id", sa.Text(), sa.ForeignKey("run.id", ondelete="CASCADE"), nullable=False),
        sa.Column("sink", Document(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("body", Document(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempts", Whole, nullable=False),
        sa.Column("not_before", Real, nullable=False),
        sa.Column("error", sa.Text()),
        sa.Column("created", Real, nullable=False),
        sa.CheckConstraint("state IN ('waiting', 'sent', 'failed')", name="notice_state"),
        sqlite_strict=STRICT,
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
    op.create_index(
        "run_one_per_lane", "run", ["lane"], unique=True, sqlite_where=running, postgresql_where=running
    )


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
