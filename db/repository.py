"""Plans go in, plans come out; no caller sees a row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from db import audit
from db.artefacts import Artefact, ArtefactStore
from db.columns import now
from db.connection import Database
from db.errors import ArtefactError
from db.identity import content_hash, new_run_id, run_identity
from db.rows import plan_rows
from db.schema import DifferenceRow, PlanRow, ProfileRow, RunRow, ScenarioRow
from executor.errors import UnknownNameError, UserMistakeError
from planner.compare.plans import Changes

if TYPE_CHECKING:
    import numpy.typing as npt

    from db.arrays import Arrays
    from planner.record.models import PlanRecord
    from planner.scenario.models import Scenario


class NoPlanError(UserMistakeError):
    """A run that is not done, or that computed something else."""


class RunRepository:
    """The runs of one database."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.artefacts = ArtefactStore(database.runs_folder)

    def add(self, record: PlanRecord, arrays: Arrays | None = None, seconds: float = 0.0) -> str:
        """Store a finished plan and, if given, its replication-level arrays; returns the run's id.

        ``seconds``: how long it took to compute, up to now.

        The file is there before the row that names it; if the row cannot be written the file goes again.
        """
        run_id = new_run_id()
        artefact = self.artefacts.write(run_id, 0, arrays) if arrays else None
        try:
            with self.database.write() as session:
                session.execute(
                    insert(RunRow).values(
                        id=run_id,
                        kind="plan",
                        state="done",
                        scenario_name=record.scenario.name,
                        created=now(),
                        started=now() - seconds,
                        ended=now(),
                    )
                )
                store_plan(session, run_id, record, artefact)
                audit.note(session, "stored", run_id=run_id, text=f"plan of {record.scenario.name}")
        except BaseException:
            self.artefacts.remove(run_id)
            raise
        return run_id

    def get(self, run_id: str) -> PlanRecord:
        """The whole record of a run. ``run_id``: the id, or a beginning that no other run has."""
        with self.database.read() as session:
            full = full_run_id(session, run_id)
            body = session.execute(select(PlanRow.record).where(PlanRow.run_id == full)).scalar_one_or_none()
            if body is None:
                state = session.get_one(RunRow, full).state
                raise NoPlanError(f"run {full} is {state} and has no plan")
        from planner.record.models import PlanRecord

        return PlanRecord.model_validate(body)

    def arrays(self, run_id: str) -> dict[str, npt.NDArray[Any]]:
        """The replication-level arrays of a run, checked against the SHA-256 of its row."""
        return self.artefacts.read(self.artefact(run_id))

    def artefact(self, run_id: str) -> Artefact:
        """Which file belongs to a run. Raises :class:`ArtefactError` if it wrote none."""
        with self.database.read() as session:
            full = full_run_id(session, run_id)
            row = session.get_one(RunRow, full)
            if row.artefact is None:
                raise ArtefactError(f"run {full} wrote no replication-level arrays")
            return Artefact(row.artefact, str(row.artefact_sha256), int(row.artefact_bytes or 0))

    def copy_artefact(self, known: str, run_id: str, epoch: int) -> Artefact | None:
        """Give a run the file of an identical one, as a file of its own; None: that one wrote none."""
        try:
            content = self.artefacts.content(self.artefact(known))
        except ArtefactError:
            return None
        return self.artefacts.put(run_id, epoch, content)

    def find_identity(self, identity: str) -> str | None:
        """The newest finished run of an identity (:func:`db.identity.run_identity`)."""
        same = select(RunRow.id).where(RunRow.identity == identity, RunRow.state == "done")
        with self.database.read() as session:
            return session.execute(same.order_by(RunRow.created.desc()).limit(1)).scalar_one_or_none()


def scenario_body(database: Database, found: str) -> dict[str, Any]:
    """A stored scenario by its hash, as JSON data."""
    with database.read() as session:
        return session.get_one(ScenarioRow, found).body


def previous_of(session: Session, run_id: str, schedule: str) -> str | None:
    """The newest finished run of the same schedule before this one."""
    run = session.get_one(RunRow, run_id)
    earlier = select(RunRow.id).join(PlanRow).where(RunRow.schedule == schedule, RunRow.state == "done")
    earlier = earlier.where(RunRow.id != run_id, RunRow.created <= run.created)
    return session.execute(earlier.order_by(RunRow.created.desc()).limit(1)).scalar_one_or_none()


