"""The load: its rhythm over the week, the lengths of its requests, and where it may grow."""

import altair as alt

from dashboard.charts.figure import Figure, finished, moment, month_axis, values
from dashboard.charts.theme import LIGHT, Look
from dashboard.wording import ENGLISH, Wording
from planner.compare.rows import Row
from planner.demand.summary import Margin
from planner.demand.traffic import Traffic
from planner.record.models import PlanRecord

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_QUANTILES = ("p10", "p25", "p50", "p75", "p90", "p99")


def week_shape(traffic: Traffic, look: Look = LIGHT, say: Wording = ENGLISH) -> Figure | None:
    """Load of each hour of the day over the mean, a line for each day; None where the trace is too short."""
    rhythm = traffic.trace.rhythm
    if rhythm is None:
        return None
    rows: list[Row] = []
    for at, ratio in enumerate(rhythm.hours):
        day = _DAYS[at // 24] if len(rhythm.hours) > 24 else "every day"
        rows.append(
            {
                "day": say(day),
                "hour": at % 24,
                "ratio": ratio,
                "weekend": say("weekend") if day in ("Sat", "Sun") else say("weekday"),
            }
        )
    takeaway = say(
        "The busiest hour carries {peak} times the mean, the quietest {low} times; capacity is sized for the first.",
        peak=f"{rhythm.peak_hour:.2f}",
        low=f"{rhythm.lowest_hour:.2f}",
    )
    kinds = [say("weekday"), say("weekend")]
    base = alt.Chart(values([row for row in rows if row["ratio"] is not None])).encode(
        x=alt.X(
            "hour:Q", axis=alt.Axis(title=say("hour of the day ({clock})", clock=rhythm.clock), tickCount=8)
        ),
        y=alt.Y(
            "ratio:Q",
            axis=alt.Axis(title=say("load over its mean"), tickCount=5),
            scale=alt.Scale(domainMin=0),
        ),
        detail=alt.Detail("day:N"),
        color=alt.Color(
            "weekend:N",
            scale=alt.Scale(domain=kinds, range=[look.in_service, look.domestic]),
            legend=alt.Legend(title=None) if len(rhythm.hours) > 24 else None,
        ),
        tooltip=[
            alt.Tooltip("day:N", title=say("day")),
            alt.Tooltip("hour:Q", title=say("hour")),
            alt.Tooltip("ratio:Q", title=say("over the mean"), format=".2f"),
        ],
    )
    mean = (
        alt.Chart(values([{"mean": 1}]))
        .mark_rule(color=look.quiet, strokeDash=[3, 3])
        .encode(y=alt.Y("mean:Q"))
    )
    chart = finished(alt.layer(mean, base.mark_line(strokeWidth=2, opacity=0.85)), look, takeaway, 220)
    shown = [{key: row[key] for key in ("day", "hour", "ratio")} for row in rows]
    return Figure("load-by-hour", takeaway, chart, shown)


def request_lengths(traffic: Traffic, look: Look = LIGHT, say: Wording = ENGLISH) -> Figure:
    """Input and output lengths: P10 to P90 as a bar, P25 to P75 thicker, median and P99 marked."""
    rows = [
        {"side": say(name), **{q: getattr(margin, q) for q in _QUANTILES}, "mean": margin.mean}
        for name, margin in (("input", traffic.input), ("output", traffic.output))
    ]
    takeaway = say(
        "A request has {i} input tokens at the median ({i10} to {i90} in 8 of 10) and {o} output tokens ({o10} to "
        "{o90}).",
        **{f"i{q}": _tokens(getattr(traffic.input, f"p{q}"), say) for q in ("10", "90")},
        **{f"o{q}": _tokens(getattr(traffic.output, f"p{q}"), say) for q in ("10", "90")},
        i=_tokens(traffic.input.p50 or traffic.input.mean, say),
        o=_tokens(traffic.output.p50 or traffic.output.mean, say),
    )
    axis = alt.Axis(
        title=say("tokens (logarithmic); line P10 to P90, bar P25 to P75, tick P50, dot P99"), grid=True
    )
    x = alt.Scale(type="log", domainMin=1)
    drawn = [{**row, **{q: max(1.0, row[q]) for q in _QUANTILES if row[q] is not None}} for row in rows]
    base = alt.Chart(values(drawn)).encode(y=alt.Y("side:N", sort=None, axis=alt.Axis(title=None)))
    colour = look.in_service
    layers = [
        base.mark_rule(color=colour, strokeWidth=2).encode(
            x=alt.X("p10:Q", scale=x, axis=axis), x2=alt.X2("p90:Q")
        ),
        base.mark_bar(color=colour, height=12, opacity=0.5).encode(
            x=alt.X("p25:Q", scale=x, axis=axis), x2=alt.X2("p75:Q")
        ),
        base.mark_tick(color=colour, height=22, thickness=3, orient="vertical").encode(
            x=alt.X("p50:Q", scale=x)
        ),
        base.mark_point(color=colour, filled=True, size=50).encode(x=alt.X("p99:Q", scale=x)),
    ]
    return Figure("request-lengths", takeaway, finished(alt.layer(*layers), look, takeaway, 110), rows)


def _tokens(tokens: float | None, say: Wording) -> str:
    return "–" if tokens is None else say.count(tokens)


def lengths_known(margin: Margin) -> bool:
    """Whether the quantiles that the chart draws are published."""
    return all(getattr(margin, q) is not None for q in ("p10", "p25", "p50", "p75", "p90"))


def need_by_pool(record: PlanRecord, look: Look = LIGHT, say: Wording = ENGLISH) -> Figure:
    """GPUs needed by every pool, as a multiple of the first month's median: where growth may lead."""
    rows: list[Row] = []
    for at, pool in enumerate(record.scenario.pools):
        first = max(record.months[0].pools[at].need_gpus.p50, 1e-9)
        for month in record.months:
            need = month.pools[at].need_gpus
            rows.append(
                {
                    "pool": pool.name,
                    "month": month.month,
                    "start": moment(month.start),
                    "p10": need.p10 / first,
                    "p50": need.p50 / first,
                    "p90": need.p90 / first,
                }
            )
    last = [row for row in rows if row["month"] == record.months[-1].month]
    widest = max(last, key=lambda row: row["p90"])
    takeaway = say(
        "{pool} may need {low} to {high} times today's GPUs by {month} (8 of 10 futures).",
        pool=widest["pool"],
        low=f"{widest['p10']:.1f}",
        high=f"{widest['p90']:.1f}",
        month=say.month(widest["month"]),
    )
    names = [pool.name for pool in record.scenario.pools]
    colours = [look.need, look.in_service, look.domestic, look.reserved, look.spot, look.unmet]
    colour = alt.Color(
        "pool:N",
        scale=alt.Scale(domain=names, range=[colours[at % len(colours)] for at in range(len(names))]),
        legend=alt.Legend(title=None, labelLimit=260) if len(names) > 1 else None,
    )
    axis = alt.Axis(title=say("need over today's median"), tickCount=5, format=".1f")
    base = alt.Chart(values(rows)).encode(
        x=alt.X("start:T", axis=month_axis([month.start for month in record.months], say)), color=colour
    )
    layers = [
        base.mark_area(opacity=0.2, line=False).encode(
            y=alt.Y("p10:Q", axis=axis, scale=alt.Scale(domainMin=0)), y2=alt.Y2("p90:Q")
        ),
        base.mark_line(strokeWidth=2.5).encode(
            y=alt.Y("p50:Q", axis=axis),
            tooltip=[alt.Tooltip("pool:N"), alt.Tooltip("month:N")]
            + [alt.Tooltip(f"{q}:Q", title=q.upper(), format=".2f") for q in ("p10", "p50", "p90")],
        ),
    ]
    data = [{key: value for key, value in row.items() if key != "start"} for row in rows]
    return Figure("growth-of-need", takeaway, finished(alt.layer(*layers), look, takeaway, 240), data)
