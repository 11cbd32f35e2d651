"""Serving figures of the user's own: those that are kept, and files that bring in more."""

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import streamlit as st

from dashboard.charts.serving import layout_words, setup_layout
from dashboard.components import table
from dashboard.pages.measurement_form import measuring
from dashboard.session import database, say
from dashboard.signin import may_plan, must_plan
from dashboard.text import plain
from db import queries
from db.repository import store_profile
from executor.errors import BadInputError, UserMistakeError
from executor.estimate.measured_points import precision_name
from executor.measure.imports import imported_profile
from executor.profile import ServingProfile, profile_from_json
from planner.record.models import PlanRecord, Serving
from planner.report.language import displayable


def profiles(record: PlanRecord) -> None:
    """The kept profiles, a form that measures, and one that brings in files."""
    words = say()
    known = queries.profiles(database())
    if known:
        table([vars(profile) for profile in known], "profiles", "profile-table")
    else:
        st.caption(words("No profile of your own is stored yet; the plan stands on published figures."))
    measuring(record.sizing)
    told = words("The run's worker sends the requests, without a key. An endpoint with a key, open loops and traces:")
    st.caption(f"{plain(told)} `waferlag measure --help`")
    _bring_in(record.sizing)


def _bring_in(setups: Sequence[Serving]) -> None:
    words = say()
    labels = [
        displayable(f"{item.sku} {layout_words(item.layout)}, {item.engine}, {item.precision}") for item in setups
    ]
    with st.form("bring-in", border=True):
        files = st.file_uploader(
            words("Results of vllm bench serve, aiperf or guidellm, or a serving profile (JSON)"),
            type=["json", "jsonl"],
            accept_multiple_files=True,
            key="results",
        )
        numbers = range(len(labels))
        at = st.selectbox(words("measured on"), numbers, format_func=labels.__getitem__, key="measured-on")
        asked = st.form_submit_button(words("Bring in"), disabled=not may_plan())
    if not asked or not files or at is None:
        return
    _store([(file.name, file.getvalue()) for file in files], setups[at])


def _store(files: Sequence[tuple[str, bytes]], setup: Serving) -> None:
    must_plan()
    try:
        found = _read(files, setup)
    except UserMistakeError as error:
        st.error(plain(error))
        return
    with database().write() as session:
        stored = store_profile(session, json.loads(found.to_json()))
    st.success(plain(say()("Stored as profile {id}.", id=stored)))


def _read(files: Sequence[tuple[str, bytes]], setup: Serving) -> ServingProfile:
    """A profile as it is, or results of a benchmark on the set-up that was named.

    Raises ExecutorError or UserMistakeError, naming file, place and mend.
    """
    (name, content), *others = files
    if not others and _is_profile(content):
        return profile_from_json(content.decode("utf-8"), name)
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / Path(file).name for file, _ in files]
        for path, (_, raw) in zip(paths, files, strict=True):
            path.write_bytes(raw)
        try:
            return imported_profile(
                paths,
                gpu=setup.sku,
                precision=precision_name(setup.precision),
                engine=setup.engine,
                engine_version="",
                layout=setup_layout(setup),
                kv_precision="bf16",
                model=setup.model,
            )
        except UserMistakeError as error:
            raise BadInputError(str(error).replace(f"{folder}/", "")) from None


def _is_profile(content: bytes) -> bool:
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        return False
    return isinstance(body, dict) and "points" in body and "provenance" in body
