"""The plan beside other ways to act, on the same futures."""

import altair as alt

from dashboard.charts import parts
from dashboard.charts.figure import Figure, values
from dashboard.charts.theme import LIGHT, Look
from planner.compare.rows import Row
from planner.record.models import PlanRecord, Rival
from planner.report.language import ENGLISH, Wording, shortened
from planner.report.sentences import policy, policy_rule

_ROW = 44


def rival_rows(record: PlanRecord, say: Wording = ENGLISH) -> list[Row]:
    """Ours and the rivals, best first: those that meet the goal by cost, then the others by probability."""

    def rank(row: Row) -> tuple[bool, float]:
        meets = row["probability"] >= record.answer.goal
        return (not meets, row["mean_cost"] if meets else -row["probability"])

    return sorted([_ours(record, say), *(_rival(rival, say) for rival in record.rivals)], key=rank)


def _ours(record: PlanRecord, say: Wording) -> Row:
    kpis, answer = record.kpis, record.answer
    return {
        "name": say("this plan"),
        "meaning": say("The orders above."),
        "ours": True,
        **parts.interval(kpis.mean_cost, "mean_cost", "cost_"),
        "cost_difference": 0.0,
        "weakest_month": answer.weakest_month,
        **parts.interval(answer.probability),
        "shortfall_share": kpis.shortfall_share.value,
        "worst_tenth_shortfall": None,
        "verdict": None,
        "gpus_ordered": float(kpis.gpus_ordered),
    }


def _rival(rival: Rival, say: Wording) -> Row:
    return {
        "name": policy(rival.name, say),
        "meaning": policy_rule(rival.name, say),
        "ours": False,
        **parts.interval(rival.mean_cost, "mean_cost", "cost_"),
        "cost_difference": rival.cost_difference.value,
        "weakest_month": rival.weakest_month,
        **parts.interval(rival.probability),
        **parts.picked(rival, "shortfall_share", "worst_tenth_shortfall", "gpus_ordered", "verdict"),
    }


def rivals_compared(record: PlanRecord, look: Look = LIGHT, say: Wording = ENGLISH) -> Figure:
    """Probability in the weakest month with its interval, cost beside it, against the goal."""
    rows = rival_rows(record, say)
    drawn = [_drawn(row, record.scenario.currency, look, say) for row in rows]
    takeaway = _takeaway(record, rows, say)
    title = say("probability that demand is met in the weakest month")
    axis = alt.Axis(format=".0%", title=title, grid=True, tickCount=6)
    scale = alt.Scale(domain=[0, 1])
    base = alt.Chart(values(drawn)).encode(y=parts.lane("name:N", gap=None), color=parts.own_colour())
    goal = parts.chart({"goal": record.answer.goal}).mark_rule(color=look.goal, strokeDash=[5, 3])
    tip = parts.tips(("words:N", say("rival")), ("meaning:N", say("rule")))
    tint = alt.condition("datum.ours", alt.value(look.in_service), alt.value(look.ink))
    layers = [
        goal.encode(x=alt.X("goal:Q", scale=scale)),
        *parts.point_in_interval(base, "probability:Q", tip, axis=axis, scale=scale),
        parts.label_above(base, look).encode(color=tint),
    ]
    return parts.figure("rivals", takeaway, layers, look, len(drawn) * _ROW, rows)


def _drawn(row: Row, currency: str, look: Look, say: Wording) -> Row:
    words = say(
        "{p} ({range}), costs {cost}",
        p=say.percent(row["probability"]),
        range=say.percent_range(row["low"], row["high"]),
        cost=say.money(row["mean_cost"], currency),
    )
    colour = look.in_service if row["ours"] else look.quiet
    return {**row, "words": f"{shortened(row['name'])}: {words}", "colour": colour}


def _takeaway(record: PlanRecord, rows: list[Row], say: Wording) -> str:
    goal = record.answer.goal
    meeting = [row for row in rows if row["probability"] >= goal]
    told = {"goal": say.percent(goal), "n": len(meeting), "all": len(rows)}
    if not meeting:
        return say("None of the {all} ways to act reaches the goal of {goal}.", **told)
    name = meeting[0]["name"]
    if meeting[0]["ours"]:
        return say("Of {all} ways to act, {n} reach the goal of {goal}; this plan is the cheapest.", **told)
    if meeting[0]["verdict"] == "ties":
        return say(
            "Of {all} ways to act, {n} reach the goal of {goal}; {name} costs the same within the interval, no other "
            "is cheaper.",
            name=name,
            **told,
        )
    return say(
        "Of {all} ways to act, {n} reach the goal of {goal}; the cheapest is {name}, not this plan.", name=name, **told
    )
