"""The load: its rhythm over the week, the lengths of its requests, and where it may grow."""

from typing import Any

import altair as alt

from dashboard.charts import parts
from dashboard.charts.figure import Figure, moment, month_axis, values
from dashboard.charts.theme import LIGHT, Look
from planner.compare.rows import Row
from planner.demand.summary import Margin, Rhythm
from planner.demand.traffic import Traffic
from planner.record.models import PlanRecord
from planner.report.language import ENGLISH, Wording

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_DRAWN = ("p10", "p25", "p50", "p75", "p90")
"""Quantiles of a length without which the chart is not drawn."""


def week_shape(traffic: Traffic, look: Look = LIGHT, say: Wording = ENGLISH) -> Figure | None:
    """Load of each hour of the day over the mean, a line for each day; None where the trace is too short."""
    rhythm = traffic.trace.rhythm
    if rhythm is None:
        return None
    rows = [_hour(rhythm, at, say) for at in range(len(rhythm.hours))]
    takeaway = say(
        "The busiest hour carries {peak} times the mean, the quietest {low} times; capacity is sized for the first.",
        peak=f"{rhythm.peak_hour:.2f}",
        low=f"{rhythm.lowest_hour:.2f}",
    )
    known = alt.Chart(values([row for row in rows if row["ratio"] is not None]))
    mean = parts.chart({"mean": 1}).mark_rule(color=look.quiet, strokeDash=[3, 3])
    line = known.mark_line(strokeWidth=2, opacity=0.85)
    layers = [mean.encode(y=alt.Y("mean:Q")), line.encode(**_week_channels(rhythm, look, say))]
    return parts.figure("load-by-hour", takeaway, layers, look, 220, parts.only(rows, "day", "hour", "ratio"))


