"""The accuracy pages: an index, and beside it a folder with one page of Markdown per subject and its JSON.

Every section lies between markers and is rendered from the JSON; what else a page says stays as it is.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from dashboard.accuracy import demand, gates, service_level, serving
from dashboard.accuracy.figures import Figures, laid_out, read, stored
from dashboard.accuracy.markdown import table

HEADLINES = "headlines"
"""The index's own section."""


@dataclass(frozen=True)
class Section:
    """One section of a page."""

    name: str
    """Of its markers."""
    page: str
    """Stem of the page."""
    title: str
    text: Callable[[Figures], str]
    headline: Callable[[Figures], str] | None
    """What the index says of it."""
    figures: str = ""
    """Name of the figures where it is not the section's own."""

    @property
    def source(self) -> str:
        """Name of the figures that the section is rendered from."""
        return self.figures or self.name


SUBJECTS = {
    "serving": ("serving", "goodput-replay", "replay-engine"),
    "gates": ("hindcast",),
    "service_level": ("promises",),
    "demand": ("deepseek-day",),
}
"""Figures by subject; each has a JSON file of its own."""

SECTIONS = (
    Section("serving", "serving", "Serving throughput", serving.throughput, serving.throughput_headline),
    Section("serving-groups", "serving_groups", "Serving throughput by group", serving.groups, None, "serving"),
    Section("hindcast", "gates", "Gates and deliveries", gates.hindcast, gates.headline),
    Section("goodput-replay", "serving", "Goodput by formula against replay", serving.goodput,
            serving.goodput_headline),
    Section("deepseek-day", "demand", "DeepSeek's day", demand.day, demand.headline),
    Section("replay-engine", "serving", "Replay against the engine", serving.engine, serving.engine_headline),
    Section("promises", "service_level", "Promises kept", service_level.promises, service_level.headline),
)  # fmt: skip

PAGES = {
    "serving": ("Accuracy of serving estimates", " [Group by group](serving_groups.md)."),
    "serving_groups": ("Accuracy of serving estimates by group", " [Summary](serving.md)."),
    "gates": ("Accuracy of gates and deliveries", ""),
    "service_level": ("Accuracy of the service level", ""),
    "demand": ("Accuracy of nodes for a known demand", ""),
}
"""Title of each page, and what the line below it ends with."""


def told(found: Mapping[str, Figures]) -> list[tuple[str, str]]:
    """(title, Markdown) of every section that there are figures for."""
    return [(each.title, each.text(found[each.source])) for each in SECTIONS if each.source in found]


def section_text(name: str, figures: Figures) -> str:
    """One section with its heading, as its page and a terminal show it."""
    section = next(each for each in SECTIONS if each.name == name)
    return f"## {section.title}\n\n{section.text(stored(figures))}"


def renewed(index: Path, name: str, figures: Figures) -> dict[Path, str]:
    """Texts of the files that new figures change: their JSON, their pages, the index. Nothing is written.

    :raises ValueError: a file that is there is not text or not JSON.
    """
    folder = index.with_suffix("")
    found = {**read(folder), name: stored(figures)}
    subject = next(subject for subject, names in SUBJECTS.items() if name in names)
    mine = {each: found[each] for each in SUBJECTS[subject] if each in found}
    texts = {folder / f"{subject}.json": laid_out(mine) + "\n"}
    for section in (each for each in SECTIONS if each.source == name):
        path = folder / f"{section.page}.md"
        before = _text(path) or _head(section.page, subject, index.name)
        texts[path] = with_section(before, section.name, section_text(section.name, found[name]))
    texts[index] = with_section(_text(index) or "# Accuracy\n", HEADLINES, headlines(found, folder.name))
    return texts


def headlines(found: Mapping[str, Figures], folder: str) -> str:
    """The index's table: what was compared, with which result, and where the whole is."""
    rows = [
        (section.title, section.headline(found[section.source]), f"[{section.page}]({folder}/{section.page}.md)")
        for section in SECTIONS
        if section.headline and section.source in found
    ]  # fmt: skip
    return table(("compared", "result", "page"), rows)


def with_section(page: str, name: str, section: str) -> str:
    """The page with the section of that name replaced, or added at its end; other sections stay as they are.

    >>> print(with_section("# Accuracy\\n", "serving", "text"))
    # Accuracy
    <BLANKLINE>
    <!-- section: serving -->
    text
    <!-- end of section: serving -->
    <BLANKLINE>
    """
    first, last = f"<!-- section: {name} -->", f"<!-- end of section: {name} -->"
    block = f"{first}\n{section.strip()}\n{last}\n"
    if first in page and last in page:
        before, rest = page.split(first, 1)
        return before + block + rest.split(last, 1)[1].removeprefix("\n")
    return f"{page.rstrip()}\n\n{block}"


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def _head(page: str, subject: str, index: str) -> str:
    title, end = PAGES[page]
    return (
        f"# {title}\n\nFigures between the markers are rendered from [{subject}.json]({subject}.json); none is edited"
        f" by hand.{end} [Index](../{index}).\n"
    )
