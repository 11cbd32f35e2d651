"""Accuracy: how good the figures and the forecasts were where somebody looked, good or bad."""

import streamlit as st

from dashboard.accuracy import score_tables, sections
from dashboard.charts.accuracy import error_by_rows
from dashboard.components import look, plain, say, show


def page() -> None:
    """The page, top to bottom."""
    words = say()
    st.title(plain(words("Accuracy")))
    found = sections()
    if not found:
        st.info(words("This installation came without docs/accuracy.md."))
        return
    st.caption(
        words(
            "Written by commands from data that the models had not seen; the same text ships in docs/accuracy.md."
        )
    )
    scores = score_tables(found)
    if scores:
        show(error_by_rows(scores, look(), words), "errors")
    for title, text in found:
        with st.expander(plain(title), expanded=False):
            st.markdown(text)


page()
