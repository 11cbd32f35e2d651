"""What a visitor's session knows: language, colours, database, the plan that is shown, questions under way."""

import os
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

import streamlit as st
from pydantic import ValidationError

from dashboard.charts.theme import DARK, LIGHT, Look
from dashboard.compute.background import Background
from db import queries
from db.connection import Database
from db.queries import RunSummary
from db.repository import RunRepository
from db.session import open_database
from executor.errors import UnknownNameError, WaferlagError
from planner.record.models import PlanRecord
from planner.report.language import LANGUAGES, Wording

QUICKSTART = "1-quickstart"
_SHOWN_RUNS = 200


class PlanUnreadableError(WaferlagError):
    """A plan stored by another version, whose record this version does not accept."""


@st.cache_resource
def _opened(url: str, runs_folder: str | None) -> Database:
    return open_database(url, runs_folder)


def database() -> Database:
    """The database that `waferlag dashboard` named in ``WAFERLAG_DB``."""
    url = os.environ.get("WAFERLAG_DB")
    if not url:
        raise UnknownNameError("database", "", ["start the dashboard with `waferlag dashboard`"])
    return _opened(url, os.environ.get("WAFERLAG_RUNS_FOLDER"))


@st.cache_resource(max_entries=30, show_spinner=False)
def _record(url: str, run_id: str) -> PlanRecord:
    """A stored plan never changes, so it is read once."""
    try:
        return RunRepository(database()).get(run_id)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise PlanUnreadableError(
            f"the plan of run {run_id} does not fit this version of Waferlag ({place}: {first['msg']}); "
            "compute it again from its scenario"
        ) from None


def plan_of(run_id: str) -> PlanRecord:
    """The plan of a run, from memory where it was read before."""
    return _record(database().place, run_id)


@st.cache_resource
def background() -> Background:
    """The processes that compute for the pages."""
    return Background()


def asked(question: str, run_id: str, *arguments: Any) -> Any:
    """What a process beside the server says to a question about a stored plan; kept, for plans never change."""
    with st.spinner("…"):
        return expected(question, run_id, *arguments).result()


def expected(question: str, run_id: str, *arguments: Any) -> Future[Any]:
    """The same without waiting: asked before it is needed, it is there when it is."""
    name = (database().place, question, run_id, *map(repr, arguments))
    return background().begin(name, question, plan_of(run_id), *arguments)


@st.cache_data(ttl=3, show_spinner=False)
def finished_runs(place: str) -> list[RunSummary]:
    """Runs that have a plan, newest first."""
    return [run for run in queries.runs(database(), limit=_SHOWN_RUNS) if run.sentence is not None]


def say() -> Wording:
    """The words of the language chosen in the address (``lang``)."""
    chosen = st.session_state.get("lang", "en")
    return Wording(chosen if chosen in LANGUAGES else "en")


def look() -> Look:
    """Colours for the theme that the browser shows."""
    return DARK if st.context.theme.type == "dark" else LIGHT


def chosen_run() -> RunSummary | None:
    """The run named in the address, else the newest one with a plan; None: there is none yet.

    Raises :class:`executor.errors.UnknownNameError` if the address names a run that does not exist.
    """
    wanted = st.session_state.get("run")
    known = finished_runs(database().place)
    if wanted is None:
        return newest_plan(known)
    return next((run for run in known if run.id == wanted), None) or queries.run(database(), wanted)


def newest_plan(known: Sequence[RunSummary]) -> RunSummary | None:
    """The newest run that is a plan in its own right; a what-if is shown where nothing else is there."""
    own = (run for run in known if run.what_if_of is None)
    return next(own, known[0] if known else None)
