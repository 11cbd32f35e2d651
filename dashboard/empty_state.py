"""The empty state: nothing is planned yet. Offers the quickstart, and shows a run under way."""

import streamlit as st

from dashboard.session import QUICKSTART, database, finished_runs, say
from dashboard.signin import may_plan, must_plan
from dashboard.text import main_button, plain, without_answers
from db import queries
from db.queue import RunQueue
from planner.record.provenance import versions
from planner.report.language import Wording
from planner.scenario.models import Scenario


def offer_quickstart() -> None:
    """What to do when the database holds no plan."""
    words = say()
    st.title(words("No plan yet"))
    under_way = [run for run in queries.runs(database(), limit=20) if run.state in ("queued", "running")]
    if under_way:
        watch()
        return
    told = words("Waferlag answers which GPUs to order, from whom and by when. Start with the small sample:")
    st.write(told)
    how = {"type": main_button(), "icon": ":material/play_arrow:", "disabled": not may_plan()}
    if st.button(words("Plan the quickstart"), **how):
        enqueue(QUICKSTART)
        st.rerun()
    st.write(words("Or on the command line:"))
    st.code(f"waferlag plan {QUICKSTART}", language="bash")
    st.caption(words("Your own plans appear here as soon as they are computed."))


def enqueue(source: str, overrides: tuple[str, ...] = ()) -> str:
    """Ask a worker for the plan of a shipped scenario; returns the run's id."""
    from planner.open_scenario import open_scenario

    return enqueue_scenario(open_scenario(source, overrides).scenario, overrides)


def enqueue_scenario(scenario: Scenario, overrides: tuple[str, ...], what_if_of: str | None = None) -> str:
    """Ask a worker for the plan of a scenario, which is kept as a version; returns the run's id.

    ``what_if_of``: the run that this one is held against (db/queue.py).
    """
    must_plan()
    version = versions().waferlag
    run_id, _ = RunQueue(database()).put_scenario(scenario, overrides, version, what_if_of=what_if_of)
    finished_runs.clear()
    return run_id


@st.fragment(run_every="2s")
def watch() -> None:
    """Progress of the runs that wait or are computed; the page opens the plan when it is there."""
    words = say()
    finished_runs.clear()
    if finished_runs(database().place):
        st.rerun(scope="app")
    for run in queries.runs(database(), limit=20):
        if run.state in ("queued", "running"):
            run_progress(run)
        elif run.state == "failed":
            told = words(
                "The run of {scenario} failed: {why}", scenario=run.scenario, why=without_answers(run.error or "")
            )
            st.error(plain(told))


def run_failed(run: queries.RunSummary, words: Wording) -> str:
    """That a run failed, and why."""
    about = {"run": run.id, "scenario": run.scenario, "why": without_answers(run.error or "")}
    return words("Run {run} of {scenario} failed: {why}", **about)


def run_progress(run: queries.RunSummary) -> None:
    """One run under way, with a button that cancels it."""
    words = say()
    share = float((run.progress or {}).get("share", 0.0))
    stage = str((run.progress or {}).get("step", ""))
    doing = words("waiting for a worker") if run.state == "queued" else stage or words("starting")
    left, right = st.columns([5, 1], vertical_alignment="center")
    left.progress(min(1.0, max(0.0, share)), text=plain(f"{run.scenario}: {doing}"))
    if right.button(words("Cancel"), key=f"cancel-{run.id}", disabled=not may_plan()):
        must_plan()
        RunQueue(database()).cancel(run.id)
        st.rerun(scope="fragment")
    if run.state == "queued":
        st.caption(words("Nothing moves without a worker:") + " `waferlag worker`")
