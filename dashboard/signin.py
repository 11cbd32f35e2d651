"""Who is looking, and what they may: viewers look, planners also start, cancel and save.

Without OIDC in Streamlit's secrets everybody who reaches the port may plan.
"""

from collections.abc import Mapping
from typing import Any

import streamlit as st

from dashboard.signin_files import sign_in_setup
from dashboard.text import plain
from db.audit import act_as
from executor.errors import WaferlagError
from planner.report.language import Wording, displayable


class NotAllowedError(WaferlagError):
    """A viewer asked for what only planners may."""


def _setup() -> dict[str, Any] | None:
    return sign_in_setup(st.get_option("secrets.files"))


def signing_in() -> bool:
    """Whether OIDC is set up in Streamlit's secrets.

    Raises SignInSetupError where a set-up is there and cannot be used, or is gone since the server started.
    """
    return _setup() is not None


def may_plan() -> bool:
    """Whether this visitor may start, cancel and save. Raises SignInSetupError as :func:`signing_in` does."""
    setup = _setup()
    return setup is None or is_planner(st.user.to_dict(), setup.get("waferlag", {}))


def must_plan() -> None:
    """End what only planners may, whatever a browser sent; what is done next is noted under the planner's name.

    Raises NotAllowedError for a viewer.
    """
    if not may_plan():
        raise NotAllowedError("only planners may start, cancel and save; ask to be listed as one")
    act_as(_name() if signing_in() else None)


def is_planner(user: Mapping[str, Any], settings: Mapping[str, Any]) -> bool:
    """Whether the claims of a signed-in user make them a planner.

    ``settings`` of the section ``waferlag``: planners (e-mail addresses; one that the provider calls unverified does
    not count), or claim (default roles) and planner_roles, of which the claim must hold one.
    """
    if not user.get("is_logged_in"):
        return False
    listed = {str(address).casefold() for address in settings.get("planners", [])}
    if str(user.get("email", "")).casefold() in listed and user.get("email_verified", True) is True:
        return True
    held = user.get(settings.get("claim", "roles")) or []
    held = {held} if isinstance(held, str) else {str(role) for role in held}
    return bool(held & set(settings.get("planner_roles", [])))


def account(words: Wording) -> None:
    """Who is signed in, as what, and a way out."""
    if not signing_in() or not st.user.get("is_logged_in"):
        return
    role = words("planner") if may_plan() else words("viewer")
    st.caption(plain(words("Signed in as {name}: {role}", name=displayable(_name()), role=role)))
    st.button(words("Sign out"), on_click=st.logout, width="stretch")


def _name() -> str:
    return str(st.user.get("email") or st.user.get("name") or st.user.get("sub") or "")
