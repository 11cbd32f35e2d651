"""The full run behind a what-if: queued with the question, watched on the page, taken when it is there."""

from contextlib import suppress

import streamlit as st

from dashboard.empty_state import enqueue_scenario, run_failed, run_progress
from dashboard.session import database, finished_runs, say
from dashboard.signin import may_plan, must_plan
from dashboard.text import plain
from db import queries
from db.queries import RunSummary
from db.queue import RunQueue, RunStateError
from planner.scenario.models import Scenario

_ASKED = "what-if-run"
"""The run that this visitor's last question queued."""


def full_run(scenario: Scenario) -> RunSummary | None:
    """The full run of a changed scenario, whoever queued it."""
    from planner.record.provenance import versions

    known = RunQueue(database()).identical(scenario, versions().waferlag)
    if known is not None:
        return queries.run(database(), known)
    last = st.session_state.get(_ASKED)
    run = None if last is None else queries.run(database(), last)
    return run if run is not None and run.state == "failed" and run.scenario == scenario.name else None


def give_up_the_last(scenario: Scenario) -> None:
    """Cancel what this visitor asked before, unless it is of this scenario: they want to know this now."""
    last, known = st.session_state.get(_ASKED), full_run(scenario)
    if last is not None and may_plan() and (known is None or known.id != last):
        del st.session_state[_ASKED]
        must_plan()
        with suppress(RunStateError):  # it is done, and stays
            RunQueue(database()).cancel(last)


def follow(scenario: Scenario, baseline: RunSummary, overrides: tuple[str, ...], ask: bool) -> None:
    """Where the full run stands; ``ask``: queue one where there is none, else a button does.

    Queued only now, behind the quick answer, so that the two do not share the cores.
    """
    words, run = say(), full_run(scenario)
    if run is None and ask and may_plan():
        run = _queued(scenario, baseline, overrides)
    if run is not None and run.state in ("queued", "running"):
        st.caption(plain(words("All futures are computed behind this answer; their figures replace it.")))
        _watch(run.id)
        return
    if run is not None and run.state == "failed":
        st.error(plain(run_failed(run, words)))
    if st.button(words("Compute all futures"), icon=":material/play_arrow:", disabled=not may_plan()):
        _queued(scenario, baseline, overrides)
        st.rerun()


def _queued(scenario: Scenario, baseline: RunSummary, overrides: tuple[str, ...]) -> RunSummary:
    run_id = enqueue_scenario(scenario, overrides, what_if_of=baseline.id)
    st.session_state[_ASKED] = run_id
    return queries.run(database(), run_id)


@st.fragment(run_every="2s")
def _watch(run_id: str) -> None:
    run = queries.run(database(), run_id)
    if run.state not in ("queued", "running"):
        finished_runs.clear()
        st.rerun(scope="app")
    run_progress(run)
