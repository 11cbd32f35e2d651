"""`waferlag plan`: the whole story, the answer on stdout."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from planner.plan import Study
    from planner.record import PlanRecord

GOAL_NOT_MET = 1


def plan(
    scenario: Annotated[str, typer.Argument(help="Scenario file, a shipped one's name, or a plan's JSON.")],
    with_: Annotated[
        list[str] | None,
        typer.Option("--with", help="Override to lay over the scenario; may be given again."),
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the whole record here.")] = None,
    report: Annotated[
        list[Path] | None,
        typer.Option("--report", help="Write a report here: .html or .pdf; may be given again."),
    ] = None,
    replications: Annotated[
        int | None, typer.Option("--replications", help="Fresh futures that validate the plan.")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Root of all luck.")] = None,
    save: Annotated[bool, typer.Option("--save/--no-save", help="Keep the plan in the database.")] = True,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress on stderr.")] = False,
) -> None:
    """Plan a fleet: which GPUs to order, from whom, by when, with what probability, and why."""
    from planner.intake import open_scenario
    from planner.plan import plan as run_plan
    from waferlag.cores import processes
    from waferlag.files import require_folders
    from waferlag.progress import shown_progress
    from waferlag.terminal import plan_text

    began = time.perf_counter()
    require_folders([json_file, *(report or [])])
    loaded = open_scenario(scenario, with_ or [], replications=replications, seed=seed)
    with shown_progress(quiet) as progress:
        study = run_plan(
            loaded.scenario, loaded.overrides, progress=progress, processes=processes(loaded.scenario)
        )
    print(plan_text(study.record))
    print()
    _write_out(study.record, json_file, report or [])
    if save:
        run = _keep(study, time.perf_counter() - began)
        print(f"Kept as run {run}; see `waferlag runs list` and `waferlag dashboard`.")
    print(f"Run again: {_command(scenario, with_ or [], replications, seed)}")
    if not study.record.answer.feasible:
        raise typer.Exit(GOAL_NOT_MET)


def _write_out(record: "PlanRecord", json_file: Path | None, reports: list[Path]) -> None:
    from waferlag.files import write_whole

    if json_file is not None:
        write_whole(json_file, record.model_dump_json(indent=2) + "\n")
        print(f"JSON: {json_file}")
    for path in reports:
        from waferlag.commands.report import rendered

        write_whole(path, rendered(record, path))
        print(f"Report: {path}")


def _keep(study: "Study", seconds: float) -> str:
    from db.repository import RunRepository
    from db.session import open_database
    from waferlag.settings import settings

    with open_database(settings().db) as database:
        return RunRepository(database).add(study.record, study.arrays, seconds=seconds)


def _command(scenario: str, overrides: list[str], replications: int | None, seed: int | None) -> str:
    words = ["waferlag plan", scenario, *(f"--with {name}" for name in overrides)]
    words += [f"--replications {replications}"] if replications is not None else []
    words += [f"--seed {seed}"] if seed is not None else []
    return " ".join(words)
