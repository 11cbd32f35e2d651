"""Records and comparisons of version 1, which held English words where these hold ids, brought to this version."""

import re
from collections.abc import Mapping
from typing import Any

_POLICIES = {
    "fixed calendar": "fixed-calendar",
    "if-then calendar": "if-then-calendar",
    "monthly re-planning": "monthly-re-planning",
    "nothing until cleared": "nothing-until-cleared",
    "everything now": "everything-now",
    "nine-month MRP": "nine-month-mrp",
    "domestic only": "domestic-only",
    "rent only": "rent-only",
}
_VERDICTS = {"short of the goal": "misses-goal", "over the budget": "over-budget"}
_OWN: dict[str, dict[str, Any]] = {
    "in any case": {},
    "if at least promised": {"least": "promised"},
    "if passing": {"least": "passing"},
    "once cleared": {"least": "passing", "waits": True},
}
_OTHERS = (
    (re.compile("while (.*) is closed", re.DOTALL), "closed"),
    (re.compile("while (.*) is not passing", re.DOTALL), "promised"),
)
_INPUTS = (
    (re.compile("need of (?P<pool>.*)", re.DOTALL), "need"),
    (re.compile("months from order to service, (?P<source>.*)", re.DOTALL), "months-to-service"),
    (re.compile("what rented (?P<sku>.*?) carries in (?P<pool>.*)", re.DOTALL), "rented-carries"),
    (re.compile("what (?P<sku>.*?) carries in (?P<pool>.*)", re.DOTALL), "carries"),
)

_FIGURES = {
    "probability in the weakest month": "probability",
    "weakest month": "weakest-month",
    "next order by": "next-order-by",
    "demand outgrows what serves (median)": "runs-out",
    "mean cost": "mean-cost",
    "cost of waiting a month": "cost-of-waiting",
    "money at risk if the gates close": "at-risk",
    "GPUs ordered": "gpus-ordered",
}
_GOAL = re.compile(r"the goal of (\d+)%$")
_PROBLEM = re.compile(r"alone cannot be swapped \((.*)\)$", re.DOTALL)
_COST = re.compile(r", [-+][\d,]+ (.*), [-+]\d+ GPUs$")


def upgraded_changes(document: Mapping[str, Any]) -> dict[str, Any]:
    """A comparison of two runs in this version's words; one of this version as it is. ValueError: it is neither."""
    if document.get("schema_version") != 1:
        return dict(document)
    try:
        return _with_ids(document)
    except (KeyError, TypeError) as error:
        raise ValueError(f"is no comparison of version 1: {error!r}") from None


def _with_ids(document: Mapping[str, Any]) -> dict[str, Any]:
    moves, causes = document["moves"], document["causes"]
    money = [line["unit"] for line in moves if line["unit"] not in ("share", "date", "GPUs")]
    money += filter(None, (_in(_COST, cause) for cause in causes))
    return {
        **document,
        "schema_version": 2,
        "currency": money[0] if money else "",
        "moves": [{**move, "figure": _FIGURES[move["figure"]], "goal": _goal(move)} for move in moves],
        "causes": [{**cause, "problem": _in(_PROBLEM, cause) or ""} for cause in causes],
    }


def _in(pattern: re.Pattern[str], line: Mapping[str, Any]) -> str | None:
    found = pattern.search(line["text"])
    return found[1] if found else None


def _goal(move: Mapping[str, Any]) -> float | None:
    said = _in(_GOAL, move)
    return int(said) / 100 if said else None


def upgraded(document: Mapping[str, Any]) -> dict[str, Any]:
    """The document in this version's words; one of this version as it is. The only place that reads old English.

    :raises ValueError: it is of version 1, but not as that version wrote it.
    """
    if document.get("schema_version") != 1:
        return dict(document)
    try:
        return _of_version_1(document)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"is no whole record of version 1 ({type(error).__name__}: {error})") from None


def _of_version_1(document: Mapping[str, Any]) -> dict[str, Any]:
    answer = dict(document["answer"])
    answer["way"] = _POLICIES.get(answer.get("way", "fixed calendar"), answer.get("way"))
    changed: dict[str, Any] = {
        "schema_version": 2,
        "answer": answer,
        "rivals": [_rival(rival) for rival in document.get("rivals", [])],
        "open_gates": [
            {**gate, "gate": None if gate["gate"] == "all gates" else gate["gate"]}
            for gate in document.get("open_gates", [])
        ],
        "tornado": [_swing(swing) for swing in document.get("tornado", [])],
        "limits": [_limit(limit) for limit in document.get("limits", [])],
    }
    if calendar := document.get("calendar"):
        lines = [{**line, "condition": _condition(line)} for line in calendar["lines"]]
        changed["calendar"] = {**calendar, "lines": lines}
    return {**document, **changed}


def _rival(old: Mapping[str, Any]) -> dict[str, Any]:
    verdict = str(old.get("verdict"))
    kept = {name: value for name, value in old.items() if name != "meaning"}
    return {
        **kept,
        "name": _POLICIES.get(old["name"], old["name"]),
        "verdict": _VERDICTS.get(verdict, old.get("verdict")),
    }


def _condition(line: Mapping[str, Any]) -> dict[str, Any]:
    said = line["condition"]
    if said in _OWN:
        return {"watched": line["source"], **_OWN[said]} if _OWN[said] else {}
    for pattern, most in _OTHERS:
        if found := pattern.fullmatch(said):
            return {"watched": found[1], "most": most}
    raise ValueError(f"unknown condition {said!r}")


def _swing(old: Mapping[str, Any]) -> dict[str, Any]:
    rest = {name: value for name, value in old.items() if name != "what"}
    for pattern, kind in _INPUTS:
        if found := pattern.fullmatch(old["what"]):
            return {"input": {"kind": kind, **found.groupdict()}, **rest}
    raise ValueError(f"unknown input {old['what']!r}")


def _limit(old: Mapping[str, Any]) -> dict[str, Any]:
    rest = {name: value for name, value in old.items() if name not in ("words", "name", "limit")}
    return {"limit": old["limit"].replace(" ", "-"), "sources": [old["name"]] if old["name"] else [], **rest}
