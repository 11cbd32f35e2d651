"""Sentences built from a record's figures, where the record's own English is not what is asked for."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, replace

from dashboard.wording import Wording
from planner.record.models import Order, PlanRecord


def answer_sentence(record: PlanRecord, say: Wording) -> str:
    """The answer. English: the record's own sentence; any other language: told anew from the same figures."""
    answer = record.answer
    if say.language == "en":
        return answer.sentence
    first = [order for order in record.orders if order.gpus > 0]
    ordered = (
        say(
            "By {day}: {what}.",
            day=say.day(answer.next_order_by or first[0].last_safe or first[0].order_on),
            what=say(", ").join(
                say("{gpus} {sku} from {source}", gpus=order.gpus, sku=order.sku, source=order.source)
                for order in first
                if order.month == first[0].month
            ),
        )
        if first
        else say("Order nothing.")
    )
    figures = {
        "goal": say.percent(answer.goal),
        "month": say.month(answer.weakest_month),
        "p": say.percent(answer.probability.value),
        "range": say.percent_range(answer.probability.low, answer.probability.high),
    }
    odds = (
        say("The goal of {goal} holds; the weakest month is {month} with {p} ({range}).", **figures)
        if answer.feasible
        else say("No plan reaches {goal}; the weakest month is {month} with {p} ({range}).", **figures)
    )
    if record.later:
        looks = answer.way == "if-then calendar"
        ordered += " " + say(
            "Further orders look at the gates first: about {gpus} GPUs more by {month}."
            if looks
            else "Plan again each month: about {gpus} GPUs more by {month}, as need and gates then show.",
            gpus=say.count(sum(order.mean_gpus for order in record.later)),
            month=say.month(record.later[-1].month),
        )
    return f"{ordered} {odds}" if answer.feasible else f"{odds} {ordered}"


def waiting_sentence(record: PlanRecord, say: Wording) -> str:
    """What waiting one month costs."""
    if say.language == "en":
        return record.answer.waiting
    cost, currency = record.answer.cost_of_waiting, record.scenario.currency
    return say(
        "Waiting one month changes the expected cost by {cost} ({low} to {high}).",
        cost=say.money(cost.value, currency),
        low=say.money(cost.low, currency),
        high=say.money(cost.high, currency),
    )


def rests_on(record: PlanRecord, say: Wording) -> list[str]:
    """The facts that would change the answer most. English: the record's own; else from the same figures."""
    if say.language == "en":
        return list(record.answer.rests_on)
    told = [
        say(
            "{gate} is {state}: an order of today serves within the horizon in {odds} of futures; with this gate "
            "always open in {opened}.",
            gate=gate.gate,
            state=say(gate.state),
            odds=say.odds(gate.arrives),
            opened=say.odds(gate.arrives_if_open),
        )
        for gate in record.gate_odds
    ]
    last = record.months[-1]
    for first, part in zip(record.months[0].pools, last.pools, strict=True):
        told.append(
            say(
                "{pool}: need grows from {first} to {low}–{high} GPUs by {month} in 8 of 10 futures.",
                pool=part.pool,
                first=say.count(first.need_gpus.p50),
                low=say.count(part.need_gpus.p10),
                high=say.count(part.need_gpus.p90),
                month=say.month(last.month),
            )
        )
    return told


def order_why(order: Order, currency: str, say: Wording) -> str:
    """Why an order is in the plan. English: the record's own words; else from the same figures."""
    if say.language == "en":
        return order.why
    cost = say("Without it the plan costs {change}.", change=say.change(order.cost_without.value, currency))
    if order.protects is None:
        return cost
    saved = say(
        "Protects {month}: without it demand is met there in {odds} of futures.",
        month=say.month(order.protects),
        odds=say.odds(order.probability_without),
    )
    return f"{saved} {cost}"


def reasons(record: PlanRecord, say: Wording) -> list[str]:
    """Why this plan. English: the record's own words; else the orders that protect a month, told anew."""
    if say.language == "en":
        return list(record.reasons)
    currency = record.scenario.currency
    told = [
        say(
            "{gpus} {sku} on {day}: {why}",
            gpus=order.gpus,
            sku=order.sku,
            day=say.day(order.order_on),
            why=order_why(order, currency, say),
        )
        for order in record.orders
        if order.gpus > 0 and order.protects is not None
    ]
    return told[:_FEW] or in_language(record.reasons, say)


_FEW = 5
"""Reasons told; the Orders page has them all."""


def in_language(sentences: Sequence[str], say: Wording) -> list[str]:
    """The planner's sentences; where they are not in the language asked for, each says that it is English."""
    if say.language == "en":
        return list(sentences)
    return [say("(in English) {sentence}", sentence=sentence) for sentence in sentences]


@dataclass(frozen=True)
class RentalSpan:
    """The same number of GPUs reserved for months on end, YYYY-MM both included."""

    pool: str
    source: str
    sku: str
    first: str
    last: str
    reserve_by: dt.date
    gpus: int
    price: float
    """Of all its months together."""


def rental_spans(record: PlanRecord) -> list[RentalSpan]:
    """Reservations with equal neighbours put together, by source, pool and month."""
    spans: list[RentalSpan] = []
    for item in sorted(record.reservations, key=lambda item: (item.source, item.pool, item.month)):
        span = RentalSpan(
            item.pool, item.source, item.sku, item.month, item.month, item.reserve_by, item.gpus, item.price
        )
        before = spans[-1] if spans else None
        if before is not None and _goes_on(before, span):
            spans[-1] = replace(before, last=span.last, price=before.price + span.price)
        else:
            spans.append(span)
    return sorted(spans, key=lambda span: (span.first, span.source, span.pool))


def _goes_on(before: RentalSpan, span: RentalSpan) -> bool:
    same = (before.pool, before.source, before.gpus) == (span.pool, span.source, span.gpus)
    return same and _ordinal(span.first) == _ordinal(before.last) + 1


def _ordinal(month: str) -> int:
    year, number = month.split("-")
    return int(year) * 12 + int(number)
