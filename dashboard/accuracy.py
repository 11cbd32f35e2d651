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
    """Error in per cent by calibration rows and metric: the first table of the serving section."""
    rows = tables(found, "Serving")[:1]
    return [
        {"rows": row["calibration rows at most"], "metric": metric, "error": error}
        for row in (rows[0] if rows else [])
        for metric in ("TPOT", "throughput", "TTFT")
        if (error := _percent(row.get(metric, ""))) is not None
    ]


def gate_scores(found: tuple[tuple[str, str], ...]) -> list[dict[str, str | float]]:
    """Brier score by law and horizon: the table of the gates' section whose columns are horizons."""
    return [
        {"law": row["law"], "horizon": horizon.lstrip("+"), "brier": float(score)}
        for table in tables(found, "Gates")
        if table and "+30 d" in table[0]
        for row in table
        for horizon, score in row.items()
        if horizon.startswith("+") and re.fullmatch(r"[\d.]+", score)
    ]


def published_day(found: tuple[tuple[str, str], ...]) -> list[dict[str, str | float]]:
    """Nodes by hour, published and predicted with the interval: DeepSeek's own day."""
    rows: list[dict[str, str | float]] = []
    for row in next(iter(tables(found, "DeepSeek")), []):
        match = re.match(r"([\d.]+) \(([\d.]+)-([\d.]+)\)", row.get("predicted (80 %)", ""))
        if match:
            predicted, low, high = map(float, match.groups())
            hour: str = next(value for name, value in row.items() if name.startswith("hour"))
            rows.append(
                {
                    "hour": hour,
                    "published": float(row["published"]),
                    "predicted": predicted,
                    "low": low,
                    "high": high,
                }
            )
    return rows


def tables(found: tuple[tuple[str, str], ...], word: str) -> list[list[dict[str, str]]]:
    """The Markdown tables of the first section whose title holds the word, each as rows by heading."""
    text = next((text for title, text in found if word in title), "")
    return [_table(block) for block in re.split(r"\n\s*\n", text) if block.lstrip().startswith("|")]


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
