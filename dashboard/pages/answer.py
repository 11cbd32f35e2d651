"""Answer: what to order, by when, with what probability, and why."""

import streamlit as st

from dashboard.charts import fleet, rivals
from dashboard.components import answer_card, choose_pool, download, facts_row, page_head, show, shown_plan, table
from dashboard.report.analysis_tables import rival_cells
from dashboard.report.content import headline_facts
from dashboard.session import database, look, say
from dashboard.signin import may_plan, must_plan
from dashboard.text import plain
from db import queries
from db.queries import RunSummary
from db.repository import approve
from planner.record.models import PlanRecord
from planner.report.change_sentences import sentence
from planner.report.sentences import reasons
from planner.report.study_sentences import limit_sentences, worth_sentences


def page() -> None:
    """The page, top to bottom."""
    run, record = shown_plan()
    words, colours = say(), look()
    page_head("Answer", run, record)
    answer_card(record)
    difference = queries.difference(database(), run.id)
    changed = [] if difference is None else [sentence(difference.changes, words)]
    for told in changed:
        st.info(plain(told), icon=":material/compare_arrows:")
    left, right = st.columns(2)
    with left:
        _take_away(run, record, changed)
    with right:
        _approval(run.id)
    st.space("small")
    facts_row(headline_facts(record, words))
    st.space("small")
    show(fleet.fleet_fan(record, choose_pool(record), colours, words), "fan")
    show(fleet.month_strip(record, colours, words), "strip")
    st.header(plain(words("Other ways to act, on the same futures")))
    if record.rivals:
        show(rivals.rivals_compared(record, colours, words), "rivals")
    _rival_table(record)
    _points("Why this plan", reasons(record, words))
    _points("What knowing more would be worth", worth_sentences(record, words))
    _points("Limits that bind", limit_sentences(record, words))
    for column, (file, title, icon) in zip(st.columns(3), _REASONS_LIE, strict=True):
        column.page_link(f"../pages/{file}.py", label=words(title), icon=f":material/{icon}:")


# Pages that hold the reasons at length.
_REASONS_LIE = (
    ("orders", "Why each order", "shopping_cart"),
    ("supply", "Gates and lead times", "local_shipping"),
    ("serving", "Serving figures", "memory"),
)


def _points(title: str, sentences: list[str]) -> None:
    if sentences:
        st.header(plain(say()(title)))
        st.markdown("\n".join(f"- {plain(sentence)}" for sentence in sentences))


def _take_away(run: RunSummary, record: PlanRecord, changed: list[str]) -> None:
    """The report and the record, made when they are asked for."""
    from dashboard.report import html_report, pdf_report

    words = say()
    asked = (record, words.language, changed)
    with st.popover(words("Report and data"), icon=":material/description:"):
        for label, content, ending, mime in (
            (words("Report, HTML"), lambda: html_report(*asked), "html", "text/html"),
            (words("Report, PDF"), lambda: pdf_report(*asked), "pdf", "application/pdf"),
            (words("Plan, JSON"), lambda: record.model_dump_json(indent=2), "json", "application/json"),
        ):
            name = f"waferlag-{run.id}.{ending}"
            download(st, label, content, name, mime, f"take-{ending}", width="stretch")


def _approval(run_id: str) -> None:
    """Whether the plan is the one to act on, with the button that says so or takes it back."""
    words = say()
    given = queries.approval(database(), run_id)
    if given is not None:
        told = words("Approved by {name}, {at} UTC.", name=given.actor, at=f"{given.at:%Y-%m-%d %H:%M}")
        st.success(plain(told), icon=":material/verified:")
    label = words("Approve this plan") if given is None else words("Withdraw the approval")
    if st.button(label, key="approve", icon=":material/task_alt:", disabled=not may_plan()):
        must_plan()
        approve(database(), run_id, withdraw=given is not None)
        st.rerun()


def _rival_table(record: PlanRecord) -> None:
    words = say()
    level = words.percent(record.answer.probability.level)
    titles = {
        "name": "way to act",
        "weakest": words("weakest month ({level} interval)", level=level),
        "month": "in",
        "cost": "mean cost",
        "difference": "against this plan",
        "verdict": "beside this plan",
        "unmet": "demand unmet",
        "worst": "unmet, worst tenth",
        "gpus": "GPUs ordered",
        "rule": "rule",
    }
    table(rival_cells(record, words), "rivals", "rival-table", titles)


page()
