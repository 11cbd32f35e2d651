"""What the study behind a plan found, told and tabled: conditions, later orders, worth, limits, cash by quarter.

A plan of an older version has none of it, and every list here is empty then.
"""

import re

from dashboard.wording import Wording
from planner.compare.rows import Row
from planner.record.models import Calendar, Interval, PlanRecord

_CONDITIONS = (
    (re.compile("while (.*) is closed", re.DOTALL), "while {source} is closed"),
    (re.compile("while (.*) is not passing", re.DOTALL), "while {source} is not passing"),
)


def condition_words(condition: str, say: Wording) -> str:
    """When an order of the calendar is placed, in the language asked for."""
    for pattern, text in _CONDITIONS:
        found = pattern.fullmatch(condition)
        if found:
            return say(text, source=found[1])
    return say(condition)


def calendar_sentence(record: PlanRecord, calendar: Calendar, say: Wording) -> str:
    """What the calendar costs beside the recommended way, and what its conditions save."""
    currency, cost = record.scenario.currency, calendar.cost_difference
    figures = {
        "cost": say.money(calendar.mean_cost.value, currency),
        "month": say.month(calendar.weakest_month),
        "odds": say.odds(calendar.probability),
    }
    told = say(
        "Settled beforehand, the orders cost {cost} on average; the weakest month is {month} with {odds}.",
        **figures,
    )
    if record.answer.way == "monthly re-planning":
        told += " " + say(
            "Against planning again each month that is {change} ({low} to {high}).",
            change=say.change(cost.value, currency),
            low=say.change(cost.low, currency),
            high=say.change(cost.high, currency),
        )
    saves = calendar.conditions_save
    if saves is None:
        told += " " + say("No condition on the gates saves enough: every order is placed in any case.")
    else:
        told += " " + say(
            "Its conditions save {saved} ({low} to {high}) against the same orders whatever is seen.",
            saved=say.money(saves.value, currency),
            low=say.money(saves.low, currency),
            high=say.money(saves.high, currency),
        )
    return told


def calendar_rows(record: PlanRecord, say: Wording) -> list[Row]:
    """What to order in each month, and what must be seen for it."""
    if record.calendar is None:
        return []
    return [
        {
            "month": say.month(line.month),
            "order_on": line.order_on,
            "if": condition_words(line.condition, say),
            "gpus": line.gpus,
            "sku": line.sku,
            "source": line.source,
            "pool": line.pool,
            "placed": say.percent(line.placed),
        }
        for line in record.calendar.lines
    ]


def calendar_title(record: PlanRecord, calendar: Calendar) -> str:
    """What the calendar is called (a wording's text)."""
    if record.answer.way == "if-then calendar":
        return "If-then calendar"
    if calendar.conditional:
        return "If-then calendar, where nobody plans again"
    return "Calendar settled beforehand, where nobody plans again"


def later_title(record: PlanRecord) -> str:
    """What the orders that are not settled today are called (a wording's text)."""
    if record.answer.way == "if-then calendar":
        return "Orders that look at the gates first"
    return "What planning again is likely to order"


CALENDAR_TITLES = {
    "month": "month",
    "order_on": "order on",
    "if": "placed",
    "gpus": "GPUs",
    "sku": "GPU",
    "source": "source",
    "pool": "pool",
    "placed": "in so many futures",
}


def later_rows(record: PlanRecord, say: Wording) -> list[Row]:
    """What planning again is likely to order."""
    return [
        {
            "month": say.month(later.month),
            "source": later.source,
            "sku": later.sku,
            "pool": later.pool,
            "placed": say.percent(later.placed),
            "mean": round(later.mean_gpus, 1),
            "range": f"{say.count(later.gpus.p10)} – {say.count(later.gpus.p90)}",
        }
        for later in record.later
    ]


LATER_TITLES = {
    "month": "month",
    "source": "source",
    "sku": "GPU",
    "pool": "pool",
    "placed": "in so many futures",
    "mean": "GPUs, mean",
    "range": "8 in 10 futures",
}


