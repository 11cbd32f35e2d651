"""Accuracy figures as JSON: one file per subject, in it one object per section of the pages, by its name."""

import json
import math
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

Figures = Mapping[str, Any]
"""The figures of one section. Shares, errors and biases are between 0 and 1; units stand in the names."""

_PLACES = (Path(__file__).with_name("shipped"), Path(__file__).parents[2] / "docs" / "accuracy")
"""In an installed package, and in the source tree."""

_DIGITS = 6
"""Significant digits of a stored figure: more than any page shows, fewer than processors disagree in."""


@cache
def shipped() -> dict[str, Figures]:
    """The figures of each section by its name; empty where they were not shipped."""
    folder = next((place for place in _PLACES if place.is_dir()), None)
    return read(folder) if folder else {}


def read(folder: Path) -> dict[str, Figures]:
    """The figures of each section by its name, from every JSON file of a folder.

    :raises ValueError: a file is not JSON.
    """
    found: dict[str, Figures] = {}
    for path in sorted(folder.glob("*.json")):
        found.update(json.loads(path.read_text(encoding="utf-8")))
    return found


def stored(value: Any) -> Any:
    """The value as a reader of its JSON gets it: six significant digits, None for what is not a number.

    >>> stored({"error": 0.123456789, "rows": (2, float("nan"))})
    {'error': 0.123457, 'rows': [2, None]}
    """
    if isinstance(value, Mapping):
        return {str(name): stored(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [stored(each) for each in value]
    finite = isinstance(value, float) and math.isfinite(value)
    return float(f"{value:.{_DIGITS}g}") if finite else None if isinstance(value, float) else value


def laid_out(value: Any, margin: str = "") -> str:
    """JSON in which every figure of a section and every row of a table has a line of its own.

    >>> print(laid_out({"promises": {"futures": 2, "plans": [{"month": "2026-03", "seen": 0.9}]}}))
    {
      "promises": {
        "futures": 2,
        "plans": [
          {"month": "2026-03", "seen": 0.9}
        ]
      }
    }
    """
    inner = margin + "  "
    if isinstance(value, dict) and len(margin) < 4:
        lines = [f"{inner}{json.dumps(name)}: {laid_out(each, inner)}" for name, each in value.items()]
        return "{\n" + ",\n".join(lines) + f"\n{margin}}}"
    if isinstance(value, list) and any(isinstance(each, dict) for each in value):
        return "[\n" + ",\n".join(inner + _line(each) for each in value) + f"\n{margin}]"
    return _line(value)


def _line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def score_rows(found: Mapping[str, Figures]) -> list[dict[str, str | float]]:
    """Error in per cent by calibration rows and metric, means over groups."""
    return [
        {
            "rows": f"{setting['rows_at_most']}{', held out' if setting['held_out'] else ''}",
            "metric": title,
            "error": round(100 * setting[metric]["error"], _DIGITS),
        }
        for setting in found.get("serving", {}).get("settings", [])
        for metric, title in (("tpot", "TPOT"), ("throughput", "throughput"), ("ttft", "TTFT"))
        if setting[metric]["error"] is not None
    ]


def gate_scores(found: Mapping[str, Figures]) -> list[dict[str, str | float]]:
    """Brier score by law and horizon."""
    return [
        {"law": law["law"], "horizon": f"{days} d", "brier": brier}
        for law in found.get("hindcast", {}).get("laws", [])
        for days, brier in law["by_horizon"].items()
        if brier is not None
    ]


def published_day(found: Mapping[str, Figures]) -> list[dict[str, str | float]]:
    """Nodes by hour, published and predicted with the interval: DeepSeek's own day."""
    columns = ("hour", "published", "predicted", "low", "high")
    return [{column: hour[column] for column in columns} for hour in found.get("deepseek-day", {}).get("hours", [])]
