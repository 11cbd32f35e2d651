"""Which messages a run deserves: a goal missed, an order-by date near, a failure, a change."""

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from planner.compare.plans import Changes

if TYPE_CHECKING:
    from planner.record.models import Answer, PlanRecord

SCHEMA_VERSION = 1
TOPICS = ("goal", "order-by", "failed", "changed")
"""What a sink can be told of."""


@dataclass(frozen=True)
class Message:
    """One message before it is addressed."""

    topic: str
    subject: str
    body: dict[str, Any]


def about_plan(
    run_id: str, schedule: str, record: "PlanRecord", today: dt.date, warn_days: float
) -> list[Message]:
    """What the sinks of a schedule must know of a plan."""
    answer = record.answer
    figures = {
        "sentence": answer.sentence,
        "goal": answer.goal,
        "weakest_month": answer.weakest_month,
        "probability": answer.probability.model_dump(),
        "next_order_by": answer.next_order_by.isoformat() if answer.next_order_by else None,
    }
    about = {"goal": _goal_missed(answer), "order-by": _order_due(answer, today, warn_days)}
    return [
        _message(topic, f"{schedule}: {words}", run_id, schedule, figures)
        for topic, words in about.items()
        if words
    ]


def _goal_missed(answer: "Answer") -> str:
    odds = answer.probability
    if odds.value >= answer.goal:
        return ""
    return (
        f"demand is met with {odds.value:.0%} ({odds.low:.0%}-{odds.high:.0%}) in "
        f"{answer.weakest_month}, below the goal of {answer.goal:.0%}"
    )


def _order_due(answer: "Answer", today: dt.date, warn_days: float) -> str:
    if answer.next_order_by is None or (answer.next_order_by - today).days > warn_days:
        return ""
    days = (answer.next_order_by - today).days
    when = f"in {days} day(s)" if days >= 0 else f"{-days} day(s) ago"
    return f"the next order is due by {answer.next_order_by}, {when}"


def about_failure(run_id: str, schedule: str | None, error: str) -> Message:
    """A run that brought no plan."""
    return _message("failed", f"{schedule}: run {run_id} failed", run_id, schedule, {"error": error})


def about_changes(run_id: str, schedule: str | None, changes: Changes) -> Message | None:
    """What changed since the run before; None: nothing in the answer."""
    if not changes.moves and not changes.orders:
        return None
    body = changes.model_dump(mode="json")
    return _message("changed", f"{schedule}: {changes.sentence}", run_id, schedule, {"changes": body})


def _message(topic: str, subject: str, run_id: str, schedule: str | None, figures: dict[str, Any]) -> Message:
    body = {
        "schema_version": SCHEMA_VERSION,
        "topic": topic,
        "subject": subject,
        "run": run_id,
        "schedule": schedule,
        **figures,
    }
    return Message(topic, subject, body)
