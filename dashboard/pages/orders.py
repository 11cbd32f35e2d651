"""Orders: what to order when, when it serves, what it protects, and what it pays."""

import streamlit as st

from dashboard import charts
from dashboard.components import page_head, show, shown_plan, table
from dashboard.report.analysis_tables import (
    CALENDAR_TITLES,
    LATER_TITLES,
    calendar_rows,
    calendar_title,
    later_rows,
    later_title,
    quarter_rows,
    quarter_titles,
)
from dashboard.session import look, say
from dashboard.text import plain, safe
from planner.record.models import Order, PlanRecord
from planner.report import sentences
from planner.report.sentences import rental_spans
from planner.report.study_sentences import calendar_sentence


def page() -> None:
    """The page, top to bottom."""
    run, record = shown_plan()
    words, colours = say(), look()
    page_head("Orders", run, record)
    placed = [order for order in record.orders if order.gpus > 0]
    if not placed and not record.reservations and not record.later:
        st.info(words("The plan orders nothing and reserves nothing."))
        return
    if placed:
        show(charts.order_calendar(record, colours, words), "calendar")
        st.header(plain(words("Why each order")))
        _cards(placed, record)
        st.header(plain(words("The calendar as a table")))
        table([_row(order, record) for order in placed], "orders", "order-table", _TITLES)
    else:
        st.info(words("The plan orders nothing now."))
    if record.reservations:
        st.header(plain(words("Reserved rental")))
        table(_rental_rows(record), "reservations", "rental-table")
    _ahead(record)
    if record.quarters:
        st.header(plain(words("Cash by quarter")))
        show(charts.cash_by_quarter(record, colours, words), "cash")
        table(quarter_rows(record, words), "quarters", "quarter-table", quarter_titles(record))


def _ahead(record: PlanRecord) -> None:
    """Orders that are not settled today: what planning again may order, and the calendar where nobody does."""
    words = say()
    if record.later:
        st.header(plain(words(later_title(record))))
        show(charts.later_orders(record, look(), words), "later")
        table(later_rows(record, words), "later-orders", "later-table", LATER_TITLES)
    if record.calendar is not None:
        st.header(plain(words(calendar_title(record, record.calendar))))
        st.markdown(plain(calendar_sentence(record, record.calendar, words)))
        table(calendar_rows(record, words), "if-then-calendar", "calendar-table", CALENDAR_TITLES)


def _cards(orders: list[Order], record: PlanRecord) -> None:
    for at in range(0, len(orders), 2):
        for column, order in zip(st.columns(2), orders[at : at + 2], strict=False):
            with column.container(border=True, height="stretch"):
                _card(order, record)


def _card(order: Order, record: PlanRecord) -> None:
    words, currency = say(), record.scenario.currency
    arrives = order.arrives
    lines = [
        (words("order on"), words.day(order.order_on)),
        (
            words("last safe date"),
            words("not needed for the goal") if order.last_safe is None else words.day(order.last_safe),
        ),
        (
            words("serves"),
            f"{words.day(arrives.p50)} ({words.day(arrives.p10)} – {words.day(arrives.p90)}), "
            + words("{share} within the horizon", share=words.percent(order.arrives_within_horizon)),
        ),
        (
            words("pays"),
            words(
                "{now} at acceptance, {rest} on delivery",
                now=words.money(order.prepayment, currency),
                rest=words.money(order.price - order.prepayment, currency),
            ),
        ),
        (
            words("without it"),
            words(
                "{month} is met in {odds} of futures; cost {change}",
                month=words("no month") if order.protects is None else words.month(order.protects),
                odds=words.odds(order.probability_without),
                change=words.change(order.cost_without.value, currency),
            ),
        ),
    ]
    what = words("{gpus} {sku} from {source}", gpus=order.gpus, sku=order.sku, source=order.source)
    rows = "".join(
        f'<p style="margin:.15rem 0"><span style="color:{look().quiet}">{safe(name)}</span> {safe(value)}</p>'
        for name, value in lines
    )
    why = safe(sentences.why(order, record, words))
    st.html(
        f'<div style="overflow-wrap:anywhere"><p style="margin:0;font-weight:600;font-size:1.08rem">{safe(what)}</p>'
        f'<p style="margin:0 0 .4rem;color:{look().quiet}">{safe(words("for {pool}", pool=order.pool))}</p>'
        f'{rows}<p style="margin:.4rem 0 0">{why}</p></div>'
    )


_TITLES = {
    "order_on": "order on",
    "source": "source",
    "sku": "GPU",
    "gpus": "GPUs",
    "pool": "pool",
    "last_safe": "last safe date",
    "serves_p10": "serves, P10",
    "serves_p50": "serves, P50",
    "serves_p90": "serves, P90",
    "within_horizon": "within the horizon",
    "price": "price",
    "prepayment": "prepayment",
    "protects": "protects",
}


def _row(order: Order, record: PlanRecord) -> dict[str, object]:
    return {
        "order_on": order.order_on,
        "source": order.source,
        "sku": order.sku,
        "gpus": order.gpus,
        "pool": order.pool,
        "last_safe": order.last_safe,
        "serves_p10": order.arrives.p10,
        "serves_p50": order.arrives.p50,
        "serves_p90": order.arrives.p90,
        "within_horizon": round(order.arrives_within_horizon, 4),
        "price": order.price,
        "prepayment": order.prepayment,
        "currency": record.scenario.currency,
        "protects": order.protects,
    }


def _rental_rows(record: PlanRecord) -> list[dict[str, object]]:
    words = say()
    return [
        {
            words("from"): span.first,
            words("to"): span.last,
            words("source"): span.source,
            words("GPU"): span.sku,
            words("GPUs"): span.gpus,
            words("pool"): span.pool,
            words("reserve by"): span.reserve_by,
            words("price"): words.money(span.price, record.scenario.currency),
        }
        for span in rental_spans(record)
    ]


page()
