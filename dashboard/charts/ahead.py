"""What the study behind a plan found: later orders, cost against probability, what the cost swings with."""

import altair as alt

from dashboard.charts.figure import Figure, finished, month_cells, values
from dashboard.charts.theme import LIGHT, Look
from planner.compare.rows import Row
from planner.record.models import PlanRecord
from planner.report.language import ENGLISH, Wording, shortened
from planner.report.study_sentences import swing_input

_ROW = 42


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
        firm=say.count(sum(firm.values())),
        later=say.count(sum(later.values())),
        month=say.month(max(months, key=lambda month: later[month])),
    )
    chart = (
        alt.Chart(values(rows))
        .mark_bar()
        .encode(
            x=month_cells(months, say),
            y=alt.Y("gpus:Q", axis=alt.Axis(title=say("GPUs ordered, mean over futures"), tickCount=5)),
            color=alt.Color(
                "kind:N",
                sort=kinds,
                scale=alt.Scale(domain=kinds, range=[look.in_service, look.spot]),
                legend=alt.Legend(title=None, labelLimit=260),
            ),
            order=alt.Order("rank:Q"),
            tooltip=[
                alt.Tooltip("month:N", title=say("month")),
                alt.Tooltip("kind:N", title=say("order")),
                alt.Tooltip("gpus:Q", title="GPUs", format=",.1f"),
            ],
        )
    )
    data = [{key: row[key] for key in ("month", "kind", "gpus")} for row in rows]
    return Figure("orders-ahead", takeaway, finished(chart, look, takeaway, 200), data)


def frontier(record: PlanRecord, look: Look = LIGHT, say: Wording = ENGLISH) -> Figure:
    """What other goals cost: mean cost against the probability of the weakest month, both with intervals."""
    currency = record.scenario.currency
    rows: list[Row] = [
        {
            "goal": point.goal,
            "probability": point.probability.value,
            "p_low": point.probability.low,
            "p_high": point.probability.high,
            "cost": point.mean_cost.value,
            "cost_low": point.mean_cost.low,
            "cost_high": point.mean_cost.high,
            "weakest_month": point.weakest_month,
            "meets_goal": point.meets_goal,
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
    x = alt.X(
        "probability:Q",
        scale=alt.Scale(zero=False, padding=24),
        axis=alt.Axis(title=say("probability of the weakest month"), format=".0%", tickCount=6, grid=True),
    )
    axis = alt.Axis(title=say("mean cost, {currency}", currency=currency), format="~s", tickCount=5)
    y = alt.Y("cost:Q", scale=alt.Scale(zero=False, padding=16), axis=axis)
    base = alt.Chart(values(drawn))
    layers = [
        base.mark_line(color=look.quiet, strokeDash=[4, 3]).encode(x=x, y=y),
        base.mark_rule(color=look.in_service).encode(x=alt.X("p_low:Q"), x2=alt.X2("p_high:Q"), y=y),
        base.mark_rule(color=look.in_service).encode(x=x, y=alt.Y("cost_low:Q", axis=axis), y2=alt.Y2("cost_high:Q")),
        base.mark_point(color=look.in_service, filled=True, size=70, opacity=1).encode(
            x=x,
            y=y,
            tooltip=[
                alt.Tooltip("goal:Q", title=say("goal"), format=".0%"),
                alt.Tooltip("probability:Q", title=say("weakest month"), format=".1%"),
                alt.Tooltip("cost:Q", title=say("mean cost"), format=",.0f"),
                alt.Tooltip("weakest_month:N", title=say("month")),
            ],
        ),
        base.mark_text(color=look.ink, align="right", dx=-8, dy=-9, fontSize=12).encode(
            x=x, y=y, text=alt.Text("words:N")
        ),
    ]
    return Figure("cost-against-probability", takeaway, finished(alt.layer(*layers), look, takeaway, 260), rows)


def swings(record: PlanRecord, look: Look = LIGHT, say: Wording = ENGLISH, most: int = 8) -> Figure:
    """Mean cost of the plan where an input is in its lowest fifth and in its highest, widest first."""
    currency = record.scenario.currency
    sides = [say("in its lowest fifth"), say("in its highest fifth")]
    mean = record.kpis.mean_cost.value
    told: list[Row] = [
        {
            "input": swing_input(swing.input, say),
            "cost_low": swing.cost_low,
            "cost_high": swing.cost_high,
            "met_low": swing.met_low,
            "met_high": swing.met_high,
        }
        for swing in record.tornado
    ]
    first = told[0]
    takeaway = say(
        "The cost swings most with {input}: {low} to {high} around {mean}.",
        input=first["input"],
        low=say.money(min(first["cost_low"], first["cost_high"]), currency),
        high=say.money(max(first["cost_low"], first["cost_high"]), currency),
        mean=say.money(mean, currency),
    )
    drawn = [
        {
            "input": row["input"],
            "label": shortened(row["input"], 60),
            "side": side,
            "base": mean,
            "cost": row[f"cost_{end}"],
            "met": row[f"met_{end}"],
        }
        for row in told[:most]
        for side, end in zip(sides, ("low", "high"), strict=True)
    ]
    names = [row["input"] for row in told[:most]]
    y = alt.Y("input:N", sort=names, axis=None, scale=alt.Scale(paddingInner=0.2))
    axis = alt.Axis(title=say("mean cost, {currency}", currency=currency), format="~s", grid=True)
    base = alt.Chart(values(drawn)).encode(y=y)
    layers = [
        base.mark_bar(height=11, yOffset=8, opacity=0.8).encode(
            x=alt.X("base:Q", axis=axis, scale=alt.Scale(zero=False)),
            x2=alt.X2("cost:Q"),
            color=alt.Color(
                "side:N",
                sort=sides,
                scale=alt.Scale(domain=sides, range=[look.domestic, look.in_service]),
                legend=alt.Legend(title=say("the input")),
            ),
            tooltip=[
                alt.Tooltip("input:N", title=say("input")),
                alt.Tooltip("side:N", title=say("value")),
                alt.Tooltip("cost:Q", title=say("mean cost"), format=",.0f"),
                alt.Tooltip("met:Q", title=say("months met"), format=".1%"),
            ],
        ),
        alt.Chart(values([{"input": row["input"], "label": shortened(row["input"], 60)} for row in told[:most]]))
        .mark_text(align="left", dy=-9, color=look.ink)
        .encode(y=y, x=alt.value(0), text=alt.Text("label:N")),
    ]
    chart = finished(alt.layer(*layers), look, takeaway, max(1, len(names)) * _ROW)
    return Figure("what-the-cost-swings-with", takeaway, chart, told)
