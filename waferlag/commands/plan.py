"""`waferlag plan`: the whole story, the answer on stdout."""

import shlex
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from waferlag.commands.db import open_chosen
from waferlag.commands.options import Asked, Backend, Db, JsonFile, Quiet, Scheduler, grouped
from waferlag.commands.report import rendered, report_format
from waferlag.files import report_json, require_folders, write_whole
from waferlag.text.tables import say

if TYPE_CHECKING:
    from planner.plan import Study
    from planner.record.models import PlanRecord

GOAL_NOT_MET = 1
FULL_TRAINING_FUTURES, FULL_REPLICATIONS = 10_000, 20_000
"""A full study: rare long closures of a gate are in it by the hundred."""


@grouped
def plan(
    asked: Asked,
    json_file: JsonFile = None,
    report: Annotated[
        list[Path] | None, typer.Option("--report", help="Write a report here: .html or .pdf; may be given again.")
    ] = None,
    training_futures: Annotated[
        int | None, typer.Option("--training-futures", "--scenarios", help="Futures that the optimiser sees.")
    ] = None,
    full: Annotated[
        bool, typer.Option("--full", help="Plan on 10,000 futures and judge on 20,000, unless told otherwise.")
    ] = False,
    save: Annotated[bool, typer.Option("--save/--no-save", help="Keep the plan in the database.")] = True,
    quiet: Quiet = False,
    backend: Backend = None,
    scheduler: Scheduler = None,
    db: Db = None,
) -> None:
    """Plan a fleet: which GPUs to order, from whom, by when, with what probability, and why."""
    from planner.plan import plan as run_plan
    from waferlag.compute.dask_backend import spread
    from waferlag.progress import shown_progress
    from waferlag.settings import settings
    from waferlag.text.plan_text import plan_text

    began = time.perf_counter()
    if full:
        training_futures = training_futures or FULL_TRAINING_FUTURES
        asked = replace(asked, replications=asked.replications or FULL_REPLICATIONS)
    loaded = asked.opened(training_futures)
    _require_outlets(asked.scenario, json_file, report or [], save, db)
    where = spread(loaded.scenario, backend, scheduler)
    with shown_progress(quiet) as progress:
        study = run_plan(loaded.scenario, loaded.overrides, progress, where, memory=settings().goodputs())
    say(plan_text(study.record) + "\n")
    _write_out(study.record, json_file, report or [])
    if save:
        run = _keep(study, time.perf_counter() - began, db)
        say(f"Kept as run {run}: see `waferlag runs list`.")
    say(f"Run again: {_command(asked, training_futures)}")
    if not study.record.answer.feasible:
        raise typer.Exit(GOAL_NOT_MET)


def _require_outlets(scenario: str, json_file: Path | None, reports: list[Path], save: bool, db: str | None) -> None:
    """Refuse before the work what would fail after it: files, report formats, the database."""
    for path in reports:
        report_format(path)
    require_folders([json_file, *reports], inputs=[scenario])
    if save:
        open_chosen(db).close()


def _write_out(record: "PlanRecord", json_file: Path | None, reports: list[Path]) -> None:
    report_json(json_file, record.model_dump_json(indent=2))
    for path in reports:
        write_whole(path, rendered(record, path))
        say(f"Report: {path}")


def _keep(study: "Study", seconds: float, db: str | None) -> str:
    from db.repository import RunRepository

    with open_chosen(db) as database:
        return RunRepository(database).add(study.record, study.arrays, seconds=seconds)


def _command(asked: Asked, training_futures: int | None) -> str:
    numbers = {"--training-futures": training_futures, "--replications": asked.replications, "--seed": asked.seed}
    pairs = [("--with", name) for name in asked.overrides]
    pairs += [(option, str(value)) for option, value in numbers.items() if value is not None]
    return shlex.join(["waferlag", "plan", asked.scenario, *(word for pair in pairs for word in pair)])
