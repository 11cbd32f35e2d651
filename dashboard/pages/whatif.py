"""What-if: change the inputs that matter against a pinned baseline, on the same luck, and see the difference."""

from typing import Any

import streamlit as st

from dashboard.charts.whatif import comparison_sentence, odds_compared, tornado_bars
from dashboard.components import (
    computed,
    look,
    main_button,
    may_plan,
    page_head,
    plain,
    say,
    show,
    shown_plan,
    table,
)
from dashboard.start import enqueue_scenario
from dashboard.whatif import Changes, QuickAnswer, compare, input_differences, order_differences
from planner.record import PlanRecord

_AS_PLANNED = "as planned"


def page() -> None:
    """The page, top to bottom."""
    run, record = shown_plan()
    words = say()
    page_head("What-if", run, record)
    changes, in_full, name = _form(record)
    scenario = changes.applied(record.scenario)
    if scenario == record.scenario:
        st.info(
            words(
                "Nothing is changed yet: set a value above and apply it. The baseline is the plan named on top."
            )
        )
    else:
        base: QuickAnswer = computed("quick answer", record.scenario)
        changed: QuickAnswer = computed("quick answer", scenario)
        _difference(base, changed)
        if in_full and may_plan():
            renamed = scenario.model_copy(update={"name": name or record.scenario.name})
            run_id = enqueue_scenario(renamed, tuple(record.overrides))
            st.success(
                plain(words("The full run {run} is queued; Runs & schedules shows its progress.", run=run_id))
            )
        st.header(plain(words("What was changed")))
        table(_texts(input_differences(record.scenario, scenario)), "inputs", "inputs")
    _tornado(record)


def _form(record: PlanRecord) -> tuple[Changes, bool, str]:
    """The inputs that matter; their values are part of the address."""
    words = say()
    with st.form("what-if", border=True):
        number = {"bind": "query-params", "step": 0.05, "format": "%.2f"}
        one, two, three = st.columns(3)
        demand = one.number_input(words("Demand, times"), 0.1, 10.0, 1.0, key="demand", **number)
        growth = two.number_input(words("Growth, times"), 0.0, 5.0, 1.0, key="growth", **number)
        planned = record.scenario.goal.probability
        goal = three.number_input(words("Goal, probability"), 0.01, 1.0, planned, key="goal", **number)
        one, two, three = st.columns(3)
        price = one.number_input(words("Purchase prices, times"), 0.1, 10.0, 1.0, key="price", **number)
        rent = two.number_input(words("Rental prices, times"), 0.1, 10.0, 1.0, key="rent", **number)
        caps = three.number_input(words("Caps, times"), 0.0, 10.0, 1.0, key="caps", **number)
        gates: dict[str, str | None] = {}
        columns: list[Any] = []
        for at, gate in enumerate(record.scenario.gates):
            columns = st.columns(3) if at % 3 == 0 else columns
            gates[gate.name] = columns[at % 3].selectbox(
                plain(words("Gate {gate}", gate=gate.name)),
                [_AS_PLANNED, "closed", "promised", "conditional", "open"],
                format_func=words,
                key=f"gate{at}",
                bind="query-params",
            )
        in_full = st.checkbox(
            words("Also compute it in full and keep it as a scenario named"), disabled=not may_plan()
        )
        name = st.text_input(
            words("Name of the scenario"), f"{record.scenario.name}-what-if"[:120], max_chars=120
        )
        st.form_submit_button(words("Apply"), type=main_button())
    kept = {gate: state for gate, state in gates.items() if state and state != _AS_PLANNED}
    changed_goal = None if goal == planned else goal
    return Changes(demand, growth, changed_goal, price, rent, caps, kept), in_full, name.strip()


def _difference(base: QuickAnswer, changed: QuickAnswer) -> None:
    words, found = say(), compare(base, changed)
    st.markdown(f"### {plain(comparison_sentence(found, base, words))}")
    st.caption(
        plain(
            words(
                "A quick answer on the first {n} futures of the same luck; differences are of equal futures, with "
                "90 % intervals. The full run uses all futures.",
                n=len(base.cost),
            )
        )
    )
    if not changed.feasible:
        st.warning(plain(words("On this sample no plan was found that reaches the goal in every month.")))
    show(odds_compared(base, changed, look(), words), "compared")
    st.header(plain(words("Orders that change")))
    table(order_differences(base, changed), "order-changes", "order-changes")


def _tornado(record: PlanRecord) -> None:
    words = say()
    st.header(plain(words("What matters most")))
    st.caption(plain(words("Each input alone, low and high, on the small sample; it takes up to a minute.")))
    if st.toggle(words("Compute the tornado"), key="tornado", bind="query-params"):
        rows = computed("tornado", record.scenario)
        show(tornado_bars(rows, record.scenario.currency, look(), words), "tornado-chart")


def _texts(rows: list[dict[str, object]]) -> list[dict[str, str]]:
    """Mixed values as text: a table's column has one type."""
    return [{key: "–" if value is None else str(value) for key, value in row.items()} for row in rows]


page()
