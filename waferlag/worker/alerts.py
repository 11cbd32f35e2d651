"""Which messages a run deserves: a goal missed, an order-by date near, a failure, a change."""

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from planner.compare.plans import Changes
    from planner.record.models import PlanRecord

SCHEMA_VERSION = 1
TOPICS = ("goal", "order-by", "failed", "changed")
"""What a sink can be told of."""


@dataclass(frozen=True)
class Message:
    """One message before it is addressed."""

    topic: str
    subject: str
    body: dict[str, Any]


def about_plan(run_id: str, schedule: str, record: "PlanRecord", today: dt.date, warn_days: float) -> list[Message]:
    """What the sinks of a schedule must know of a plan."""
    from planner.report.language import ENGLISH
    from planner.report.sentences import goal_missed, in_plain, order_due

    answer = record.answer
    figures = {
        "sentence": answer.sentence,
        "goal": answer.goal,
        "weakest_month": answer.weakest_month,
        "probability": answer.probability.model_dump(),
        "next_order_by": answer.next_order_by.isoformat() if answer.next_order_by else None,
    }
    about = {}
    if answer.probability.value < answer.goal:
        about["goal"] = goal_missed(record, ENGLISH)
    if answer.next_order_by is not None and (answer.next_order_by - today).days <= warn_days:
        about["order-by"] = order_due(answer.next_order_by, today, ENGLISH)
    return [
        _message(topic, f"{schedule}: {in_plain(words)}", run_id, schedule, figures) for topic, words in about.items()
    ]


def about_failure(run_id: str, schedule: str | None, error: str) -> Message:
    """A run that brought no plan."""
    return _message("failed", f"{schedule}: run {run_id} failed", run_id, schedule, {"error": error})


def about_changes(run_id: str, schedule: str | None, changes: "Changes") -> Message | None:
    """What changed since the run before; None: nothing in the answer."""
    if not changes.moves and not changes.orders:
        return None
    from planner.report.change_sentences import sentence

    body = changes.model_dump(mode="json")
    return _message("changed", f"{schedule}: {sentence(changes)}", run_id, schedule, {"changes": body})


def _message(topic: str, subject: str, run_id: str, schedule: str | None, figures: dict[str, Any]) -> Message:
    about = {"schema_version": SCHEMA_VERSION, "topic": topic, "subject": subject, "run": run_id, "schedule": schedule}
    return Message(topic, subject, {**about, **figures})
