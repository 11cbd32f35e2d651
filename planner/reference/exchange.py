"""Exchange rates for scenarios that give none of their own; one dated level each, not a forecast."""

import csv
from collections.abc import Mapping
from functools import cache
from importlib import resources


def rate(given: str, wanted: str, own: Mapping[str, float]) -> float | None:
    """Units of ``wanted`` for one unit of ``given``; the scenario's ``own`` rates come first.

    >>> rate("USD", "CNY", {"USD": 7.0}), rate("CNY", "CNY", {}), rate("XXX", "CNY", {})
    (7.0, 1.0, None)
    """
    if given == wanted:
        return 1.0
    if given in own:
        return own[given]
    known = _cny_per_unit()
    if given in known and wanted in known:
        return known[given] / known[wanted]
    return None


@cache
def _cny_per_unit() -> dict[str, float]:
    text = (resources.files("planner.reference") / "exchange.csv").read_text(encoding="utf-8")
    return {row["currency"]: float(row["cny_per_unit"]) for row in csv.DictReader(text.splitlines())}
