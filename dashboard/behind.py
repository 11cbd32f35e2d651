"""The full run behind a what-if: queued with the question, watched on the page, taken when it is there."""

from contextlib import suppress

import streamlit as st

from dashboard.components import database, finished_runs, may_plan, plain, say
from dashboard.start import enqueue_scenario, run_progress
from db import queries
from db.queries import RunSummary
from db.queue import RunQueue, RunStateError
from planner.scenario.models import Scenario

_ASKED = "what-if-run"
"""The run that this visitor's last question queued."""


def full_run(
    baseline: RunSummary, scenario: Scenario, overrides: tuple[str, ...], ask: bool
) -> RunSummary | None:
    """The full run of a changed scenario, whoever queued it; ``ask``: queue one where there is none.

    What this visitor asked before and is not done yet is cancelled: they want to know this now.
    """
    from planner.versions import versions

    known = RunQueue(database()).identical(scenario, versions().waferlag)
    if known is None and ask and may_plan():
        _give_up_the_last()
        known = enqueue_scenario(scenario, overrides, what_if_of=baseline.id)
        st.session_state[_ASKED] = known
    if known is not None:
        return queries.run(database(), known)
    return _failed(scenario)


def follow(
    run: RunSummary | None, scenario: Scenario, baseline: RunSummary, overrides: tuple[str, ...]
) -> None:
    """Where the full run stands; a button that asks for it where there is none."""
    words = say()
    if run is not None and run.state in ("queued", "running"):
        st.caption(plain(words("All futures are computed behind this answer; their figures replace it.")))
        _watch(run.id)
        return
    if run is not None and run.state == "failed":
        st.error(plain(words("Run {run} of {scenario} failed: {why}", **_about(run))))
    if st.button(words("Compute all futures"), icon=":material/play_arrow:", disabled=not may_plan()):
        full_run(baseline, scenario, overrides, ask=True)
        st.rerun()


@st.fragment(run_every="2s")
def _watch(run_id: str) -> None:
    run = queries.run(database(), run_id)
    if run.state not in ("queued", "running"):
        finished_runs.clear()
        st.rerun(scope="app")
    run_progress(run)


def _give_up_the_last() -> None:
    last = st.session_state.pop(_ASKED, None)
    if last is not None:
        with suppress(RunStateError):  # it is done, and stays
            RunQueue(database()).cancel(last)


def _failed(scenario: Scenario) -> RunSummary | None:
    """The run that this visitor asked for last, where it is of this scenario and failed."""
    last = st.session_state.get(_ASKED)
    run = None if last is None else queries.run(database(), last)
    return run if run is not None and run.state == "failed" and run.scenario == scenario.name else None


def _about(run: RunSummary) -> dict[str, str]:
    return {"run": run.id, "scenario": run.scenario, "why": run.error or ""}
