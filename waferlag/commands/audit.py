"""`waferlag audit`: is demand met as a plan states, on futures that had no part in it?"""

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
    """Carry a finished plan out on fresh futures and compare what it states with what is seen."""
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
    """The verdict, the months, then what they say together."""
    from waferlag.text.plan_text import share

    rows = [
        [
            month.month,
            share(month.promised),
            share(month.seen),
            f"{_points(gap.value)} ({_points(gap.low)} to {_points(gap.high)})",
            "" if month.required else "not required",
        ]
        for month in found.months
        for gap in [month.difference]
    ]
    months = table(["month", "stated", "seen", "difference, points", ""], rows, whole=[0, 1, 2, 3])
    verdict, *notes = _notes(found)
    return "\n".join([*wrapped(verdict), "", months, *(line for note in notes for line in wrapped(note))])


def _points(share: float) -> str:
    rounded = round(100 * share, 1)
    return f"{rounded:+.1f}" if rounded else "0.0"


_VERDICTS = {
    "as-stated": "Demand was met as stated.",
    "more-often": "Demand was met more often than stated.",
    "less-often": "Demand was met less often than stated.",
}


def _notes(found: "Audit") -> list[str]:
    from planner.report.language import ENGLISH
    from waferlag.text.plan_text import ranged

    currency = found.record.scenario.currency
    joint = found.joint
    cost = found.cost_of_over_service
    over = _points(abs(found.over_service)).lstrip("+")
    if found.over_service < 0:
        goal = f"The weakest month as seen misses the goal by {over} points."
    else:
        costs = "" if cost is None or not cost else f", which costs about {ENGLISH.money(cost, currency)}"
        goal = f"The weakest month as seen exceeds the goal by {over} points{costs}."
    verdict = (
        f"{_VERDICTS[found.verdict]} Of plans that state the truth {joint.chance:.0%} differ more from "
        f"{found.futures:,} fresh futures, over all required months together."
    )
    return [
        verdict if joint.degrees else "So few futures cannot tell stated from seen: give more with --replications.",
        "Differences are 90 % intervals of both samples. Months share each future's growth and differ together: judge "
        "by the sentence at the top, not by how many months differ.",
        f"Mean cost {ranged(found.record.kpis.mean_cost)} {currency} stated, {ranged(found.cost)} seen.",
        goal,
    ]
