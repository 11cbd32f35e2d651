"""Start a measurement from the page: an endpoint by its address, or this machine's GPU where there is one."""

import importlib.util
import os
from collections.abc import Sequence
from typing import Any

import streamlit as st

from dashboard.charts.serving import layout_words
from dashboard.empty_state import run_progress
from dashboard.session import database, say
from dashboard.signin import may_plan, must_plan
from dashboard.text import main_button, plain, without_answers
from db import queries
from db.queue import MEASURE, Request, RunQueue
from executor.errors import UserMistakeError
from executor.measure.addresses import check_endpoint, hosts_of
from executor.measure.machine import this_machine
from planner.record.models import Serving
from planner.report.language import displayable

_MOST_CLIENTS = 4096
_NO_COUNT = f"is no number from 1 to {_MOST_CLIENTS:,} (write 1, 8, 32)"
HOSTS = "WAFERLAG_ENDPOINT_HOSTS"
"""Variable that names the hosts to which measurements may go: what the setting endpoint_hosts says."""
_LANE = "measurement"
"""One measurement at a time: two would measure each other."""


def measuring(setups: Sequence[Serving]) -> None:
    """The form, and the measurements that wait or are under way."""
    words = say()
    _form(setups)
    if _busy():
        _watch()
    for run in queries.runs(database(), kind=MEASURE, limit=3):
        if run.state == "failed":
            st.error(plain(words("{what} failed: {why}", what=run.scenario, why=without_answers(run.error or ""))))
            break
        if run.state == "done":
            break


def _form(setups: Sequence[Serving]) -> None:
    gpu = _gpu()
    with st.form("measure", border=True):
        where = _place(gpu)
        address, at = _what_serves(setups)
        load, clients = _load()
        sent = st.form_submit_button(say()("Measure"), type=main_button(), disabled=not may_plan())
    if not sent or at is None:
        return
    must_plan()
    try:
        load["concurrency"] = concurrency_of(clients)
        endpoint = None if where == "gpu" else address.strip()
        if endpoint is not None:
            with st.spinner("…"):  # the host is looked up, which can take seconds
                check_endpoint(endpoint, hosts_of(os.environ.get(HOSTS, "")))
    except UserMistakeError as error:
        st.error(plain(error))
        return
    args, name = _setup(setups[at], endpoint, gpu) | load, f"{setups[at].model}, {endpoint or gpu}"
    RunQueue(database()).put(Request(kind=MEASURE, args=args, scenario_name=name, lane=_LANE))


def _place(gpu: str | None) -> str | None:
    """Where to measure; without a GPU of its own there is nothing to choose."""
    if not gpu:
        return "endpoint"
    words = say()
    shown = {"endpoint": words("an OpenAI-compatible endpoint"), "gpu": displayable(gpu)}
    return st.radio(words("Measure"), list(shown), format_func=shown.__getitem__, horizontal=True)


def _what_serves(setups: Sequence[Serving]) -> tuple[str, int | None]:
    """The endpoint's address, and the number of the set-up behind it."""
    words = say()
    address = st.text_input(
        words("Address of the endpoint"), placeholder="http://HOST:PORT", max_chars=500, key="endpoint"
    )
    labels = [displayable(f"{item.model}, {item.sku} {layout_words(item.layout)}, {item.engine}") for item in setups]
    numbers = range(len(labels))
    return address, st.selectbox(
        words("what serves there"), numbers, format_func=labels.__getitem__, key="measure-setup"
    )


def _load() -> tuple[dict[str, Any], str]:
    """Lengths and number of the requests, and the numbers of clients as written."""
    words, columns = say(), st.columns(4)
    isl = columns[0].number_input(words("Input tokens"), 1, 200_000, 1024, key="measure-isl")
    osl = columns[1].number_input(words("Output tokens"), 2, 100_000, 256, key="measure-osl")
    requests = columns[2].number_input(words("Requests of each"), 1, 100_000, 64, key="measure-requests")
    clients = columns[3].text_input(words("Clients, in a row"), "1, 8, 32", max_chars=100, key="clients")
    return {"isl": int(isl), "osl": int(osl), "requests": int(requests)}, clients


def _setup(item: Serving, endpoint: str | None, gpu: str | None) -> dict[str, Any]:
    """What is measured: an endpoint by its set-up, or one GPU of this machine in the built-in engine."""
    layout = {name: size for name, size in item.layout.items() if name in ("tp", "pp", "attention_dp")}
    kind = {"gpu": item.sku, "engine": item.engine, "precision": item.precision, "layout": layout}
    own = {"gpu": gpu, "engine": "waferlag", "precision": "bf16", "layout": {"tp": 1}}
    return {"model": item.model, "endpoint": endpoint, **(kind if endpoint else own)}


def concurrency_of(text: str) -> list[int]:
    """Numbers of clients, as written: 1, 8, 32."""
    parts = [part.strip() for part in text.split(",")]
    for part in parts:
        if not part.isdecimal() or not 0 < int(part) <= _MOST_CLIENTS:
            raise UserMistakeError(f"clients: {part!r} {_NO_COUNT}")
    return [int(part) for part in parts]


@st.cache_data(ttl=300, show_spinner=False)
def _gpu() -> str | None:
    """The GPU of this machine, if it has one and torch to drive it."""
    machine = this_machine()
    return machine.device if machine.driver and importlib.util.find_spec("torch") else None


def _busy() -> list[queries.RunSummary]:
    newest = queries.runs(database(), kind=MEASURE, limit=20)
    return [run for run in newest if run.state in ("queued", "running")]


@st.fragment(run_every="2s")
def _watch() -> None:
    busy = _busy()
    if not busy:
        st.rerun(scope="app")
    for run in busy:
        run_progress(run)
