"""Accuracy: how good the figures and the forecasts were where somebody looked, good or bad."""

import streamlit as st

from dashboard.accuracy.figures import gate_scores, published_day, score_rows, shipped
from dashboard.accuracy.pages import told
from dashboard.charts.accuracy import day_compared, error_by_rows, gate_skill
from dashboard.components import show
from dashboard.session import look, say
from dashboard.text import plain


def page() -> None:
    """The page, top to bottom."""
    words = say()
    st.title(plain(words("Accuracy")))
    found = shipped()
    if not found:
        st.info(words("This installation came without docs/accuracy.md."))
        return
    st.caption(words("Written by commands; the whole page, below, says what the models had seen and what misses."))
    for key, rows, draw in (
        ("errors", score_rows(found), error_by_rows),
        ("gates", gate_scores(found), gate_skill),
        ("day", published_day(found), day_compared),
    ):
        if rows:
            show(draw(rows, look(), words), key)
    st.header(plain(words("The whole page")))
    for title, text in told(found):
        with st.expander(plain(title), expanded=False):
            st.markdown(text)


page()
