"""What goes into the process of a run, and what becomes of what comes out."""

import datetime as dt
from typing import Any

from db import notices
from db.artefacts import Artefact
from db.changes import Changes
from db.queue import COMPARE, PLAN, Claim, Request, RunQueue, put
from db.repository import RunRepository, previous_of, scenario_body, store_changes, store_plan
from db.schedules import sinks_of
from db.session import Database, Transaction
from planner.record import PlanRecord
from waferlag.alarms import Message, about_changes, about_failure, about_plan
from waferlag.settings import Settings

COMPARE_PRIORITY = -1
"""Saying why a plan moved waits for the plans themselves."""


def job_of(database: Database, claim: Claim) -> dict[str, Any]:
    """The job file of a claimed run (waferlag/job.py)."""
    job: dict[str, Any] = {
        "run_id": claim.run_id,
        "epoch": claim.epoch,
        "kind": claim.kind,
        "args": claim.args,
        "due": claim.due,
        "runs_folder": str(database.runs_folder.absolute()),
    }
    if claim.kind == PLAN and claim.scenario_hash is not None:
        job["scenario"] = scenario_body(database, claim.scenario_hash)
    if claim.kind == COMPARE:
        repository = RunRepository(database)
        for name in ("run", "previous"):
            job[name] = repository.get(claim.args[name]).model_dump(mode="json")
    return job


def is_known(database: Database, identity: str) -> bool:
    """Whether a run of the same scenario, seed and version is done."""
    return RunRepository(database).find_identity(identity) is not None


def store(database: Database, claim: Claim, result: dict[str, Any], settings: Settings) -> bool:
    """Store the result of a run; False: the run was lost, and nothing is stored."""
    if claim.kind == COMPARE:
        return _store_changes(database, claim, Changes.model_validate(result))
    plan = _plan_of(database, claim, result)
    if plan is None:
        return RunQueue(database).give_back(claim, "the identical run was removed meanwhile", counts=False)
    record, artefact = plan

    def also(session: Transaction) -> None:
        store_plan(session, claim.run_id, record, artefact)
        _follow_up(session, claim, record, settings)

    return RunQueue(database).finish(claim, "done", also=also)


def fail(database: Database, claim: Claim, error: str) -> bool:
    """End a run as failed, and tell the sinks of its schedule; False: the run was lost."""

    def also(session: Transaction) -> None:
        _tell(session, claim, [about_failure(claim.run_id, claim.schedule, error)])

    return RunQueue(database).finish(claim, "failed", error, also=also)


def _plan_of(
    database: Database, claim: Claim, result: dict[str, Any]
) -> tuple[PlanRecord, Artefact | None] | None:
    """The plan that a process computed, or that of the identical run; None: that one is gone."""
    if "known" not in result:
        artefact = result["artefact"]
        return PlanRecord.model_validate(result["record"]), Artefact(**artefact) if artefact else None
    repository = RunRepository(database)
    known = repository.find_identity(result["known"])
    if known is None:
        return None
    return repository.get(known), repository.copy_artefact(known, claim.run_id, claim.epoch)


def _follow_up(session: Transaction, claim: Claim, record: PlanRecord, settings: Settings) -> None:
    """After a scheduled plan: ask what changed since the one before, and tell the sinks what is urgent."""
    if claim.schedule is None:
        return
    previous = previous_of(session, claim.run_id, claim.schedule)
    if previous is not None:
        request = Request(
            kind=COMPARE,
            args={"run": claim.run_id, "previous": previous},
            scenario_name=record.scenario.name,
            run_id=f"{claim.run_id}+changes",
            priority=COMPARE_PRIORITY,
        )
        put(session, request)
    today = dt.datetime.now(dt.UTC).date()
    _tell(session, claim, about_plan(claim.run_id, claim.schedule, record, today, settings.warn_days))


def _store_changes(database: Database, claim: Claim, changes: Changes) -> bool:
    def also(session: Transaction) -> None:
        schedule = store_changes(session, claim.args["run"], claim.args["previous"], changes)
        message = about_changes(claim.args["run"], schedule, changes)
        if message is not None:
            _tell(session, claim, [message], schedule)

    return RunQueue(database).finish(claim, "done", also=also)


def _tell(session: Transaction, claim: Claim, messages: list[Message], schedule: str | None = None) -> None:
    for sink in sinks_of(session, schedule or claim.schedule):
        for message in messages:
            if message.topic in sink["topics"]:
                notices.post(session, claim.run_id, sink, message.subject, message.body)
