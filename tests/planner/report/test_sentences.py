"""Every sentence of a plan, told in both languages from one record: the same figures, and nothing left in English."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from planner.record.models import Condition, PlanRecord
from planner.report import sentences, study_sentences
from planner.report.language import Wording

Teller = Callable[[PlanRecord, Wording], Any]
KINDS: dict[str, Teller] = {
    "answer": sentences.answer,
    "waiting": sentences.waiting,
    "rests on": sentences.rests_on,
    "plan again": sentences.plan_again,
    "reasons": sentences.reasons,
    "calendar": lambda record, say: study_sentences.calendar_sentence(record, record.calendar, say),
    "conditions": lambda record, say: [
        study_sentences.condition(line.condition, line.source, say) for line in record.calendar.lines
    ],
    "inputs": lambda record, say: [study_sentences.swing_input(swing.input, say) for swing in record.tornado],
    "worth": study_sentences.worth_sentences,
    "limits": study_sentences.limit_sentences,
    "policies": lambda record, say: [
        told(rival.name, say) for rival in record.rivals for told in (sentences.policy, sentences.policy_rule)
    ],
}


class Overheard(Wording):
    """A wording that notes what it is asked to say."""

    def __call__(self, text: str, **figures: Any) -> str:
        said = super().__call__(text, **figures)
        self.__dict__.setdefault("heard", []).append((text, tuple(figures), said))
        return said


def variants(record: PlanRecord) -> dict[str, PlanRecord]:
    """The record, and what is told where the goal is missed, nothing is ordered, or conditions are met."""
    answer = record.answer
    missed = answer.model_copy(update={"feasible": False, "way": "fixed-calendar"})
    looking = answer.model_copy(update={"way": "if-then-calendar"})
    cheap = answer.cost_of_waiting.model_copy(update={"value": -2e5, "low": -9e5, "high": 4e5})
    idle = answer.model_copy(update={"cost_of_waiting": cheap, "waiting_takes": 0.0})
    why = record.why
    settled = why.model_copy(
        update={"own_volume": why.own_volume.model_copy(update={"settled": True}), "relaxations": []}
    )
    return {
        "as it is": record,
        "goal missed": record.model_copy(update={"answer": missed, "why": settled}),
        "looks first": record.model_copy(update={"answer": looking}),
        "nothing now": record.model_copy(update={"answer": idle, "orders": [], "why": settled}),
        "nothing at all": record.model_copy(
            update={"answer": idle.model_copy(update={"way": "fixed-calendar"}), "orders": [], "reservations": []}
        ),
    }


@pytest.mark.parametrize("kind", KINDS)
def test_both_languages_say_the_same_with_the_same_figures(kind: str, record: PlanRecord):
    for name, each in variants(record).items():
        english, chinese = Overheard("en"), Overheard("zh")
        KINDS[kind](each, english)
        KINDS[kind](each, chinese)
        pairs = [[(text, names) for text, names, _ in say.__dict__.get("heard", [])] for say in (english, chinese)]
        assert pairs[0] == pairs[1], name
        for text, names, said in chinese.__dict__.get("heard", []):
            assert said != text or not re.search("[a-z]{3}", text), (name, text)
            for figure in names:
                assert "{" + figure + "}" in text, (text, figure)


def test_the_record_tells_itself_in_english(record: PlanRecord):
    say = Wording("en")
    assert record.answer.sentence == sentences.in_plain(sentences.answer(record, say))
    assert [order.why for order in record.orders] == [
        sentences.in_plain(sentences.why(order, record, say)) for order in record.orders
    ]


def test_a_condition_names_the_source_whatever_its_name():
    name = "Nvidia H20, Inspur is closed"
    told = study_sentences.condition(Condition(watched=name, most="closed"), "Ascend", Wording("en"))
    assert told == f"while {name} is closed"
