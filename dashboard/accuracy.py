"""The accuracy page that ships with the package: sections of Markdown, and the scores in them."""

import re
from functools import cache
from pathlib import Path

_PLACES = (
    Path(__file__).with_name("accuracy.md"),
    Path(__file__).parents[1] / "docs" / "accuracy.md",
)
"""In an installed package, and in the source tree."""


@cache
def sections() -> tuple[tuple[str, str], ...]:
    """(title, Markdown) of each second-level section; empty where the page was not shipped."""
    found = next((path for path in _PLACES if path.is_file()), None)
    if found is None:
        return ()
    text = re.sub(r"<!--.*?-->", "", found.read_text(encoding="utf-8"))
    parts = re.split(r"^## (.+)$", text, flags=re.MULTILINE)
    return tuple((title.strip(), body.strip()) for title, body in zip(parts[1::2], parts[2::2], strict=True))


def score_tables(found: tuple[tuple[str, str], ...]) -> list[dict[str, str | float]]:
    """Error in per cent by calibration rows and metric, read from the first table of the serving section."""
    for title, text in found:
        if "Serving" in title:
            return [
                {"rows": row["calibration rows at most"], "metric": metric, "error": error}
                for row in _table(text)
                for metric in ("TPOT", "throughput", "TTFT")
                if (error := _percent(row.get(metric, ""))) is not None
            ]
    return []


def _table(text: str) -> list[dict[str, str]]:
    """Rows of the first Markdown table of a text."""
    lines = [line.strip() for line in text.splitlines()]
    starts = [at for at, line in enumerate(lines) if re.fullmatch(r"\|[-:| ]+\|", line)]
    if not starts or starts[0] == 0:
        return []
    head = _cells(lines[starts[0] - 1])
    rows = []
    for line in lines[starts[0] + 1 :]:
        if not line.startswith("|"):
            break
        rows.append(dict(zip(head, _cells(line), strict=False)))
    return rows


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def _percent(text: str) -> float | None:
    match = re.match(r"([\d.]+) %", text)
    return float(match.group(1)) if match else None
