"""`waferlag simulate`: deliveries of given orders."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from executor.errors import UserMistakeError
from waferlag.commands.options import Asked, Backend, JsonFile, Scheduler, grouped
from waferlag.files import report_json, require_folders, write_whole
from waferlag.text.tables import say, table, wrapped

if TYPE_CHECKING:
    from planner.scenario.models import Scenario
    from planner.simulate import Trial
    from planner.supply.order_lines import OrderLine

FATES = {"delivered": "arr.", "in_pipeline": "wait", "cancelled": "canc.", "refused": "ref."}
"""Outcomes, and what the table's narrow columns call them."""
LEGEND = "Shares of futures at the horizon: arrived, waiting or under way, cancelled or lapsed, refused."


@grouped
def simulate(
    asked: Asked,
    orders: Annotated[
        Path | None, typer.Option("--orders", help="CSV with pool, source, month (YYYY-MM), gpus.")
    ] = None,
    engine: Annotated[
        Literal["simpy", "fast"] | None, typer.Option("--engine", help="Both give the same integers.")
    ] = None,
    events: Annotated[
        Path | None, typer.Option("--events", help="Write one row per stage visit to this Parquet file.")
    ] = None,
    json_file: JsonFile = None,
    backend: Backend = None,
    scheduler: Scheduler = None,
) -> None:
    """Carry orders through the supply model and say when they arrive."""
    from planner.simulate import try_orders
    from planner.supply.order_lines import departures
    from waferlag.compute.dask_backend import spread

    if events is not None and engine == "fast":
        raise UserMistakeError("--events needs the event trace, which only --engine simpy keeps")
    loaded = asked.opened()
    require_folders([events, json_file], inputs=[asked.scenario, orders])
    lines = _lines(asked.scenario, orders, loaded.scenario)
    for note in departures(lines, loaded.scenario):
        print(f"note: {note}", file=sys.stderr)
    trial = try_orders(
        loaded.scenario,
        lines,
        loaded.overrides,
        engine="simpy" if events is not None else engine,
        processes=spread(loaded.scenario, backend, scheduler),
        trace=events is not None,
    )
    _print(trial)
    _write_out(trial, json_file, events)


def _write_out(trial: "Trial", json_file: Path | None, events: Path | None) -> None:
    report_json(json_file, trial.as_json())
    if events is not None:
        from planner.supply.simpy_engine.event_log import events_table

        write_whole(events, events_table(trial.spec, trial.deliveries, [pool.name for pool in trial.scenario.pools]))
        say(f"Events: {events}")


def _lines(source: str, orders: Path | None, scenario: "Scenario") -> "tuple[OrderLine, ...]":
    """The lines of the CSV, or those of the plan itself."""
    from planner.supply.order_lines import lines_of_plan, read_order_lines

    if orders is not None:
        return read_order_lines(orders, scenario)
    if source.endswith(".json"):
        _note_what_is_undecided(Path(source))
        return lines_of_plan(Path(source), scenario)
    raise UserMistakeError("--orders is required unless a plan's JSON is simulated")


def _note_what_is_undecided(path: Path) -> None:
    """A plan's orders are those that are certain; what it decides later is no order yet."""
    try:
        later = json.loads(path.read_bytes()).get("later")
    except (OSError, ValueError, AttributeError):
        return  # the reader of the lines says what is wrong
    if later:
        print(
            "note: only the orders that the plan settles now are carried; "
            "`waferlag audit` carries out how it decides later",
            file=sys.stderr,
        )


def _print(trial: "Trial") -> None:
    """Each line with its arrival and fate, then the account of all GPUs."""
    from planner.clock import month_label, month_starts
    from waferlag.text.plan_text import dates

    months = [month_label(day) for day in month_starts(trial.scenario.start, trial.scenario.horizon_months)]
    rows = []
    for at, line in enumerate(trial.lines):
        fate = trial.shares(at)
        percent = [f"{100 * fate[key]:.0f} %" for key in FATES]
        arrives = dates(trial.arrives(at))
        rows.append([months[line.month], line.source, line.pool, str(line.gpus), arrives, *percent])
    head = ["month", "source", "pool", "GPUs", "serves P10/50/90", *FATES.values()]
    if rows:
        say(table(head, rows, right=[3, 5, 6, 7, 8], whole=[0, 4]))
        say("\n".join(wrapped(LEGEND)) + "\n")
    futures = len(trial.deliveries.replications)
    account = ", ".join(f"{gpus:,.1f} {key.replace('_', ' ')}" for key, gpus in trial.gpus().items())
    ordered = sum(line.gpus for line in trial.lines)
    say("\n".join(wrapped(f"GPUs on average over {futures:,} futures: {ordered:,} ordered = {account}")))
