"""The sentences of a plan, told from its record in either language: what to do, what waiting costs, and why.

Every place that tells a plan (terminal, screen, report, alert, and the record's own English) calls these functions.
"""

import datetime as dt
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from planner.clock import month_starts
from planner.record.ids import LimitKind, PolicyId
from planner.record.models import GateOdds, MissedMonth, Month, Order, PlanRecord, Relaxation, Unsellable
from planner.report.language import ENGLISH, Wording

POLICIES: dict[PolicyId, tuple[str, str]] = {
    "fixed-calendar": ("fixed calendar", "orders settled now, the same whatever happens"),
    "if-then-calendar": ("if-then calendar", "orders settled now, on conditions that the gates must be seen to meet"),
    "monthly-re-planning": (
        "monthly re-planning",
        "orders of each month decided when it comes, from need, pipeline and gates as then seen",
    ),
    "base-stock": ("base-stock", "orders up to a level each month, from the source cheapest at the start"),
    "nothing-until-cleared": (
        "nothing until cleared",
        "orders from a gated source only in months in which its gates are seen passing",
    ),
    "everything-now": (
        "everything now",
        "orders in the first month what the largest need takes, cheapest source first",
    ),
    "nine-month-mrp": (
        "nine-month MRP",
        "orders what the mean need nine months on lacks, as if nothing could go wrong",
    ),
    "domestic-only": ("domestic only", "the same optimiser without foreign GPUs"),
    "rent-only": ("rent only", "the same optimiser with rental alone"),
}
"""Name and rule of each way to act."""

VERDICTS = {
    "dearer": "dearer",
    "ties": "ties",
    "cheaper": "cheaper",
    "misses-goal": "short of the goal",
    "over-budget": "over the budget",
}

LIMITS: dict[LimitKind, str] = {
    "monthly-cap": "monthly cap",
    "total-cap": "total cap",
    "joint-cap": "joint cap",
    "reserved-cap": "reserved cap",
    "spot-cap": "spot cap",
    "notice": "notice",
    "budget": "budget",
}

MOST_NAMED = 3
"""Orders, months and reasons named in a sentence; tables have the rest."""
ALWAYS = 0.995
"""A gate that passes in this share of futures is not worth a word."""
TELLING_POINTS = 0.005
"""A change of a probability below half a point is not told."""


def with_sentences(record: PlanRecord) -> PlanRecord:
    """The record with its own sentences in English, for whoever reads its JSON."""
    orders = [order.model_copy(update={"why": in_plain(why(order, record, ENGLISH))}) for order in record.orders]
    told = {
        "sentence": in_plain(answer(record, ENGLISH)),
        "waiting": in_plain(waiting(record, ENGLISH)),
        "rests_on": [in_plain(fact) for fact in rests_on(record, ENGLISH)],
    }
    return record.model_copy(
        update={
            "answer": record.answer.model_copy(update=told),
            "orders": orders,
            "reasons": [in_plain(reason) for reason in reasons(record, ENGLISH)],
        }
    )


def in_plain(text: str) -> str:
    """Text for a terminal or a file: numbers and units are bound by ordinary spaces."""
    return text.replace("\u00a0", " ")


def policy(name: PolicyId, say: Wording) -> str:
    """The name of a way to act."""
    return say(POLICIES[name][0])


def policy_rule(name: PolicyId, say: Wording) -> str:
    """Its rule in a few words."""
    return say(POLICIES[name][1])


def answer(record: PlanRecord, say: Wording) -> str:
    """What to order and by when, and how sure that makes which month."""
    found, what = record.answer, _what(record, say)
    figures = {"odds": say.odds(found.probability), "weakest": say.month(found.weakest_month)}
    required = [month for month in record.months if month.required]
    if found.feasible:
        held = say(
            "With this plan demand is met in each month from {first} to {last} with a probability of at least {odds}; "
            "the weakest month is {weakest}.",
            first=say.month(required[0].month),
            last=say.month(record.months[-1].month),
            **figures,
        )
        return say.together(what, held)
    short = [month for month in required if month.probability.value < found.goal]
    missed = say(
        "No plan found meets demand with {goal} in {months}: the nearest reaches {odds} in {weakest}.",
        goal=say.percent(found.goal),
        months=_named_months(short, say),
        **figures,
    )
    return say.together(missed, what)


