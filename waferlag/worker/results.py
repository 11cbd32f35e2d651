"""What goes into the process of a run, and what becomes of what comes out."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from db import notices
from db.artefacts import Artefact
from db.connection import Database, Transaction
from db.queue import COMPARE, MEASURE, PLAN, Claim, Request, RunQueue, put
from db.repository import RunRepository, previous_of, scenario_body, store_changes, store_plan, store_profile
from db.schedules import sinks_of
from planner.compare.plans import Changes
from waferlag.settings import Settings
from waferlag.worker.alerts import Message, about_changes, about_failure, about_plan

if TYPE_CHECKING:
    from planner.record.models import PlanRecord

COMPARE_PRIORITY = -1
"""Saying why a plan moved waits for the plans themselves."""


def job_of(database: Database, claim: Claim) -> dict[str, Any]:
    """The job file of a claimed run (waferlag/worker/job.py)."""
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


def store(queue: RunQueue, claim: Claim, result: dict[str, Any], settings: Settings) -> bool:
    """Store the result of a run; False: the run was lost, and nothing is stored."""
    if claim.kind == COMPARE:
        return _store_changes(queue, claim, Changes.model_validate(result))
    if claim.kind == MEASURE:
        return queue.finish(claim, "done", also=lambda session: store_profile(session, result))
    plan = _plan_of(queue.database, claim, result)
    if plan is None:
        return queue.give_back(claim, "the identical run was removed meanwhile")
    record, artefact = plan

    def also(session: Transaction) -> None:
        store_plan(session, claim.run_id, record, artefact)
        _follow_up(session, claim, record, settings)

    return queue.finish(claim, "done", also=also)


def tell_of_failure(session: Transaction, run_id: str, schedule: str | None, error: str) -> None:
    """Tell the sinks of a schedule, in the transaction in which its run fails."""
    _tell(session, run_id, schedule, [about_failure(run_id, schedule, error)])


def _plan_of(database: Database, claim: Claim, result: dict[str, Any]) -> tuple[PlanRecord, Artefact | None] | None:
    """The plan that a process computed, or that of the identical run; None: that one is gone."""
    if "known" not in result:
        artefact = result["artefact"]
        from planner.record.models import PlanRecord

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
    messages = about_plan(claim.run_id, claim.schedule, record, today, settings.warn_days)
    _tell(session, claim.run_id, claim.schedule, messages)


def _store_changes(queue: RunQueue, claim: Claim, changes: Changes) -> bool:
    run_id = claim.args["run"]

    def also(session: Transaction) -> None:
        schedule = store_changes(session, run_id, claim.args["previous"], changes)
        message = about_changes(run_id, schedule, changes)
        if message is not None:
            _tell(session, run_id, schedule, [message])

    return queue.finish(claim, "done", also=also)


def _tell(session: Transaction, run_id: str, schedule: str | None, messages: list[Message]) -> None:
    for sink in sinks_of(session, schedule):
        for message in messages:
            if message.topic in sink["topics"]:
                notices.post(session, run_id, sink, message.subject, message.body)
