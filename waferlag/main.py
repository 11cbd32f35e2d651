"""The command line: what each verb is called, and which exit code says what.

0 good; 1 the goal cannot be met (the reason is printed); 2 the user's mistake; 3 ours.
"""

import os
import sys
import traceback
from typing import Annotated

import typer

from waferlag import __version__
from waferlag.commands import db, runs, schedule
from waferlag.commands.check import check, scenarios, schema
from waferlag.commands.dashboard import dashboard
from waferlag.commands.estimate import estimate
from waferlag.commands.plan import plan
from waferlag.commands.report import report
from waferlag.commands.score import score
from waferlag.commands.simulate import simulate
from waferlag.commands.size import size
from waferlag.commands.worker import run_due, worker

USERS_MISTAKE = 2
OUR_MISTAKE = 3

app = typer.Typer(
    name="waferlag",
    help="Plan a GPU fleet whose chips take nine months and a licence.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
) -> None:
    if version:
        print(f"waferlag {__version__}")
        raise typer.Exit


VERBS = (
    *(plan, simulate, size, estimate, score),
    *(check, schema, scenarios),
    *(report, dashboard, worker, run_due),
)
for _verb in VERBS:
    app.command()(_verb)
for _name, _group in (("runs", runs.app), ("schedule", schedule.app), ("db", db.app)):
    app.add_typer(_group, name=_name)


def main() -> None:
    """Run the command line and turn what escapes into one message and the right exit code."""
    try:
        app()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        sys.exit(_tell(error))


def _tell(error: Exception) -> int:
    """Print one clear message on stderr; the exit code says whose mistake it was."""
    from executor.errors import ExecutorError
    from planner.errors import UserMistakeError

    if isinstance(error, UserMistakeError | ExecutorError):
        print(f"error: {error}", file=sys.stderr)
        return USERS_MISTAKE
    if os.environ.get("WAFERLAG_DEBUG"):
        traceback.print_exc()
    print(
        f"error: this is our mistake: {type(error).__name__}: {error}\n"
        "       run again with WAFERLAG_DEBUG=1 to see where, and please report it",
        file=sys.stderr,
    )
    return OUR_MISTAKE


if __name__ == "__main__":
    main()
