"""`waferlag runs`: the runs that are stored, under way or waiting."""

import datetime as dt
import sys
from collections import deque
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from executor.errors import UnknownNameError
from waferlag import __version__
from waferlag.commands.db import open_chosen
from waferlag.commands.options import Asked, Db, JsonFile, grouped
from waferlag.files import write_json, write_whole

if TYPE_CHECKING:
    from collections.abc import Iterator

    from db.queries import AuditLine, RunSummary

app = typer.Typer(help="The runs that are stored, under way or waiting.", no_args_is_help=True)

LIST_SCHEMA_VERSION = 1

RunId = Annotated[str, typer.Argument(help="The run's id, or a beginning that no other run has.")]


@app.command("list")
def list_runs(
    db: Db = None,
    state: Annotated[str | None, typer.Option("--state", help="queued, running, done, failed or cancelled.")] = None,
    scenario: Annotated[str | None, typer.Option("--scenario", help="Runs of this scenario only.")] = None,
    schedule: Annotated[str | None, typer.Option("--schedule", help="Runs of this schedule only.")] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Also the runs that compare a plan with the one before.")
    ] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, max=100_000, help="At most so many.")] = 50,
    json_file: JsonFile = None,
) -> None:
    """List the newest runs first."""
    from db.json_rows import json_rows
    from db.queries import each_run
    from db.schema import RUN_STATES

    if state is not None and state not in RUN_STATES:
        raise UnknownNameError("state", state, RUN_STATES)
    lines: list[tuple[str, ...]] = []
    with open_chosen(db) as database:
        kind = None if everything else "plan"
        found = each_run(database, state=state, scenario=scenario, schedule=schedule, kind=kind, limit=limit)

        def told() -> "Iterator[dict[str, Any]]":
            for run in found:
                lines.append((run.id, run.state, run.scenario[:20], _headline(run)))
                yield asdict(run)

        if json_file is None:
            deque(told(), maxlen=0)
        else:
            texts = json_rows({"schema_version": LIST_SCHEMA_VERSION}, "runs", told())
            write_whole(json_file, lambda file: file.writelines(text.encode() for text in texts))
    for line in _table(lines):
        print(line)


@app.command()
def show(run_id: RunId, db: Db = None, json_file: JsonFile = None) -> None:
    """Show one run: where it stands, its answer, and what happened to it."""
    from db.queries import audit_trail, run
    from db.repository import RunRepository

    with open_chosen(db) as database:
        found = run(database, run_id)
        trail = audit_trail(database, run_id=found.id)
        if json_file is not None:
            write_whole(json_file, RunRepository(database).get(found.id).model_dump_json(indent=2) + "\n")
    for line in [*_facts(found), *_history(trail)]:
        print(line)


@app.command()
@grouped
def add(
    asked: Asked,
    again: Annotated[bool, typer.Option("--again", help="Compute it even if an identical run is there.")] = False,
    db: Db = None,
) -> None:
    """Queue a run for the workers and print its id; an identical run is found instead of computed again."""
    from db.queue import RunQueue

    loaded = asked.opened()
    with open_chosen(db) as database:
        queue = RunQueue(database)
        run_id, new = queue.put_scenario(loaded.scenario, loaded.overrides, __version__, again=again)
    if not new:
        print("an identical run is there (--again computes it anew)", file=sys.stderr)
    print(run_id)


@app.command()
def cancel(run_id: RunId, db: Db = None) -> None:
    """Cancel a run: one that nobody holds at once, a running one when its worker beats next."""
    from db.queue import RunQueue
    from waferlag.settings import settings

    with open_chosen(db) as database:
        full, state = RunQueue(database).cancel(run_id, settings().lease_seconds)
    print(f"{full} {'is cancelled' if state == 'cancelled' else 'is being cancelled'}")


@app.command()
def retry(run_id: RunId, db: Db = None) -> None:
    """Queue an ended run once more, as a run of its own, and print the new id."""
    from db.queue import RunQueue

    with open_chosen(db) as database:
        print(RunQueue(database).retry(run_id))