def plan_again(record: PlanRecord, say: Wording) -> str | None:
    """When the plan must be made again; None: it holds as it stands."""
    day = record.answer.plan_again_on
    return None if day is None else say("Plan again on {day}: the promise rests on it.", day=say.day(day))


def worth_sentences(record: PlanRecord, say: Wording) -> list[str]:
    """What planning with odds saves, and what knowing more or an open gate would be worth."""
    currency, known = record.scenario.currency, record.information
    told: list[str] = []
    if known is not None:
        told += [
            say(
                "Planning with odds instead of for the mean future saves {value} ({low} to {high}).",
                **_money(known.stochastic_solution, currency, say),
            ),
            say(
                "A perfect forecast would save {value} at most ({low} to {high}, over {n} futures): no study is worth "
                "more.",
                n=say.count(known.foretold),
                **_money(known.perfect, currency, say),
            ),
        ]
    for world in record.open_gates:
        gain = world.probability_difference
        gate = say("All gates") if world.gate == "all gates" else world.gate
        if world.cost_difference.value == 0 and gain.value == 0:
            told.append(say("{gate} always open: nothing changes.", gate=gate))
            continue
        told.append(
            say(
                "{gate} always open: cost {cost} ({low} to {high}), probability of {month} {points} points ({p_low} to "
                "{p_high}).",
                gate=gate,
                cost=say.change(world.cost_difference.value, currency),
                low=say.change(world.cost_difference.low, currency),
                high=say.change(world.cost_difference.high, currency),
                month=say.month(world.weakest_month),
                points=f"{100 * gain.value:+.1f}",
                p_low=f"{100 * gain.low:+.1f}",
                p_high=f"{100 * gain.high:+.1f}",
            )
        )
    return told


def limit_sentences(record: PlanRecord, say: Wording) -> list[str]:
    """Limits that bind, and what one unit more of each would save."""
    currency = record.scenario.currency
    told = []
    for limit in record.limits:
        if say.language == "en":
            told.append(limit.words)
        elif limit.limit == "budget":
            told.append(
                say(
                    "One {currency} more in the budget saves {saves}.",
                    currency=currency,
                    saves=f"{limit.saves:,.2f}",
                )
            )
        else:
            told.append(
                say(
                    "One GPU more in the {limit} of {name}, {month}, saves {saves}.",
                    limit=say(limit.limit),
                    name=limit.name,
                    month=say("all months") if limit.month is None else say.month(limit.month),
                    saves=say.money(limit.saves, currency),
                )
            )
    return told


def quarter_rows(record: PlanRecord, say: Wording) -> list[Row]:
    """Cash, commitments and money at risk by calendar quarter."""
    currency = record.scenario.currency
    return [
        {
            "quarter": row.quarter.replace("-", " "),
            "committed": say.money(row.committed, currency),
            **{kind: say.money(amount, currency) for kind, amount in row.mean.items()},
            "spend": say.money(row.spend.p50, currency),
            "range": f"{say.money(row.spend.p10)} – {say.money(row.spend.p90, currency)}",
            "at_risk": say.money(row.at_risk, currency),
        }
        for row in record.quarters
    ]


def quarter_titles(record: PlanRecord) -> dict[str, str]:
    """Columns of the table by quarter; kinds of payment that never occur are left out."""
    kinds = [
        kind
        for kind in (record.quarters[0].mean if record.quarters else ())
        if any(abs(row.mean.get(kind, 0.0)) > 0 for row in record.quarters)
    ]
    return {
        "quarter": "quarter",
        "committed": "orders placed",
        **{kind: kind for kind in kinds},
        "spend": "all payments, P50",
        "range": "P10 – P90",
        "at_risk": "at risk if every gate closes",
    }


def _money(interval: Interval, currency: str, say: Wording) -> dict[str, str]:
    return {
        "value": say.money(interval.value, currency),
        "low": say.money(interval.low, currency),
        "high": say.money(interval.high, currency),
    }
