"""`waferlag dashboard`: the web dashboard, on loopback."""

import errno
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
import webbrowser
from typing import TYPE_CHECKING, Annotated, Any

import typer

from executor.errors import FileError, UserMistakeError
from waferlag.commands.db import open_chosen
from waferlag.commands.options import Db

if TYPE_CHECKING:
    from waferlag.settings import Settings

FIRST_PORT = 8501
PORTS_TRIED = 50
TAKEN = (errno.EADDRINUSE, errno.EACCES)
"""Errors that say something about the port; every other one says something about the host."""


def dashboard(
    port: Annotated[
        int | None,
        typer.Option("--port", help="Port on this machine; default: 8501, or the next free one.", min=1, max=65535),
    ] = None,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="Open a browser.")] = True,
    worker: Annotated[
        bool, typer.Option("--worker/--no-worker", help="Also run a worker, so that buttons start runs.")
    ] = True,
    host: Annotated[str, typer.Option("--host", help="Address to bind to.")] = "127.0.0.1",
    without_sign_in: Annotated[
        bool, typer.Option("--without-sign-in", help="Let a network in though no sign-in is set up.")
    ] = False,
    db: Db = None,
) -> None:
    """Show plans in the browser. Binds to loopback and fetches nothing from the internet."""
    from waferlag.settings import settings

    if importlib.util.find_spec("streamlit") is None:
        raise FileError("streamlit", "is not installed", mend="pip install 'waferlag[dashboard]'")
    chosen = settings()
    url = chosen.database(db)
    environment = _environment(url, chosen)
    at = _free_port(host, port)
    words = [host, str(at), *(["--without-sign-in"] if without_sign_in else [])]
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    children = [_started("from dashboard.serve import main; main()", words, environment)]
    try:
        open_chosen(url).close()  # a database that cannot be used is told here, not on the page
        _wait_until_listening(children[0], host, at)
        name = "localhost" if host == "127.0.0.1" else f"[{host}]" if ":" in host else host
        print(f"Waferlag dashboard: http://{name}:{at}  (Ctrl-C stops it)", flush=True)
        if worker:
            # What it computes waits for whoever looks at a page: both share this machine's cores.
            children.append(_started(_WORKER, ["worker"], environment, preexec_fn=lambda: os.nice(10)))
        if browser:
            webbrowser.open(f"http://{name}:{at}")
        code = children[0].wait()
    except KeyboardInterrupt:
        code = 0
    finally:
        _end(children)
    raise typer.Exit(code)


_WORKER = """
from dashboard.lifeline import end_with_parent
end_with_parent()
from waferlag.main import main
main()
"""


def _started(program: str, words: list[str], environment: dict[str, str], **how: Any) -> "subprocess.Popen[bytes]":
    """A process of this Python that ends with this one, since it watches the pipe to its standard input."""
    command = [sys.executable, "-c", program, *words]
    return subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, **how)


def _wait_until_listening(server: "subprocess.Popen[bytes]", host: str, port: int) -> None:
    """Return when the port takes visitors. Exits with the server's code where that ended; it has said why."""
    reached = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    while server.poll() is None:
        try:
            socket.create_connection((reached, port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise typer.Exit(max(1, server.returncode))


def _environment(url: str, chosen: "Settings") -> dict[str, str]:
    """The settings that the pages need: they read variables alone."""
    environment = {**os.environ, "WAFERLAG_DB": url, "WAFERLAG_GOODPUT_FOLDER": str(chosen.goodput_folder)}
    environment["WAFERLAG_ENDPOINT_HOSTS"] = ",".join(chosen.endpoint_hosts)
    if chosen.runs_folder is not None:
        environment["WAFERLAG_RUNS_FOLDER"] = str(chosen.runs_folder)
    return environment


def _free_port(host: str, wanted: int | None) -> int:
    """The port asked for, or the first free one from 8501.

    Raises :class:`executor.errors.UserMistakeError` where it is taken, or all of them are, or ``host`` is no address
    of this machine.
    """
    for port in [wanted] if wanted else range(FIRST_PORT, FIRST_PORT + PORTS_TRIED):
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
                return port
            except (OSError, UnicodeError) as error:
                if not isinstance(error, OSError) or error.errno not in TAKEN:
                    reason = getattr(error, "strerror", error)
                    raise UserMistakeError(
                        f"--host {host}: {reason} (give an address of this machine: 127.0.0.1, or 0.0.0.0 for all)"
                    ) from None
                if wanted:
                    raise UserMistakeError(f"--port {port}: {error.strerror} (choose another port)") from None
    raise UserMistakeError(f"ports {FIRST_PORT} to {FIRST_PORT + PORTS_TRIED - 1} are all taken (give --port)")


def _end(children: "list[subprocess.Popen[bytes]]") -> None:
    for child in children:
        child.terminate()
    for child in children:
        try:
            child.wait(timeout=10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
