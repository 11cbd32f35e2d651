"""Runs & schedules: what is computed now, what was, what changed, and who did what."""

import streamlit as st
from pydantic import BaseModel

from dashboard.components import table
from dashboard.empty_state import enqueue, run_failed, run_progress
from dashboard.session import database, finished_runs, look, plan_of, say
from dashboard.signin import may_plan, must_plan
from dashboard.text import main_button, plain, safe, without_answers
from db import queries
from db.notices import shown_sink
from db.queries import RunSummary
from db.queue import RunQueue
from db.schedules import ScheduleRepository
from planner.compare.plans import compare
from planner.compare.rows import Row
from planner.report.change_sentences import FIGURES, with_texts
from planner.report.language import Wording, displayable
from planner.scenario.load import common_overrides, shipped


def page() -> None:
    """The page, top to bottom."""
    words = say()
    st.title(plain(words("Runs & schedules")))
    _start()
    _under_way()
    st.header(plain(words("History")))
    _history()
    st.header(plain(words("Compare two plans")))
    _compare()
    st.header(plain(words("Schedules")))
    _schedules()
    st.header(plain(words("What happened")))
    trail = queries.audit_trail(database(), limit=100)
    table([vars(line) | {"note": without_answers(line.note)} for line in trail], "audit", "audit")


def _start() -> None:
    words = say()
    with st.expander(plain(words("Start a run")), icon=":material/add:"), st.form("start-run", border=False):
        scenario = st.selectbox(words("Shipped scenario"), list(shipped()))
        overrides = st.multiselect(words("Overrides"), list(common_overrides()))
        if st.form_submit_button(words("Start"), type=main_button(), disabled=not may_plan()) and scenario:
            st.success(plain(words("Queued as run {run}.", run=enqueue(scenario, tuple(overrides)))))


@st.fragment(run_every="2s")
def _under_way() -> None:
    """Runs that wait or are computed, refreshed by themselves; a run that ends refreshes the page."""
    words = say()
    busy = [run for run in queries.runs(database(), limit=50) if run.state in ("queued", "running")]
    before, now = st.session_state.get("busy", set()), {run.id for run in busy}
    st.session_state["busy"] = now
    if before - now:
        finished_runs.clear()
        st.rerun(scope="app")
    if not busy:
        st.caption(words("No run waits or is under way."))
    for run in busy:
        run_progress(run)


def _history() -> None:
    table([_run_row(run) for run in queries.runs(database(), limit=200)], "runs", "history")
    for run in queries.runs(database(), state="failed", limit=5):
        _failed(run)


def _run_row(run: RunSummary) -> Row:
    words = say()
    return {
        words("run"): run.id,
        words("scenario"): run.scenario,
        words("state"): words(run.state),
        words("created"): run.created,
        words("seconds"): None if run.seconds is None else round(run.seconds, 1),
        words("weakest month"): run.weakest_month,
        words("probability"): None if run.probability is None else round(run.probability, 4),
        words("mean cost"): None if run.mean_cost is None else round(run.mean_cost),
        words("currency"): run.currency,
        words("schedule"): run.schedule,
        words("seed"): None if run.seed is None else str(run.seed),
    }


def _failed(run: RunSummary) -> None:
    """Why a run failed, with a button that tries it again."""
    words = say()
    st.error(plain(run_failed(run, words)))
    if st.button(words("Try again"), key=f"retry-{run.id}", disabled=not may_plan()):
        must_plan()
        RunQueue(database()).retry(run.id)
        st.rerun()


def _compare() -> None:
    words, known = say(), finished_runs(database().place)
    if len(known) < 2:
        st.caption(words("Two plans are needed."))
        return
    labels = {run.id: displayable(f"{run.scenario} · {run.created:%d %b %H:%M}") for run in known}
    left, right = st.columns(2)
    after = left.selectbox(words("Plan"), list(labels), format_func=labels.__getitem__, key="after")
    before = right.selectbox(words("compared with"), list(labels), 1, format_func=labels.__getitem__, key="before")
    if not after or not before or after == before:
        return
    found = with_texts(compare(plan_of(before), plan_of(after)), words)
    style = f"font-weight:600;overflow-wrap:anywhere;color:{look().ink}"
    st.html(f'<p style="{style}">{safe(found.sentence)}</p>')
    for title, moves in (("Answer", found.moves), ("Orders", found.orders), ("Inputs", found.inputs)):
        if moves:
            st.subheader(plain(words(title)))
            rows = [{key: _short(value) for key, value in _fields(move, words).items()} for move in moves]
            table(rows, title.lower(), f"compare-{title}")


def _fields(move: BaseModel, words: Wording) -> Row:
    """What a move holds; a figure of the answer goes by its name."""
    fields = move.model_dump()
    return {**fields, "figure": words(FIGURES[fields["figure"]])} if "figure" in fields else fields


def _short(value: object) -> str:
    """A figure to six digits; every column of the table is text."""
    if value is None:
        return "–"
    return f"{value:,.6g}" if isinstance(value, float) else str(value)


def _schedules() -> None:
    words = say()
    known = queries.schedules(database())
    if not known:
        st.caption(words("No schedule yet. Add one on the command line:"))
        example = 'weekly 2-h20-july-2025 --cron "0 7 * * MON" --zone Asia/Shanghai'
        st.code(f"waferlag schedule add {example}", language="bash")
        return
    rows = [vars(item) | {"sinks": ", ".join(map(shown_sink, item.sinks["sinks"]))} for item in known]
    rows = [{key: str(value) for key, value in row.items()} for row in rows]
    table(rows, "schedules", "schedules")
    for item in known:
        label = plain(words("Run {name} now", name=item.name))
        if st.button(label, key=f"now-{item.name}", disabled=not may_plan()):
            must_plan()
            ScheduleRepository(database()).run_now(item.name)
            st.rerun()


page()