def _named_months(months: Sequence[Month], say: Wording) -> str:
    """Few months by name, many by number and span."""
    names = [say.month(month.month) for month in months]
    if len(names) <= MOST_NAMED:
        return say.listed(names)
    return say("{n} months from {first} to {last}", n=len(names), first=names[0], last=names[-1])


def _what(record: PlanRecord, say: Wording) -> str:
    """The orders and the rental, and what is decided later."""
    parts, rent, then = _ordered(record, say), _rented(record, say), _then(record, say)
    if parts and rent:
        said = say("Order {orders}, and reserve {rent}.", orders=parts, rent=rent)
    elif parts:
        said = say("Order {orders}.", orders=parts)
    elif rent and then:
        said = say("Order nothing now; reserve {rent}.", rent=rent)
    elif rent:
        said = say("Order nothing; reserve {rent}.", rent=rent)
    elif then:
        said = say("Order nothing now.")
    else:
        return say("Order nothing and reserve nothing: what is in service will do.")
    return say.together(said, then)


def _ordered(record: PlanRecord, say: Wording) -> str:
    """The next orders by date, several lines of one source and day as one."""
    grouped = Counter[tuple[dt.date, str, str]]()
    for order in record.orders:
        grouped[order.order_on, order.sku, order.source] += order.gpus
    lines = sorted(grouped.items())
    named = say.listed(
        say("{gpus} {sku} from {source} by {day}", gpus=gpus, sku=sku, source=source, day=say.day(day))
        for (day, sku, source), gpus in lines[:MOST_NAMED]
    )
    more = sum(gpus for _, gpus in lines[MOST_NAMED:])
    return say("{orders} (and {more} more later, see the calendar)", orders=named, more=more) if more else named


def _rented(record: PlanRecord, say: Wording) -> str:
    """Reserved rental by source: the most at once, from the first month to the last."""
    words = []
    for rental in dict.fromkeys(item.source for item in record.reservations):
        items = [item for item in record.reservations if item.source == rental]
        by_month = Counter[str]()
        for item in items:
            by_month[item.month] += item.gpus
        first, last = min(by_month), max(by_month)
        words.append(
            say(
                "up to {gpus} {sku} from {source}, {first} to {last}"
                if first != last
                else "up to {gpus} {sku} from {source}, {first}",
                gpus=max(by_month.values()),
                sku=items[0].sku,
                source=rental,
                first=say.month(first),
                last=say.month(last),
            )
        )
    return say.listed(words)


def _then(record: PlanRecord, say: Wording) -> str:
    """What is decided later."""
    way, later = record.answer.way, record.later
    if way == "fixed-calendar" or (way == "if-then-calendar" and not later):
        return ""
    if not later:
        return say("Plan again each month.")
    return say(
        "Further orders look at the gates first: about {gpus} GPUs more by {month}."
        if way == "if-then-calendar"
        else "Plan again each month: about {gpus} GPUs more by {month}, as need and gates then show.",
        gpus=say.count(sum(order.mean_gpus for order in later)),
        month=say.month(later[-1].month),
    )


def plan_again(record: PlanRecord, say: Wording) -> str | None:
    """When the plan must be made again; None: it holds as it stands."""
    day = record.answer.plan_again_on
    return None if day is None else say("Plan again on {day}: the promise rests on it.", day=say.day(day))


def goal_missed(record: PlanRecord, say: Wording) -> str:
    """By how much the weakest month misses the goal."""
    found = record.answer
    return say(
        "demand is met with {odds} in {month}, below the goal of {goal}",
        odds=say.odds(found.probability),
        month=say.month(found.weakest_month),
        goal=say.percent(found.goal),
    )


def order_due(day: dt.date, today: dt.date, say: Wording) -> str:
    """When the next order is due, seen from ``today``."""
    days = (day - today).days
    if days < 0:
        return say("the next order was due by {day}, {n} days ago", day=say.day(day), n=-days)
    return say("the next order is due by {day}, in {n} days", day=say.day(day), n=days)


