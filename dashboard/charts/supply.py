"""How long a source takes, and when each order serves."""

import datetime as dt

import altair as alt

from dashboard.charts.figure import Figure, finished, moment, month_after, month_axis, values
from dashboard.charts.sources import kinds_of_source
from dashboard.charts.theme import LIGHT, Look, source_colour
from dashboard.wording import ENGLISH, Wording, shortened
from planner.compare.rows import Row
from planner.record.models import Order, PlanRecord

_ROW = 46
"""Height of one line of a calendar: a label above its mark."""


def lead_times(record: PlanRecord, look: Look = LIGHT, say: Wording = ENGLISH) -> Figure:
    """Days from an order on the first day to service, by source: P10 to P90 with the median."""
    kinds = kinds_of_source(record)
    rows = [
        {
            "source": lead.source,
            "words": say(
                "{source}: {days} days ({low}–{high}), {share} arrive within the horizon",
                source=shortened(lead.source, 24),
                days=say.count(lead.days.p50),
                low=say.count(lead.days.p10),
                high=say.count(lead.days.p90),
                share=say.percent(lead.arrives_within_horizon),
            ),
            "entry": lead.entry,
            "p10": lead.days.p10,
            "p50": lead.days.p50,
            "p90": lead.days.p90,
            "arrives_within_horizon": lead.arrives_within_horizon,
            "not_before": None if lead.promised_not_before is None else lead.promised_not_before.isoformat(),
            "colour": source_colour(look, kinds.get(lead.source, "")),
        }
        for lead in record.lead_times
    ]
    takeaway = _lead_takeaway(record, say)
    axis = alt.Axis(title=say("days from order to service, among futures in which it arrives"), grid=True)
    base = alt.Chart(values(rows)).encode(
        y=alt.Y("source:N", sort=None, axis=None, scale=alt.Scale(paddingInner=0.2)),
        color=alt.Color("colour:N", scale=None),
        tooltip=[
            alt.Tooltip("source:N", title=say("source")),
            alt.Tooltip("p10:Q", title="P10", format=",.0f"),
            alt.Tooltip("p50:Q", title="P50", format=",.0f"),
            alt.Tooltip("p90:Q", title="P90", format=",.0f"),
            alt.Tooltip("arrives_within_horizon:Q", title=say("arrives within the horizon"), format=".1%"),
            alt.Tooltip("not_before:N", title=say("not before (1 in 20)")),
        ],
    )
    zero = alt.Scale(domainMin=0)
    layers = [
        base.mark_bar(height=8, opacity=0.35, yOffset=9).encode(
            x=alt.X("p10:Q", axis=axis, scale=zero), x2=alt.X2("p90:Q")
        ),
        base.mark_tick(orient="vertical", height=18, thickness=3, yOffset=9).encode(x=alt.X("p50:Q")),
        base.mark_text(align="left", dy=-11, color=look.ink).encode(
            x=alt.value(0), text=alt.Text("words:N"), color=alt.value(look.ink)
        ),
    ]
    chart = finished(alt.layer(*layers), look, takeaway, max(1, len(rows)) * _ROW)
    data = [{key: value for key, value in row.items() if key not in ("words", "colour")} for row in rows]
    return Figure("lead-time-by-source", takeaway, chart, data)


