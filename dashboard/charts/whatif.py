"""A changed scenario against its pinned baseline, and which input moves the answer most."""

from collections.abc import Sequence

import altair as alt

from dashboard.charts import parts
from dashboard.charts.figure import Figure, month_cells, values
from dashboard.charts.theme import LIGHT, Look
from planner.compare.answers import Answered, Comparison
from planner.compare.rows import Row
from planner.report.language import ENGLISH, Wording


def odds_compared(base: Answered, changed: Answered, look: Look = LIGHT, say: Wording = ENGLISH) -> Figure:
    """Probability by month of both, with intervals; the first pale."""
    names = [say("baseline"), say("changed")]
    rows: list[Row] = [
        {"month": month, "plan": name, **parts.interval(answer.probability(at))}
        for name, answer in zip(names, (base, changed), strict=True)
        for at, month in enumerate(answer.months)
    ]
    how = {"scale": alt.Scale(domain=[0, 1])}
    axis = alt.Axis(format=".0%", tickCount=5, title=say("probability that demand is met"))
    both = alt.Chart(values(rows)).encode(
        x=month_cells(list(changed.months), say),
        xOffset=alt.XOffset("plan:N", sort=names),
        color=parts.colours("plan:N", names, [look.quiet, look.in_service], alt.Legend(title=None)),
    )
    goal = parts.chart({"goal": changed.goal}).mark_rule(color=look.goal, strokeDash=[5, 3])
    tip = [*parts.tips(("month:N", say("month")), ("plan:N", say("plan"))), *parts.odds_tips(say)]
    layers = [
        both.mark_bar(opacity=0.75).encode(y=alt.Y("probability:Q", axis=axis, **how), tooltip=tip),
        both.mark_rule().encode(**parts.upright("low:Q", "high:Q", axis=axis, **how)),
        goal.encode(y=alt.Y("goal:Q", **how)),
    ]
    return parts.figure("odds-compared", _odds_takeaway(base, changed, names, say), layers, look, 220, rows)


def _odds_takeaway(base: Answered, changed: Answered, names: list[str], say: Wording) -> str:
    told = say(
        "{changed}: the weakest month is {month} with {odds}; {base}: {before} with {was}.",
        changed=names[1],
        base=names[0],
        month=say.month(changed.months[changed.weakest]),
        odds=say.odds(changed.probability(changed.weakest)),
        before=say.month(base.months[base.weakest]),
        was=say.odds(base.probability(base.weakest)),
    )
    return told[:1].upper() + told[1:]


def comparison_sentence(found: Comparison, base: Answered, say: Wording = ENGLISH) -> str:
    """The differences in one sentence, each with its interval."""
    cost, odds = found.cost, found.probability
    points = {"points": odds.value, "p_low": odds.low, "p_high": odds.high}
    return say(
        "Cost {cost} ({low} to {high}); probability of {month} {points} points ({p_low} to {p_high}); GPUs "
        "ordered {gpus}.",
        **say.changes(base.scenario.currency, cost=cost.value, low=cost.low, high=cost.high),
        month=say.month(base.months[base.weakest]),
        **{name: f"{100 * share:+.1f}" for name, share in points.items()},
        gpus=f"{found.gpus_ordered:+,d}",
    )


def tornado_bars(rows: Sequence[Row], currency: str, look: Look = LIGHT, say: Wording = ENGLISH) -> Figure:
    """Mean cost when one input at a time is low or high, widest first."""
    names = [say(row["input"], gate=row["gate"]) for row in rows]
    drawn: list[Row] = [
        {
            "input": name,
            "side": say(side),
            "base": row["cost_base"],
            "cost": row[f"cost_{side}"],
            "probability": row[f"probability_{side}"],
        }
        for name, row in zip(names, rows, strict=True)
        for side in ("low", "high")
    ]
    title = say("mean cost, {currency}, small sample", currency=currency)
    sides, tip = [say("low"), say("high")], ("probability:Q", say("weakest month"), ".1%")
    layers = parts.swing_bars(drawn, sides, say("value of the input"), title, tip, look, say)
    takeaway = _tornado_takeaway(names[0], rows[0], currency, say) if rows else say("Nothing was varied.")
    return parts.figure("tornado", takeaway, layers, look, max(1, len(rows)) * parts.SWING, list(rows))


def _tornado_takeaway(name: str, row: Row, currency: str, say: Wording) -> str:
    low, high = sorted((row["cost_low"], row["cost_high"]))
    return say(
        "{input} moves the cost most: {low} to {high} around {base}.",
        input=name,
        **say.moneys(currency, low=low, high=high, base=row["cost_base"]),
    )
