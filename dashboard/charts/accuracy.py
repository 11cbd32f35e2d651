"""How far the predictions were off, by how much was measured beforehand."""

from collections.abc import Sequence

import altair as alt

from dashboard.charts.figure import Figure, finished, values
from dashboard.charts.theme import LIGHT, Look
from planner.compare.rows import Row
from planner.report.language import ENGLISH, Wording

_METRICS = ["TPOT", "throughput", "TTFT"]
_HEIGHT = 240


def error_by_rows(scores: Sequence[Row], look: Look = LIGHT, say: Wording = ENGLISH) -> Figure:
    """Mean absolute error of TPOT, throughput and TTFT by the rows that calibrate; a group counts once."""
    takeaway = _errors_told(scores, say)
    # In one line "2, held out" would run into its neighbour on a telephone.
    axis = alt.Axis(title=say("measured rows that calibrate"), labelAngle=0, labelExpr="split(datum.label, ', ')")
    rows = [{**row, "words": f"{row['error']:.0f}"} for row in scores]
    base = _grouped(rows, "rows", axis, "metric", _METRICS, "error", say("mean absolute error, %"))
    scale = alt.Scale(domain=_METRICS, range=[look.in_service, look.need, look.domestic])
    bars = base.mark_bar().encode(
        color=alt.Color("metric:N", scale=scale, legend=alt.Legend(title=None)),
        tooltip=_tooltip({"metric": say("metric"), "rows": say("rows")}, "error", say("error, %"), ".2f"),
    )
    words = base.mark_text(dy=-7, fontSize=11).encode(text=alt.Text("words:N"))
    chart = finished(alt.layer(bars, words), look, takeaway, _HEIGHT)
    return Figure("serving-error", takeaway, chart, list(scores))


def _errors_told(scores: Sequence[Row], say: Wording) -> str:
    tpot = [row for row in scores if row["metric"] == "TPOT"]
    best = min(tpot, key=lambda row: row["error"])
    return say(
        "With {rows} measured rows of its own group TPOT is off by {best} on average, without any by {blind}.",
        rows=best["rows"],
        best=say.percent(best["error"] / 100, 1),
        blind=say.percent(tpot[0]["error"] / 100, 1),
    )


def gate_skill(scores: Sequence[Row], look: Look = LIGHT, say: Wording = ENGLISH) -> Figure:
    """Brier score of the gate law and its rivals, by how far ahead they looked; lower is better."""
    laws = list(dict.fromkeys(str(row["law"]) for row in scores))
    takeaway = _skill_told(scores, laws, say)
    axis = alt.Axis(title=say("days ahead"), labelAngle=0)
    title = say("Brier score, 0 to 2, lower is better")
    colours = [look.in_service, look.quiet, look.domestic, look.reserved]
    legend = alt.Legend(title=None, columns=2, labelLimit=240)
    scale = alt.Scale(domain=laws, range=colours[: len(laws)])
    bars = (
        _grouped(scores, "horizon", axis, "law", laws, "brier", title)
        .mark_bar()
        .encode(
            color=alt.Color("law:N", sort=laws, scale=scale, legend=legend),
            tooltip=_tooltip({"law": say("law"), "horizon": say("days ahead")}, "brier", "Brier", ".3f"),
        )
    )
    return Figure("gate-forecasts", takeaway, finished(bars, look, takeaway, _HEIGHT), list(scores))


def _skill_told(scores: Sequence[Row], laws: Sequence[str], say: Wording) -> str:
    horizons = list(dict.fromkeys(str(row["horizon"]) for row in scores))
    by = {(row["law"], row["horizon"]): row["brier"] for row in scores}
    best = [min(laws, key=lambda law: by[law, horizon]) for horizon in horizons]
    mean = {law: sum(by[law, horizon] for horizon in horizons) / len(horizons) for law in laws}
    nearest = min(laws[1:], key=lambda law: mean[law])
    return say(
        "The gate law has the lowest error at {n} of {all} horizons; its mean is {ours}, that of its nearest rival "
        "({rival}) {theirs}.",
        n=best.count(laws[0]),
        all=len(horizons),
        ours=f"{mean[laws[0]]:.2f}",
        rival=nearest,
        theirs=f"{mean[nearest]:.2f}",
    )


def _grouped(
    rows: Sequence[Row], x: str, axis: alt.Axis, group: str, groups: list[str], y: str, title: str
) -> alt.Chart:
    """Bars of the groups side by side at every place of x, in the order of the rows."""
    return alt.Chart(values(rows)).encode(
        x=alt.X(f"{x}:O", sort=list(dict.fromkeys(str(row[x]) for row in rows)), axis=axis),
        xOffset=alt.XOffset(f"{group}:N", sort=groups),
        y=alt.Y(f"{y}:Q", axis=alt.Axis(title=title, tickCount=5)),
    )


def _tooltip(names: dict[str, str], figure: str, title: str, digits: str) -> list[alt.Tooltip]:
    """Names by their titles, then a figure."""
    shown = [alt.Tooltip(f"{field}:N", title=told) for field, told in names.items()]
    return [*shown, alt.Tooltip(f"{figure}:Q", title=title, format=digits)]


def day_compared(rows: Sequence[Row], look: Look = LIGHT, say: Wording = ENGLISH) -> Figure:
    """Nodes that DeepSeek said it used, hour by hour, against what the model predicts from the load."""
    takeaway = say(
        "DeepSeek's published day: {n} of {all} hours lie inside the predicted 80 % interval.",
        n=sum(1 for row in rows if row["low"] <= row["published"] <= row["high"]),
        all=len(rows),
    )
    base = _by_hour(rows, say)
    axis = alt.Axis(title=say("nodes of eight GPUs; band 80 %, dots published"), tickCount=5)
    predicted, published = alt.Y("predicted:Q", axis=axis), alt.Y("published:Q", axis=axis)
    band = base.mark_area(opacity=0.22, color=look.in_service)
    line = base.mark_line(color=look.in_service, strokeWidth=2.5)
    dots = base.mark_point(color=look.need, filled=True, size=55, opacity=1)
    layers = (
        band.encode(y=alt.Y("low:Q", axis=axis), y2=alt.Y2("high:Q")),
        line.encode(y=predicted),
        dots.encode(y=published),
    )
    chart = finished(alt.layer(*layers), look, takeaway, _HEIGHT)
    return Figure("deepseek-day", takeaway, chart, list(rows))


def _by_hour(rows: Sequence[Row], say: Wording) -> alt.Chart:
    axis = alt.Axis(title=say("hour, Beijing"), labelAngle=0, labelOverlap="parity")
    return alt.Chart(values(rows)).encode(
        x=alt.X("hour:O", sort=[str(row["hour"]) for row in rows], axis=axis),
        tooltip=[
            alt.Tooltip("hour:N", title=say("hour")),
            alt.Tooltip("published:Q", title=say("published"), format=",.0f"),
            alt.Tooltip("predicted:Q", title=say("predicted"), format=",.0f"),
        ],
    )
