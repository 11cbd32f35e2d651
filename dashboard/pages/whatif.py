"""What-if: other inputs against a pinned baseline, with common random numbers, and the difference."""

import streamlit as st

from dashboard.charts.ahead import frontier, swings
from dashboard.charts.whatif import comparison_sentence, odds_compared, tornado_bars
from dashboard.components import page_head, show, shown_plan, table
from dashboard.compute.background import PROCESSES
from dashboard.compute.full_run import follow, full_run, give_up_the_last
from dashboard.pages.whatif_form import Question, ask
from dashboard.session import asked, background, expected, look, plan_of, say
from dashboard.text import plain
from db.queries import RunSummary
from planner.compare.answers import (
    Answered,
    Comparison,
    FullAnswer,
    compare,
    compare_in_full,
    input_differences,
    order_differences,
)
from planner.compare.one_at_a_time import levers, tornado_row, widest_first
from planner.compare.what_if import QuickAnswer
from planner.record.models import PlanRecord


def page() -> None:
    """The page, top to bottom."""
    run, record = shown_plan()
    words = say()
    page_head("What-if", run, record)
    question = ask(record)
    scenario = question.changes.applied(record.scenario)
    if scenario == record.scenario:
        background().warm_up(PROCESSES)
        expected("quick answer", run.id)  # the baseline, while the form is filled in
        st.info(words("Nothing is changed yet: set a value above and apply it. The baseline is the plan named on top."))
    else:
        _answer(run, record, question)
        st.header(plain(words("What was changed")))
        differences = input_differences(record.scenario, scenario)
        # Text: a table's column has one type, and the values are mixed.
        rows = [{key: "–" if value is None else str(value) for key, value in row.items()} for row in differences]
        table(rows, "inputs", "inputs")
    if record.frontier:
        st.header(plain(words("What other goals cost")))
        show(frontier(record, look(), words), "frontier")
    if record.tornado:
        st.header(plain(words("What the cost swings with")))
        show(swings(record, look(), words), "swings")
    _tornado(run, record)


def _answer(run: RunSummary, record: PlanRecord, question: Question) -> None:
    """The quick answer at once; the full one in its place as soon as it is there."""
    words, overrides = say(), tuple(record.overrides)
    scenario = question.changes.applied(record.scenario).model_copy(update={"name": question.name})
    if question.applied:
        give_up_the_last(scenario)
    behind = full_run(scenario)
    if behind is not None and behind.sentence is not None:
        full, planned = FullAnswer(plan_of(behind.id)), FullAnswer(record)
        _difference(planned, full, compare_in_full(planned, full), _ALL)
        st.markdown(f"[{plain(words('Open this plan'))}](?run={behind.id})")
        return
    baseline = expected("quick answer", run.id)
    changed: QuickAnswer = asked("quick answer", run.id, question.changes)
    base: QuickAnswer = baseline.result()
    _difference(base, changed, compare(base, changed), _QUICK)
    follow(scenario, run, overrides, question.applied and question.in_full)


_QUICK = (
    "A quick answer on the first {n} futures of the same random numbers, with all orders settled beforehand on both "
    "sides; differences are of equal futures, with 90 % intervals."
)
_ALL = (
    "All {n} futures of both plans, with common random numbers; 90 % intervals, wider than needed, since what they "
    "share is left out."
)


def _difference(base: Answered, changed: Answered, found: Comparison, about: str) -> None:
    words = say()
    st.markdown(f"### {plain(comparison_sentence(found, base, words))}")
    st.caption(plain(words(about, n=words.count(changed.futures))))
    if changed.probability(changed.weakest).value < changed.goal:
        st.warning(plain(words("No plan was found that reaches the goal in every month.")))
    show(odds_compared(base, changed, look(), words), "compared")
    st.header(plain(words("Orders that change")))
    table(order_differences(base, changed), "order-changes", "order-changes")


def _tornado(run: RunSummary, record: PlanRecord) -> None:
    words = say()
    st.header(plain(words("Which lever moves it most")))
    st.caption(
        plain(words("Each input of the form alone, low and high, on the small sample; it takes up to a minute."))
    )
    if not st.toggle(words("Compute the tornado"), key="tornado", bind="query-params"):
        return
    found = levers(record.scenario)
    base = asked("quick answer", run.id)
    # Asked for together, so that both processes work on them.
    answers = [[expected("quick answer", run.id, side) for side in (lever.low, lever.high)] for lever in found]
    rows = [
        tornado_row(lever, base, low.result(), high.result()) for lever, (low, high) in zip(found, answers, strict=True)
    ]
    show(tornado_bars(widest_first(rows), record.scenario.currency, look(), words), "tornado-chart")


page()
