"""What the study behind a plan found, as tables: conditions, later orders, cash by quarter, ways to act.

A plan of an older version has none of the first three, and their lists are empty then.
"""

from dashboard.charts.parts import picked
from dashboard.charts.rivals import rival_rows
from planner.compare.rows import Row
from planner.record.models import Calendar, PlanRecord
from planner.report.language import Wording
from planner.report.sentences import VERDICTS
from planner.report.study_sentences import condition


def calendar_rows(record: PlanRecord, say: Wording) -> list[Row]:
    """What to order in each month, and what must be seen for it."""
    if record.calendar is None:
        return []
    return [
        {
            "month": say.month(line.month),
            "order_on": line.order_on,
            "if": condition(line.condition, line.source, say),
            **picked(line, "gpus", "sku", "source", "pool"),
            "placed": say.percent(line.placed),
        }
        for line in record.calendar.lines
    ]


def calendar_title(record: PlanRecord, calendar: Calendar) -> str:
    """What the calendar is called (a wording's text)."""
    if record.answer.way == "if-then-calendar":
        return "If-then calendar"
    if calendar.conditional:
        return "If-then calendar, where nobody plans again"
    return "Calendar settled beforehand, where nobody plans again"


def later_title(record: PlanRecord) -> str:
    """What the orders that are not settled today are called (a wording's text)."""
    if record.answer.way == "if-then-calendar":
        return "Orders that look at the gates first"
    return "What planning again is likely to order"


CALENDAR_TITLES = {
    "month": "month",
    "order_on": "order on",
    "if": "placed",
    "gpus": "GPUs",
    "sku": "GPU",
    "source": "source",
    "pool": "pool",
    "placed": "in so many futures",
}


def later_rows(record: PlanRecord, say: Wording) -> list[Row]:
    """What planning again is likely to order."""
    return [
        {
            "month": say.month(later.month),
            **picked(later, "source", "sku", "pool"),
            "placed": say.percent(later.placed),
            "mean": round(later.mean_gpus, 1),
            "range": f"{say.count(later.gpus.p10)} – {say.count(later.gpus.p90)}",
        }
        for later in record.later
    ]


LATER_TITLES = {
    "month": "month",
    "source": "source",
    "sku": "GPU",
    "pool": "pool",
    "placed": "in so many futures",
    "mean": "GPUs, mean",
    "range": "8 in 10 futures",
}


def quarter_rows(record: PlanRecord, say: Wording) -> list[Row]:
    """Cash, commitments and money at risk by calendar quarter."""
    currency = record.scenario.currency
    return [
        {
            "quarter": row.quarter.replace("-", " "),
            "committed": say.money(row.committed, currency),
            **{kind: say.money(amount, currency) for kind, amount in row.mean.items()},
            "spend": say.money(row.spend.p50, currency),
            "range": f"{say.money(row.spend.p10)} – {say.money(row.spend.p90, currency)}",
            "at_risk": say.money(row.at_risk, currency),
        }
        for row in record.quarters
    ]


def quarter_titles(record: PlanRecord) -> dict[str, str]:
    """Columns of the table by quarter; kinds of payment that never occur are left out."""
    every = record.quarters[0].mean if record.quarters else ()
    kinds = [kind for kind in every if any(abs(row.mean.get(kind, 0.0)) > 0 for row in record.quarters)]
    return {
        "quarter": "quarter",
        "committed": "orders placed",
        **{kind: kind for kind in kinds},
        "spend": "all payments, P50",
        "range": "P10 – P90",
        "at_risk": "at risk if every gate closes",
    }


def rival_cells(record: PlanRecord, say: Wording) -> list[Row]:
    """The plan and the other ways to act, best first, as texts."""
    currency = record.scenario.currency
    return [
        {
            "name": row["name"],
            "rule": row["meaning"],
            "weakest": f"{say.percent(row['probability'])} ({say.percent_range(row['low'], row['high'])})",
            "month": say.month(row["weakest_month"]),
            "cost": say.money(row["mean_cost"], currency),
            "difference": "–" if row["ours"] else say.change(row["cost_difference"], currency),
            "unmet": say.percent(row["shortfall_share"], 1),
            "worst": "–" if (worst := row["worst_tenth_shortfall"]) is None else say.percent(worst, 1),
            "gpus": say.count(row["gpus_ordered"]),
            "verdict": say(VERDICTS[row["verdict"]]) if row["verdict"] else "",
        }
        for row in rival_rows(record, say)
    ]
