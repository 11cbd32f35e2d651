"""Scenario: read it, change it as YAML, see every mistake at once, save it as a new version."""

import tempfile
from pathlib import Path
from typing import Any

import streamlit as st
import yaml

from dashboard.components import download, table
from dashboard.empty_state import enqueue_scenario
from dashboard.session import chosen_run, database, plan_of, say
from dashboard.signin import may_plan, must_plan
from dashboard.text import main_button, plain
from db import queries
from db.repository import save_scenario
from executor.errors import UserMistakeError
from planner.compare.answers import input_differences
from planner.open_scenario import open_scenario
from planner.scenario.errors import ScenarioError
from planner.scenario.load import shipped
from planner.scenario.models import Scenario

_FROM_PLAN = "the plan chosen on the left"


def page() -> None:
    """The page, top to bottom."""
    words = say()
    st.title(plain(words("Scenario")))
    known = [*([_FROM_PLAN] if chosen_run() else []), *shipped()]
    source = st.selectbox(words("Start from"), known, format_func=words, key="from", bind="query-params")
    written = _written(source or known[0])
    text = st.text_area(words("Scenario file (YAML)"), written, height=520, key=f"yaml-{source}", max_chars=1_000_000)
    scenario = _opened(text)
    if scenario is not None:
        parts = {name: len(getattr(scenario, name)) for name in ("pools", "sources", "gates")}
        st.success(plain(words("The scenario holds: {pools} pools, {sources} sources, {gates} gates.", **parts)))
    download(st, words("Download YAML"), lambda: text, "scenario.yaml", "text/yaml", "yaml-file")
    if scenario is not None:
        _save(scenario, text == written)
    st.header(plain(words("Versions kept")))
    table([_version(item) for item in queries.scenarios(database())], "scenarios", "versions")


def _version(item: queries.ScenarioSummary) -> dict[str, Any]:
    words = say()
    shown = {words("name"): item.name, words("version"): item.version, words("created"): item.created}
    return {**shown, "SHA-256": item.hash[:12]}


def _written(source: str) -> str:
    """The scenario as a file."""
    if source != _FROM_PLAN:
        return shipped()[source].read_text(encoding="utf-8")
    run = chosen_run()
    assert run is not None
    body = plan_of(run.id).scenario.model_dump(mode="json", exclude_defaults=True)
    return str(yaml.safe_dump(body, sort_keys=False, allow_unicode=True, width=110))


def _opened(text: str) -> Scenario | None:
    """The scenario if it holds, else None with every mistake shown."""
    words = say()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scenario.yaml"
        path.write_text(text, encoding="utf-8")
        try:
            return open_scenario(path).scenario
        except ScenarioError as error:
            st.error(plain(words("{n} problems:", n=len(error.problems))))
            for problem in error.problems:
                st.markdown(f"- {plain(problem)}")
        except UserMistakeError as error:
            st.error(plain(str(error).replace(str(path), "scenario.yaml")))
    return None


def _save(scenario: Scenario, unchanged: bool) -> None:
    words, run = say(), chosen_run()
    if run is not None and not unchanged:
        differences = input_differences(plan_of(run.id).scenario, scenario)
        with st.expander(plain(words("{n} fields differ from the plan chosen on the left", n=len(differences)))):
            rows = [{key: str(value) for key, value in row.items()} for row in differences]
            table(rows, "differences", "differences")
    left, right = st.columns(2)
    if left.button(words("Save as a new version"), disabled=not may_plan(), width="stretch"):
        must_plan()
        with database().write() as session:
            save_scenario(session, scenario)
        st.success(plain(words("{name} is saved.", name=scenario.name)))
    if right.button(words("Save and plan"), type=main_button(), disabled=not may_plan(), width="stretch"):
        run_id = enqueue_scenario(scenario, ())
        st.success(plain(words("Queued as run {run}.", run=run_id)))


page()
