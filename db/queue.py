"""The queue: a lease on each run, taken for a while and renewed by a beat, fenced by its epoch.

::

    queued ──claim──> running ──finish──> done | failed | cancelled
      ^ │                │ │
      │ └──cancel──> cancelled
      └──give back───────┘ └──lease over──> claimed again, by anybody

A worker that dies lets its lease run out, and any other takes the run over: restart and take-over are one
path. Every write of a worker names the epoch of its claim and changes nothing once somebody else has claimed
the run, so that a run has one result however often it was begun. All instants are the database's.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, and_, case, exists, func, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, aliased

from db import audit
from db.columns import now
from db.connection import Database
from db.identity import new_run_id, run_identity
from db.repository import full_run_id, insert_or_ignore, save_scenario
from db.schema import ENDED, PlanRow, RunRow
from executor.errors import UserMistakeError

if TYPE_CHECKING:
    from planner.scenario.models import Scenario

PLAN = "plan"
COMPARE = "compare"
MEASURE = "measure"
KINDS = (PLAN, COMPARE, MEASURE)
"""plan: compute a scenario's plan. compare: say what changed between two runs of a schedule, and why. measure: what
an endpoint or this machine's GPU serves."""

MAX_DEATHS = 3
"""A run whose process was killed so often (out of memory, say) is not tried again."""

MAX_ATTEMPTS = 25
"""Nor is one that was started so often: a lost worker or a full disk is seldom the run's fault, but it may be."""

LONGEST_LEASE = LONGEST_WAIT = 3_600.0
"""Seconds that no lease, and no wait for another attempt, is longer than, where the caller does not know."""

WAITING_ONLY = "q:"
"""A dedup key that begins so is given up when its run starts: one runs, one waits, and a third is refused."""


class RunStateError(UserMistakeError):
    """What was asked is not possible in the run's present state."""


@dataclass(frozen=True)
class Request:
    """A run to be computed."""

    kind: str
    args: dict[str, Any]
    scenario_name: str
    run_id: str | None = None
    """None: a new one."""
    scenario_hash: str | None = None
    identity: str | None = None
    seed: int | None = None
    lane: str | None = None
    dedup: str | None = None
    priority: int = 0
    retry_of: str | None = None
    schedule: str | None = None
    due: float | None = None


@dataclass(frozen=True)
class Claim:
    """The right to compute a run until the lease ends. ``epoch`` fences every write."""

    run_id: str
    epoch: int
    kind: str
    args: dict[str, Any]
    scenario_name: str
    scenario_hash: str | None
    attempt: int
    """How often it was started, this time included."""
    deaths: int
    """How often its process was killed."""
    schedule: str | None
    due: float | None


WhenFailed = Callable[[Session, str, str | None, str], None]
"""(transaction, run, its schedule, error): what else is to be written when a run fails."""


