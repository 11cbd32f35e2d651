"""`waferlag db`: make, upgrade, check, copy and clear the database."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from executor.errors import UnknownNameError, UserMistakeError
from waferlag.commands.options import Db

if TYPE_CHECKING:
    from db.connection import Database

app = typer.Typer(help="Make, upgrade, check, back up and clear the database.", no_args_is_help=True)


def open_chosen(url: str | None, upgrade: bool = True, create: bool = True) -> "Database":
    """The database of ``--db``, else of the settings; created or upgraded where needed and wanted."""
    from db.session import open_database
    from waferlag.settings import settings

    chosen = settings()
    return open_database(chosen.database(url), chosen.runs_folder, upgrade=upgrade, create=create)


@app.command()
def init(db: Db = None) -> None:
    """Create the database, or leave it as it is if it is there."""
    with open_chosen(db) as database:
        print(f"{database.place} is ready; files of runs go to {database.runs_folder}")


@app.command()
def upgrade(
    db: Db = None,
    to: Annotated[str | None, typer.Option("--to", help="Revision; default: this version's.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Drop tables with all that they hold without asking.")] = False,
) -> None:
    """Bring the tables to this version, or up or down to a revision."""
    from db.connection import connect
    from db.version import REVISIONS, change_version, loses_data
    from waferlag.settings import settings

    if to is not None and to not in (*REVISIONS, "base"):
        raise UnknownNameError("revision", to, (*REVISIONS, "base"))
    chosen = settings()
    with connect(chosen.database(db), chosen.runs_folder) as database:
        if to is not None and not yes and loses_data(database, to):
            _ask(f"{database.place}: going to {to} drops every table of Waferlag with all that it holds")
        print(f"{database.place} has tables of version {change_version(database, to or REVISIONS[-1])}")


def _ask(what: str) -> None:
    """Go on after a yes alone; a script says it by an option."""
    if not sys.stdin.isatty():
        raise UserMistakeError(f"{what}: give --yes, and make a copy first (`waferlag db backup FILE`)")
    if not typer.confirm(f"{what}. Go on?"):
        raise UserMistakeError("nothing was changed")


@app.command()
def check(db: Db = None) -> None:
    """Read everything that is stored; exit with 3 if anything is damaged."""
    from db.maintenance import check as examine

    with open_chosen(db, upgrade=False, create=False) as database:
        health = examine(database)
    for problem in health.problems:
        print(f"problem: {problem}")
    print(
        f"{database.place}: version {health.version}, {health.runs} run(s), {health.files} file(s), "
        f"{len(health.problems) or 'no'} problem(s)"
    )
    if health.problems:
        raise typer.Exit(3)


@app.command()
def backup(target: Annotated[Path, typer.Argument(help="File to write; it must not exist.")], db: Db = None) -> None:
    """Copy the database as of one moment, with the files of its runs, while others go on using it."""
    from db.maintenance import backup as copy

    with open_chosen(db, upgrade=False, create=False) as database:
        written = copy(database, target)
    print(f"wrote {written[0]} and {len(written) - 1} file(s) of runs beside it")


@app.command()
def gc(
    db: Db = None,
    keep_days: Annotated[
        float | None, typer.Option("--keep-days", min=0, help="Remove runs that ended earlier; default: the setting.")
    ] = None,
) -> None:
    """Remove old runs, and files that no run knows any more; make the database's file smaller."""
    from db.maintenance import clear, shrink
    from waferlag.settings import settings

    with open_chosen(db, create=False) as database:
        cleared = clear(database, settings().keep_days if keep_days is None else keep_days)
        freed, kept = shrink(database)
    print(
        f"removed {cleared.runs} run(s) and {cleared.folders} folder(s) that no run knows; "
        f"{(cleared.size + freed) / 1e6:.1f} MB became free"
    )
    if kept:
        print(f"the database's own file was not made smaller: {kept}", file=sys.stderr)
