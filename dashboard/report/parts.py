"""What a report is made of, without words or layout: sections of paragraphs, points, drawings and tables."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Drawing(_Part):
    """A chart with its takeaway, which is its caption and its text alternative."""

    caption: str
    svg: str


class Column(_Part):
    """A column's heading, and how its cells stand: text left, numbers right, labels as badges."""

    title: str
    kind: Literal["text", "number", "label"] = "text"


class Table(_Part):
    """A table; cells are ready to be shown."""

    caption: str
    columns: list[Column]
    rows: list[list[str]]


def text(title: str) -> Column:
    """A column of texts."""
    return Column(title=title)


def number(title: str) -> Column:
    """A column of numbers."""
    return Column(title=title, kind="number")


def tabled(caption: str, rows: Sequence[Mapping[Column, str]]) -> list[Table]:
    """A table of rows that give each column its cell, all of the same columns; no table where there are no rows."""
    if not rows:
        return []
    cells = [list(row.values()) for row in rows]
    return [Table(caption=caption, columns=list(rows[0]), rows=cells)]


def each_text(value: Any, change: Callable[[str], str]) -> Any:
    """A nested document with every text changed; drawings are left as they are."""
    if isinstance(value, list):
        return [each_text(item, change) for item in value]
    if isinstance(value, dict):
        return {key: item if key == "svg" else each_text(item, change) for key, item in value.items()}
    return change(value) if isinstance(value, str) else value


class Fact(_Part):
    """One of the figures on top."""

    label: str
    value: str
    note: str


class Section(_Part):
    """A heading with what stands below it, in the order shown: paragraphs, points, drawings, tables, code."""

    title: str
    paragraphs: list[str] = []
    points: list[str] = []
    drawings: list[Drawing] = []
    tables: list[Table] = []
    code: list[str] = []


class ReportData(_Part):
    """The whole report."""

    language: str
    title: str
    subtitle: str
    eyebrow: str
    answer: str
    met: bool
    waiting: str
    rests_title: str
    rests_on: list[str]
    facts: list[Fact]
    labels: dict[str, str]
    """Colour of a serving label by its shown name."""
    sections: list[Section]
    footer: str
