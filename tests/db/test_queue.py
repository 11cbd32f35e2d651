"""A run is computed once, whoever dies: leases, epochs, lanes and keys, on both databases."""

import threading
import time

import pytest
from sqlalchemy import text

from db import queries
from db.queue import MAX_ATTEMPTS, MAX_DEATHS, Request, RunQueue, RunStateError
from db.repository import RunRepository, store_plan
from executor.errors import UnknownNameError

LEASE = 30.0


def _request(run_id: str, **more) -> Request:
    return Request(kind="plan", args={"n": 1}, scenario_name="s", run_id=run_id, **more)


def _let_the_lease_run_out(database, run_id: str) -> None:
    """What time does to a worker that is dead."""
    with database.write() as session:
        session.execute(text("UPDATE run SET lease_until = 1 WHERE id = :id"), {"id": run_id})


@pytest.fixture
def queue(database) -> RunQueue:
    return RunQueue(database)


def test_runs_are_claimed_in_the_order_they_were_queued_the_urgent_ones_first(queue):
    for name in ("a", "b"):
        assert queue.put(_request(name)) == name
    queue.put(_request("urgent", priority=1))
    claims = [queue.claim("w", LEASE) for _ in range(4)]
    assert [claim and claim.run_id for claim in claims] == ["urgent", "a", "b", None]
    assert claims[1].args == {"n": 1}


def test_an_id_is_queued_once(queue):
    assert queue.put(_request("a")) == "a"
    assert queue.put(_request("a")) is None


def test_a_run_that_ends_shows_its_state_and_its_history(database, queue):
    queue.put(_request("a"))
    claim = queue.claim("host-1", LEASE)
    assert queries.run(database, "a").owner == "host-1"
    assert queue.beat(claim, LEASE, {"share": 0.4, "step": "futures"}) == "go"
    assert queries.run(database, "a").progress == {"share": 0.4, "step": "futures"}
    assert queue.finish(claim, "failed", "Traceback\n  somewhere\nValueError: no") is True
    run = queries.run(database, "a")
    assert (run.state, run.owner, run.progress) == ("failed", None, None)
    assert [line.event for line in reversed(queries.audit_trail(database, "a"))] == ["queued", "started", "failed"]
    assert queries.audit_trail(database, "a")[0].note == "ValueError: no"


def test_a_dead_workers_run_is_taken_over_and_the_dead_one_can_write_nothing(database, queue, make_record):
    queue.put(_request("a"))
    dead = queue.claim("dead", LEASE)
    assert queue.claim("other", LEASE) is None
    _let_the_lease_run_out(database, "a")
    heir = queue.claim("heir", LEASE)
    assert (heir.run_id, heir.epoch, heir.attempt) == ("a", dead.epoch + 1, 2)

    written = []
    assert queue.beat(dead, LEASE) == "lost"
    assert queue.finish(dead, "done", also=lambda session: written.append("dead")) is False
    assert queue.give_back(dead, "stopped") is False
    assert written == []

    record = make_record()
    assert queue.finish(heir, "done", also=lambda session: store_plan(session, "a", record, None)) is True
    assert RunRepository(database).get("a") == record
    assert queue.finish(heir, "done") is False


def test_a_beat_keeps_the_run(database, queue):
    queue.put(_request("a"))
    claim = queue.claim("w", LEASE)
    _let_the_lease_run_out(database, "a")
    assert queue.beat(claim, LEASE) == "go"
    assert queue.claim("other", LEASE) is None


def test_a_result_that_cannot_be_stored_leaves_the_run_running(database, queue):
    """The run is then repeated after its lease: nothing is reported done that is not kept."""
    queue.put(_request("a"))
    claim = queue.claim("w", LEASE)

    def broken(session):
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        queue.finish(claim, "done", also=broken)
    assert queries.run(database, "a").state == "running"
    assert queue.finish(claim, "done") is True


