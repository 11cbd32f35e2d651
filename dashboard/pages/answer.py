"""Answer: what to order, by when, with what probability, and why."""

import streamlit as st

from dashboard import charts
from dashboard.approval import approval
from dashboard.charts.rivals import rival_rows
from dashboard.components import (
    answer_card,
    choose_pool,
    download,
    facts_row,
    page_head,
    show,
    shown_plan,
    table,
)
from dashboard.report.content import headline_facts
from dashboard.session import database, look, say
from dashboard.text import plain
from db import queries
from db.queries import RunSummary
from planner.record.models import PlanRecord
from planner.report.sentences import VERDICTS, reasons
from planner.report.study_sentences import limit_sentences, worth_sentences


def page() -> None:
    """The page, top to bottom."""
    run, record = shown_plan()
    words, colours = say(), look()
    page_head("Answer", run, record)
    answer_card(record)
    _since_last_run(run)
    left, right = st.columns(2)
    with left:
        _take_away(run, record)
    with right:
        approval(run.id)
    st.space("small")
    facts_row(headline_facts(record, words))
    st.space("small")
    pool = choose_pool(record)
    show(charts.fleet_fan(record, pool, colours, words), "fan")
    show(charts.month_strip(record, colours, words), "strip")
    st.header(plain(words("Other ways to act, on the same futures")))
    if record.rivals:
        show(charts.rivals_compared(record, colours, words), "rivals")
    _rival_table(record)
    _points("Why this plan", reasons(record, words))
    _points("What knowing more would be worth", worth_sentences(record, words))
    _points("Limits that bind", limit_sentences(record, words))
    for column, (file, title, icon) in zip(st.columns(3), _REASONS_LIE, strict=True):
        column.page_link(f"../pages/{file}.py", label=words(title), icon=f":material/{icon}:")


_REASONS_LIE = (
    ("orders", "Why each order", "shopping_cart"),
    ("supply", "Gates and lead times", "local_shipping"),
    ("serving", "Serving figures", "memory"),
)
"""Pages that hold the reasons at length."""


def _points(title: str, sentences: list[str]) -> None:
    if sentences:
        st.header(plain(say()(title)))
        st.markdown("\n".join(f"- {plain(sentence)}" for sentence in sentences))


def _since_last_run(run: RunSummary) -> None:
    difference = queries.difference(database(), run.id)
    if difference is not None:
        st.info(plain(difference.sentence), icon=":material/compare_arrows:")


def _take_away(run: RunSummary, record: PlanRecord) -> None:
    """The report and the record, made when they are asked for."""
    from dashboard.report import html_report, pdf_report

    words = say()
    difference = queries.difference(database(), run.id)
    changed = () if difference is None else (difference.sentence,)
    name = f"waferlag-{run.id}"
    with st.popover(words("Report and data"), icon=":material/description:"):
        for label, content, ending, mime in (
            (
                words("Report, HTML"),
                lambda: html_report(record, words.language, changed),
                "html",
                "text/html",
            ),
            (
                words("Report, PDF"),
                lambda: pdf_report(record, words.language, changed),
                "pdf",
                "application/pdf",
            ),
            (words("Plan, JSON"), lambda: record.model_dump_json(indent=2), "json", "application/json"),
        ):
            download(st, label, content, f"{name}.{ending}", mime, f"take-{ending}", width="stretch")


def _rival_table(record: PlanRecord) -> None:
    words = say()
    currency = record.scenario.currency
    rows = [
        {
            "name": row["name"],
            "rule": row["meaning"],
            "weakest": words.percent(row["probability"])
            + f" ({words.percent_range(row['low'], row['high'])})",
            "month": words.month(row["weakest_month"]),
            "cost": words.money(row["mean_cost"], currency),
            "difference": "–" if row["ours"] else words.change(row["cost_difference"], currency),
            "unmet": words.percent(row["shortfall_share"], 1),
            "worst": "–"
            if row["worst_tenth_shortfall"] is None
            else words.percent(row["worst_tenth_shortfall"], 1),
            "gpus": words.count(row["gpus_ordered"]),
            "verdict": words(VERDICTS[row["verdict"]]) if row["verdict"] else "",
        }
        for row in rival_rows(record, words)
    ]
    titles = {
        "name": "way to act",
        "weakest": words(
            "weakest month ({level} interval)", level=words.percent(record.answer.probability.level)
        ),
        "month": "in",
        "cost": "mean cost",
        "difference": "against this plan",
        "verdict": "beside this plan",
        "unmet": "demand unmet",
        "worst": "unmet, worst tenth",
        "gpus": "GPUs ordered",
        "rule": "rule",
    }
    table(rows, "rivals", "rival-table", titles)


page()
