"""Supply: the gates, the way of the goods, lead times, one future as a story, and the money at risk."""

import streamlit as st

from dashboard.charts import supply
from dashboard.charts.tracks import gate_events, gate_history, pipeline_area, story_gantt
from dashboard.components import page_head, show, shown_plan, table
from dashboard.session import asked, look, say
from dashboard.text import plain
from planner.record.models import PlanRecord


def page() -> None:
    """The page, top to bottom."""
    run, record = shown_plan()
    words, colours = say(), look()
    page_head("Supply", run, record)
    st.header(plain(words("Gates: what happened, and what may")))
    if not record.scenario.gates:
        st.info(words("No gate stands between an order and its delivery in this scenario."))
    for at, gate in enumerate(record.scenario.gates):
        show(gate_history(record, gate, colours, words), f"gate-{at}")
        _events(record, at)
    st.header(plain(words("Lead time by source")))
    if record.lead_times:
        show(supply.lead_times(record, colours, words), "lead")
    _money_at_risk(record)
    if any(order.gpus > 0 for order in record.orders):
        st.header(plain(words("Where the ordered GPUs are")))
        show(pipeline_area(asked("pipeline", run.id), colours, words), "pipeline")
        st.header(plain(words("One future as a story")))
        _story(run.id, record)


def _events(record: PlanRecord, at: int) -> None:
    words, gate = say(), record.scenario.gates[at]
    listed = gate_events(record, gate)
    if not listed:
        return
    rows = [
        {
            words("number"): number,
            words("date"): event.date,
            words("event"): event.event,
            words("evidence"): event.evidence,
            words("source"): event.source,
        }
        for number, event in enumerate(listed, start=1)
    ]
    with st.expander(plain(words("The {n} events behind {gate}", n=len(listed), gate=gate.name))):
        table(rows, f"events-{gate.name}", f"events-{at}")


def _money_at_risk(record: PlanRecord) -> None:
    words, kpis = say(), record.kpis
    told = words(
        "Prepayments of all orders come to {all}; if every gate closed for good in the worst month, {risk} of what was "
        "paid would not come back, on average.",
        **words.moneys(record.scenario.currency, all=kpis.committed, risk=kpis.at_risk),
    )
    st.markdown(plain(told))


def _story(run_id: str, record: PlanRecord) -> None:
    words = say()
    most = record.scenario.run.replications - 1
    future = st.number_input(words("Future number (of {n})", n=most + 1), 0, most, 0, key="future", bind="query-params")
    told = asked("story", run_id, int(future))
    for item in told.told():
        line = words(item.what, **{name: words(value) for name, value in item.figures.items()})
        st.markdown(f"- **{plain(words.day(item.day))}** {plain(line)}")
    show(story_gantt(told, look(), words), "story")


page()