def waiting(record: PlanRecord, say: Wording) -> str:
    """What it costs to order nothing in the first month."""
    found, currency = record.answer, record.scenario.currency
    starts = month_starts(record.scenario.start, record.scenario.horizon_months)
    after, cost = say.day(starts[min(1, len(starts) - 1)]), found.cost_of_waiting
    if cost.low <= 0.0 <= cost.high and abs(found.waiting_takes) < TELLING_POINTS:
        return say("Ordering nothing before {after} costs nothing that these futures can tell from zero.", after=after)
    low, high = (cost.low, cost.high) if cost.value >= 0 else (-cost.high, -cost.low)
    words = say(
        "Ordering nothing before {after} costs {cost} on average ({low} to {high})"
        if cost.value >= 0
        else "Ordering nothing before {after} saves {cost} on average ({low} to {high})",
        after=after,
        **say.moneys(currency, cost=abs(cost.value), low=low, high=high),
    )
    if found.waiting_takes < -TELLING_POINTS and found.waiting_hurts is not None:
        words += say(
            " and takes {points} points off the probability of {month}",
            points=round(-100 * found.waiting_takes),
            month=say.month(found.waiting_hurts),
        )
    return words + say(".")


def rests_on(record: PlanRecord, say: Wording) -> list[str]:
    """The facts that would change the answer most: gates first, then demand."""
    odds = record.gate_odds
    facts = [_gate_fact(gate, say) for gate in odds]
    if len(odds) > 1:
        facts.append(_decides_most(odds, say))
    if growth := record.answer.demand_growth:
        facts.append(
            say(
                "Demand at the horizon is {low} to {high} times today's in 8 of 10 futures.",
                low=f"{growth[0]:.1f}",
                high=f"{growth[1]:.1f}",
            )
        )
    return facts


def _gate_fact(gate: GateOdds, say: Wording) -> str:
    later = list(gate.passes_within_months.items())
    month, share = later[min(6, len(later) - 1)]
    said = say("{gate} is {state}", gate=gate.gate, state=say(gate.state))
    if gate.state in ("open", "conditional"):
        said += say(" and closes within 90 days in {share} futures", share=in_ten(gate.closes_within_90_days, say))
    elif share < ALWAYS:
        said += say(
            " and has let goods pass by {month} in {share} futures", month=say.month(month), share=in_ten(share, say)
        )
    return said + say(
        ": an order of today serves within the horizon in {odds} of futures; with this gate always open in {opened}.",
        odds=say.odds(gate.arrives),
        opened=say.odds(gate.arrives_if_open),
    )


def _decides_most(odds: Sequence[GateOdds], say: Wording) -> str:
    most = max(odds, key=lambda gate: gate.arrives_if_open.value)
    if most.arrives_if_open.value - most.arrives.value < 0.01:
        return say("No single gate decides: opening any one alone hardly changes the odds, since the others stay shut.")
    return say("The gate that decides most is {gate}.", gate=most.gate)


def why(order: Order, record: PlanRecord, say: Wording) -> str:
    """Why an order is in the plan, and what must happen before anyone accepts it."""
    said = _protects(order, record.scenario.currency, say)
    gates = next(each.gates for each in record.scenario.purchases if each.name == order.source)
    if gates and order.accepted is not None and order.accepted < ALWAYS:
        held = say(
            "It is accepted only when {gates} let it pass, in {share} futures.",
            gates=say.listed(gates),
            share=in_ten(order.accepted, say),
        )
        return say.together(said, held)
    return said


def _protects(order: Order, currency: str, say: Wording) -> str:
    cost = order.cost_without.value
    saved = {"cost": say.money(cost, currency)}
    if order.protects is None:
        if cost > 0:
            return say("Without it the plan costs {cost} more.", **saved)
        return say("It rounds the plan to whole lots.")
    figures = {"month": say.month(order.protects), "odds": say.odds(order.probability_without)}
    if order.probability_with is None:
        said = say("Protects {month}: without it demand is met there with {odds}", **figures)
    else:
        said = say(
            "Protects {month}: without it demand is met there with {odds} instead of {kept}",
            kept=say.percent(order.probability_with),
            **figures,
        )
    return said + (say(", and the plan costs {cost} more.", **saved) if cost > 0 else say("."))


