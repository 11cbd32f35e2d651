"""The accuracy pages: an index, and beside it a folder with one page of Markdown per subject and its JSON.

Every section lies between markers and is rendered from the JSON; what else a page says stays as it is.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from dashboard.accuracy.figures import Figures, laid_out, read, stored

HEADLINES = "headlines"
"""The index's own section."""
_METRICS = ("tpot", "throughput", "ttft")


@dataclass(frozen=True)
class Section:
    """One section of a page; the template of its name says how its figures are told."""

    name: str
    page: str
    """Stem of the page."""
    title: str
    source: str
    """Name of the figures that it is rendered from."""


SUBJECTS = {
    "serving": ("serving", "goodput-replay", "replay-engine"),
    "gates": ("hindcast",),
    "service_level": ("promises",),
    "demand": ("deepseek-day",),
}
"""Figures by subject; each has a JSON file of its own."""

SECTIONS = (
    Section("serving", "serving", "Serving throughput", "serving"),
    Section("serving-groups", "serving_groups", "Serving throughput by group", "serving"),
    Section("hindcast", "gates", "Gates and deliveries", "hindcast"),
    Section("goodput-replay", "serving", "Goodput by formula against replay", "goodput-replay"),
    Section("deepseek-day", "demand", "DeepSeek's day", "deepseek-day"),
    Section("replay-engine", "serving", "Replay against the engine", "replay-engine"),
    Section("promises", "service_level", "Promises kept", "promises"),
)

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
    return [(each.title, _told(each.name, found[each.source])) for each in SECTIONS if each.source in found]


def section_text(name: str, figures: Figures) -> str:
    """One section with its heading, as its page and a terminal show it."""
    title = next(each.title for each in SECTIONS if each.name == name)
    return f"## {title}\n\n{_told(name, stored(figures))}"


def _told(name: str, figures: Mapping[str, object]) -> str:
    return _environment().get_template(f"{name}.md.j2").render(figures, METRICS=_METRICS).strip()


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).with_name("templates")),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"f": written, "share": share, "signed": signed}
    return environment


def written(value: float | None, form: str) -> str:
    """A number in a form of :func:`format`; a dash where there is none.

    >>> written(0.8567, ".0%"), written(None, ".0%")
    ('86%', '-')
    """
    return "-" if value is None else format(value, form)


def share(value: float | None) -> str:
    """A share in per cent, three digits below 100 %.

    >>> share(0.0672), share(1.143)
    ('6.72 %', '114 %')
    """
    if value is None:
        return "-"
    return f"{100 * value:.3g} %" if abs(value) < 1 else f"{100 * value:.0f} %"


def signed(value: float | None) -> str:
    """A signed share in whole per cent, without the sign of per cent.

    >>> signed(-0.268)
    '-27'
    """
    return "-" if value is None else f"{100 * value:+.0f}"


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
    titles = {section.name: section.title for section in SECTIONS}
    by_name = {name.replace("-", "_"): found.get(name) for names in SUBJECTS.values() for name in names}
    return _told(HEADLINES, {**by_name, "titles": titles, "folder": folder})


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
