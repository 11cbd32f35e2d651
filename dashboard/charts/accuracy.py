"""How far the predictions were off, by how much was measured beforehand."""

from collections.abc import Sequence

import altair as alt

from dashboard.charts.figure import Figure, Row, finished, values
from dashboard.look import LIGHT, Look
from dashboard.wording import ENGLISH, Wording


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
    rows = [{**row, "words": f"{row['error']:.0f} %"} for row in scores]
    base = alt.Chart(values(rows)).encode(
        x=alt.X("rows:O", sort=order, axis=alt.Axis(title=say("measured rows that calibrate"), labelAngle=0)),
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
        base.mark_text(dy=-7, fontSize=11).encode(text="words:N"),
    ]
    chart = finished(alt.layer(*layers), look, takeaway, 240)
    return Figure("serving-error", takeaway, chart, list(scores))
