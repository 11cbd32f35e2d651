"""What the study behind a plan found: later orders, cost against probability, what the cost swings with."""

import altair as alt

from dashboard.charts import parts
from dashboard.charts.figure import Figure, values
from dashboard.charts.theme import LIGHT, Look
from planner.compare.rows import Row
from planner.record.models import PlanRecord
from planner.report.language import ENGLISH, Wording
from planner.report.study_sentences import swing_input


def later_orders(record: PlanRecord, look: Look = LIGHT, say: Wording = ENGLISH) -> Figure:
    """Mean GPUs of the firm orders, and of those that planning again is likely to place, by month."""
    looks = record.answer.way == "if-then-calendar"
    kinds = [say("settled"), say("likely, on conditions" if looks else "likely, when planned again")]
    months = [month.month for month in record.months]
    firm = dict.fromkeys(months, 0.0)
    later = dict.fromkeys(months, 0.0)
    for order in record.orders:
        firm[order.month] += order.gpus
    for likely in record.later:
        later[likely.month] += likely.mean_gpus
    rows: list[Row] = [
        {"month": month, "kind": kind, "gpus": amount[month], "rank": rank}
        for rank, (kind, amount) in enumerate(zip(kinds, (firm, later), strict=True))
        for month in months
    ]
    told = (
        "{firm} GPUs are settled; orders that look at the gates first add {later} on average, most in {month}."
        if looks
        else "{firm} GPUs are settled; planning again each month orders {later} more on average, most in {month}."
    )
    takeaway = say(
        told,
        **say.counts(firm=sum(firm.values()), later=sum(later.values())),
        month=say.month(max(months, key=lambda month: later[month])),
    )
    legend = alt.Legend(title=None, labelLimit=260)
    stack = parts.monthly_stack(rows, months, say("GPUs ordered, mean over futures"), say).encode(
        color=parts.colours("kind:N", kinds, [look.in_service, look.spot], legend, sort=kinds),
        tooltip=parts.tips(("month:N", say("month")), ("kind:N", say("order")), ("gpus:Q", "GPUs", ",.1f")),
    )
    return parts.figure("orders-ahead", takeaway, stack, look, 200, parts.without(rows, "rank"))


def frontier(record: PlanRecord, look: Look = LIGHT, say: Wording = ENGLISH) -> Figure:
    """What other goals cost: mean cost against the probability of the weakest month, both with intervals."""
    currency = record.scenario.currency
    rows: list[Row] = [
        {
            "goal": point.goal,
            "probability": point.probability.value,
            "p_low": point.probability.low,
            "p_high": point.probability.high,
            **parts.interval(point.mean_cost, "cost", "cost_"),
            **parts.picked(point, "weakest_month", "meets_goal"),
        }
        for point in record.frontier
    ]
    least, most = rows[0], rows[-1]
    takeaway = say(
        "From {low} to {high} in the weakest month costs {extra} more.",
        low=say.percent(least["probability"], 1),
        high=say.percent(most["probability"], 1),
        extra=say.money(most["cost"] - least["cost"], currency),
    )
    labels = {True: "goal {goal}", False: "goal {goal}, missed"}
    drawn = [{**row, "words": say(labels[row["meets_goal"]], goal=say.percent(row["goal"]))} for row in rows]
    odds = alt.Axis(title=say("probability of the weakest month"), format=".0%", tickCount=6, grid=True)
    x = alt.X("probability:Q", scale=alt.Scale(zero=False, padding=24), axis=odds)
    axis = alt.Axis(title=say("mean cost, {currency}", currency=currency), format="~s", tickCount=5)
    y = alt.Y("cost:Q", scale=alt.Scale(zero=False, padding=16), axis=axis)
    base, colour = alt.Chart(values(drawn)), look.in_service
    tip = parts.tips(
        ("goal:Q", say("goal"), ".0%"),
        ("probability:Q", say("weakest month"), ".1%"),
        ("cost:Q", say("mean cost"), ",.0f"),
        ("weakest_month:N", say("month")),
    )
    words = base.mark_text(color=look.ink, align="right", dx=-8, dy=-9, fontSize=12)
    layers = [
        base.mark_line(color=look.quiet, strokeDash=[4, 3]).encode(x=x, y=y),
        base.mark_rule(color=colour).encode(**parts.across("p_low:Q", "p_high:Q"), y=y),
        base.mark_rule(color=colour).encode(x=x, **parts.upright("cost_low:Q", "cost_high:Q", axis=axis)),
        base.mark_point(color=colour, filled=True, size=70, opacity=1).encode(x=x, y=y, tooltip=tip),
        words.encode(x=x, y=y, text=alt.Text("words:N")),
    ]
    return parts.figure("cost-against-probability", takeaway, layers, look, 260, rows)


def swings(record: PlanRecord, look: Look = LIGHT, say: Wording = ENGLISH, most: int = 8) -> Figure:
    """Mean cost of the plan where an input is in its lowest fifth and in its highest, widest first."""
    currency, mean = record.scenario.currency, record.kpis.mean_cost.value
    rows: list[Row] = [
        {"input": swing_input(swing.input, say), **parts.picked(swing, "cost_low", "cost_high", "met_low", "met_high")}
        for swing in record.tornado
    ]
    low, high = sorted((rows[0]["cost_low"], rows[0]["cost_high"]))
    takeaway = say(
        "The cost swings most with {input}: {low} to {high} around {mean}.",
        input=rows[0]["input"],
        **say.moneys(currency, low=low, high=high, mean=mean),
    )
    sides = {"low": say("in its lowest fifth"), "high": say("in its highest fifth")}
    drawn = [
        {"input": row["input"], "side": side, "base": mean, "cost": row[f"cost_{end}"], "met": row[f"met_{end}"]}
        for row in rows[:most]
        for end, side in sides.items()
    ]
    title, tip = say("mean cost, {currency}", currency=currency), ("met:Q", say("months met"), ".1%")
    layers = parts.swing_bars(drawn, list(sides.values()), say("the input"), title, tip, look, say)
    height = len(rows[:most]) * parts.SWING
    return parts.figure("what-the-cost-swings-with", takeaway, layers, look, height, rows)