def _lead_takeaway(record: PlanRecord, say: Wording) -> str:
    if not record.lead_times:
        return say("Nothing is bought: there is no lead time.")
    fast = min(record.lead_times, key=lambda lead: lead.days.p50)
    slow = max(record.lead_times, key=lambda lead: lead.days.p50)
    if fast is slow:
        return say(
            "{fast} serves after {a} days at the median ({a10} to {a90} in 8 of 10 futures in which it "
            "arrives).",
            fast=fast.source,
            a=say.count(fast.days.p50),
            a10=say.count(fast.days.p10),
            a90=say.count(fast.days.p90),
        )
    return say(
        "{fast} serves after {a} days at the median, {slow} after {b} ({b10} to {b90} in 8 of 10 futures "
        "in which it arrives).",
        fast=fast.source,
        a=say.count(fast.days.p50),
        slow=slow.source,
        b=say.count(slow.days.p50),
        b10=say.count(slow.days.p10),
        b90=say.count(slow.days.p90),
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
    kinds = kinds_of_source(record)
    rows = [_calendar_row(index, order, end, look, kinds, say) for index, order in enumerate(placed)]
    takeaway = _calendar_takeaway(every, placed, say)
    days = [month.start for month in record.months]
    span = alt.Scale(domain=[moment(days[0]), moment(end)])
    base = alt.Chart(values(rows)).encode(
        y=alt.Y("line:O", sort=None, axis=None, scale=alt.Scale(paddingInner=0.2)),
        color=alt.Color("colour:N", scale=None),
        tooltip=[
            alt.Tooltip("words:N", title=say("order")),
            alt.Tooltip("pool:N", title=say("pool")),
            alt.Tooltip("ordered:N", title=say("ordered on")),
            alt.Tooltip("last_safe:N", title=say("last safe date")),
            alt.Tooltip("serves_p10:N", title=say("serves, P10")),
            alt.Tooltip("serves_p50:N", title=say("serves, P50")),
            alt.Tooltip("serves_p90:N", title=say("serves, P90")),
        ],
    )
    x = alt.X("order_on:T", axis=month_axis(days, say), scale=span)
    arrived = base.transform_filter("isValid(datum.from)")
    layers = [
        base.mark_rule(strokeDash=[2, 3], yOffset=9).encode(x=x, x2=alt.X2("to:T")),
        arrived.mark_bar(height=8, opacity=0.35, yOffset=9).encode(
            x=alt.X("from:T", axis=month_axis(days, say), scale=span), x2=alt.X2("to:T")
        ),
        base.transform_filter("isValid(datum.at)")
        .mark_tick(orient="vertical", height=18, thickness=3, yOffset=9)
        .encode(x=alt.X("at:T")),
        base.mark_point(filled=True, size=70, yOffset=9, opacity=1).encode(x=x),
        base.mark_text(align="left", dy=-11).encode(
            x=alt.value(0), text=alt.Text("words:N"), color=alt.value(look.ink)
        ),
    ]
    chart = finished(alt.layer(*layers), look, takeaway, max(1, len(rows)) * _ROW)
    shown = (
        "pool",
        "source",
        "sku",
        "gpus",
        "order_on",
        "last_safe",
        "serves_p10",
        "serves_p50",
        "serves_p90",
    )
    return Figure("order-calendar", takeaway, chart, [{key: row[key] for key in shown} for row in rows])


def _calendar_row(
    line: int, order: Order, end: dt.date, look: Look, kinds: dict[str, str], say: Wording
) -> Row:
    arrives = order.arrives
    return {
        "line": line,
        "pool": order.pool,
        "source": order.source,
        "sku": order.sku,
        "gpus": order.gpus,
        "words": say(
            "{gpus} {sku} from {source} for {pool}",
            gpus=order.gpus,
            sku=order.sku,
            source=shortened(order.source, 24),
            pool=shortened(order.pool, 16),
        ),
        "order_on": moment(order.order_on),
        "ordered": say.day(order.order_on),
        "last_safe": say("not needed for the goal") if order.last_safe is None else say.day(order.last_safe),
        "from": None if arrives.p10 is None else moment(arrives.p10),
        "at": None if arrives.p50 is None else moment(arrives.p50),
        "to": moment(min(arrives.p90 or end, end)),
        "serves_p10": say.day(arrives.p10),
        "serves_p50": say.day(arrives.p50),
        "serves_p90": say.day(arrives.p90),
        "colour": source_colour(look, kinds.get(order.source, "")),
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
