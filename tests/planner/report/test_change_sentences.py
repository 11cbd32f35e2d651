"""What changed between two runs, told in both languages from the same facts; comparisons of older databases open."""

import re
from typing import Any

import pytest

from planner.compare.plans import Cause, Changes, compare
from planner.report.change_sentences import sentence, with_texts
from planner.report.language import ENGLISH, Wording

CAUSES = [
    Cause(group="demand", probability=-0.06, mean_cost=120_000.0, gpus_ordered=-32),
    Cause(group="gates", problem="gates.0: no such state"),
]


@pytest.fixture
def changes(make_record) -> Changes:
    return compare(make_record(probability=0.91, gpus=96), make_record(probability=0.84, gpus=64), CAUSES)


def told(found: Changes, say: Wording) -> list[str]:
    texts = with_texts(found, say)
    return [texts.sentence, *(each.text for part in (texts.moves, texts.orders, texts.causes) for each in part)]


def test_chinese_holds_the_figures_of_english_and_none_of_its_words(changes):
    names = r"H20-96GB|h20|chat|CNY|GPU|Waferlag|gates\.0: no such state"
    for english, chinese in zip(told(changes, ENGLISH), told(changes, Wording("zh")), strict=True):
        assert sorted(re.findall(r"\d[\d.,]*\d|\d", english)) == sorted(re.findall(r"\d[\d.,]*\d|\d", chinese))
        assert not re.search("[a-z]{3}", re.sub(names, "", chinese)), chinese


def test_english_keeps_its_words(changes):
    texts = told(changes, ENGLISH)
    assert "Probability in the weakest month fell from 91.0% to 84.0%, below the goal of 90%" in texts[0]
    assert texts[0].endswith("Why: demand: -6.0 points, +120,000 CNY, -32 GPUs.")
    assert "2025-07: 64 instead of 96 H20-96GB from h20 for chat" in texts
    assert texts[-1] == "gates alone cannot be swapped (gates.0: no such state)"


def as_version_1(found: Changes) -> dict[str, Any]:
    """The comparison as 0.1 stored it: words where there are ids now, and figures that only its texts held."""
    old = with_texts(found).model_dump(mode="json")
    old["schema_version"] = 1
    del old["currency"]
    words = {"probability": "probability in the weakest month"}
    for move in old["moves"]:
        move["figure"] = words[move["figure"]]
        del move["goal"]
    for cause in old["causes"]:
        del cause["problem"]
    return old


def test_a_comparison_of_version_1_opens_and_tells_itself_in_both_languages(changes):
    changes = changes.model_copy(update={"moves": [move for move in changes.moves if move.unit == "share"]})
    again = Changes.model_validate(as_version_1(changes))
    for say in (ENGLISH, Wording("zh")):
        assert told(again, say) == told(changes, say)
    assert sentence(again, ENGLISH) == again.sentence
