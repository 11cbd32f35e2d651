"""Text of any origin made safe to show: as Markdown, as CSV, on a button."""

import csv
import html
import io
import re
from collections.abc import Sequence
from typing import Any, Literal

from dashboard.charts.theme import LIGHT
from dashboard.session import look, say
from planner.report.language import displayable

_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+\-.!$:~<>|&^=@\"'])")
_ADDRESS = re.compile(r"https?:(?=//)|www(?=\.)|@", re.IGNORECASE)
"""Where an address is made a link of even when escaped; a word joiner, which is not seen, prevents it."""


def plain(text: object) -> str:
    """Text of unknown origin as Markdown that shows it as it is: no link, picture, formula or colour."""
    shown = _ADDRESS.sub("\\g<0>\u2060", displayable(str(text)))
    return _MARKDOWN.sub(r"\\\1", shown).replace("\n", " ")


def safe(text: object) -> str:
    """Text of unknown origin as HTML."""
    return html.escape(displayable(str(text)))


def without_answers(text: str) -> str:
    """What went wrong without what a server sent: runs of earlier versions may hold that, and it may be secret."""
    return re.sub(
        r"(HTTP \d{3}|the server reports|an event is [\w ]+|an event has no choices): .*", r"\1", text, flags=re.DOTALL
    )


def csv_text(rows: Sequence[dict[str, Any]]) -> str:
    """Rows as CSV with full digits; a text that a spreadsheet would run as a formula is quoted."""
    file = io.StringIO()
    if rows:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: _inert(value) for name, value in row.items()} for row in rows)
    return file.getvalue()


def _inert(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


def main_button() -> Literal["primary", "secondary"]:
    """The kind of a page's main button: Streamlit sets white on the accent, which the dark accent cannot bear."""
    return "primary" if look() is LIGHT else "secondary"


def badge(label: str | None) -> str:
    """A serving label as coloured Markdown."""
    colours = {"measured": "green", "calibrated": "blue", "extrapolated": "orange", "estimated": "red"}
    words = say()
    return f":{colours[label]}-badge[{words(label)}]" if label in colours else plain(words("does not fit"))
