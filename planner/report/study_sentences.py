"""The sentences of what a plan's study found, in either language: conditions, worth of knowing more, limits."""

from planner.record.models import BindingLimit, Calendar, Condition, Interval, PlanRecord, SwingInput
from planner.report.language import Wording
from planner.report.sentences import LIMITS


def condition(found: Condition, source: str, say: Wording) -> str:
    """When an order from ``source`` is placed."""
    if found.watched is None:
        return say("in any case")
    if found.waits:
        return say("once cleared")
    if found.watched == source and found.most == "passing":
        return say("if passing" if found.least == "passing" else "if at least promised")
    text = "while {source} is closed" if found.most == "closed" else "while {source} is not passing"
    return say(text, source=found.watched)


def swing_input(found: SwingInput, say: Wording) -> str:
    """The name of an input that the cost swings with."""
    texts = {
        "need": "need of {pool}",
        "carries": "what a {sku} carries in {pool}",
        "rented-carries": "what a rented {sku} carries in {pool}",
        "months-to-service": "months from order to service, {source}",
    }
    return say(texts[found.kind], **found.model_dump(exclude={"kind"}, exclude_none=True))


def calendar_sentence(record: PlanRecord, calendar: Calendar, say: Wording) -> str:
    """What the calendar costs beside the recommended way, and what its conditions save."""
    currency, cost = record.scenario.currency, calendar.cost_difference
    told = [
        say(
            "Settled beforehand, the orders cost {cost} on average; the weakest month is {month} with {odds}.",
            cost=say.money(calendar.mean_cost.value, currency),
            month=say.month(calendar.weakest_month),
            odds=say.odds(calendar.probability),
        )
    ]
    if record.answer.way == "monthly-re-planning":
        told.append(
            say(
                "Against planning again each month that is {change} ({low} to {high}).",
                **say.changes(currency, change=cost.value, low=cost.low, high=cost.high),
            )
        )
    return say.together(*told, _saved(calendar.conditions_save, currency, say))


def _saved(saves: Interval | None, currency: str, say: Wording) -> str:
    """What the conditions of a calendar save; None: it has none."""
    if saves is None:
        return say("No condition on the gates saves enough: every order is placed in any case.")
    return say(
        "Its conditions save {value} ({low} to {high}) against the same orders whatever is seen.",
        **say.moneys(currency, value=saves.value, low=saves.low, high=saves.high),
    )


def worth_sentences(record: PlanRecord, say: Wording) -> list[str]:
    """What planning with odds saves, and what knowing more or an open gate would be worth."""
    currency, told = record.scenario.currency, []
    if record.information is not None:
        saved, perfect = record.information.stochastic_solution, record.information.perfect
        told = [
            say(
                "Planning with odds instead of for the mean future saves {value} ({low} to {high}).",
                **say.moneys(currency, value=saved.value, low=saved.low, high=saved.high),
            ),
            say(
                "A perfect forecast would save {value} at most ({low} to {high}, over {n} futures): no study is worth "
                "more.",
                n=say.count(record.information.foretold),
                **say.moneys(currency, value=perfect.value, low=perfect.low, high=perfect.high),
            ),
        ]
    for world in record.open_gates:
        gain, cost = world.probability_difference, world.cost_difference
        gate = say("All gates") if world.gate is None else world.gate
        if cost.value == 0 and gain.value == 0:
            told.append(say("{gate} always open: nothing changes.", gate=gate))
            continue
        told.append(
            say(
                "{gate} always open: cost {cost} ({low} to {high}), probability of {month} {points} points ({p_low} to "
                "{p_high}).",
                gate=gate,
                **say.changes(currency, cost=cost.value, low=cost.low, high=cost.high),
                month=say.month(world.weakest_month),
                points=f"{100 * gain.value:+.1f}",
                p_low=f"{100 * gain.low:+.1f}",
                p_high=f"{100 * gain.high:+.1f}",
            )
        )
    return told


def limit_sentences(record: PlanRecord, say: Wording) -> list[str]:
    """Limits that bind, and what one unit more of each would save."""
    return [_limit(limit, record.scenario.currency, say) for limit in record.limits]


def _limit(limit: BindingLimit, currency: str, say: Wording) -> str:
    if limit.limit == "budget":
        return say(
            "One {currency} more in the budget would lower the expected cost by {saves} {currency}.",
            currency=currency,
            saves=f"{limit.saves:,.2f}",
        )
    figures = {
        "limit": say(LIMITS[limit.limit]),
        "name": say.listed(limit.sources),
        "saves": say.money(limit.saves, currency),
    }
    if limit.month is None:
        return say("One GPU more in the {limit} of {name} would save {saves}.", **figures)
    return say(
        "One GPU more in the {limit} of {name} in {month} would save {saves}.", month=say.month(limit.month), **figures
    )