def _hour(rhythm: Rhythm, at: int, say: Wording) -> Row:
    day = _DAYS[at // 24] if len(rhythm.hours) > 24 else "every day"
    kind = say("weekend") if day in ("Sat", "Sun") else say("weekday")
    return {"day": say(day), "hour": at % 24, "ratio": rhythm.hours[at], "weekend": kind}


def _week_channels(rhythm: Rhythm, look: Look, say: Wording) -> dict[str, Any]:
    kinds, tints = [say("weekday"), say("weekend")], [look.in_service, look.domestic]
    legend = alt.Legend(title=None) if len(rhythm.hours) > 24 else None
    hours = alt.Axis(title=say("hour of the day ({clock})", clock=rhythm.clock), tickCount=8)
    ratio = alt.Axis(title=say("load over its mean"), tickCount=5)
    return {
        "x": alt.X("hour:Q", axis=hours),
        "y": alt.Y("ratio:Q", axis=ratio, scale=alt.Scale(domainMin=0)),
        "detail": alt.Detail("day:N"),
        "color": parts.colours("weekend:N", kinds, tints, legend),
        "tooltip": parts.tips(("day:N", say("day")), ("hour:Q", say("hour")), ("ratio:Q", say("over the mean"), ".2f")),
    }


def request_lengths(traffic: Traffic, look: Look = LIGHT, say: Wording = ENGLISH) -> Figure:
    """Input and output lengths: P10 to P90 as a bar, P25 to P75 thicker, median and P99 marked."""
    shown = (*_DRAWN, "p99")
    rows = [
        {"side": say(name), **parts.picked(margin, *shown), "mean": margin.mean}
        for name, margin in (("input", traffic.input), ("output", traffic.output))
    ]
    drawn = [{**row, **{q: max(1.0, row[q]) for q in shown if row[q] is not None}} for row in rows]
    base = alt.Chart(values(drawn)).encode(y=alt.Y("side:N", sort=None, axis=alt.Axis(title=None)))
    title = say("tokens (logarithmic); line P10 to P90, bar P25 to P75, tick P50, dot P99")
    how = {"scale": alt.Scale(type="log", domainMin=1)}
    on_axis, colour = {**how, "axis": alt.Axis(title=title, grid=True)}, look.in_service
    tick = base.mark_tick(color=colour, height=22, thickness=3, orient="vertical")
    layers = [
        base.mark_rule(color=colour, strokeWidth=2).encode(**parts.across("p10:Q", "p90:Q", **on_axis)),
        base.mark_bar(color=colour, height=12, opacity=0.5).encode(**parts.across("p25:Q", "p75:Q", **on_axis)),
        tick.encode(x=alt.X("p50:Q", **how)),
        base.mark_point(color=colour, filled=True, size=50).encode(x=alt.X("p99:Q", **how)),
    ]
    return parts.figure("request-lengths", _lengths_takeaway(traffic, say), layers, look, 110, rows)


def _lengths_takeaway(traffic: Traffic, say: Wording) -> str:
    def lengths(of: Margin, letter: str) -> dict[str, str]:
        found = {"": of.p50 or of.mean, "10": of.p10, "90": of.p90}
        return {letter + q: "–" if n is None else say.count(n) for q, n in found.items()}

    return say(
        "A request has {i} input tokens at the median ({i10} to {i90} in 8 of 10) and {o} output tokens ({o10} to "
        "{o90}).",
        **lengths(traffic.input, "i"),
        **lengths(traffic.output, "o"),
    )


def lengths_known(margin: Margin) -> bool:
    """Whether the quantiles that the chart draws are published."""
    return all(getattr(margin, q) is not None for q in _DRAWN)


def need_by_pool(record: PlanRecord, look: Look = LIGHT, say: Wording = ENGLISH) -> Figure:
    """GPUs needed by every pool, as a multiple of the first month's median: where growth may lead."""
    names = [pool.name for pool in record.scenario.pools]
    rows = [row for at, name in enumerate(names) for row in _growth(record, at, name)]
    tints = [look.need, look.in_service, look.domestic, look.reserved, look.spot, look.unmet]
    legend = alt.Legend(title=None, labelLimit=260) if len(names) > 1 else None
    colour = parts.colours("pool:N", names, [tints[at % len(tints)] for at in range(len(names))], legend)
    months = month_axis([month.start for month in record.months], say)
    base = alt.Chart(values(rows)).encode(x=alt.X("start:T", axis=months), color=colour)
    axis = alt.Axis(title=say("need over today's median"), tickCount=5, format=".1f")
    tip = [alt.Tooltip("pool:N"), alt.Tooltip("month:N"), *parts.quantile_tips(".2f")]
    from_zero = parts.upright("p10:Q", "p90:Q", axis=axis, scale=alt.Scale(domainMin=0))
    layers = [
        base.mark_area(opacity=0.2, line=False).encode(**from_zero),
        base.mark_line(strokeWidth=2.5).encode(y=alt.Y("p50:Q", axis=axis), tooltip=tip),
    ]
    takeaway = _growth_takeaway(record, rows, say)
    return parts.figure("growth-of-need", takeaway, layers, look, 240, parts.without(rows, "start"))


def _growth(record: PlanRecord, at: int, pool: str) -> list[Row]:
    """A pool's need by month over the first month's median."""
    first = max(record.months[0].pools[at].need_gpus.p50, 1e-9)
    return [
        {
            "pool": pool,
            "month": month.month,
            "start": moment(month.start),
            **{q: getattr(month.pools[at].need_gpus, q) / first for q in parts.QUANTILES},
        }
        for month in record.months
    ]


def _growth_takeaway(record: PlanRecord, rows: list[Row], say: Wording) -> str:
    last = record.months[-1].month
    widest = max((row for row in rows if row["month"] == last), key=lambda row: row["p90"])
    return say(
        "{pool} may need {low} to {high} times today's GPUs by {month} (8 of 10 futures).",
        pool=widest["pool"],
        low=f"{widest['p10']:.1f}",
        high=f"{widest['p90']:.1f}",
        month=say.month(last),
    )
