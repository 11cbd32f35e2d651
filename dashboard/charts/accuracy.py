"""How far the predictions were off, by how much was measured beforehand."""

from collections.abc import Sequence

import altair as alt

from dashboard.charts import parts
from dashboard.charts.figure import Figure, values
from dashboard.charts.theme import LIGHT, Look
from planner.compare.rows import Row
from planner.report.language import ENGLISH, Wording

_METRICS = ["TPOT", "throughput", "TTFT"]
_HEIGHT = 240


def error_by_rows(scores: Sequence[Row], look: Look = LIGHT, say: Wording = ENGLISH) -> Figure:
    """Mean absolute error of TPOT, throughput and TTFT by the rows that calibrate; a group counts once."""
    # In one line "2, held out" would run into its neighbour on a telephone.
    axis = alt.Axis(title=say("measured rows that calibrate"), labelAngle=0, labelExpr="split(datum.label, ', ')")
    rows = [{**row, "words": f"{row['error']:.0f}"} for row in scores]
    base = _grouped(rows, "rows", axis, "metric", _METRICS, "error", say("mean absolute error, %"))
    tints = [look.in_service, look.need, look.domestic]
    tip = parts.tips(("metric:N", say("metric")), ("rows:N", say("rows")), ("error:Q", say("error, %"), ".2f"))
    colour = parts.colours("metric:N", _METRICS, tints, alt.Legend(title=None))
    words = base.mark_text(dy=-7, fontSize=11).encode(text=alt.Text("words:N"))
    layers = [base.mark_bar().encode(color=colour, tooltip=tip), words]
    return parts.figure("serving-error", _errors_told(scores, say), layers, look, _HEIGHT, list(scores))


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
    axis = alt.Axis(title=say("days ahead"), labelAngle=0)
    base = _grouped(scores, "horizon", axis, "law", laws, "brier", say("Brier score, 0 to 2, lower is better"))
    tints = [look.in_service, look.quiet, look.domestic, look.reserved][: len(laws)]
    colour = parts.colours("law:N", laws, tints, alt.Legend(title=None, columns=2, labelLimit=240), sort=laws)
    tip = parts.tips(("law:N", say("law")), ("horizon:N", say("days ahead")), ("brier:Q", "Brier", ".3f"))
    bars = base.mark_bar().encode(color=colour, tooltip=tip)
    return parts.figure("gate-forecasts", _skill_told(scores, laws, say), bars, look, _HEIGHT, list(scores))


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


def day_compared(rows: Sequence[Row], look: Look = LIGHT, say: Wording = ENGLISH) -> Figure:
    """Nodes that DeepSeek said it used, hour by hour, against what the model predicts from the load."""
    takeaway = say(
        "DeepSeek's published day: {n} of {all} hours lie inside the predicted 80 % interval.",
        n=sum(1 for row in rows if row["low"] <= row["published"] <= row["high"]),
        all=len(rows),
    )
    hours = alt.Axis(title=say("hour, Beijing"), labelAngle=0, labelOverlap="parity")
    base = alt.Chart(values(rows)).encode(
        x=alt.X("hour:O", sort=[str(row["hour"]) for row in rows], axis=hours),
        tooltip=parts.tips(
            ("hour:N", say("hour")),
            ("published:Q", say("published"), ",.0f"),
            ("predicted:Q", say("predicted"), ",.0f"),
        ),
    )
    axis = alt.Axis(title=say("nodes of eight GPUs; band 80 %, dots published"), tickCount=5)
    band = base.mark_area(opacity=0.22, color=look.in_service)
    line = base.mark_line(color=look.in_service, strokeWidth=2.5)
    dots = base.mark_point(color=look.need, filled=True, size=55, opacity=1)
    layers = [
        band.encode(**parts.upright("low:Q", "high:Q", axis=axis)),
        line.encode(y=alt.Y("predicted:Q", axis=axis)),
        dots.encode(y=alt.Y("published:Q", axis=axis)),
    ]
    return parts.figure("deepseek-day", takeaway, layers, look, _HEIGHT, list(rows))