def test_one_run_of_a_lane_runs_at_a_time(queue):
    for name in ("a", "b"):
        queue.put(_request(name, lane="weekly"))
    queue.put(_request("c"))
    first = queue.claim("w", LEASE)
    assert first.run_id == "a"
    assert queue.claim("w", LEASE).run_id == "c"
    assert queue.claim("w", LEASE) is None
    queue.finish(first, "done")
    assert queue.claim("w", LEASE).run_id == "b"


def test_a_key_is_held_to_the_end_of_its_run(queue):
    assert queue.put(_request("a", dedup="s:weekly")) == "a"
    assert queue.put(_request("b", dedup="s:weekly")) is None
    claim = queue.claim("w", LEASE)
    assert queue.put(_request("b", dedup="s:weekly")) is None
    queue.finish(claim, "done")
    assert queue.put(_request("b", dedup="s:weekly")) == "b"


def test_a_key_for_waiting_is_given_up_at_the_start(queue):
    assert queue.put(_request("a", dedup="q:weekly", lane="l")) == "a"
    queue.claim("w", LEASE)
    assert queue.put(_request("b", dedup="q:weekly", lane="l")) == "b"
    assert queue.put(_request("c", dedup="q:weekly", lane="l")) is None


def test_a_waiting_run_is_cancelled_at_once_and_a_running_one_at_its_next_beat(database, queue):
    queue.put(_request("running"))
    claim = queue.claim("w", LEASE)
    queue.put(_request("waiting"))
    assert queue.cancel("waiting") == ("waiting", "cancelled")
    assert queue.claim("w", LEASE) is None
    assert queue.cancel("running") == ("running", "running")
    assert queue.beat(claim, LEASE) == "cancel"
    queue.finish(claim, "cancelled")
    assert queries.run(database, "running").state == "cancelled"
    with pytest.raises(RunStateError, match="is cancelled"):
        queue.cancel("running")
    with pytest.raises(UnknownNameError):
        queue.cancel("nothing")


def test_a_cancelled_run_of_a_dead_worker_is_not_begun_again(database, queue):
    queue.put(_request("a"))
    queue.claim("dead", LEASE)
    queue.cancel("a")
    _let_the_lease_run_out(database, "a")
    assert queue.claim("heir", LEASE) is None
    assert queries.run(database, "a").state == "cancelled"


def test_a_stopping_worker_gives_its_run_back_at_no_cost(database, queue):
    queue.put(_request("a"))
    assert queue.give_back(queue.claim("w", LEASE), "stopped") is True
    again = queue.claim("other", LEASE)
    assert (again.attempt, again.deaths) == (1, 0)


def test_a_run_whose_process_keeps_dying_has_failed(database, queue):
    failed = []
    queue.when_failed = lambda session, run_id, schedule, error: failed.append((run_id, error))
    queue.put(_request("a"))
    for death in range(MAX_DEATHS):
        claim = queue.claim("w", LEASE)
        assert claim.deaths == death
        queue.give_back(claim, "killed by SIGKILL", died=True)
    run = queries.run(database, "a")
    assert (run.state, run.error) == ("failed", "killed by SIGKILL, 3 times in all")
    assert failed == [("a", run.error)]


def test_a_run_that_waits_for_its_retry_is_left_alone(queue):
    queue.put(_request("a"))
    queue.give_back(queue.claim("w", LEASE), "killed", delay_seconds=60, died=True)
    assert queue.claim("w", LEASE) is None
    assert not queue.is_empty()


def test_a_run_that_loses_every_worker_ends_some_time(database, queue):
    queue.put(_request("a"))
    for _ in range(MAX_ATTEMPTS):
        assert queue.claim("doomed", LEASE) is not None
        _let_the_lease_run_out(database, "a")
    assert queue.claim("w", LEASE) is None
    assert queries.run(database, "a").state == "failed"
    assert queue.is_empty()


def test_a_retry_is_a_run_of_its_own_that_names_the_old_one(database, queue):
    queue.put(_request("a"))
    with pytest.raises(RunStateError, match="queued"):
        queue.retry("a")
    queue.finish(queue.claim("w", LEASE), "failed", "no")
    new = queue.retry("a")
    claim = queue.claim("w", LEASE)
    assert (claim.run_id, claim.args) == (new, {"n": 1, "again": True})
    assert queries.run(database, new).retry_of == "a"
    assert queries.run(database, "a").state == "failed"


