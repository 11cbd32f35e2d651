"""Parts that the pages share: the plan shown, its words and colours, and how a figure is presented."""

import re
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import streamlit as st

from dashboard.session import chosen_run, database, finished_runs, look, newest_plan, plan_of, say
from dashboard.signin import signing_in
from dashboard.text import csv_text, main_button, plain, safe
from db.queries import RunSummary
from planner.record.models import PlanRecord
from planner.report import sentences
from planner.report.language import displayable


def require_sign_in() -> None:
    """Where OIDC is set up, nobody sees a plan before signing in."""
    if signing_in() and not st.user.get("is_logged_in"):
        st.title("Waferlag")
        st.button(say()("Sign in"), on_click=st.login, type=main_button())
        end_page()


def shown_plan() -> tuple[RunSummary, PlanRecord]:
    """The plan that the page is about; without one, the page offers the quickstart and ends."""
    run = chosen_run()
    if run is None:
        from dashboard.empty_state import offer_quickstart

        offer_quickstart()
        end_page()
    if run.sentence is None:
        words = say()
        st.info(plain(words("Run {run} has no plan: it is {state}.", run=run.id, state=words(run.state))))
        end_page()
    return run, plan_of(run.id)


def end_page() -> NoReturn:
    """The page ends here."""
    st.stop()
    raise AssertionError("st.stop() does not return")


def page_head(title: str, run: RunSummary, record: PlanRecord) -> None:
    """Title of the page, and of which plan it speaks."""
    words = say()
    st.title(plain(words(title)))
    named = record.scenario.title or record.scenario.name
    ended = "" if run.ended is None else words(", computed {at} UTC", at=f"{run.ended:%Y-%m-%d %H:%M}")
    name, day = record.scenario.name, words.day(record.scenario.start)
    about = words("{title} ({name}), as of {day}", title=named, name=name, day=day)
    colours = look()
    st.html(
        f'<p style="margin:0;font-size:.9rem;overflow-wrap:anywhere;color:{colours.quiet}">{safe(about + ended)} · '
        f'<a style="color:{colours.ink}" href="?run={safe(run.id)}">{safe(words("link to this plan"))}</a></p>'
    )
    _stale(run)


def _stale(run: RunSummary) -> None:
    """Says so where a newer plan of the same scenario exists."""
    same = [item for item in finished_runs(database().place) if item.scenario == run.scenario]
    newest = None if run.what_if_of is not None else newest_plan(same)
    if newest is not None and newest.id != run.id and newest.created > run.created:
        words, at = say(), f"{newest.created:%Y-%m-%d %H:%M}"
        told = plain(words("A newer plan of this scenario was computed on {at} UTC.", at=at))
        st.info(f"{told} [{plain(words('Open it'))}](?run={newest.id})", icon=":material/update:")


def choose_pool(record: PlanRecord) -> str:
    """The pool that the page is about; with one pool there is nothing to choose."""
    names = [pool.name for pool in record.scenario.pools]
    if len(names) == 1:
        return names[0]
    shown: dict[str, Any] = {"default": names[0], "format_func": plain, "key": "pool", "required": True}
    return st.segmented_control(say()("Pool"), names, **shown) or names[0]


def show(figure: Any, key: str, height: int | None = None) -> None:
    """A figure with its takeaway above, its data and its downloads below."""
    words = say()
    st.markdown(f"**{plain(figure.takeaway)}**")
    st.vega_lite_chart(figure.fitted(), theme=None, width="stretch", key=f"chart-{key}")
    with st.popover(words("Data and downloads"), icon=":material/download:"):
        st.dataframe(shown_rows(figure.rows), hide_index=True, width="stretch")
        left, right = st.columns(2)
        name, drawn = figure.name, lambda: figure.svg(760, titled=True)
        download(left, words("CSV"), lambda: csv_text(figure.rows), f"{name}.csv", "text/csv", f"csv-{key}")
        download(right, words("SVG"), drawn, f"{name}.svg", "image/svg+xml", f"svg-{key}")


def table(rows: Sequence[dict[str, Any]], name: str, key: str, titles: dict[str, str] | None = None) -> None:
    """A table with its download. ``titles``: the columns to show, in order, with their headings."""
    words = say()
    if not rows:
        st.caption(words("Nothing to show here."))
        return
    columns = titles or {column: column for column in rows[0]}
    shown = [{words(title): row.get(column) for column, title in columns.items()} for row in rows]
    st.dataframe(shown_rows(shown), hide_index=True, width="stretch", key=f"table-{key}")
    download(st, words("Download CSV"), lambda: csv_text(rows), f"{name}.csv", "text/csv", f"csv-{key}")


def download(
    place: Any, label: str, content: Callable[[], str | bytes], name: str, mime: str, key: str, **options: Any
) -> None:
    """A button whose file is made when it is clicked."""
    safe_name = re.sub(r"[^\w.\-]+", "-", name, flags=re.ASCII)
    place.download_button(label, data=content, file_name=safe_name, mime=mime, key=key, on_click="ignore", **options)


def shown_rows(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows for a table: texts fit to be shown, months and numbers as they are."""

    def fit(value: Any) -> Any:
        return displayable(value) if isinstance(value, str) else value

    return [{fit(str(name)): fit(value) for name, value in row.items()} for row in rows]


def answer_card(record: PlanRecord) -> None:
    """The answer: the sentence, what waiting costs, and what it rests on."""
    words, colours = say(), look()
    edge = colours.in_service if record.answer.feasible else colours.unmet
    points = "".join(f"<li>{safe(fact)}</li>" for fact in sentences.rests_on(record, words))
    below = words.together(sentences.waiting(record, words), sentences.plan_again(record, words))
    st.html(
        f'<div style="border-left:5px solid {edge};padding:.15rem 0 .15rem 1rem;overflow-wrap:anywhere">'
        f'<p style="font-size:1.35rem;line-height:1.4;font-weight:600;margin:0 0 .5rem">'
        f"{safe(sentences.answer(record, words))}</p>"
        f'<p style="margin:0 0 .5rem">{safe(below)}</p>'
        f'<p style="margin:0;font-weight:600">{safe(words("What this rests on"))}</p>'
        f'<ul style="margin:.2rem 0 0;padding-left:1.2rem">{points}</ul></div>'
    )


def facts_row(facts: Sequence[Any]) -> None:
    """The figures on top, side by side; below one another where the window is narrow."""
    colours = look()
    quiet = f"color:{colours.quiet};font-size:.86rem;line-height:1.35"
    cards = "".join(
        f'<div style="border:1px solid {colours.faint};border-radius:.5rem;padding:.7rem .9rem">'
        f'<p style="margin:0;{quiet}">{safe(fact.label)}</p>'
        f'<p style="margin:0;font-size:1.55rem;font-weight:600;line-height:1.35">{safe(fact.value)}</p>'
        f'<p style="margin:0;{quiet}">{safe(fact.note)}</p></div>'
        for fact in facts
    )
    grid = "display:grid;grid-template-columns:repeat(auto-fit,minmax(10.5rem,1fr));gap:.7rem;margin:0"
    st.html(f'<div style="{grid}">{cards}</div>')
