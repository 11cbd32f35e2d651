"""The report as a tagged PDF (PDF/UA-1), set by typst. Names are data there, never markup."""

import json
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dashboard.report.content import report_data
from dashboard.report.parts import ReportData, each_text
from executor.errors import UserMistakeError
from planner.record.models import PlanRecord

_FOLDER = Path(__file__).parent
_UNBROKEN = {"cell": 12, "line": 60}
"""A longer word may be broken after so many characters, so that it does not run out of its cell or line."""


class FontMissingError(UserMistakeError):
    """The language asked for cannot be set with the fonts of this machine."""


def pdf_report(record: PlanRecord, language: str = "en", changed: Sequence[str] = ()) -> bytes:
    """The whole report as PDF; the same record gives the same bytes, for no clock is read."""
    return paper(report_data(record, language, changed))


def paper(data: ReportData) -> bytes:
    """A report's data set on A4.

    PDF/UA-1 forbids a character for which no font is at hand. Where a name holds one, the file is still
    tagged but does not claim the standard.
    """
    import typst

    files = {"main.typ": (_FOLDER / "paper.typ").read_bytes(), **_files(data)}
    settings: dict[str, Any] = {"font_paths": [str(_FOLDER / "fonts")], "format": "pdf", "timestamp": 0}
    try:
        pdf = typst.compile(files, pdf_standards="ua-1", **settings)
    except typst.TypstError as error:
        if "could not be displayed" not in str(error):
            raise
        if data.language == "zh":
            raise FontMissingError(
                "no font for Chinese is installed; install one, for example fonts-noto-cjk"
            ) from None
        pdf = typst.compile(files, **settings)
    return bytes(pdf)


def _files(data: ReportData) -> dict[str, bytes]:
    """The data as JSON, its drawings as files of their own, its tables with a width for each column."""
    files: dict[str, bytes] = {}
    document = data.model_dump(mode="json")
    for section in document["sections"]:
        for drawing in section["drawings"]:
            name = f"drawing-{len(files)}.svg"
            files[name] = drawing["svg"].encode()
            drawing["svg"] = name
        for table in section["tables"]:
            table["weights"] = _weights(table)
            table["rows"] = [[_breakable(cell, "cell") for cell in row] for row in table["rows"]]
    files["report.json"] = json.dumps(_breakable(document, "line"), ensure_ascii=False).encode()
    return files


def _weights(table: dict[str, Any]) -> list[float]:
    """Share of the line for each column: by its longest cell, where long texts may wrap."""
    weights = []
    for index, column in enumerate(table["columns"]):
        longest = max((_width(row[index]) for row in table["rows"]), default=0)
        word = max((_width(part) for part in column["title"].split()), default=0)
        weights.append(float(min(max(longest, word, _width(column["title"]) / 2.5) + 2, 30)))
    return weights


def _width(text: str) -> int:
    """Places that a text takes: a Chinese character stands on two."""
    return sum(2 if unicodedata.east_asian_width(character) in ("W", "F") else 1 for character in text)


def _breakable(value: Any, place: str) -> Any:
    """Zero-width spaces in words too long for a cell or a line, in every text of a nested document."""
    long = re.compile(rf"([^\s\u200b]{{{_UNBROKEN[place]}}})(?=[^\s\u200b])")
    return each_text(value, lambda text: long.sub("\\1\u200b", text))
