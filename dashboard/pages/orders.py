"""Orders: what to order when, when it serves, what it protects, and what it pays."""

import streamlit as st

from dashboard.charts import ahead, money, supply
from dashboard.charts.parts import QUANTILES, picked
from dashboard.components import page_head, show, shown_plan, table
from dashboard.report import analysis_tables as analysis
from dashboard.session import look, say
from dashboard.text import plain, safe
from planner.compare.rows import Row
from planner.record.models import Order, PlanRecord
from planner.report.language import Wording
from planner.report.sentences import rental_spans, why
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
        show(supply.order_calendar(record, colours, words), "calendar")
        st.header(plain(words("Why each order")))
        for at in range(0, len(placed), 2):
            for column, order in zip(st.columns(2), placed[at : at + 2], strict=False):
                with column.container(border=True, height="stretch"):
                    _card(order, record)
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
        show(money.cash_by_quarter(record, colours, words), "cash")
        rows = analysis.quarter_rows(record, words)
        table(rows, "quarters", "quarter-table", analysis.quarter_titles(record))


def _ahead(record: PlanRecord) -> None:
    """Orders that are not settled today: what planning again may order, and the calendar where nobody does."""
    words = say()
    if record.later:
        st.header(plain(words(analysis.later_title(record))))
        show(ahead.later_orders(record, look(), words), "later")
        table(analysis.later_rows(record, words), "later-orders", "later-table", analysis.LATER_TITLES)
    if record.calendar is not None:
        st.header(plain(words(analysis.calendar_title(record, record.calendar))))
        st.markdown(plain(calendar_sentence(record, record.calendar, words)))
        rows = analysis.calendar_rows(record, words)
        table(rows, "if-then-calendar", "calendar-table", analysis.CALENDAR_TITLES)


def _card(order: Order, record: PlanRecord) -> None:
    words, colours, currency = say(), look(), record.scenario.currency
    what = words("{gpus} {sku} from {source}", **picked(order, "gpus", "sku", "source"))
    rows = "".join(
        f'<p style="margin:.15rem 0"><span style="color:{colours.quiet}">{safe(name)}</span> {safe(value)}</p>'
        for name, value in _card_lines(order, currency, words).items()
    )
    reason = safe(why(order, record, words))
    st.html(
        f'<div style="overflow-wrap:anywhere"><p style="margin:0;font-weight:600;font-size:1.08rem">{safe(what)}</p>'
        f'<p style="margin:0 0 .4rem;color:{colours.quiet}">{safe(words("for {pool}", pool=order.pool))}</p>'
        f'{rows}<p style="margin:.4rem 0 0">{reason}</p></div>'
    )


def _card_lines(order: Order, currency: str, words: Wording) -> dict[str, str]:
    """What an order's card tells, by heading."""
    arrives, last = order.arrives, order.last_safe
    within = words("{share} within the horizon", share=words.percent(order.arrives_within_horizon))
    paid = words.moneys(currency, now=order.prepayment, rest=order.price - order.prepayment)
    return {
        words("order on"): words.day(order.order_on),
        words("last safe date"): words("not needed for the goal") if last is None else words.day(last),
        words("serves"): f"{words.day(arrives.p50)} ({words.day(arrives.p10)} – {words.day(arrives.p90)}), {within}",
        words("pays"): words("{now} at acceptance, {rest} on delivery", **paid),
        words("without it"): words(
            "{month} is met in {odds} of futures; cost {change}",
            month=words("no month") if order.protects is None else words.month(order.protects),
            odds=words.odds(order.probability_without),
            change=words.change(order.cost_without.value, currency),
        ),
    }


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


def _row(order: Order, record: PlanRecord) -> Row:
    return {
        **picked(order, "order_on", "source", "sku", "gpus", "pool", "last_safe"),
        **picked(order.arrives, *QUANTILES, stem="serves_"),
        "within_horizon": round(order.arrives_within_horizon, 4),
        **picked(order, "price", "prepayment"),
        "currency": record.scenario.currency,
        "protects": order.protects,
    }


def _rental_rows(record: PlanRecord) -> list[Row]:
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
