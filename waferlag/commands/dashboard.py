"""`waferlag dashboard`: the web dashboard, on loopback."""

import errno
import importlib.util
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from executor.errors import FileError, UserMistakeError
from waferlag.commands.db import open_chosen
from waferlag.commands.options import Db

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
    db: Db = None,
) -> None:
    """Show plans in the browser. Binds to loopback and fetches nothing from the internet."""
    from waferlag.settings import settings

    if importlib.util.find_spec("streamlit") is None:
        raise FileError("streamlit", "is not installed", mend="pip install 'waferlag[dashboard]'")
    chosen = settings()
    url = chosen.database(db)
    environment = _environment(url, chosen.runs_folder)
    at = _free_port(host, port)
    quiet = subprocess.DEVNULL
    children = [subprocess.Popen(_server(host, at, browser), env=environment, stdout=quiet)]
    try:
        open_chosen(url).close()  # a database that cannot be used is told here, not on the page
    except BaseException:
        children[0].kill()
        raise
    print(
        f"Waferlag dashboard: http://{'localhost' if host == '127.0.0.1' else host}:{at}  (Ctrl-C stops it)", flush=True
    )
    if worker:
        work = [sys.executable, "-m", "waferlag", "worker"]
        children.append(subprocess.Popen(work, env=environment, stdout=quiet, preexec_fn=_yielding))
    raise typer.Exit(_until_stopped(children))


def _server(host: str, port: int, browser: bool) -> list[str]:
    """Streamlit's own command line with what must not depend on a configuration file."""
    import dashboard as package

    app = Path(package.__file__).parent / "entry" / "waferlag.py"
    options = {
        "server.address": host,
        "server.port": str(port),
        "server.headless": "false" if browser else "true",
        "server.fileWatcherType": "none",
        "server.showEmailPrompt": "false",
        "browser.gatherUsageStats": "false",
        "client.showErrorDetails": "none",
        "client.toolbarMode": "viewer",
    }
    flags = [part for name, value in options.items() for part in (f"--{name}", value)]
    return [sys.executable, "-c", "from dashboard.serve import main; main()", "run", str(app), *flags]


def _yielding() -> None:
    """What the worker computes waits for whoever looks at a page: both share this machine's cores."""
    os.nice(10)


def _environment(url: str, runs_folder: Path | None) -> dict[str, str]:
    from waferlag.goodput_cache import goodput_folder

    environment = {**os.environ, "WAFERLAG_DB": url, "WAFERLAG_GOODPUT_FOLDER": str(goodput_folder())}
    if runs_folder is not None:
        environment["WAFERLAG_RUNS_FOLDER"] = str(runs_folder)
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


def _until_stopped(children: list[subprocess.Popen[bytes]]) -> int:
    """Wait for the server; whatever ends us also ends the children."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
    try:
        return children[0].wait()
    except KeyboardInterrupt:
        return 0
    finally:
        for child in children:
            child.terminate()
        for child in children:
            try:
                child.wait(timeout=10)
            except subprocess.TimeoutExpired:
                child.kill()
