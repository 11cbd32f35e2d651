"""Whether a plan is the one to act on: who approved it, and when."""

import streamlit as st

from dashboard.session import database, say
from dashboard.signin import may_plan, must_plan
from dashboard.text import plain
from db import queries
from db.repository import approve


def approval(run_id: str) -> None:
    """The approval of a plan, with the button that gives or withdraws it."""
    words = say()
    given = queries.approval(database(), run_id)
    if given is not None:
        st.success(
            plain(words("Approved by {name}, {at} UTC.", name=given.actor, at=f"{given.at:%Y-%m-%d %H:%M}")),
            icon=":material/verified:",
        )
    label = words("Approve this plan") if given is None else words("Withdraw the approval")
    if st.button(label, key="approve", icon=":material/task_alt:", disabled=not may_plan()):
        must_plan()
        approve(database(), run_id, withdraw=given is not None)
        st.rerun()