class RunQueue:
    """The queue of one database. Each call is one short transaction."""

    def __init__(self, database: Database, when_failed: WhenFailed | None = None) -> None:
        self.database = database
        self.when_failed = when_failed or (lambda session, run_id, schedule, error: None)

    def put(self, request: Request) -> str | None:
        """Queue a run; returns its id, or None where its id or its dedup key is taken."""
        with self.database.write() as session:
            return put(session, request)

    def put_scenario(
        self,
        scenario: "Scenario",
        overrides: tuple[str, ...],
        version: str,
        again: bool = False,
        what_if_of: str | None = None,
    ) -> tuple[str, bool]:
        """Queue the plan of a scenario; returns the run's id and whether it is new.

        An identical run (scenario, seed, ``version``) that is done, under way or waiting is returned instead,
        unless ``again``. ``what_if_of``: the run of the plan that this one is held against; it waits behind all
        others, and no screen takes it for the plan.
        """
        identity = run_identity(scenario, version)
        while True:
            with self.database.write() as session:
                known = None if again else _identical(session, identity)
                if known is not None:
                    return known, False
                about = {} if what_if_of is None else {"what_if_of": what_if_of}
                request = Request(
                    kind=PLAN,
                    args={"overrides": list(overrides), "again": again, **about},
                    scenario_name=scenario.name,
                    scenario_hash=save_scenario(session, scenario),
                    identity=identity,
                    seed=scenario.seed,
                    dedup=None if again else f"i:{identity}",
                    priority=0 if what_if_of is None else -1,
                )
                run_id = put(session, request)
            if run_id is not None:
                return run_id, True
            # Somebody queued the same in this instant, and their row is visible now: look again.

    def identical(self, scenario: "Scenario", version: str) -> str | None:
        """The newest run of this scenario under this version that is done, under way or waiting."""
        with self.database.read() as session:
            return _identical(session, run_identity(scenario, version))

    def claim(self, owner: str, lease_seconds: float, longest_wait: float = LONGEST_WAIT) -> Claim | None:
        """Take the next run: a waiting one, or one whose lease ran out. None: there is nothing to do.

        ``owner`` tells people who computes it; it decides nothing. A run that is leased for more than
        ``lease_seconds`` from now, or that is to wait for more than ``longest_wait``, was written while the clock was
        ahead: it is taken too.
        """
        while True:
            try:
                with self.database.write() as session:
                    row = session.execute(_claimable(lease_seconds, longest_wait)).scalar_one_or_none()
                    if row is None:
                        return None
                    if not self._ended_instead(session, row):
                        return _claimed(session, row, owner, lease_seconds)
            except IntegrityError:  # somebody else started a run of the same lane in this instant
                return None

    def beat(self, claim: Claim, lease_seconds: float, progress: dict[str, Any] | None = None) -> str:
        """Renew the lease and say how far the run is.

        Returns ``go``, ``cancel`` (stop it, and finish it as cancelled) or ``lost`` (somebody else has it).
        """
        changes: dict[str, Any] = {"lease_until": now() + lease_seconds}
        if progress is not None:
            changes["progress"] = progress
        with self.database.write() as session:
            renewed = update(RunRow).where(_still_mine(claim)).values(**changes).returning(RunRow.cancel)
            cancel = session.execute(renewed).scalar_one_or_none()
        return "lost" if cancel is None else "cancel" if cancel else "go"

    def finish(
        self, claim: Claim, state: str, error: str | None = None, also: Callable[[Session], object] | None = None
    ) -> bool:
        """End a run as done, failed or cancelled; False: it was lost, and nothing was written.

        ``also`` writes the result in the same transaction.
        """
        assert state in ENDED
        with self.database.write() as session:
            ended = _end(session, _still_mine(claim), state, error)
            if ended is None:
                return False
            if also is not None:
                also(session)
            if state == "failed":
                self.when_failed(session, claim.run_id, claim.schedule, error or "")
            audit.note(session, state, run_id=claim.run_id, schedule=claim.schedule, text=_last_line(error))
            return True

    def give_back(
        self, claim: Claim, why: str, delay_seconds: float = 0.0, died: bool = False, counted: bool = False
    ) -> bool:
        """Put a run back into the queue: its worker stops or, ``died``, its process was killed.

        ``counted``: the attempt was one, and :data:`MAX_ATTEMPTS` of them are all that it has. After
        :data:`MAX_DEATHS` deaths the run has failed. Returns False if it was lost.
        """
        if died and claim.deaths + 1 >= MAX_DEATHS:
            return self.finish(claim, "failed", f"{why}, {MAX_DEATHS} times in all")
        with self.database.write() as session:
            returned = session.execute(
                update(RunRow)
                .where(_still_mine(claim))
                .values(
                    state="queued",
                    owner=None,
                    lease_until=None,
                    not_before=now() + delay_seconds,
                    attempts=RunRow.attempts - (0 if died or counted else 1),
                    deaths=RunRow.deaths + (1 if died else 0),
                )
                .returning(RunRow.id)
            ).scalar_one_or_none()
            if returned is not None:
                audit.note(session, "given back", run_id=claim.run_id, schedule=claim.schedule, text=why)
        return returned is not None

    def cancel(self, beginning: str, lease_seconds: float = LONGEST_LEASE) -> tuple[str, str]:
        """Cancel a run; returns its full id and its state now.

        One that nobody holds is cancelled at once: it waits, or its lease is over, or further ahead than
        ``lease_seconds``. One that is held is cancelled by its worker at the next beat: until then its state is
        ``running``. Raises :class:`RunStateError` if it has ended.
        """
        with self.database.write() as session:
            run_id = full_run_id(session, beginning)
            state = cancel(session, run_id, lease_seconds)
            if state is None:
                ended = session.get_one(RunRow, run_id).state
                raise RunStateError(f"run {run_id} is {ended}: only a waiting or running one can be cancelled")
            return run_id, state

    def retry(self, beginning: str) -> str:
        """Queue an ended run once more, as a run of its own that names the old one; returns its id."""
        with self.database.write() as session:
            old = session.get_one(RunRow, full_run_id(session, beginning))
            if old.state not in ENDED:
                raise RunStateError(f"run {old.id} is {old.state}: cancel it first, or wait for its end")
            args = {**(old.args or _args_of(session, old.id)), "again": True}
            kept = ("kind", "scenario_name", "scenario_hash", "identity", "seed", "lane", "schedule", "due")
            run_id = put(session, Request(args=args, retry_of=old.id, **{name: getattr(old, name) for name in kept}))
        assert run_id is not None, "a new id without a dedup key is free"
        return run_id

    def _ended_instead(self, session: Session, row: RunRow) -> bool:
        """An abandoned run that was cancelled, or started too often, ends here."""
        if not row.cancel and row.attempts < MAX_ATTEMPTS:
            return False
        why = "its workers were lost, or had no room for its files"
        error = None if row.cancel else f"it was started {row.attempts} times in vain: {why}"
        state = "cancelled" if row.cancel else "failed"
        _end(session, RunRow.id == row.id, state, error)
        audit.note(session, state, run_id=row.id, schedule=row.schedule, text=error or "its worker was lost")
        if error is not None:
            self.when_failed(session, row.id, row.schedule, error)
        return True

    def is_empty(self) -> bool:
        """Whether nothing waits and nothing runs."""
        with self.database.read() as session:
            busy = select(func.count()).where(RunRow.state.in_(("queued", "running")))
            return session.execute(busy).scalar_one() == 0


