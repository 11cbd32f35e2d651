"""A plan on the terminal: the sentence, orders, months with bars, rivals. Fits 80 columns."""

import datetime as dt
from collections.abc import Sequence

from planner.record.models import Dates, Interval, Month, PlanRecord, Quantiles
from planner.report.language import ENGLISH
from planner.report.sentences import in_plain, policy, rental_spans
from planner.report.study_sentences import condition, limit_sentences, swing_input, worth_sentences
from waferlag.text.tables import WIDTH, cut, displayed_width, table, wrapped

BAR = 10
"""Cells of the bar that shows a month's probability."""
MOST_LATER = 12
"""Later orders listed, those that are largest on average."""
MOST_SWINGS = 3
"""Inputs and limits named."""
SHORT = {"attention_dp": "dp", "moe_tp": "mtp", "moe_ep": "ep"}
"""Names of a layout's parts that are too long for a table."""


def plan_text(record: PlanRecord) -> str:
    """Everything `waferlag plan` prints of a plan, without colour."""
    parts = [
        _answer(record),
        _orders(record),
        _later(record),
        _conditional(record),
        _reservations(record),
        _months(record),
        _rivals(record),
        _quarters(record),
        _frontier(record),
        _worth(record),
        _serving(record),
        _reasons(record),
    ]
    return "\n\n".join(part for part in parts if part)


def share(interval: Interval) -> str:
    """A probability with its interval, in per cent: 93 % (91-94)."""
    return f"{100 * interval.value:.0f} % ({100 * interval.low:.0f}-{100 * interval.high:.0f})"


def money(value: float) -> str:
    """Money in billions, millions or thousands, two significant places where that is honest."""
    for size, unit, places in ((1e9, "bn", 1), (1e6, "M", 1), (1e3, "k", 0)):
        if abs(value) >= size:
            return f"{value / size:,.{places}f} {unit}"
    return f"{value:,.0f}"


def _answer(record: PlanRecord) -> str:
    answer = record.answer
    lines = [*wrapped(answer.sentence), *wrapped(answer.waiting), "", "What this rests on:"]
    lines += [line for fact in answer.rests_on for line in wrapped(fact, "- ")]
    return "\n".join(lines)


def _orders(record: PlanRecord) -> str:
    if not record.orders:
        return "Orders: none now." if record.later else "Orders: none."
    head = ["order by", "source", "for", "GPUs", "serves P10/50/90", "last safe"]
    rows = [
        [
            str(order.order_on),
            cut(order.source, 20),
            cut(order.pool, 11),
            str(order.gpus),
            dates(order.arrives),
            month_of(order.last_safe),
        ]
        for order in record.orders
    ]
    note = "Last safe: the latest month to which the order may move with the goal still kept; -: any."
    return "Orders\n" + table(head, rows, right=[3], whole=[0, 4, 5]) + "\n" + "\n".join(wrapped(note))


def _later(record: PlanRecord) -> str:
    """What planning again is likely to order, months and sources that matter most."""
    if record.answer.way != "monthly-re-planning" or not record.later:
        return ""
    most = sorted(record.later, key=lambda order: -order.mean_gpus)[:MOST_LATER]
    rows = [
        [order.month, cut(order.source, 24), cut(order.pool, 14), f"{100 * order.placed:.0f} %", spread(order.gpus)]
        for order in sorted(most, key=lambda order: (order.month, order.source, order.pool))
    ]
    left = len(record.later) - len(rows)
    note = "Decided when the month comes; GPUs as P10/P50/P90 over futures."
    note += f" {left} smaller lines are in the JSON." if left else ""
    head = ["month", "source", "for", "placed in", "GPUs"]
    drawn = table(head, rows, right=[3, 4], whole=[0])
    return "Likely later, planning again each month\n" + drawn + "\n" + "\n".join(wrapped(note))