def test_a_plan_that_was_never_queued_can_be_computed_again_with_its_overrides(database, queue, make_record):
    stored = RunRepository(database).add(make_record(overrides=["slow-licence"]))
    queue.retry(stored)
    claim = queue.claim("w", LEASE)
    assert claim.args == {"overrides": ["slow-licence"], "again": True}
    assert claim.scenario_hash is not None


def test_an_identical_run_is_found_while_it_waits_and_when_it_is_done(database, queue, make_scenario, make_record):
    scenario = make_scenario()
    run_id, new = queue.put_scenario(scenario, (), "0.1.0")
    assert new
    assert queue.put_scenario(scenario, (), "0.1.0") == (run_id, False)
    claim = queue.claim("w", LEASE)
    record = make_record(scenario)
    queue.finish(claim, "done", also=lambda session: store_plan(session, run_id, record, None))
    assert queue.put_scenario(scenario, (), "0.1.0") == (run_id, False)
    for version, again in (("0.2.0", False), ("0.1.0", True)):
        other, new = queue.put_scenario(scenario, (), version, again=again)
        assert new
        assert other != run_id


def test_a_failed_run_is_not_taken_for_an_identical_one(queue, make_scenario):
    run_id, _ = queue.put_scenario(make_scenario(), (), "0.1.0")
    queue.finish(queue.claim("w", LEASE), "failed", "no")
    assert queue.put_scenario(make_scenario(), (), "0.1.0")[0] != run_id


def test_twelve_claimers_at_once_get_a_run_each(database, queue):
    for number in range(30):
        queue.put(_request(f"r{number:02}"))
    got, start = [], threading.Barrier(12)

    def claim_all():
        start.wait()
        while (claim := queue.claim("w", LEASE)) is not None:
            got.append(claim.run_id)

    threads = [threading.Thread(target=claim_all) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got) == [f"r{number:02}" for number in range(30)]


def test_two_that_queue_the_same_scenario_at_once_get_one_run(database, make_scenario):
    start, got = threading.Barrier(8), []

    def put():
        start.wait()
        got.append(RunQueue(database).put_scenario(make_scenario(), (), "0.1.0"))

    threads = [threading.Thread(target=put) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({run_id for run_id, _ in got}) == 1
    assert sum(new for _, new in got) == 1


def _lease(database, seconds: float) -> None:
    with database.write() as session:
        session.execute(text("UPDATE run SET lease_until = :at"), {"at": time.time() + seconds})


@pytest.mark.parametrize("seconds", [-1.0, 3600.0])
def test_a_lease_that_is_over_or_further_ahead_than_its_length_is_taken_over(database, queue, seconds):
    queue.put(_request("a"))
    lost = queue.claim("dead", 30)
    _lease(database, 20)
    assert queue.claim("w", 30) is None
    _lease(database, seconds)
    assert queue.claim("w", 30).epoch == lost.epoch + 1
    assert queue.beat(lost, 30) == "lost"


@pytest.mark.parametrize("seconds", [-1.0, 3630.0])
def test_a_run_that_nobody_holds_is_cancelled_at_once(database, queue, seconds):
    queue.put(_request("a"))
    queue.claim("dead", 30)
    _lease(database, 20)
    assert queue.cancel("a", 30) == ("a", "running")
    _lease(database, seconds)
    assert queue.cancel("a", 30) == ("a", "cancelled")
    assert queue.is_empty()


def test_a_run_put_off_while_the_clock_was_ahead_waits_no_longer_than_it_was_to(database, queue):
    queue.put(_request("a"))
    queue.give_back(queue.claim("w", 30), "stopped", delay_seconds=20)
    assert queue.claim("w", 30, longest_wait=30) is None
    with database.write() as session:
        session.execute(text("UPDATE run SET not_before = :at"), {"at": time.time() + 3620})
    assert queue.claim("w", 30, longest_wait=30).run_id == "a"
