"""The frame around every page: which page, which plan, which language. entry/waferlag.py calls it."""

import sys
import traceback
from pathlib import Path

import streamlit as st

from dashboard.components import require_sign_in
from dashboard.session import background, database, finished_runs, newest_plan, say
from dashboard.signin import account
from dashboard.text import plain
from db.queries import RunSummary
from executor.errors import WaferlagError
from planner.report.language import LANGUAGES, Wording, displayable

_HERE = Path(__file__).parent
_LANGUAGE_NAMES = {"en": "English", "zh": "中文"}


def main() -> None:
    """Draw the frame, then the page that was asked for."""
    st.set_page_config(
        page_title="Waferlag", page_icon=str(_HERE / "icon.png"), layout="wide", initial_sidebar_state="auto"
    )
    _read_address()
    words = say()
    page = st.navigation(_pages(words), position="sidebar")
    try:
        require_sign_in()
        with st.sidebar:
            _choose_run(words)
            _choose_language()
            account(words)
        page.run()
        background().warm_up()
    except WaferlagError as error:
        st.error(plain(error), icon=":material/error:")
    except Exception as error:
        traceback.print_exc(file=sys.stderr)
        told = words("This page failed: {error}. The server's log says where.", error=type(error).__name__)
        st.error(plain(told), icon=":material/error:")


def _pages(words: Wording) -> dict[str, list[st.Page]]:
    def page(file: str, title: str, icon: str, default: bool = False) -> st.Page:
        path, icon = _HERE / "pages" / f"{file}.py", f":material/{icon}:"
        return st.Page(path, title=words(title), icon=icon, url_path=file, default=default)

    return {
        words("The plan"): [
            page("answer", "Answer", "lightbulb", default=True),
            page("orders", "Orders", "shopping_cart"),
            page("supply", "Supply", "local_shipping"),
            page("demand", "Demand", "trending_up"),
            page("serving", "Serving", "memory"),
        ],
        words("Work on it"): [
            page("whatif", "What-if", "tune"),
            page("scenario", "Scenario", "edit_note"),
            page("runs", "Runs & schedules", "history"),
            page("accuracy", "Accuracy", "target"),
        ],
    }


def _read_address() -> None:
    """A permalink's parameters, the first time; afterwards the address follows what was chosen."""
    for name in ("run", "lang"):
        if name in st.query_params and name not in st.session_state:
            st.session_state[name] = st.query_params[name]
    if st.session_state.get("lang") not in LANGUAGES:
        st.session_state["lang"] = "en"


def _choose_run(words: Wording) -> None:
    known = finished_runs(database().place)
    if not known:
        return
    labels = {run.id: _label(run, words) for run in known}
    wanted = st.session_state.get("run")
    if wanted is not None and wanted not in labels:
        labels[wanted] = displayable(wanted)
    ids = list(labels)
    newest = newest_plan(known)
    first = wanted if wanted in labels else newest.id if newest else ids[0]
    chosen = st.selectbox(words("Plan"), ids, index=ids.index(first), format_func=labels.__getitem__)
    st.session_state["run"] = chosen
    st.query_params["run"] = chosen


def _label(run: RunSummary, words: Wording) -> str:
    odds = "" if run.probability is None else f" · {words.percent(run.probability)}"
    return displayable(f"{run.scenario} · {run.created:%d %b %H:%M}{odds}")


def _choose_language() -> None:
    chosen = st.segmented_control(
        "Language / 语言",
        LANGUAGES,
        default=st.session_state["lang"],
        format_func=_LANGUAGE_NAMES.__getitem__,
        key="language-control",
    )
    if chosen and chosen != st.session_state["lang"]:
        st.session_state["lang"] = chosen
        st.query_params["lang"] = chosen
        st.rerun()
