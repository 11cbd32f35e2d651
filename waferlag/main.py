"""The command line: what each verb is called, and which exit code says what.

0 good; 1 the goal cannot be met (the reason is printed); 2 the user's mistake; 3 ours.
"""

import os
import signal
import sys

if sys.argv[1:2] in (["worker"], ["run-due"]):
    # Until a worker has its own handler it holds no run: there is nothing to give back. What follows takes a second.
    signal.signal(signal.SIGTERM, lambda number, frame: os._exit(0))

import errno
import io
import traceback
from typing import Annotated, Any

import typer

from executor.errors import UserMistakeError
from waferlag import __version__
from waferlag.commands import db, profiles, runs, schedule
from waferlag.commands.audit import audit
from waferlag.commands.check import check, scenarios, schema
from waferlag.commands.dashboard import dashboard
from waferlag.commands.estimate import estimate
from waferlag.commands.generate import generate
from waferlag.commands.hindcast import hindcast
from waferlag.commands.measure import measure
from waferlag.commands.plan import plan
from waferlag.commands.replay import replay
from waferlag.commands.report import report
from waferlag.commands.score import score
from waferlag.commands.simulate import simulate
from waferlag.commands.size import size
from waferlag.commands.worker import run_due, worker
from waferlag.text.tables import plain

USERS_MISTAKE = 2
OUR_MISTAKE = 3
INTERRUPTED = 130
"""Ctrl-C, as shells report it."""
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
"""The user's disk, not our code, says no."""

app = typer.Typer(
    name="waferlag",
    help="Plan a GPU fleet whose chips take nine months and a licence.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _print_version(asked: bool) -> None:
    if asked:
        print(f"waferlag {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and stop.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    pass


VERBS = (
    *(plan, audit, simulate, size, estimate, measure, replay, score, generate, hindcast),
    *(check, schema, scenarios),
    *(report, dashboard, worker, run_due),
)
for _verb in VERBS:
    app.command()(_verb)
for _name, _group in (("runs", runs.app), ("schedule", schedule.app), ("profiles", profiles.app), ("db", db.app)):
    app.add_typer(_group, name=_name)


class _Outlet(io.FileIO):
    """A stream's file that stops no work: what cannot be written is thrown away. A reader that has left (`| head`) is
    no failure; any other one is kept for the end."""

    failed: OSError | None = None

    def write(self, content: Any) -> int:
        try:
            return super().write(content)
        except OSError as error:
            self.failed = None if isinstance(error, BrokenPipeError) else error
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.fileno())
            return len(content)


_outlets: dict[str, _Outlet] = {}


def _open_streams() -> None:
    """Streams that outlive their readers. A closed one leads nowhere, or the next file opened would take its place."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest free number is this one
        stream = getattr(sys, name)
        if number and stream is getattr(sys, f"__{name}__"):
            encoding, lines = ("utf-8", False) if stream is None else (stream.encoding, stream.line_buffering)
            _outlets[name] = _Outlet(number, "w", closefd=False)
            # A terminal that lacks a character shows a question mark.
            text = io.TextIOWrapper(io.BufferedWriter(_outlets[name]), encoding, "replace", line_buffering=lines)
            setattr(sys, name, text)


def main() -> None:
    """Run the command line and turn what escapes into one message and the right exit code."""
    _open_streams()
    try:
        app(prog_name="waferlag")
    except SystemExit as stop:
        code = _leaving(stop)
    except KeyboardInterrupt:
        code = _stopped()
    except Exception as error:
        code = _tell(error)
    else:
        code = 0
    sys.exit(_written_out(code))


def _leaving(stop: SystemExit) -> int:
    """Exit code of what typer ended by itself."""
    if stop.code == INTERRUPTED:
        return _stopped()
    return stop.code if isinstance(stop.code, int) else int(stop.code is not None)


def _stopped() -> int:
    _complain("stopped")
    return INTERRUPTED


def _written_out(code: int) -> int:
    """Hand over what is still buffered while there is someone to tell that it failed."""
    sys.stdout.flush()
    failed = _outlets["stdout"].failed if "stdout" in _outlets else None
    code = code if failed is None or code == USERS_MISTAKE else _tell(failed)
    sys.stderr.flush()
    return code


def _complain(message: str) -> None:
    """A message on stderr; names in it cannot steer the terminal."""
    print(plain(message), file=sys.stderr)


def _tell(error: Exception) -> int:
    """Print one clear message on stderr; the exit code says whose mistake it was."""
    if isinstance(error, UserMistakeError):
        _complain(f"error: {error}")
        return USERS_MISTAKE
    if isinstance(error, OSError) and error.errno in FULL:
        _complain(f"error: {error.filename or 'stdout'} cannot be written: {error.strerror}")
        return USERS_MISTAKE
    if os.environ.get("WAFERLAG_DEBUG"):
        traceback.print_exc()
    _complain(
        f"error: this is our mistake: {type(error).__name__}: {error}\n"
        "       run again with WAFERLAG_DEBUG=1 to see where, and please report it"
    )
    return OUR_MISTAKE


if __name__ == "__main__":
    main()
