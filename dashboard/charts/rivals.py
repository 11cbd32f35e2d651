"""The plan beside other ways to act, on the same futures."""

import altair as alt

from dashboard.charts.figure import Figure, finished, values
from dashboard.charts.theme import LIGHT, Look
from dashboard.wording import ENGLISH, Wording, shortened
from planner.compare.rows import Row
from planner.record.models import PlanRecord
from planner.report.sentences import policy, policy_rule

_ROW = 44


def rival_rows(record: PlanRecord, say: Wording = ENGLISH) -> list[Row]:
    """Ours and the rivals, best first: those that meet the goal by cost, then the others by probability."""
    kpis, answer = record.kpis, record.answer
    ours = {
        "name": say("this plan"),
        "meaning": say("The orders above."),
        "ours": True,
        "mean_cost": kpis.mean_cost.value,
        "cost_low": kpis.mean_cost.low,
        "cost_high": kpis.mean_cost.high,
        "cost_difference": 0.0,
        "weakest_month": answer.weakest_month,
        "probability": answer.probability.value,
        "low": answer.probability.low,
        "high": answer.probability.high,
        "shortfall_share": kpis.shortfall_share.value,
        "worst_tenth_shortfall": None,
        "verdict": None,
        "gpus_ordered": float(kpis.gpus_ordered),
    }
    others = [
        {
            "name": policy(rival.name, say),
            "meaning": policy_rule(rival.name, say),
            "ours": False,
            "mean_cost": rival.mean_cost.value,
            "cost_low": rival.mean_cost.low,
            "cost_high": rival.mean_cost.high,
            "cost_difference": rival.cost_difference.value,
            "weakest_month": rival.weakest_month,
            "probability": rival.probability.value,
            "low": rival.probability.low,
            "high": rival.probability.high,
            "shortfall_share": rival.shortfall_share,
            "worst_tenth_shortfall": rival.worst_tenth_shortfall,
            "gpus_ordered": rival.gpus_ordered,
            "verdict": rival.verdict,
        }
        for rival in record.rivals
    ]

    def rank(row: Row) -> tuple[bool, float]:
        meets = row["probability"] >= answer.goal
        return (not meets, row["mean_cost"] if meets else -row["probability"])

    return sorted([ours, *others], key=rank)


def rivals_compared(record: PlanRecord, look: Look = LIGHT, say: Wording = ENGLISH) -> Figure:
    """Probability in the weakest month with its interval, cost beside it, against the goal."""
    rows = rival_rows(record, say)
    currency = record.scenario.currency
    drawn = [
        {
            **row,
            "words": f"{shortened(row['name'])}: "
            + say("{p} ({range}), costs {cost}", **_in_words(row, currency, say)),
            "colour": look.in_service if row["ours"] else look.quiet,
        }
        for row in rows
    ]
    takeaway = _takeaway(record, rows, say)
    goal = alt.Chart(values([{"goal": record.answer.goal}])).mark_rule(color=look.goal, strokeDash=[5, 3])
    axis = alt.Axis(
        format=".0%", title=say("probability that demand is met in the weakest month"), grid=True, tickCount=6
    )
    x = alt.Scale(domain=[0, 1])
    base = alt.Chart(values(drawn)).encode(
        y=alt.Y("name:N", sort=None, axis=None), color=alt.Color("colour:N", scale=None)
    )
    layers = [
        goal.encode(x=alt.X("goal:Q", scale=x)),
        base.mark_rule(strokeWidth=3, opacity=0.5, yOffset=9).encode(
            x=alt.X("low:Q", axis=axis, scale=x), x2=alt.X2("high:Q")
        ),
        base.mark_point(filled=True, size=90, yOffset=9, opacity=1).encode(
            x=alt.X("probability:Q", axis=axis, scale=x),
            tooltip=[alt.Tooltip("words:N", title=say("rival")), alt.Tooltip("meaning:N", title=say("rule"))],
        ),
        base.mark_text(align="left", dy=-10).encode(
            x=alt.value(0),
            text=alt.Text("words:N"),
            color=alt.condition("datum.ours", alt.value(look.in_service), alt.value(look.ink)),
        ),
    ]
    chart = finished(alt.layer(*layers), look, takeaway, len(drawn) * _ROW)
    return Figure("rivals", takeaway, chart, rows)


def _in_words(row: Row, currency: str, say: Wording) -> dict[str, str]:
    return {
        "p": say.percent(row["probability"]),
        "range": say.percent_range(row["low"], row["high"]),
        "cost": say.money(row["mean_cost"], currency),
    }


def _takeaway(record: PlanRecord, rows: list[Row], say: Wording) -> str:
    goal = record.answer.goal
    meeting = [row for row in rows if row["probability"] >= goal]
    figures = {"goal": say.percent(goal), "n": len(meeting), "all": len(rows)}
    if not meeting:
        return say("None of the {all} ways to act reaches the goal of {goal}.", **figures)
    cheapest = meeting[0]
    if cheapest["ours"]:
        return say(
            "Of {all} ways to act, {n} reach the goal of {goal}; this plan is the cheapest.", **figures
        )
    if cheapest["verdict"] == "ties":
        return say(
            "Of {all} ways to act, {n} reach the goal of {goal}; {name} costs the same within the interval, no other "
            "is cheaper.",
            name=cheapest["name"],
            **figures,
        )
    return say(
        "Of {all} ways to act, {n} reach the goal of {goal}; the cheapest is {name}, not this plan.",
        name=cheapest["name"],
        **figures,
    )
