"""A figure: a chart, the sentence it shows, and the rows it was drawn from."""

import datetime as dt
import json
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import altair as alt

from planner.compare.rows import Row
from planner.report.language import Wording

_FONTS = Path(__file__).parents[1] / "report" / "fonts"
_CHARACTERS_PER_PIXEL = 1 / 7.6
"""A title in 15-point Source Sans Semibold sets about one character in 7.6 pixels."""


@dataclass(frozen=True)
class Figure:
    """One chart with one message."""

    name: str
    """Stem of the file it is saved as."""
    takeaway: str
    """What the chart shows, as a sentence: its title, its caption and its text alternative."""
    chart: alt.Chart | alt.LayerChart | alt.FacetChart
    rows: list[Row]
    """What it was drawn from, for "show data" and downloads, with full digits."""

    def sized(self, width: int, titled: bool = False) -> dict[str, Any]:
        """The Vega-Lite specification at a width in pixels.

        ``titled``: with the takeaway as its title, for a picture that travels alone; a page sets it as text.
        """
        lines = textwrap.wrap(self.takeaway, max(20, int(width * _CHARACTERS_PER_PIXEL))) or [""]
        return _written(self.chart.properties(width=width, **({"title": lines} if titled else {})))

    def fitted(self) -> dict[str, Any]:
        """The specification without a width: whoever shows it gives it one."""
        return _written(self.chart)

    def svg(self, width: int = 640, titled: bool = False) -> str:
        """The chart as SVG, drawn without a browser and without a network."""
        return str(_converter().vegalite_to_svg(json.dumps(self.sized(width, titled))))


def _written(chart: alt.TopLevelMixin) -> dict[str, Any]:
    """The specification; the tests check it against Vega-Lite's schema, which would take a page half a second."""
    spec: dict[str, Any] = chart.to_dict(validate=False)
    return spec


@cache
def _converter() -> Any:
    """vl-convert, told where the shipped fonts lie so that labels are measured as they will be set."""
    import vl_convert

    vl_convert.register_font_directory(str(_FONTS))
    return vl_convert


def values(rows: Sequence[Row]) -> alt.Data:
    """Inline data; Altair's own path would go through a data frame."""
    return alt.Data(values=list(rows))


def moment(day: dt.date) -> str:
    """A day as Vega reads it in local time, so that no time zone moves it to the day before."""
    return f"{day.isoformat()}T00:00:00"


def month_after(day: dt.date) -> dt.date:
    """The first of the next month: where a step that stands for a month ends."""
    return dt.date(day.year + day.month // 12, day.month % 12 + 1, 1)


def month_axis(days: Sequence[dt.date], say: Wording, title: str | None = None) -> alt.Axis:
    """Months on a time axis: at most about nine labels, fewer where the window is narrow."""
    whole = [day for day in days if day.day == 1] or list(days)
    step = max(1, -(-len(whole) // 9))
    shape = "%y年%-m月" if say.language == "zh" else "%b %y"
    ticks = [moment(day) for day in whole[::step]]
    return alt.Axis(values=ticks, format=shape, title=title, labelOverlap="parity", labelSeparation=6)


def month_cells(months: Sequence[str], say: Wording) -> alt.X:
    """Months (YYYY-MM) as cells side by side: the month under each, the year under the first and January."""
    name = "%-m月" if say.language == "zh" else "%b"
    day = "toDate(datum.value + '-01T00:00:00')"
    with_year = f"datum.value == '{months[0]}' || month({day}) == 0"
    label = f"{with_year} ? [timeFormat({day}, '{name}'), timeFormat({day}, '%Y')] : timeFormat({day}, '{name}')"
    axis = alt.Axis(title=None, labelAngle=0, labelOverlap="greedy", labelSeparation=3, ticks=False, labelExpr=label)
    return alt.X("month:O", sort=list(months), axis=axis, scale=alt.Scale(paddingInner=0.06, paddingOuter=0.03))
