"""A due instant becomes one run, whoever looks first; what was missed is told. On both databases."""

import threading
import time
from contextlib import contextmanager

import pytest
from sqlalchemy import text

from db import queries
from db.queue import RunQueue
from db.schedules import Schedule, ScheduleError, ScheduleRepository, Slots
from executor.errors import UnknownNameError

MINUTE = 60.0


def every_minute(cron: str, zone: str, first: float, now: float) -> Slots:
    """A calendar without cron: the whole minutes."""
    due = tuple(float(slot) for slot in range(int(first), int(now) + 1) if slot % 60 == 0)
    return Slots(due, max(0, len(due) - 1), (now // 60 + 1) * 60)


@pytest.fixture
def schedules(database) -> ScheduleRepository:
    return ScheduleRepository(database)


def _add(schedules: ScheduleRepository, name: str = "weekly", **more) -> None:
    schedules.add(Schedule(name, "* * * * *", "UTC", {"scenario": "s"}, **more), every_minute)


def _due_since(database, minutes: int) -> float:
    """Move every schedule's next instant so many whole minutes back."""
    first = (time.time() // 60 - minutes) * 60
    with database.write() as session:
        session.execute(text("UPDATE schedule SET next_at = :at"), {"at": first})
    return first


def test_nothing_runs_before_its_instant(schedules):
    _add(schedules)
    assert schedules.fire_due(every_minute) == []


def test_a_due_instant_is_one_run_and_the_next_one_is_known(database, schedules):
    _add(schedules)
    first = _due_since(database, 0)
    (run_id,) = schedules.fire_due(every_minute)
    assert run_id == time.strftime("weekly@%Y%m%dT%H%M%SZ", time.gmtime(first))
    assert schedules.fire_due(every_minute) == []
    run = queries.run(database, run_id)
    assert (run.schedule, run.due.timestamp(), run.scenario) == ("weekly", first, "s")
    (row,) = queries.schedules(database)
    assert row.next_at.timestamp() > time.time() - 1
    assert row.last_note == "in time"


def test_eight_schedulers_on_one_database_fire_each_instant_once(database, schedules):
    _add(schedules)
    _due_since(database, 0)
    start, fired = threading.Barrier(8), []

    def fire():
        start.wait()
        fired.extend(ScheduleRepository(database).fire_due(every_minute))

    threads = [threading.Thread(target=fire) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(fired) == 1
    assert len(queries.runs(database)) == 1


def test_a_machine_asleep_over_five_instants_makes_up_for_them_with_one_run(database, schedules):
    _add(schedules)
    first = _due_since(database, 4)
    (run_id,) = schedules.fire_due(every_minute)
    assert queries.run(database, run_id).due.timestamp() == first + 4 * MINUTE
    assert queries.schedules(database)[0].last_note == "4 missed before it"


def test_or_with_a_run_for_each_if_asked(database, schedules):
    _add(schedules, misfire="all", overlap="queue")
    _due_since(database, 4)
    assert len(schedules.fire_due(every_minute)) == 5
    queue = RunQueue(database)
    assert queue.claim("w", 30).run_id == min(run.id for run in queries.runs(database))
    assert queue.claim("w", 30) is None, "they run one after the other"


def test_an_instant_missed_by_more_than_the_late_limit_is_dropped_and_told(database, schedules):
    _add(schedules, grace_seconds=30)
    with database.write() as session:
        at = (time.time() // 60 - 2) * 60
        session.execute(text("UPDATE schedule SET next_at = :at"), {"at": at})
    only_that_one = lambda cron, zone, first, now: Slots((at,), 0, now + 60)  # noqa: E731
    assert schedules.fire_due(only_that_one) == []
    assert queries.schedules(database)[0].last_note == "1 late by more than 30 s, dropped"
    assert queries.audit_trail(database, schedule="weekly")[0].event == "schedule did not fire"


def test_skip_leaves_an_instant_out_while_a_run_is_under_way(database, schedules):
    _add(schedules)
    _due_since(database, 1)
    (first,) = schedules.fire_due(every_minute)
    claim = RunQueue(database).claim("w", 30)
    with database.write() as session:
        session.execute(text("UPDATE run SET id = 'earlier'"))
    _due_since(database, 0)
    assert schedules.fire_due(every_minute) == []
    assert "skipped" in queries.schedules(database)[0].last_note
    assert first == claim.run_id


def _fire_again(database, schedules) -> list[str]:
    """The next instant, a second after the one before: a calendar whose instants never repeat."""
    with database.write() as session:
        session.execute(text("UPDATE schedule SET next_at = 1"))
    _fire_again.count += 1
    slot = 1_000_000.0 + _fire_again.count
    return schedules.fire_due(lambda cron, zone, first, now: Slots((slot,), 0, now + 60))


_fire_again.count = 0


def test_queue_lets_one_run_and_one_wait(database, schedules):
    _add(schedules, overlap="queue")
    queue = RunQueue(database)
    (first,) = _fire_again(database, schedules)
    assert queue.claim("w", 30).run_id == first
    (second,) = _fire_again(database, schedules)
    assert queue.claim("w", 30) is None
    assert _fire_again(database, schedules) == []
    assert {run.id: run.state for run in queries.runs(database)} == {first: "running", second: "queued"}


def test_cancel_gives_way_to_the_newer_run(database, schedules):
    _add(schedules, overlap="cancel")
    queue = RunQueue(database)
    (first,) = _fire_again(database, schedules)
    claim = queue.claim("w", 30)
    (second,) = _fire_again(database, schedules)
    assert queue.beat(claim, 30) == "cancel"
    assert queue.claim("w", 30) is None, "the older one has not ended yet"
    queue.finish(claim, "cancelled")
    assert queue.claim("w", 30).run_id == second
    assert queries.run(database, first).state == "cancelled"


def test_a_paused_schedule_does_not_run_and_makes_up_for_nothing_when_resumed(database, schedules):
    _add(schedules)
    schedules.pause("weekly")
    _due_since(database, 3)
    assert schedules.fire_due(every_minute) == []
    assert schedules.resume("weekly", every_minute) > time.time() - 1
    assert schedules.fire_due(every_minute) == []


def test_a_schedule_that_means_nothing_any_more_is_paused_and_stops_no_other(database, schedules):
    _add(schedules, "broken")
    _add(schedules, "sound")
    _due_since(database, 0)

    def calendar(cron, zone, first, now):
        if calendar.asked:
            return every_minute(cron, zone, first, now)
        calendar.asked = True
        raise ScheduleError("no such zone")

    calendar.asked = False
    assert len(schedules.fire_due(calendar)) == 1
    paused = [row for row in queries.schedules(database) if not row.active]
    assert [row.last_note for row in paused] == ["paused: no such zone"]


def test_a_run_by_hand_belongs_to_the_schedule_and_has_no_instant(database, schedules):
    _add(schedules)
    run = queries.run(database, schedules.run_now("weekly"))
    assert (run.schedule, run.due, run.state) == ("weekly", None, "queued")


def test_a_removed_schedule_leaves_its_runs(database, schedules):
    _add(schedules)
    run_id = schedules.run_now("weekly")
    schedules.remove("weekly")
    assert queries.schedules(database) == []
    assert queries.run(database, run_id).schedule == "weekly"


def test_a_name_is_given_once_and_unknown_names_have_a_nearest_one(schedules):
    _add(schedules)
    with pytest.raises(ScheduleError, match="already"):
        _add(schedules)
    for verb in (schedules.pause, schedules.remove, schedules.run_now):
        with pytest.raises(UnknownNameError, match="did you mean weekly"):
            verb("weakly")


def test_schedules_without_end_are_fired_in_transactions_that_lock_nobody_out(database, schedules):
    """Two hundred that slept for three days: what they write is written bit by bit."""
    from waferlag.worker.cron import slots

    for number in range(200):
        schedules.add(Schedule(f"s{number:03}", "* * * * *", "UTC", {"scenario": "s"}), slots)
    _due_since(database, 3 * 1440)
    held, began = [], []
    real = database.write

    @contextmanager
    def timed():
        with real() as session:
            began.append(time.process_time())  # of this process: how busy the machine is does not count
            yield session
        held.append(time.process_time() - began[-1])

    object.__setattr__(database, "write", timed)
    assert len(schedules.fire_due(slots)) == 200
    assert len(held) == 200
    assert max(held) < 1.0
    assert {row.last_note for row in queries.schedules(database)} <= {"4320 missed before it", "4321 missed before it"}


def test_more_instants_than_are_made_up_for_are_told(database, schedules):
    from waferlag.worker.cron import MOST_CAUGHT_UP, slots

    _add(schedules, misfire="all", overlap="queue")
    _due_since(database, 3 * 1440)
    assert len(schedules.fire_due(slots)) == MOST_CAUGHT_UP
    (row,) = queries.schedules(database)
    assert row.last_note.startswith("caught up on 99; 422"), row.last_note
    assert row.last_note.endswith(" older ones left out")


@pytest.mark.parametrize("column", ["last_at", "created"])
def test_a_schedule_that_was_written_while_the_clock_was_ahead_runs_when_it_should(database, schedules, column):
    _add(schedules)
    with database.write() as session:
        ahead = f"UPDATE schedule SET next_at = :at, {column} = :at"
        session.execute(text(ahead), {"at": time.time() + 3600})
    assert schedules.fire_due(every_minute) == []
    (row,) = queries.schedules(database)
    assert row.next_at.timestamp() <= time.time() + 61
    _due_since(database, 0)
    assert len(schedules.fire_due(every_minute)) == 1
