"""The form of What-if: the inputs that matter, each of them part of the address."""

import datetime as dt
from dataclasses import dataclass
from typing import Any

import streamlit as st

from dashboard.session import say
from dashboard.signin import may_plan
from dashboard.text import main_button, plain
from planner.compare.what_if import Changes
from planner.record.models import PlanRecord
from planner.scenario.gates import Gate
from planner.scenario.models import Scenario

_AS_PLANNED = "as planned"
_STATES = [_AS_PLANNED, "closed", "promised", "conditional", "open"]


@dataclass(frozen=True)
class Question:
    """What is asked."""

    changes: Changes
    name: str
    """What the changed scenario is kept as."""
    in_full: bool
    """Whether all futures are to be computed behind the quick answer."""
    applied: bool
    """Whether the form was sent just now; an address that is opened sends none."""


def ask(record: PlanRecord) -> Question:
    """Draw the form; the question as it was applied last."""
    words, scenario = say(), record.scenario
    with st.form("what-if", border=True):
        figures = _figures(scenario)
        states = _gates(scenario)
        left, right = st.columns(2, vertical_alignment="bottom")
        usual = f"{scenario.name}-what-if"[:120]
        name = left.text_input(words("Keep the scenario as"), usual, max_chars=120, key="name", bind="query-params")
        behind = words("Compute all futures behind the quick answer")
        full = right.toggle(behind, True, key="full", bind="query-params", disabled=not may_plan())
        applied = st.form_submit_button(words("Apply"), type=main_button())
    return Question(Changes(**figures, **states), name.strip() or usual, full, applied)


def _figures(scenario: Scenario) -> dict[str, Any]:
    words, planned = say(), scenario.goal.probability
    asked = (
        ("demand", "Demand, times", 0.1, 10.0, 1.0),
        ("growth", "Growth, times", 0.0, 5.0, 1.0),
        ("goal", "Goal, probability", 0.01, 1.0, planned),
        ("lead", "Lead times, times", 0.1, 5.0, 1.0),
        ("price", "Purchase prices, times", 0.1, 10.0, 1.0),
        ("rent", "Rental prices, times", 0.1, 10.0, 1.0),
        ("caps", "Caps, times", 0.0, 10.0, 1.0),
    )
    found: dict[str, Any] = {}
    columns: list[Any] = []
    for at, (key, label, least, most, usual) in enumerate(asked):
        columns = st.columns(4) if at % 4 == 0 else columns
        found[key] = columns[at % 4].number_input(
            words(label), least, most, usual, key=key, bind="query-params", step=0.05, format="%.2f"
        )
    found["rental_price"] = found.pop("rent")
    if found["goal"] == planned:
        found["goal"] = None
    return found


def _gates(scenario: Scenario) -> dict[str, Any]:
    """States kept for ever, and dated events, by gate."""
    words = say()
    kept: dict[str, str] = {}
    events: dict[str, tuple[dt.date, str]] = {}
    for at, gate in enumerate(scenario.gates):
        state, day = _gate(scenario, gate, at)
        if state == _AS_PLANNED:
            continue
        if day <= scenario.start:
            kept[gate.name] = state
        else:
            events[gate.name] = (day, state)
    if scenario.gates:
        st.caption(
            words(
                "A state from the first day stays for ever; from a later day it begins there, and the gate moves on as "
                "it may."
            )
        )
    return {"gates": kept, "events": events}


def _gate(scenario: Scenario, gate: Gate, at: int) -> tuple[str, dt.date]:
    words = say()
    left, right = st.columns([3, 2])
    label, start = plain(words("Gate {gate}", gate=gate.name)), scenario.start
    state = left.selectbox(label, _STATES, format_func=words, key=f"gate{at}", bind="query-params")
    day = right.date_input(
        plain(words("from, {gate}", gate=gate.name)),
        start,
        min_value=start,
        max_value=start + dt.timedelta(days=31 * scenario.horizon_months),
        key=f"from{at}",
        bind="query-params",
        format="YYYY-MM-DD",
    )
    return state or _AS_PLANNED, day if isinstance(day, dt.date) else start