def _conditional(record: PlanRecord) -> str:
    """The if-then calendar, where it is the recommended way."""
    calendar = record.calendar
    if calendar is None or not calendar.conditional or record.answer.way != "if-then-calendar":
        return ""
    rows = [
        [
            line.month,
            cut(line.source, 20),
            cut(line.pool, 11),
            str(line.gpus),
            cut(condition(line.condition, line.source, ENGLISH), 28),
        ]
        for line in calendar.lines
    ]
    return "Calendar\n" + table(["month", "source", "for", "GPUs", "condition"], rows, right=[3], whole=[0])


def _reservations(record: PlanRecord) -> str:
    rows = [
        [" to ".join(dict.fromkeys((span.first, span.last))), cut(span.source, 24), cut(span.pool, 14), str(span.gpus)]
        for span in rental_spans(record)
    ]
    drawn = table(["months", "source", "for", "GPUs"], sorted(rows), right=[3], whole=[0])
    return f"Rent, reserved\n{drawn}" if rows else ""


def _months(record: PlanRecord) -> str:
    units = sorted({pool.unit for month in record.months for pool in month.pools})
    head = ["month", "demand met", "", "GPUs needed", "in service", "rented"]
    rows = [_month_row(month, record.answer.goal) for month in record.months]
    note = f"GPUs as P10/P50/P90 over futures, counted as {' and '.join(units)}; bars end at 100 %."
    if any(row[1].endswith("!") for row in rows):
        note += " !: below the goal."
    drawn = table(head, rows, right=[3, 4, 5], whole=[0, 1, 2])
    if max(map(displayed_width, drawn.splitlines())) > WIDTH:  # the bar only repeats the figure beside it
        without = [[*line[:2], *line[3:]] for line in [head, *rows]]
        drawn = table(without[0], without[1:], right=[2, 3, 4], whole=[0, 1])
        note = note.replace("; bars end at 100 %", "")
    return f"Months\n{drawn}\n" + "\n".join(wrapped(note))


def _month_row(month: Month, goal: float) -> list[str]:
    met = month.probability
    odds = share(met) + (" " if not month.required or met.value >= goal else "!")
    needed = spread(_sum([pool.need_gpus for pool in month.pools]))
    serving = spread(_sum([pool.in_service_gpus for pool in month.pools]))
    rented = count(sum(pool.reserved_gpus + pool.spot_gpus.p50 for pool in month.pools))
    return [month.month, odds, f"[{'#' * round(BAR * met.value):<{BAR}}]", needed, serving, rented]


def _rivals(record: PlanRecord) -> str:
    if not record.rivals:
        return ""
    head = ["on the same futures", f"cost {record.scenario.currency}", "against", "weakest month", "unmet"]
    plan, odds = record.kpis, record.answer.probability
    rows = [_rival_row("this plan", plan.mean_cost.value, "", odds, plan.shortfall_share.value)]
    for rival in record.rivals:
        more = rival.cost_difference.value
        against = money(more) if more < 0 else f"+{money(more)}"
        name = policy(rival.name, ENGLISH)
        rows.append(_rival_row(name, rival.mean_cost.value, against, rival.probability, rival.shortfall_share))
    ties = ", ".join(policy(rival.name, ENGLISH) for rival in record.rivals if rival.verdict == "ties")
    note = f"Ties with this plan, within the interval of the difference: {ties}." if ties else ""
    return "\n".join(["Rivals", table(head, rows, right=[1, 2, 3, 4]), *(wrapped(note) if note else ())])


def _rival_row(name: str, cost: float, against: str, odds: Interval, unmet: float) -> list[str]:
    return [name, money(cost), against, share(odds), f"{100 * unmet:.1f} %"]


def _quarters(record: PlanRecord) -> str:
    if not record.quarters:
        return ""
    rows = [
        [
            quarter.quarter,
            "/".join(money(value) for value in (quarter.spend.p10, quarter.spend.p50, quarter.spend.p90)),
            money(quarter.committed),
            money(quarter.at_risk),
        ]
        for quarter in record.quarters
    ]
    head = ["quarter", f"spend {record.scenario.currency} P10/P50/P90", "ordered", "at risk"]
    return "Cash\n" + table(head, rows, right=[1, 2, 3], whole=[0])


