"""A queue with leases beside the runs, schedules, what changed between runs, and an outbox of notices."""

import sqlalchemy as sa
from alembic import op

from db.columns import STRICT, Document, Flag, Real, Whole

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("run", sa.Column("args", Document()))
    op.add_column("run", sa.Column("lane", sa.Text()))
    op.add_column("run", sa.Column("dedup", sa.Text()))
    op.add_column("run", sa.Column("priority", Whole, nullable=False, server_default=sa.text("0")))
    op.add_column("run", sa.Column("not_before", Real, nullable=False, server_default=sa.text("0")))
    op.add_column("run", sa.Column("owner", sa.Text()))
    op.add_column("run", sa.Column("epoch", Whole, nullable=False, server_default=sa.text("0")))
    op.add_column("run", sa.Column("lease_until", Real))
    op.add_column("run", sa.Column("attempts", Whole, nullable=False, server_default=sa.text("0")))
    op.add_column("run", sa.Column("deaths", Whole, nullable=False, server_default=sa.text("0")))
    op.add_column("run", sa.Column("cancel", Flag(), nullable=False, server_default=sa.text("false")))
    op.add_column("run", sa.Column("progress", Document()))
    op.add_column("run", sa.Column("retry_of", sa.Text()))
    op.add_column("run", sa.Column("schedule", sa.Text()))
    op.add_column("run", sa.Column("due", Real))
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
    op.create_index("schedule_by_next", "schedule", ["active", "next_at"])
    op.create_index("notice_by_state", "notice", ["state", "not_before"])
    op.create_index("run_by_state", "run", ["state", "priority", "created"])
    op.create_index("run_by_schedule", "run", ["schedule", "created"])
    op.create_index("run_dedup", "run", ["dedup"], unique=True)
    running = sa.text("state = 'running'")
    op.create_index(
        "run_one_per_lane", "run", ["lane"], unique=True, sqlite_where=running, postgresql_where=running
    )


def downgrade() -> None:
    """Finished runs stay; one that waits or runs cannot go on without a queue, and says so."""
    op.execute(
        "UPDATE run SET state = 'cancelled', ended = created, "
        "error = 'the queue was removed by a downgrade of the database' WHERE state IN ('queued', 'running')"
    )
    for index in ("run_one_per_lane", "run_dedup", "run_by_schedule", "run_by_state"):
        op.drop_index(index, "run")
    for table in ("notice", "difference", "schedule"):
        op.drop_table(table)
    for column in COLUMNS:
        op.drop_column("run", column)


COLUMNS = (
    "due",
    "schedule",
    "retry_of",
    "progress",
    "cancel",
    "deaths",
    "attempts",
    "lease_until",
    "epoch",
    "owner",
    "not_before",
    "priority",
    "dedup",
    "lane",
    "args",
)
