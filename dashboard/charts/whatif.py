"""A changed scenario against its pinned baseline, and which input moves the answer most."""

from collections.abc import Sequence

import altair as alt

from dashboard.charts.figure import Figure, finished, month_cells, values
from dashboard.charts.theme import LIGHT, Look
from dashboard.wording import ENGLISH, Wording
from planner.compare.answers import Answered, Comparison
from planner.compare.rows import Row


def odds_compared(
    base: Answered,
    changed: Answered,
    look: Look = LIGHT,
    say: Wording = ENGLISH,
) -> Figure:
    """Probability by month of both, with intervals; the first pale."""
    names = [say("baseline"), say("changed")]
    rows: list[Row] = []
    for name, answer in zip(names, (base, changed), strict=True):
        for at, month in enumerate(answer.months):
            odds = answer.probability(at)
            rows.append(
                {"month": month, "plan": name, "probability": odds.value, "low": odds.low, "high": odds.high}
            )
    weakest = changed.probability(changed.weakest)
    told = say(
        "{changed}: the weakest month is {month} with {odds}; {base}: {before} with {was}.",
        changed=names[1],
        base=names[0],
        month=say.month(changed.months[changed.weakest]),
        odds=say.odds(weakest),
        before=say.month(base.months[base.weakest]),
        was=say.odds(base.probability(base.weakest)),
    )
    takeaway = told[:1].upper() + told[1:]
    goal = alt.Chart(values([{"goal": changed.goal}])).mark_rule(color=look.goal, strokeDash=[5, 3])
    y = alt.Scale(domain=[0, 1])
    axis = alt.Axis(format=".0%", tickCount=5, title=say("probability that demand is met"))
    chart = alt.Chart(values(rows)).encode(
        x=month_cells(list(changed.months), say),
        xOffset=alt.XOffset("plan:N", sort=names),
        color=alt.Color(
            "plan:N",
            scale=alt.Scale(domain=names, range=[look.quiet, look.in_service]),
            legend=alt.Legend(title=None),
        ),
    )
    layers = [
        chart.mark_bar(opacity=0.75).encode(
            y=alt.Y("probability:Q", scale=y, axis=axis),
            tooltip=[
                alt.Tooltip("month:N", title=say("month")),
                alt.Tooltip("plan:N", title=say("plan")),
                alt.Tooltip("probability:Q", title=say("probability met"), format=".1%"),
                alt.Tooltip("low:Q", title=say("interval, low"), format=".1%"),
                alt.Tooltip("high:Q", title=say("interval, high"), format=".1%"),
            ],
        ),
        chart.mark_rule().encode(y=alt.Y("low:Q", scale=y, axis=axis), y2=alt.Y2("high:Q")),
        goal.encode(y=alt.Y("goal:Q", scale=y)),
    ]
    return Figure("odds-compared", takeaway, finished(alt.layer(*layers), look, takeaway, 220), rows)


def comparison_sentence(found: Comparison, base: Answered, say: Wording = ENGLISH) -> str:
    """The differences in one sentence, each with its interval."""
    currency = base.scenario.currency
    return say(
        "Cost {cost} ({low} to {high}); probability of {month} {points} points ({p_low} to {p_high}); GPUs "
        "ordered {gpus}.",
        cost=say.change(found.cost.value, currency),
        low=say.change(found.cost.low, currency),
        high=say.change(found.cost.high, currency),
        month=say.month(base.months[base.weakest]),
        points=f"{100 * found.probability.value:+.1f}",
        p_low=f"{100 * found.probability.low:+.1f}",
        p_high=f"{100 * found.probability.high:+.1f}",
        gpus=f"{found.gpus_ordered:+,d}",
    )


def tornado_bars(rows: Sequence[Row], currency: str, look: Look = LIGHT, say: Wording = ENGLISH) -> Figure:
    """Mean cost when one input at a time is low or high, widest first."""
    sides = [say("low"), say("high")]
    drawn: list[Row] = [
        {
            "input": say(row["input"], gate=row["gate"]),
            "side": say(side),
            "base": row["cost_base"],
            "cost": row[f"cost_{side}"],
            "probability": row[f"probability_{side}"],
        }
        for row in rows
        for side in ("low", "high")
    ]
    takeaway = say("Nothing was varied.")
    if rows:
        takeaway = say(
            "{input} moves the cost most: {low} to {high} around {base}.",
            input=say(rows[0]["input"], gate=rows[0]["gate"]),
            low=say.money(min(rows[0]["cost_low"], rows[0]["cost_high"]), currency),
            high=say.money(max(rows[0]["cost_low"], rows[0]["cost_high"]), currency),
            base=say.money(rows[0]["cost_base"], currency),
        )
    names = [say(row["input"], gate=row["gate"]) for row in rows]
    y = alt.Y("input:N", sort=names, axis=None, scale=alt.Scale(paddingInner=0.2))
    axis = alt.Axis(
        title=say("mean cost, {currency}, small sample", currency=currency), format="~s", grid=True
    )
    base = alt.Chart(values(drawn)).encode(y=y)
    layers = [
        base.mark_bar(height=11, yOffset=8, opacity=0.8).encode(
            x=alt.X("base:Q", axis=axis, scale=alt.Scale(zero=False)),
            x2=alt.X2("cost:Q"),
            color=alt.Color(
                "side:N",
                scale=alt.Scale(domain=sides, range=[look.domestic, look.in_service]),
                legend=alt.Legend(title=say("value of the input")),
            ),
            tooltip=[
                alt.Tooltip("input:N", title=say("input")),
                alt.Tooltip("side:N", title=say("value")),
                alt.Tooltip("cost:Q", title=say("mean cost"), format=",.0f"),
                alt.Tooltip("probability:Q", title=say("weakest month"), format=".1%"),
            ],
        ),
        alt.Chart(values([{"input": name} for name in names]))
        .mark_text(align="left", dy=-9)
        .encode(y=y, x=alt.value(0), text=alt.Text("input:N")),
    ]
    return Figure(
        "tornado", takeaway, finished(alt.layer(*layers), look, takeaway, max(1, len(rows)) * 42), list(rows)
    )
