"""`waferlag schedule`: scenarios that are run again by themselves."""

import datetime as dt
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from executor.errors import UnknownNameError
from waferlag.commands.db import open_chosen
from waferlag.commands.options import Asked, Db, JsonFile, grouped
from waferlag.files import write_json

if TYPE_CHECKING:
    from db.queries import ScheduleSummary
    from db.schedules import ScheduleRepository

app = typer.Typer(help="Scenarios that are run again by themselves.", no_args_is_help=True)

LIST_SCHEMA_VERSION = 1
Name = Annotated[str, typer.Argument(help="The schedule's name.")]
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@app.command()
@grouped
def add(
    name: Name,
    asked: Asked,
    cron: Annotated[str, typer.Option("--cron", help="Minute hour day month weekday, as in '0 7 * * MON'.")],
    zone: Annotated[str, typer.Option("--zone", help="IANA time zone, as in Asia/Shanghai.")] = "UTC",
    start_on_due_date: Annotated[
        bool, typer.Option("--start-on-due-date", help="Plan from the day of the run, not the file's start.")
    ] = False,
    pin: Annotated[
        bool, typer.Option("--pin", help="Keep the file as it is now instead of reading it at each run.")
    ] = False,
    overlap: Annotated[
        str, typer.Option("--overlap", help="While a run is under way: skip, queue one, or cancel the older.")
    ] = "skip",
    misfire: Annotated[
        str, typer.Option("--misfire", help="After a sleep: once, or all instants that were missed.")
    ] = "once",
    late_limit: Annotated[
        float | None, typer.Option("--late-limit", min=0, help="Drop an instant missed by more seconds.")
    ] = None,
    sink: Annotated[
        list[str] | None, typer.Option("--sink", help="file:PATH, https://... or mailto:ADDRESS; may be given again.")
    ] = None,
    tell: Annotated[
        str, typer.Option("--tell", help="What the sinks are told of: goal, order-by, failed, changed.")
    ] = "goal,order-by,failed",
    db: Db = None,
) -> None:
    """Add a schedule; workers and `run-due` run it from its next instant on."""
    from db.schedules import Schedule
    from waferlag.worker import cron as calendar
    from waferlag.worker.sinks import sink_of

    _check_words(name, overlap, misfire)
    calendar.checked(cron, zone)
    topics = [topic.strip() for topic in tell.split(",") if topic.strip()]
    schedule = Schedule(
        name=name,
        cron=cron,
        zone=zone,
        args=_args(asked, zone, start_on_due_date, pin),
        overlap=overlap,
        misfire=misfire,
        grace_seconds=late_limit,
        sinks=tuple(sink_of(address, topics) for address in sink or []),
    )
    with _schedules(db) as known:
        first = known.add(schedule, calendar.slots)
    print(f"{name} runs first at {_moment(first, zone)}")


def _check_words(name: str, overlap: str, misfire: str) -> None:
    from db.schedules import MISFIRES, OVERLAPS, ScheduleError

    if not _NAME.fullmatch(name):
        raise ScheduleError(
            f"a schedule's name has letters, digits, dots, dashes and underscores, at most 64 (got {name!r})"
        )
    for kind, word, known in (("--overlap", overlap, OVERLAPS), ("--misfire", misfire, MISFIRES)):
        if word not in known:
            raise UnknownNameError(kind, word, known)


def _args(asked: Asked, zone: str, start_on_due_date: bool, pin: bool) -> dict[str, Any]:
    """What each run is told; the scenario is checked now, so that a mistake is not found at night."""
    from planner.scenario.load import locate, shipped

    loaded = asked.opened()
    args: dict[str, Any] = {"scenario": loaded.scenario.name, "zone": zone, "overrides": asked.overrides}
    if start_on_due_date:
        args["start"] = "due"
    if pin:
        return args | {"body": loaded.scenario.model_dump(mode="json")}
    path = locate(asked.scenario)
    source = asked.scenario if path in shipped().values() else str(path.absolute())
    # A worker has another working folder: files among the overrides need their whole path.
    args["overrides"] = [str(Path(name).absolute()) if Path(name).is_file() else name for name in asked.overrides]
    return args | {"source": source, "replications": asked.replications, "seed": asked.seed}


@app.command("list")
def list_schedules(db: Db = None, json_file: JsonFile = None) -> None:
    """List the schedules, when each runs next, and how it went last."""
    from db.notices import shown_sink
    from db.queries import schedules

    with open_chosen(db) as database:
        found = schedules(database)
    # Sinks stand in the file without what may be secret in them.
    rows = [{**asdict(row), "sinks": [shown_sink(sink) for sink in row.sinks["sinks"]]} for row in found]
    write_json(json_file, {"schema_version": LIST_SCHEMA_VERSION, "schedules": rows})
    for line in _table(found):
        print(line)


def _table(found: list["ScheduleSummary"]) -> list[str]:
    if not found:
        return ["No schedules yet: `waferlag schedule add NAME SCENARIO --cron '0 7 * * MON'` makes one."]
    lines = [f"{'schedule':<20}  {'when':<20}  {'next':<22}  last"]
    for row in found:
        upcoming = _moment(row.next_at.timestamp() if row.next_at else None, row.zone) if row.active else "paused"
        last = f"{row.last_at:%Y-%m-%d %H:%M} UTC, {row.last_note}" if row.last_at else "never yet"
        lines.append(f"{row.name:<20}  {row.cron:<20}  {upcoming:<22}  {last}")
    return lines


@app.command()
def pause(name: Name, db: Db = None) -> None:
    """No more runs until it is resumed."""
    with _schedules(db) as known:
        known.pause(name)
    print(f"{name} is paused; `waferlag schedule resume {name}` goes on")


@app.command()
def resume(name: Name, db: Db = None) -> None:
    """Run again from the next instant on; those missed meanwhile are not made up for."""
    from waferlag.worker import cron

    with _schedules(db) as known:
        first = known.resume(name, cron.slots)
    print(f"{name} runs next at {_moment(first, 'UTC')}")


@app.command()
def remove(name: Name, db: Db = None) -> None:
    """Forget a schedule; its runs stay."""
    with _schedules(db) as known:
        known.remove(name)
    print(f"{name} is removed")


@app.command("run-now")
def run_now(name: Name, db: Db = None) -> None:
    """Queue a run besides the instants, and print its id."""
    with _schedules(db) as known:
        print(known.run_now(name))


@contextmanager
def _schedules(db: str | None) -> "Iterator[ScheduleRepository]":
    from db.schedules import ScheduleRepository

    with open_chosen(db) as database:
        yield ScheduleRepository(database)


def _moment(seconds: float | None, zone: str) -> str:
    from zoneinfo import ZoneInfo

    if seconds is None:
        return "never"
    return f"{dt.datetime.fromtimestamp(seconds, ZoneInfo(zone)):%Y-%m-%d %H:%M %Z}"