def _args_of(session: Session, run_id: str) -> dict[str, Any]:
    """What a run that was never queued, but stored by `waferlag plan`, would have been asked with."""
    record = session.execute(select(PlanRow.record).where(PlanRow.run_id == run_id)).scalar_one()
    return {"overrides": record["overrides"]}


def _identical(session: Session, identity: str) -> str | None:
    """The newest run of an identity that is done, under way or waiting."""
    same = select(RunRow.id).where(RunRow.identity == identity, RunRow.kind == PLAN)
    alive = same.where(RunRow.state.in_(("done", "running", "queued")))
    return session.execute(alive.order_by(RunRow.created.desc()).limit(1)).scalar_one_or_none()


def put(session: Session, request: Request) -> str | None:
    """Queue a run in the caller's transaction; None where its id or its dedup key is taken."""
    run_id = request.run_id or new_run_id()
    row = {"id": run_id, "state": "queued", "created": now(), **{name: getattr(request, name) for name in _COPIED}}
    statement = insert_or_ignore(session, RunRow).values(**row).returning(RunRow.id)
    stored: str | None = session.execute(statement).scalar_one_or_none()
    if stored is not None:
        text = f"retry of {request.retry_of}" if request.retry_of else request.kind
        audit.note(session, "queued", run_id=run_id, schedule=request.schedule, text=text)
    return stored


