"""What the charts are put together from: rows, tooltips, colours, spans, lines with their label, labels with a halo.

A channel is written as Altair's object (``alt.X("at:T")``): to read a channel from a string costs Altair ten
milliseconds.
"""

from collections.abc import Sequence
from typing import Any

import altair as alt

from dashboard.charts.figure import Figure, month_cells, values
from dashboard.charts.theme import Look, chart_config
from planner.compare.rows import Row
from planner.record.models import Interval
from planner.report.language import Wording, shortened

QUANTILES = ("p10", "p50", "p90")
SWING = 42
"""Height in pixels of one input in :func:`swing_bars`."""


def figure(name: str, takeaway: str, marks: Any, look: Look, height: int, rows: list[Row]) -> Figure:
    """A figure of one chart or of layers from back to front, ``height`` pixels high, as wide as it is told."""
    chart = alt.layer(*marks) if isinstance(marks, list) else marks
    fit = alt.AutoSizeParams(type="fit-x", contains="padding")
    dressed = chart.properties(height=height, description=takeaway, autosize=fit).configure(**chart_config(look))
    return Figure(name, takeaway, dressed, rows)


def picked(thing: object, *names: str, stem: str = "") -> Row:
    """Fields of a record's part by their names, with ``stem`` before each."""
    return {stem + name: getattr(thing, name) for name in names}


def interval(of: Interval, value: str = "probability", stem: str = "") -> Row:
    """A value and its bounds as the fields ``value``, low and high, the bounds with ``stem`` before them."""
    return {value: of.value, f"{stem}low": of.low, f"{stem}high": of.high}


def only(rows: Sequence[Row], *names: str) -> list[Row]:
    """The rows with these fields alone."""
    return [{name: row[name] for name in names} for row in rows]


def without(rows: Sequence[Row], *names: str) -> list[Row]:
    """The rows without these fields."""
    return [{name: value for name, value in row.items() if name not in names} for row in rows]


def chart(*rows: Row) -> alt.Chart:
    """A chart of a few rows given one by one, such as a line or a label."""
    return alt.Chart(values(rows))


def tips(*lines: tuple[str, str] | tuple[str, str, str]) -> list[alt.Tooltip]:
    """Lines of a tooltip: the field with its type, its title, and a number's format."""
    return [
        alt.Tooltip(field, title=title, **dict(zip(("format",), shape, strict=False))) for field, title, *shape in lines
    ]


def quantile_tips(shape: str) -> list[alt.Tooltip]:
    """Lines of a tooltip for P10, P50 and P90."""
    return tips(*((f"{name}:Q", name.upper(), shape) for name in QUANTILES))


def odds_tips(say: Wording) -> list[alt.Tooltip]:
    """Lines of a tooltip for a probability and its interval."""
    return tips(
        ("probability:Q", say("probability met"), ".1%"),
        ("low:Q", say("interval, low"), ".1%"),
        ("high:Q", say("interval, high"), ".1%"),
    )


def own_colour(field: str = "colour:N") -> alt.Color:
    """The colour that each row names."""
    return alt.Color(field, scale=None)


def colours(
    field: str, names: Sequence[str], tints: Sequence[str], legend: alt.Legend | None, **more: Any
) -> alt.Color:
    """A colour for each name, told in a legend."""
    return alt.Color(field, scale=alt.Scale(domain=list(names), range=list(tints)), legend=legend, **more)


def across(low: str, high: str, **how: Any) -> dict[str, Any]:
    """Channels of a mark from left to right between two fields."""
    return {"x": alt.X(low, **how), "x2": alt.X2(high)}


def upright(low: str, high: str, **how: Any) -> dict[str, Any]:
    """Channels of a mark from the bottom to the top between two fields."""
    return {"y": alt.Y(low, **how), "y2": alt.Y2(high)}


def lane(field: str, sort: Sequence[str] | None = None, gap: float | None = 0.2) -> alt.Y:
    """A line of the chart for each value of a field, without an axis: its label stands above its mark."""
    scale = {} if gap is None else {"scale": alt.Scale(paddingInner=gap)}
    return alt.Y(field, sort=sort, axis=None, **scale)


def label_above(base: alt.Chart, look: Look, dy: int = -10, **mark: Any) -> alt.Chart:
    """The words of each line above its mark."""
    words = base.mark_text(align="left", dy=dy, **mark)
    return words.encode(x=alt.value(0), text=alt.Text("words:N"), color=alt.value(look.ink))


def point_in_interval(base: alt.Chart, value: str, tooltip: list[alt.Tooltip], **how: Any) -> list[alt.Chart]:
    """On each line a point at ``value``, and a bar from low to high behind it. ``how``: axis and scale."""
    bar = base.mark_rule(strokeWidth=3, opacity=0.5, yOffset=9)
    point = base.mark_point(filled=True, size=90, yOffset=9, opacity=1)
    return [bar.encode(**across("low:Q", "high:Q", **how)), point.encode(x=alt.X(value, **how), tooltip=tooltip)]


def monthly_stack(rows: Sequence[Row], months: Sequence[str], title: str, say: Wording) -> alt.Chart:
    """The rows' ``gpus`` as a bar for each month, stacked by their ``rank``."""
    bars, axis = alt.Chart(values(rows)).mark_bar(), alt.Axis(title=title, tickCount=5)
    return bars.encode(x=month_cells(months, say), y=alt.Y("gpus:Q", axis=axis), order=alt.Order("rank:Q"))


def swing_bars(
    rows: Sequence[Row], sides: Sequence[str], legend: str, cost: str, more: Any, look: Look, say: Wording
) -> list[alt.Chart]:
    """Bars from ``base`` to ``cost`` for both sides of each ``input``, whose name stands above them.

    ``legend`` and ``cost``: titles of the sides and of the axis; ``more``: the last line of the tooltip.
    """
    names = list(dict.fromkeys(row["input"] for row in rows))
    y, axis = lane("input:N", names), alt.Axis(title=cost, format="~s", grid=True)
    bars = alt.Chart(values(rows)).mark_bar(height=11, yOffset=8, opacity=0.8)
    words = chart(*({"input": name, "label": shortened(name, 60)} for name in names)).mark_text(align="left", dy=-9)
    tip = tips(("input:N", say("input")), ("side:N", say("value")), ("cost:Q", say("mean cost"), ",.0f"), more)
    return [
        bars.encode(
            y=y,
            x=alt.X("base:Q", axis=axis, scale=alt.Scale(zero=False)),
            x2=alt.X2("cost:Q"),
            color=colours("side:N", sides, [look.domestic, look.in_service], alt.Legend(title=legend)),
            tooltip=tip,
        ),
        words.encode(y=y, x=alt.value(0), text=alt.Text("label:N")),
    ]


def halo_label(place: Row, look: Look, x: alt.X, y: Any, **mark: Any) -> list[alt.Chart]:
    """The words of one place on the chart, with a halo that keeps them apart from what lies behind."""
    base = chart(place).encode(x=x, y=y, text=alt.Text("words:N"))
    shape = {"fontSize": 12, "lineBreak": "\n", **mark}
    halo = {**shape, "color": look.background, "stroke": look.background, "strokeWidth": 4}
    return [base.mark_text(**halo), base.mark_text(**shape)]
