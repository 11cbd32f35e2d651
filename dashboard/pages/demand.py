"""Demand: what each pool is asked for, when, how long, and how it may grow."""

import streamlit as st

from dashboard.charts.demand import lengths_known, need_by_pool, request_lengths, week_shape
from dashboard.charts.parts import QUANTILES, picked
from dashboard.components import choose_pool, page_head, show, shown_plan, table
from dashboard.session import look, say
from dashboard.text import plain
from planner.demand.traffic import Traffic, traffic
from planner.record.models import PlanRecord


def page() -> None:
    """The page, top to bottom."""
    run, record = shown_plan()
    words, colours = say(), look()
    page_head("Demand", run, record)
    show(need_by_pool(record, colours, words), "growth")
    name = choose_pool(record)
    pool = next(pool for pool in record.scenario.pools if pool.name == name)
    flow = traffic(pool)
    st.header(plain(words("The traffic of {pool}", pool=name)))
    _facts(flow)
    shape = week_shape(flow, colours, words)
    if shape is None:
        st.caption(words("The trace is shorter than a day, so it says nothing about the hours."))
    else:
        show(shape, "week")
    if lengths_known(flow.input) and lengths_known(flow.output):
        show(request_lengths(flow, colours, words), "lengths")
    _origin(flow)
    st.header(plain(words("GPUs needed by month")))
    table(_need_rows(record), "need", "need-table", _NEED_TITLES)


def _facts(flow: Traffic) -> None:
    words, busy, reuse = say(), flow.busy_hour, flow.prefix_reuse
    lengths = f"{flow.input.mean:,.0f} / {flow.output.mean:,.0f}"
    rows = [
        (words("requests/s, mean of the first month"), f"{flow.mean_rps:,.3g}", words("from the scenario")),
        (words("busiest hour over the mean"), f"{busy.value:.2f}", busy.label),
        (words("input tokens from the prefix cache"), words.percent(reuse.value), reuse.label),
        (words("mean lengths, input / output"), lengths, flow.pairing),
    ]
    st.markdown("\n".join(f"- {plain(name)}: **{plain(value)}** ({plain(source)})" for name, value, source in rows))


def _origin(flow: Traffic) -> None:
    told = say()(
        "Trace {name}: {title}. {source}, {date}, licence {licence}, evidence: {evidence}. {note}",
        name=flow.trace.name,
        **picked(flow.trace.origin, "title", "source", "date", "licence", "evidence", "note"),
    )
    st.caption(plain(told))


_NEED_TITLES = {
    "month": "month",
    "pool": "pool",
    "unit": "counted in",
    "need_p10": "needed, P10",
    "need_p50": "needed, P50",
    "need_p90": "needed, P90",
    "probability": "probability met",
}


def _need_rows(record: PlanRecord) -> list[dict[str, object]]:
    words = say()
    return [
        {
            "month": month.month,
            "pool": part.pool,
            "unit": part.unit,
            **{f"need_{q}": round(getattr(part.need_gpus, q), 1) for q in QUANTILES},
            "probability": words.odds(part.probability),
        }
        for month in record.months
        for part in month.pools
    ]


page()