_COPIED = [name for name in Request.__dataclass_fields__ if name != "run_id"]


def cancel(session: Session, run_id: str, lease_seconds: float = LONGEST_LEASE) -> str | None:
    """Cancel a run in the caller's transaction.

    Returns its state now: ``cancelled``, or ``running`` until its worker hears of it; None: it had ended.
    """
    free = or_(RunRow.state == "queued", _abandoned(lease_seconds))
    if _end(session, and_(RunRow.id == run_id, free), "cancelled", None) is not None:
        audit.note(session, "cancelled", run_id=run_id, text="while nobody held it")
        return "cancelled"
    running = and_(RunRow.id == run_id, RunRow.state == "running")
    asked = session.execute(update(RunRow).where(running).values(cancel=True).returning(RunRow.id))
    if asked.scalar_one_or_none() is None:
        return None
    audit.note(session, "cancel asked", run_id=run_id)
    return "running"


def _abandoned(lease_seconds: float) -> ColumnElement[bool]:
    """Running, and nobody holds it: its lease is over, or so far ahead that the clock must have been."""
    return and_(RunRow.state == "running", ~RunRow.lease_until.between(now(), now() + lease_seconds))


def _claimable(lease_seconds: float, longest_wait: float) -> Any:
    """The most urgent run that may start: waiting with its lane free, or running with its lease over."""
    other = aliased(RunRow)
    lane_busy = exists(select(other.id).where(other.lane == RunRow.lane, other.state == "running"))
    early = RunRow.not_before.between(now(), now() + longest_wait)
    waiting = and_(RunRow.state == "queued", ~early, ~lane_busy)
    return (
        select(RunRow)
        .where(or_(waiting, _abandoned(lease_seconds)))
        .order_by(RunRow.priority.desc(), RunRow.created, RunRow.id)
        .limit(1)
        .with_for_update(skip_locked=True)
    )


def _claimed(session: Session, row: RunRow, owner: str, lease_seconds: float) -> Claim:
    taken_over = row.state == "running"
    free_dedup = RunRow.dedup.startswith(WAITING_ONLY, autoescape=True)
    claimed = (
        update(RunRow)
        .where(RunRow.id == row.id)
        .values(
            state="running",
            owner=owner,
            epoch=RunRow.epoch + 1,
            attempts=RunRow.attempts + 1,
            started=now(),
            progress=None,
            lease_until=now() + lease_seconds,
            dedup=case((free_dedup, None), else_=RunRow.dedup),
        )
        .returning(RunRow.epoch, RunRow.attempts)
    )
    epoch, attempt = session.execute(claimed).one()
    text = f"{owner}, attempt {attempt}" + (", taken over: the lease was over" if taken_over else "")
    audit.note(session, "started", run_id=row.id, schedule=row.schedule, text=text)
    as_asked = {name: getattr(row, name) for name in ("kind", "scenario_name", "scenario_hash", "schedule", "due")}
    return Claim(run_id=row.id, epoch=epoch, args=row.args or {}, attempt=attempt, deaths=row.deaths, **as_asked)


def _still_mine(claim: Claim) -> ColumnElement[bool]:
    return and_(RunRow.id == claim.run_id, RunRow.state == "running", RunRow.epoch == claim.epoch)


def _last_line(error: str | None) -> str:
    """A traceback's message stands in its last line; the run's row has the rest."""
    return error.strip().splitlines()[-1] if error and error.strip() else ""


def _end(session: Session, where: ColumnElement[bool], state: str, error: str | None) -> str | None:
    """End the run that ``where`` finds; None: it finds none."""
    ended = (
        update(RunRow)
        .where(where)
        .values(state=state, error=error, ended=now(), dedup=None, owner=None, lease_until=None, progress=None)
        .returning(RunRow.id)
    )
    return session.execute(ended).scalar_one_or_none()
