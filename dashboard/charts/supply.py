"""How long a source takes, and when each order serves."""

import datetime as dt

import altair as alt

from dashboard.charts import parts
from dashboard.charts.figure import Figure, moment, month_after, month_axis, values
from dashboard.charts.sources import source_colours
from dashboard.charts.theme import LIGHT, Look
from planner.compare.rows import Row
from planner.record.models import LeadTime, Order, PlanRecord
from planner.report.language import ENGLISH, Wording, shortened

_ROW = 46
"""Height of one line of a calendar: a label above its mark."""


def lead_times(record: PlanRecord, look: Look = LIGHT, say: Wording = ENGLISH) -> Figure:
    """Days from an order on the first day to service, by source: P10 to P90 with the median."""
    tints = source_colours(record, look)
    rows = [_lead_row(lead, tints.get(lead.source, look.in_service), say) for lead in record.lead_times]
    tip = [
        *parts.tips(("source:N", say("source"))),
        *parts.quantile_tips(",.0f"),
        *parts.tips(
            ("arrives_within_horizon:Q", say("arrives within the horizon"), ".1%"),
            ("not_before:N", say("not before (1 in 20)")),
        ),
    ]
    base = alt.Chart(values(rows)).encode(y=parts.lane("source:N"), color=parts.own_colour(), tooltip=tip)
    axis = alt.Axis(title=say("days from order to service, among futures in which it arrives"), grid=True)
    span = parts.across("p10:Q", "p90:Q", axis=axis, scale=alt.Scale(domainMin=0))
    layers = [_bar(base).encode(**span), _tick(base, "p50:Q"), parts.label_above(base, look, -11, color=look.ink)]
    height, data = max(1, len(rows)) * _ROW, parts.without(rows, "words", "colour")
    return parts.figure("lead-time-by-source", _lead_takeaway(record, say), layers, look, height, data)


def _bar(base: alt.Chart) -> alt.Chart:
    """The span of 8 in 10 futures."""
    return base.mark_bar(height=8, opacity=0.35, yOffset=9)


def _tick(base: alt.Chart, median: str) -> alt.Chart:
    return base.mark_tick(orient="vertical", height=18, thickness=3, yOffset=9).encode(x=alt.X(median))


def _lead_row(lead: LeadTime, colour: str, say: Wording) -> Row:
    words = say(
        "{source}: {days} days ({low}–{high}), {share} arrive within the horizon",
        source=shortened(lead.source, 24),
        **say.counts(days=lead.days.p50, low=lead.days.p10, high=lead.days.p90),
        share=say.percent(lead.arrives_within_horizon),
    )
    return {
        "source": lead.source,
        "words": words,
        "entry": lead.entry,
        **parts.picked(lead.days, *parts.QUANTILES),
        "arrives_within_horizon": lead.arrives_within_horizon,
        "not_before": None if lead.promised_not_before is None else lead.promised_not_before.isoformat(),
        "colour": colour,
    }


def _lead_takeaway(record: PlanRecord, say: Wording) -> str:
    if not record.lead_times:
        return say("Nothing is bought: there is no lead time.")
    fast = min(record.lead_times, key=lambda lead: lead.days.p50)
    slow = max(record.lead_times, key=lambda lead: lead.days.p50)
    if fast is slow:
        return say(
            "{fast} serves after {a} days at the median ({a10} to {a90} in 8 of 10 futures in which it arrives).",
            fast=fast.source,
            **say.counts(a=fast.days.p50, a10=fast.days.p10, a90=fast.days.p90),
        )
    return say(
        "{fast} serves after {a} days at the median, {slow} after {b} ({b10} to {b90} in 8 of 10 futures "
        "in which it arrives).",
        fast=fast.source,
        slow=slow.source,
        **say.counts(a=fast.days.p50, b=slow.days.p50, b10=slow.days.p10, b90=slow.days.p90),
    )


def order_calendar(
    record: PlanRecord, look: Look = LIGHT, say: Wording = ENGLISH, lines: slice = slice(None)
) -> Figure:
    """Each order on a line of its own: ordered (circle), serves (P10 to P90 with the median).

    ``lines``: which of the orders, where one drawing is too small for all.
    """
    every = [order for order in record.orders if order.gpus > 0]
    placed = every[lines]
    end = month_after(record.months[-1].start)
    tints = source_colours(record, look)
    rows = [
        _calendar_row(order, end, say) | {"line": line, "colour": tints.get(order.source, look.in_service)}
        for line, order in enumerate(placed)
    ]
    base = alt.Chart(values(rows)).encode(y=parts.lane("line:O"), color=parts.own_colour(), tooltip=_calendar_tips(say))
    days = [month.start for month in record.months]
    how = {"axis": month_axis(days, say), "scale": alt.Scale(domain=[moment(days[0]), moment(end)])}
    x, arrives = alt.X("order_on:T", **how), base.transform_filter("isValid(datum.from)")
    layers = [
        base.mark_rule(strokeDash=[2, 3], yOffset=9).encode(x=x, x2=alt.X2("to:T")),
        _bar(arrives).encode(**parts.across("from:T", "to:T", **how)),
        _tick(base.transform_filter("isValid(datum.at)"), "at:T"),
        base.mark_point(filled=True, size=70, yOffset=9, opacity=1).encode(x=x),
        parts.label_above(base, look, -11),
    ]
    serves = (f"serves_{q}" for q in parts.QUANTILES)
    data = parts.only(rows, "pool", "source", "sku", "gpus", "order_on", "last_safe", *serves)
    takeaway = _calendar_takeaway(every, placed, say)
    return parts.figure("order-calendar", takeaway, layers, look, max(1, len(rows)) * _ROW, data)


def _calendar_tips(say: Wording) -> list[alt.Tooltip]:
    return parts.tips(
        ("words:N", say("order")),
        ("pool:N", say("pool")),
        ("ordered:N", say("ordered on")),
        ("last_safe:N", say("last safe date")),
        ("serves_p10:N", say("serves, P10")),
        ("serves_p50:N", say("serves, P50")),
        ("serves_p90:N", say("serves, P90")),
    )


def _calendar_row(order: Order, end: dt.date, say: Wording) -> Row:
    arrives = order.arrives
    about = {"source": shortened(order.source, 24), "pool": shortened(order.pool, 16)}
    return {
        **parts.picked(order, "pool", "source", "sku", "gpus"),
        "words": say("{gpus} {sku} from {source} for {pool}", gpus=order.gpus, sku=order.sku, **about),
        "order_on": moment(order.order_on),
        "ordered": say.day(order.order_on),
        "last_safe": say("not needed for the goal") if order.last_safe is None else say.day(order.last_safe),
        "from": None if arrives.p10 is None else moment(arrives.p10),
        "at": None if arrives.p50 is None else moment(arrives.p50),
        "to": moment(min(arrives.p90 or end, end)),
        **{f"serves_{q}": say.day(getattr(arrives, q)) for q in parts.QUANTILES},
    }


def _calendar_takeaway(every: list[Order], placed: list[Order], say: Wording) -> str:
    if not placed:
        return say("Nothing is to be ordered.")
    if placed[0] is not every[0]:
        return say("The orders from {day} on.", day=say.day(placed[0].order_on))
    return say(
        "{n} orders for {gpus} GPUs; the first is placed on {day} from {source}.",
        n=len(every),
        gpus=say.count(sum(order.gpus for order in every)),
        day=say.day(placed[0].order_on),
        source=placed[0].source,
    )
