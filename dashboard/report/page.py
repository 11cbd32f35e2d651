"""The report as one HTML file: inline drawings and style, no script, nothing fetched."""

import base64
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from dashboard.report.content import report_data
from dashboard.report.parts import ReportData
from planner.record.models import PlanRecord

_FOLDER = Path(__file__).parent


def html_report(record: PlanRecord, language: str = "en", changed: Sequence[str] = ()) -> str:
    """The whole report as HTML; the same record gives the same text.

    ``changed``: what moved since the run before, a sentence each.
    """
    return page(report_data(record, language, changed))


def page(data: ReportData) -> str:
    """A report's data set as a page. Every text is escaped; only the drawings go in as they are."""
    strict: dict[str, Any] = {"autoescape": True, "undefined": StrictUndefined, "trim_blocks": True}
    environment = Environment(loader=FileSystemLoader(_FOLDER), **strict)
    drawings = iter(range(1_000))
    environment.filters["inline"] = lambda svg: Markup(_own_ids(svg, next(drawings)))
    environment.filters["breakable"] = _breakable
    return environment.get_template("page.html.j2").render(report=data, fonts=_fonts())


@cache
def _fonts() -> list[tuple[int, str]]:
    """Weight and content of the shipped fonts, so that the page looks the same on a machine without them."""
    files = ((400, "SourceSansPro-Regular.woff2"), (600, "SourceSansPro-Semibold.woff2"))
    return [(weight, base64.b64encode((_FOLDER / "fonts" / name).read_bytes()).decode()) for weight, name in files]


def _breakable(text: str) -> Markup:
    """The text escaped, with places to break inside words too long for a cell."""
    pieces = re.split(r"(\S{12})(?=\S)", text)
    return Markup("").join(piece + Markup("<wbr>") if len(piece) == 12 else piece for piece in pieces)


def _own_ids(svg: str, number: int) -> str:
    """Ids of clip paths made unique: every drawing counts its own from 0, but a page has one name space."""
    svg = re.sub(r'<clipPath id="(\w+)"', rf'<clipPath id="d{number}-\1"', svg)
    return re.sub(r'clip-path="url\(#(\w+)\)"', rf'clip-path="url(#d{number}-\1)"', svg)