def reasons(record: PlanRecord, say: Wording) -> list[str]:
    """Why this plan: months out of reach and what would do, own volume, sources that can sell nothing, first orders."""
    found, currency = record.why, record.scenario.currency
    lines = [_missed(month, say) for month in found.missed[:MOST_NAMED]]
    if len(found.missed) > MOST_NAMED:
        lines.append(say("{n} more months are out of reach, less far.", n=len(found.missed) - MOST_NAMED))
    if found.missed:
        lines.append(_would_do(found.missed[0].month, found.relaxations, say))
    if found.budget_that_would_do is not None:
        lines.append(
            say(
                "A budget of {budget} would do, by the plan that has no limit.",
                budget=say.money(found.budget_that_would_do, currency),
            )
        )
    lines += _own_volume(record, say)
    lines += [_unsellable(source, say) for source in found.unsellable]
    return lines + [
        say(
            "{gpus} {sku} from {source}, {month}: {why}",
            gpus=order.gpus,
            sku=order.sku,
            source=order.source,
            month=say.month(order.month),
            why=why(order, record, say),
        )
        for order in record.orders[:MOST_NAMED]
    ]


def _missed(out: MissedMonth, say: Wording) -> str:
    """A month whose goal nothing within the limits can meet: how near one comes, and what is missing."""
    said = say(
        "{month} is out of reach: with everything ordered, reserved and rented that the limits allow, demand is met "
        "with {odds}",
        month=say.month(out.month),
        odds=say.odds(out.best),
    )
    missing = [say("{rate} requests/s for {pool}", rate=f"{rate:.1f}", pool=pool) for pool, rate in out.missing.items()]
    return said + (say("; still missing at the goal: {what}.", what=say.listed(missing)) if missing else say("."))


def _would_do(month: str, found: Sequence[Relaxation], say: Wording) -> str:
    """The least that would bring the worst month within reach, one limit at a time."""
    if not found:
        return say(
            "No single limit, however far relaxed, brings {month} within reach: it takes several, or a lower goal.",
            month=say.month(month),
        )
    ways = [
        say("no notice for {sources}", sources=say.listed(each.sources))
        if each.limit == "notice"
        else say(
            "{factor} times the {limit} of {sources}",
            factor=f"{each.factor:.3g}",
            limit=say(LIMITS[each.limit]),
            sources=say.listed(each.sources),
        )
        for each in found
    ]
    return say("For {month} any one of these would do: {ways}.", month=say.month(month), ways="; ".join(ways))


def _own_volume(record: PlanRecord, say: Wording) -> list[str]:
    """Whether the plan stands at its own volume, and what its own orders cost it."""
    own = record.why.own_volume
    if own is None:
        return []
    cost = say.money(own.costs, record.scenario.currency)
    if own.settled:
        return [
            say(
                "Own orders lengthen the lines they wait in: that costs {cost}, and planned again at its own volume "
                "the fixed calendar stands still.",
                cost=cost,
            )
        ]
    return [
        say(
            "Own orders lengthen the lines they wait in: that costs {cost}. Planned again and again at its own volume "
            "the fixed calendar did not settle (moved: {moves}); the one that does best at its own volume is shown.",
            cost=cost,
            moves=", ".join(say.percent(share) for share in own.moves),
        )
    ]


def _unsellable(source: Unsellable, say: Wording) -> str:
    return say(
        "{source} can sell nothing: at most {most} GPUs may be ordered, fewer than the {least} of the smallest order "
        "(whole lots, whole replicas of every pool it serves).",
        source=source.source,
        most=f"{source.most:g}",
        least=source.least,
    )


def in_ten(share: float, say: Wording) -> str:
    """6 in 10; below one in ten, in a hundred."""
    if 0.095 <= share <= 0.905:
        return say("{n} in 10", n=round(10 * share))
    return say("{n} in 100", n=round(100 * share))


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