def _frontier(record: PlanRecord) -> str:
    if len(record.frontier) < 2:
        return ""
    points = record.frontier
    rows = [[share(each.probability), each.weakest_month, ranged(each.mean_cost)] for each in points]
    head = ["weakest month met", "month", f"mean cost {record.scenario.currency}"]
    return "Cost against probability\n" + table(head, rows, right=[2], whole=[0, 1])


def _worth(record: PlanRecord) -> str:
    """What knowing more or another world would be worth, and what to learn first."""
    currency = record.scenario.currency
    lines = [in_plain(line) for line in worth_sentences(record, ENGLISH)]
    if record.tornado:
        widest = [
            f"{swing_input(swing.input, ENGLISH)} ({money(abs(swing.cost_high - swing.cost_low))})"
            for swing in record.tornado[:MOST_SWINGS]
        ]
        lines.append(
            f"The cost in {currency} swings most with {', '.join(widest)}, between the lowest and the highest fifth of "
            "each: what to learn first."
        )
    lines += [in_plain(line) for line in limit_sentences(record, ENGLISH)[:MOST_SWINGS]]
    if not lines:
        return ""
    return "What it would be worth\n" + "\n".join(line for each in lines for line in wrapped(each, "- "))


def ranged(interval: Interval) -> str:
    """Money with its interval: 2.9 M (2.4 M to 3.3 M)."""
    return f"{money(interval.value)} ({money(interval.low)} to {money(interval.high)})"


def _serving(record: PlanRecord) -> str:
    rows = []
    for item in record.sizing:
        goodput = item.requests_per_s
        layout = " ".join(f"{SHORT.get(key, key)}{n}" for key, n in item.layout.items() if n > 1) or "one GPU"
        figure = f"{goodput.value:.2f} ({goodput.low:.2f}-{goodput.high:.2f})" if goodput else "none"
        usage = f"{item.mfu:.2f} {item.mbu:.2f}" if item.mfu is not None and item.mbu is not None else ""
        rows.append([cut(item.pool, 12), cut(item.sku, 14), layout, figure, usage, item.label or "does not fit"])
    head = ["pool", "GPU", "replica", "requests/s (80 %)", "MFU MBU", "label"]
    return "Serving, one replica at the SLO\n" + table(head, rows, right=[3], whole=[4])


def _reasons(record: PlanRecord) -> str:
    lines = [line for reason in record.reasons for line in wrapped(reason, "- ")]
    return "Why\n" + "\n".join(lines) if lines else ""


def dates(arrival: Dates) -> str:
    """Months of arrival as P10 P50 P90, such as Dec25 Jan26 later; "later" is beyond the horizon."""
    return " ".join(month_of(day, "later") for day in (arrival.p10, arrival.p50, arrival.p90))


def month_of(day: dt.date | None, none: str = "-") -> str:
    """Jul25, or a word where there is no date."""
    return none if day is None else f"{day:%b%y}"


def spread(quantiles: Quantiles) -> str:
    """P10/P50/P90 without decimals: 940/1,210/1,504; from ten thousand on to three places."""
    return "/".join(map(count, (quantiles.p10, quantiles.p50, quantiles.p90)))


def count(value: float) -> str:
    """A number of GPUs: 1,204, and 12.3k, 123k or 1.23M where that is all a table has room for.

    >>> [count(value) for value in (8, 9999.4, 12_345, 123_456, 1_234_567, 2e12)]
    ['8', '9,999', '12.3k', '123k', '1.23M', '2e+12']
    """
    if abs(value) < 1e4:
        return f"{value:,.0f}"
    for size, unit in ((1e3, "k"), (1e6, "M"), (1e9, "G")):
        if abs(value) < 999.5 * size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.0e}"


def _sum(parts: Sequence[Quantiles]) -> Quantiles:
    """Quantiles of pools side by side: as if they rose and fell together, which is the wider reading."""
    return Quantiles(
        p10=sum(part.p10 for part in parts), p50=sum(part.p50 for part in parts), p90=sum(part.p90 for part in parts)
    )
