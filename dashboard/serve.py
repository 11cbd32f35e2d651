"""The dashboard's server: closed where sign-in cannot be used, with its headers, ended with whoever started it."""

import importlib
import ipaddress
import sys
import threading
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

import streamlit as st
from streamlit import net_util
from streamlit.web import bootstrap

from dashboard.lifeline import end_with_parent
from dashboard.signin_files import sign_in_setup
from executor.errors import UserMistakeError

_FIRST_PAGE = ("dashboard.components", "dashboard.report.content", "dashboard.empty_state")
_ENTRY = Path(__file__).parent / "entry" / "waferlag.py"
WITHOUT_SIGN_IN = "--without-sign-in"
_HEADERS = {
    b"content-security-policy": b"frame-ancestors 'none'",
    b"x-frame-options": b"DENY",
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"same-origin",
}
"""On every answer: no other site may frame a page and have it clicked, nor learn its address."""
_FIXED = {
    "server.headless": True,
    "server.fileWatcherType": "none",
    "server.showEmailPrompt": False,
    "browser.gatherUsageStats": False,
    "client.showErrorDetails": "none",
    "client.toolbarMode": "viewer",
    "logger.hideWelcomeMessage": True,
}
"""What must not depend on a configuration file."""

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class _App(st.App):
    """Streamlit's application with our headers on whatever it answers."""

    async def __call__(self, scope: Any, receive: Any, send: Send) -> None:
        async def with_headers(message: MutableMapping[str, Any]) -> None:
            if message["type"].endswith((".response.start", "websocket.accept")):
                others = [pair for pair in message.get("headers", ()) if bytes(pair[0]).lower() not in _HEADERS]
                message["headers"] = [*others, *_HEADERS.items()]
            await send(message)

        await super().__call__(scope, receive, with_headers)


def main() -> None:
    """Serve on the host and port of the command line until stopped; exit 2 with the reason where that is not safe."""
    end_with_parent()
    host, port, *words = sys.argv[1:]
    # A visitor from an unknown origin would make Streamlit ask a web service for this machine's public address.
    net_util.get_external_ip = lambda: None
    app = _App(_ENTRY)  # first, for it settles where configuration is looked for
    options = {"server.address": host, "server.port": int(port), **_FIXED}
    bootstrap.load_config_options(options)
    try:
        _tell_sign_in(host, WITHOUT_SIGN_IN in words)
    except UserMistakeError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    threading.Thread(target=_load, daemon=True).start()
    app.run(config=options)


def _tell_sign_in(host: str, without: bool) -> None:
    """Say whether visitors sign in. Raises UserMistakeError where a network could look in without, unasked."""
    if sign_in_setup(st.get_option("secrets.files")):
        print("Sign-in is on: nobody sees a plan before it.", file=sys.stderr, flush=True)
    elif _is_loopback(host) or without:
        print("Sign-in is off: whoever reaches the port may look and plan.", file=sys.stderr, flush=True)
    else:
        raise UserMistakeError(
            f"--host {host}: others could look and plan, and sign-in is not set up (set it up as docs/dashboard.md "
            f"says, or add {WITHOUT_SIGN_IN})"
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _load() -> None:
    """Import what the first page needs while the browser still opens."""
    for module in _FIRST_PAGE:
        importlib.import_module(module)