@app.command()
def changes(run_id: RunId, db: Db = None, json_file: JsonFile = None) -> None:
    """Say what changed between a run and the one before it in its schedule, and which inputs moved it."""
    from db.json_rows import as_text
    from db.queries import difference
    from planner.report.change_sentences import with_texts

    with open_chosen(db) as database:
        found = difference(database, run_id)
    if found is None:
        print("Nothing to compare: the run is the first of its schedule, or its comparison is not done yet.")
        return
    told = with_texts(found.changes)
    body = {"run": found.run_id, "previous": found.previous_run_id, **told.model_dump(mode="json")}
    write_json(json_file, body, default=as_text)
    print(f"since {found.previous_run_id}: {told.sentence}")
    for name, part in (("moves", told.moves), ("orders", told.orders), ("causes", told.causes)):
        print("\n".join(f"  {line.text}" for line in part) or f"  no {name}")


@app.command()
def export(
    run_id: RunId,
    what: Annotated[
        str, typer.Option("--what", help="plan, months, pools, gates, orders, deliveries, futures, ...")
    ] = "orders",
    out: Annotated[
        Path | None, typer.Option("--out", help="File: .csv, .parquet or .json; default: CSV on stdout.")
    ] = None,
    db: Db = None,
) -> None:
    """Write a part of a run as CSV, Parquet or JSON."""
    from db import export as writing

    with open_chosen(db) as database:
        if out is None:
            writing.export(database, run_id, what, "csv", sys.stdout.buffer)
            return
        form = out.suffix.removeprefix(".")
        write_whole(out, lambda file: writing.export(database, run_id, what, form, file))
    print(f"wrote {out}")


def _table(found: list[tuple[str, ...]]) -> list[str]:
    """Id, state, scenario and headline of each run in columns."""
    if not found:
        return ["No runs yet: `waferlag plan SCENARIO` makes one, `waferlag runs add SCENARIO` queues one."]
    width = max(len(run_id) for run_id, *_ in found)
    lines = [f"{'run':<{width}}  {'state':<9}  {'scenario':<20}  answer"]
    return lines + [f"{run:<{width}}  {state:<9}  {name:<20}  {headline}" for run, state, name, headline in found]


def _headline(run: "RunSummary") -> str:
    """What a list shows of a run: its odds if it is done, else how far it is or what went wrong."""
    if run.probability is not None:
        low, high = run.probability_low or 0.0, run.probability_high or 0.0
        odds = f"{run.probability:.0%} ({low:.0%}-{high:.0%}) in {run.weakest_month}"
        return f"{odds}, goal {run.goal:.0%}"
    if run.error:
        return run.error.splitlines()[-1][:80]
    if run.progress:
        return f"{run.progress.get('share', 0):.0%} {run.progress.get('step', '')}"
    return ""


def _facts(run: "RunSummary") -> list[str]:
    version = f" (version {run.scenario_version})" if run.scenario_version else ""
    facts = [
        ("run", run.id),
        ("state", f"{run.state}{', ' + _headline(run) if run.state in ('running', 'failed') else ''}"),
        ("kind", run.kind),
        ("scenario", f"{run.scenario}{version}"),
        ("seed", run.seed),
        ("asked for", _moment(run.created)),
        ("took", f"{run.seconds:.1f} s" if run.seconds is not None else None),
        ("attempts", run.attempts or None),
        ("worker", run.owner),
        ("schedule", f"{run.schedule}, due {_moment(run.due)}" if run.schedule else None),
        ("retry of", run.retry_of),
        ("computed by", f"Waferlag {run.code_version}" if run.code_version else None),
        ("file", run.artefact),
        ("answer", run.sentence),
        ("odds", _headline(run) if run.probability is not None else None),
        ("order by", run.next_order_by),
        ("cost", f"{run.mean_cost:,.0f} {run.currency}" if run.mean_cost is not None else None),
        ("error", run.error),
    ]
    return [f"{name:<12} {value}" for name, value in facts if value is not None]


def _history(trail: list["AuditLine"]) -> list[str]:
    lines = [f"  {_moment(line.at)}  {line.event}  {line.note}  {line.actor}".rstrip() for line in trail]
    return ["history", *reversed(lines)] if lines else []


def _moment(moment: dt.datetime | None) -> str:
    return "" if moment is None else f"{moment:%Y-%m-%d %H:%M:%S} UTC"
