"""How far the predictions were off, by how much was measured beforehand."""

from collections.abc import Sequence

import altair as alt

from dashboard.charts.figure import Figure, finished, values
from dashboard.charts.theme import LIGHT, Look
from dashboard.wording import ENGLISH, Wording
from planner.compare.rows import Row


def error_by_rows(scores: Sequence[Row], look: Look = LIGHT, say: Wording = ENGLISH) -> Figure:
    """Mean absolute error of TPOT, throughput and TTFT by the rows that calibrate; a group counts once."""
    order = list(dict.fromkeys(str(row["rows"]) for row in scores))
    best = min((row for row in scores if row["metric"] == "TPOT"), key=lambda row: row["error"])
    blind = next(row for row in scores if row["metric"] == "TPOT")
    takeaway = say(
        "With {rows} measured rows of its own group TPOT is off by {best} on average, without any by {blind}.",
        rows=best["rows"],
        best=say.percent(best["error"] / 100, 1),
        blind=say.percent(blind["error"] / 100, 1),
    )
    metrics = ["TPOT", "throughput", "TTFT"]
    colour = alt.Color(
        "metric:N",
        scale=alt.Scale(domain=metrics, range=[look.in_service, look.need, look.domestic]),
        legend=alt.Legend(title=None),
    )
    rows = [{**row, "words": f"{row['error']:.0f}"} for row in scores]
    # In one line "2, held out" would run into its neighbour on a telephone.
    lines = "split(datum.label, ', ')"
    axis = alt.Axis(title=say("measured rows that calibrate"), labelAngle=0, labelExpr=lines)
    base = alt.Chart(values(rows)).encode(
        x=alt.X("rows:O", sort=order, axis=axis),
        xOffset=alt.XOffset("metric:N", sort=metrics),
        y=alt.Y("error:Q", axis=alt.Axis(title=say("mean absolute error, %"), tickCount=5)),
    )
    layers = [
        base.mark_bar().encode(
            color=colour,
            tooltip=[
                alt.Tooltip("metric:N", title=say("metric")),
                alt.Tooltip("rows:N", title=say("rows")),
                alt.Tooltip("error:Q", title=say("error, %"), format=".2f"),
            ],
        ),
        base.mark_text(dy=-7, fontSize=11).encode(text=alt.Text("words:N")),
    ]
    chart = finished(alt.layer(*layers), look, takeaway, 240)
    return Figure("serving-error", takeaway, chart, list(scores))


def gate_skill(scores: Sequence[Row], look: Look = LIGHT, say: Wording = ENGLISH) -> Figure:
    """Brier score of the gate law and its rivals, by how far ahead they looked; lower is better."""
    laws = list(dict.fromkeys(str(row["law"]) for row in scores))
    horizons = list(dict.fromkeys(str(row["horizon"]) for row in scores))
    by = {(row["law"], row["horizon"]): row["brier"] for row in scores}
    best = [min(laws, key=lambda law: by[law, horizon]) for horizon in horizons]
    mean = {law: sum(by[law, horizon] for horizon in horizons) / len(horizons) for law in laws}
    ours, rivals = laws[0], laws[1:]
    nearest = min(rivals, key=lambda law: mean[law])
    takeaway = say(
        "The gate law has the lowest error at {n} of {all} horizons; its mean is {ours}, that of its nearest rival "
        "({rival}) {theirs}.",
        n=best.count(ours),
        all=len(horizons),
        ours=f"{mean[ours]:.2f}",
        rival=nearest,
        theirs=f"{mean[nearest]:.2f}",
    )
    colours = [look.in_service, look.quiet, look.domestic, look.reserved]
    base = alt.Chart(values(list(scores))).encode(
        x=alt.X("horizon:O", sort=horizons, axis=alt.Axis(title=say("days ahead"), labelAngle=0)),
        xOffset=alt.XOffset("law:N", sort=laws),
        y=alt.Y("brier:Q", axis=alt.Axis(title=say("Brier score, 0 to 2, lower is better"), tickCount=5)),
    )
    bars = base.mark_bar().encode(
        color=alt.Color(
            "law:N",
            sort=laws,
            scale=alt.Scale(domain=laws, range=colours[: len(laws)]),
            legend=alt.Legend(title=None, columns=2, labelLimit=240),
        ),
        tooltip=[
            alt.Tooltip("law:N", title=say("law")),
            alt.Tooltip("horizon:N", title=say("days ahead")),
            alt.Tooltip("brier:Q", title="Brier", format=".3f"),
        ],
    )
    return Figure("gate-forecasts", takeaway, finished(bars, look, takeaway, 240), list(scores))


def day_compared(rows: Sequence[Row], look: Look = LIGHT, say: Wording = ENGLISH) -> Figure:
    """Nodes that DeepSeek said it used, hour by hour, against what the model predicts from the load."""
    inside = sum(1 for row in rows if row["low"] <= row["published"] <= row["high"])
    takeaway = say(
        "DeepSeek's published day: {n} of {all} hours lie inside the predicted 80 % interval.",
        n=inside,
        all=len(rows),
    )
    order = [str(row["hour"]) for row in rows]
    base = alt.Chart(values(list(rows))).encode(
        x=alt.X(
            "hour:O",
            sort=order,
            axis=alt.Axis(title=say("hour, Beijing"), labelAngle=0, labelOverlap="parity"),
        ),
        tooltip=[
            alt.Tooltip("hour:N", title=say("hour")),
            alt.Tooltip("published:Q", title=say("published"), format=",.0f"),
            alt.Tooltip("predicted:Q", title=say("predicted"), format=",.0f"),
        ],
    )
    axis = alt.Axis(title=say("nodes of eight GPUs; band 80 %, dots published"), tickCount=5)
    layers = [
        base.mark_area(opacity=0.22, color=look.in_service).encode(
            y=alt.Y("low:Q", axis=axis), y2=alt.Y2("high:Q")
        ),
        base.mark_line(color=look.in_service, strokeWidth=2.5).encode(y=alt.Y("predicted:Q", axis=axis)),
        base.mark_point(color=look.need, filled=True, size=55, opacity=1).encode(
            y=alt.Y("published:Q", axis=axis)
        ),
    ]
    return Figure("deepseek-day", takeaway, finished(alt.layer(*layers), look, takeaway, 240), list(rows))
