"""Remember plans: scenarios, runs, plans with their months and orders, profiles, and what happened."""

import sqlalchemy as sa
from alembic import op

from db.columns import STRICT, CalendarDate, Document, Flag, Real, Whole

revision = "0001"
down_revision = None


def upgrade() -> None:
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
    op.create_index("run_by_created", "run", ["created"])
    op.create_index("run_by_ended", "run", ["ended"])
    op.create_index("run_by_identity", "run", ["identity"])
    op.create_index("audit_by_run", "audit", ["run_id", "id"])


def downgrade() -> None:
    for table in TABLES:
        op.drop_table(table)


TABLES = (
    "audit",
    "profile",
    "rival",
    "reservation",
    "order_line",
    "gate_month",
    "pool_month",
    "month",
    "plan",
    "run",
    "scenario",
)
"""What refers to another table goes before it."""
