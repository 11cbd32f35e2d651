"""`waferlag audit`: does a plan keep its promise on futures that had no part in it?"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from waferlag.commands.options import Backend, JsonFile, Quiet, Scheduler
from waferlag.commands.report import plan_of_file
from waferlag.files import report_json, require_folders
from waferlag.text.tables import say, table, wrapped

if TYPE_CHECKING:
    from planner.audit import Audit


def audit(
    plan: Annotated[Path, typer.Argument(help="A plan's JSON, as written by `waferlag plan --json`.")],
    replications: Annotated[int, typer.Option("--replications", min=2, help="Fresh futures.")] = 20_000,
    json_file: JsonFile = None,
    quiet: Quiet = False,
    backend: Backend = None,
    scheduler: Scheduler = None,
) -> None:
    """Carry a finished plan out on fresh futures and compare what it promised with what is seen."""
    from planner.audit import audit as run_audit
    from planner.scenario.load import load
    from waferlag.compute.dask_backend import spread
    from waferlag.progress import shown_progress
    from waferlag.settings import settings

    load(plan)  # says what is wrong with edited inputs
    record = plan_of_file(plan)
    enough = record.scenario.run.model_copy(update={"replications": replications})
    settings().allow(record.scenario.model_copy(update={"run": enough}))
    require_folders([json_file], inputs=[plan])
    with shown_progress(quiet) as progress:
        where = spread(record.scenario, backend, scheduler)
        found = run_audit(record, replications, where, progress, settings().goodputs())
    say(_text(found))
    report_json(json_file, found.as_json())


def _text(found: "Audit") -> str:
    """The months, then what they say together."""
    from waferlag.text.plan_text import share

    rows = [
        [
            month.month,
            share(month.promised),
            share(month.seen),
            "yes" if month.holds else "no",
            "" if month.required else "not required",
        ]
        for month in found.months
    ]
    months = table(["month", "promised", "seen", "within", ""], rows, whole=[0, 1, 2, 3])
    return "\n".join([months, *(line for note in _notes(found) for line in wrapped(note))])


def _notes(found: "Audit") -> list[str]:
    from waferlag.text.plan_text import ranged

    required = [month for month in found.months if month.required]
    kept = sum(month.holds for month in required)
    return [
        f"Within: the promised probability lies in the 90 % interval of what {found.futures:,} fresh futures show. "
        f"{kept} of {len(required)} required months; of the weakest, {found.weakest.month}: "
        f"{'yes' if found.weakest.holds else 'no'}. Of 100 months promised exactly right about 90 would, and fewer "
        "where the promise itself rests on no more futures than that.",
        f"Mean cost {ranged(found.record.kpis.mean_cost)} {found.record.scenario.currency} promised, "
        f"{ranged(found.cost)} seen.",
    ]
