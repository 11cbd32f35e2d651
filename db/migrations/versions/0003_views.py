"""Read-only views for BI tools: names that stay, instants as timestamps, one row per thing."""

import re

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    postgresql = op.get_bind().dialect.name == "postgresql"
    for name, query in VIEWS.items():
        op.execute(f"CREATE VIEW {name} AS {_in_dialect(query, postgresql)}")


def downgrade() -> None:
    for name in reversed(VIEWS):
        op.execute(f"DROP VIEW {name}")


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