def store_changes(session: Session, run_id: str, previous: str, changes: Changes) -> str | None:
    """Keep what changed since the run before; returns the schedule that both belong to."""
    row = {
        "run_id": run_id,
        "previous_run_id": previous,
        "sentence": changes.sentence,
        "body": changes.model_dump(mode="json"),
        "created": now(),
    }
    session.execute(delete(DifferenceRow).where(DifferenceRow.run_id == run_id))
    session.execute(insert(DifferenceRow).values(**row))
    return session.get_one(RunRow, run_id).schedule


def store_plan(session: Session, run_id: str, record: PlanRecord, artefact: Artefact | None) -> None:
    """Write a plan to a run's row and to the tables below it, in the caller's transaction."""
    session.execute(
        update(RunRow)
        .where(RunRow.id == run_id)
        .values(
            scenario_name=record.scenario.name,
            scenario_hash=save_scenario(session, record.scenario),
            seed=record.seed,
            identity=run_identity(record.scenario, record.versions.waferlag),
            code_version=record.versions.waferlag,
            artefact=artefact.path if artefact else None,
            artefact_sha256=artefact.sha256 if artefact else None,
            artefact_bytes=artefact.size if artefact else None,
        )
    )
    session.execute(delete(PlanRow).where(PlanRow.run_id == run_id))
    session.add_all(plan_rows(run_id, record))
    session.flush()


def save_scenario(session: Session, scenario: Scenario) -> str:
    """Keep a scenario once; changed content under the same name is a new version. Returns its hash."""
    from planner.scenario.load import scenario_hash

    found = scenario_hash(scenario)
    known = select(ScenarioRow.hash).where(ScenarioRow.hash == found)
    while session.execute(known).scalar_one_or_none() is None:
        newest = select(func.coalesce(func.max(ScenarioRow.version), 0)).where(ScenarioRow.name == scenario.name)
        # Another process may take this version in the same instant: nothing is inserted, and we try again.
        session.execute(
            insert_or_ignore(session, ScenarioRow).values(
                hash=found,
                name=scenario.name,
                version=session.execute(newest).scalar_one() + 1,
                body=scenario.model_dump(mode="json"),
                created=now(),
            )
        )
    return found


def insert_or_ignore(session: Session, table: type[Any]) -> Any:
    """An INSERT that does nothing where a key is already taken."""
    dialect = session.get_bind().dialect.name
    make = postgresql.insert if dialect == "postgresql" else sqlite.insert
    return make(table).on_conflict_do_nothing()


def full_run_id(session: Session, beginning: str) -> str:
    """The id of the one run that begins so.

    Raises :class:`UnknownNameError` with the nearest known id, or with those that it could mean.
    """
    if session.get(RunRow, beginning) is not None:
        return beginning
    begins = RunRow.id.startswith(beginning, autoescape=True)
    matches = session.execute(select(RunRow.id).where(begins).order_by(RunRow.created.desc()).limit(5))
    ids = list(matches.scalars()) if beginning else []
    if len(ids) == 1:
        return ids[0]
    recent = select(RunRow.id).order_by(RunRow.created.desc()).limit(200)
    raise UnknownNameError("run", beginning, ids or session.execute(recent).scalars())


def store_profile(session: Session, body: dict[str, Any]) -> str:
    """Keep a serving profile's JSON form in the caller's transaction; the same content is kept once. Returns its id."""
    profile_id = content_hash(body)[:12]
    shown = {name: str(body.get(name, "")) for name in ("model", "gpu", "engine", "precision", "label")}
    row = {"id": profile_id, "body": body, "created": now(), **shown}
    session.execute(insert_or_ignore(session, ProfileRow).values(**row))
    audit.note(session, "profile stored", text=profile_id)
    return profile_id


def profile_body(database: Database, profile_id: str) -> dict[str, Any]:
    """A serving profile's JSON form by its id."""
    with database.read() as session:
        row = session.get(ProfileRow, profile_id)
        if row is None:
            raise UnknownNameError("serving profile", profile_id, session.execute(select(ProfileRow.id)).scalars())
        return row.body


APPROVED, WITHDRAWN = "approved", "approval withdrawn"


def approve(database: Database, run_id: str, withdraw: bool = False) -> None:
    """Note that a plan is the one to act on, or no more; the audit trail holds by whom and when."""
    with database.write() as session:
        audit.note(session, WITHDRAWN if withdraw else APPROVED, run_id=full_run_id(session, run_id))
