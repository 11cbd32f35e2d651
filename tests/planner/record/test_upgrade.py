"""A record of version 1, which held English words, opens as one of this version."""

from typing import Any

import pytest

from planner.record.models import PlanRecord


def as_version_1(record: PlanRecord) -> dict[str, Any]:
    """The record as 0.1 wrote it: words where there are ids now, and none of the figures that came since."""
    old = record.model_dump(mode="json")
    old["schema_version"] = 1
    old["answer"]["way"] = "monthly re-planning"
    old.pop("why")
    for name in ("waiting_takes", "waiting_hurts", "demand_growth"):
        old["answer"].pop(name)
    for order in old["orders"]:
        del order["probability_with"], order["accepted"]
    for rival in old["rivals"]:
        rival["name"] = rival["name"].replace("nine-month-mrp", "nine-month MRP").replace("-", " ")
        rival["name"] = rival["name"].replace("nine month", "nine-month")
        rival["meaning"] = "The rule."
        rival["verdict"] = {"misses-goal": "short of the goal"}.get(rival["verdict"], rival["verdict"])
    for gate in old["open_gates"]:
        gate["gate"] = gate["gate"] or "all gates"
    said = {0: "if at least promised", 1: "while H20 new wafers is closed", 2: "once cleared"}
    for at, line in enumerate(old["calendar"]["lines"]):
        line["condition"] = said[at]
    inputs = ("need of {pool}", "what {sku} carries in {pool}", "months from order to service, {source}")
    for swing, words in zip(old["tornado"], inputs, strict=True):
        swing["what"] = words.format(**swing.pop("input"))
    for limit in old["limits"]:
        limit["name"] = limit.pop("sources")[0]
        limit["limit"] = limit["limit"].replace("-", " ")
        limit["words"] = "One GPU more would save money."
    return old


def test_every_word_becomes_its_id(record: PlanRecord):
    new = PlanRecord.model_validate(as_version_1(record))
    assert new.schema_version == record.schema_version
    for name in ("calendar", "rivals", "open_gates", "tornado", "limits", "months", "kpis"):
        assert getattr(new, name) == getattr(record, name), name
    assert new.answer.way == record.answer.way


def test_a_word_that_no_version_wrote_is_refused(record: PlanRecord):
    old = as_version_1(record)
    old["calendar"]["lines"][0]["condition"] = "when the moon is full"
    with pytest.raises(ValueError, match="when the moon is full"):
        PlanRecord.model_validate(old)


def test_a_broken_record_of_version_1_is_refused_as_one(record: PlanRecord):
    old = as_version_1(record)
    for broken in ({**old, "answer": 5}, {**old, "rivals": [None]}, {**old, "calendar": {"lines": [{}]}}):
        with pytest.raises(ValueError, match="is no whole record of version 1"):
            PlanRecord.model_validate(broken)
