"""Which scenario a run is about: the one stored with it, or a schedule's file as it stands when it is due."""

import datetime as dt
from typing import Any
from zoneinfo import ZoneInfo

from planner.open_scenario import open_scenario
from planner.scenario.load import validate
from planner.scenario.models import Scenario
from waferlag.settings import settings


def scenario_of(job: dict[str, Any]) -> tuple[Scenario, tuple[str, ...]]:
    """The checked scenario of a job, and the names of the overrides that are in it.

    A job has its ``scenario``, or its ``args`` have the ``body`` that a schedule was pinned to, or ``source`` (a
    file, or a shipped name) with overrides, replications and seed. ``start: due`` starts the plan on the day
    that the schedule is due.
    """
    args = job["args"]
    overrides = tuple(args.get("overrides", ()))
    body = job.get("scenario") or args.get("body")
    if body is not None:
        scenario = validate(body, f"the scenario of run {job['run_id']}")
    else:
        numbers = {name: args.get(name) for name in ("replications", "seed")}
        limit = settings().max_trace_bytes
        scenario = open_scenario(args["source"], overrides, **numbers, max_bytes=limit).scenario
    if args.get("start") == "due":
        day = _day(job).isoformat()
        scenario = validate({**scenario.model_dump(mode="json"), "start": day}, f"the scenario from {day} on")
    return scenario, overrides


def _day(job: dict[str, Any]) -> dt.date:
    """The day on which the run is due, in the schedule's zone; for a run asked for by hand, today."""
    moment = dt.datetime.now(dt.UTC) if job["due"] is None else dt.datetime.fromtimestamp(job["due"], dt.UTC)
    return moment.astimezone(ZoneInfo(job["args"].get("zone", "UTC"))).date()
