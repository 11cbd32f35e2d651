"""Workers that are killed, stopped, cut off and raced: every run ends once, and nothing half-written stays."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest
from sqlalchemy import text

from db import queries
from db.artefacts import FILE_NAME
from db.connection import Database
from db.maintenance import check, clear
from db.queue import Request, RunQueue
from db.repository import RunRepository
from db.session import open_database
from waferlag.settings import read_settings
from waferlag.worker.job import NO_ROOM
from waferlag.worker.loop import Worker

LEASE = 2.0
KILLS = int(os.environ.get("WAFERLAG_TEST_KILLS", "10"))
SMALL_RUNS = int(os.environ.get("WAFERLAG_TEST_SMALL_RUNS", "45"))
"""How many random moments and small runs; `make soak` asks for 50 and 500."""
PATIENCE = 300.0 + 4 * KILLS
"""Seconds until a condition that does not come about has failed; a busy machine needs a good part of them."""
pytestmark = pytest.mark.timeout(4 * PATIENCE)
SPEED = {
    "WAFERLAG_LEASE_SECONDS": str(LEASE),
    "WAFERLAG_BEAT_SECONDS": "0.4",
    "WAFERLAG_POLL_SECONDS": "0.1",
    "WAFERLAG_RETRY_SECONDS": "0.2",
    "WAFERLAG_OUTAGE_SECONDS": "30",
}

JOB = """
# Speaks as waferlag/worker/job.py does, and does what the args say instead of planning.
import hashlib, json, os, pathlib, signal, sys, threading, time

folder = pathlib.Path(sys.argv[1])
answers = []

def watch():
    for line in sys.stdin:
        answers.append(line.strip())
    os.killpg(0, signal.SIGKILL)

threading.Thread(target=watch, daemon=True).start()
job = json.loads((folder / "job.json").read_text())
args = job["args"]
say = lambda **line: print(json.dumps(line), flush=True)
if "identity" in args:
    say(identity=args["identity"])
    while not answers:
        time.sleep(0.01)
    (folder / "answer").write_text(answers[0])
    if answers[0] == "known":
        (folder / "result.json").write_text(json.dumps({"known": args["identity"]}))
        sys.exit(0)
for step in range(int(args.get("steps", 3))):
    say(share=step / 3, step="futures")
    time.sleep(args.get("seconds", 0.1))
if args.get("deaths", 0) > len(list(folder.parent.glob("*/died"))):
    (folder / "died").write_text("")
    os.kill(os.getpid(), signal.SIGKILL)
if "result" in args:
    (folder / "result.json").write_text(args["result"])
    sys.exit(0)
if "exit" in args and not (args.get("once") and job["epoch"] > 1):
    print(args.get("says", ""), file=sys.stderr)
    sys.exit(args["exit"])
content = os.urandom(20_000)
file = folder / "replications.parquet"
part = folder / ".part"
with part.open("wb") as out:  # in two halves with a pause, so that a kill can fall between them
    out.write(content[:10_000])
    time.sleep(0.02)
    out.write(content[10_000:])
part.rename(file)
artefact = {
    "path": f"{job['run_id']}/{job['epoch']}/replications.parquet",
    "sha256": hashlib.sha256(content).hexdigest(),
    "size": len(content),
}
part = folder / ".result"
part.write_text(json.dumps({"record": json.loads(pathlib.Path(args["record"]).read_text()), "artefact": artefact}))
part.rename(folder / "result.json")
"""

NURSERY = """
# Forks workers: what takes a worker the most time and tells nothing, its imports, is done once for all of them.
import json, logging, os, signal, sys, time
import psycopg, sqlalchemy.dialects.postgresql.psycopg, sqlalchemy.dialects.sqlite.pysqlite
import db.maintenance, db.repository, db.version
from sqlalchemy import event
from sqlalchemy.engine import Engine
from db.session import open_database
from waferlag.settings import read_settings
from waferlag.worker.loop import Worker, stop_on_signals

def julian_day(moment):
    with open(os.environ["WAFERLAG_TEST_CLOCK"]) as file:
        return (time.time() + float(file.read() or 0)) / 86400 + 2440587.5

def with_own_clock(connection, record):
    # SQLite's clock as the test sets it: so many seconds from the machine's.
    if "WAFERLAG_TEST_CLOCK" in os.environ and hasattr(connection, "create_function"):
        connection.create_function("julianday", 1, julian_day)

event.listen(Engine, "connect", with_own_clock)

def work(url, folder, job, drain):
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    with open_database(url, folder) as database:
        worker = Worker(database, read_settings(), (sys.executable, job))
        stop_on_signals(worker)
        worker.work(drain=drain == "drain")

def born(words, env, log):
    os.environ.update(env)
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)
    os.dup2(0, 1)
    os.dup2(os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT), 2)
    code = 1
    try:
        work(*words)
        code = 0
    finally:
        os._exit(code)

for line in sys.stdin:
    asked = json.loads(line)
    if "pid" in asked:
        pid, status = os.waitpid(asked["pid"], os.WNOHANG)
        print(json.dumps(os.waitstatus_to_exitcode(status) if pid else None), flush=True)
        continue
    pid = os.fork()
    if pid == 0:
        born(**asked)
    print(pid, flush=True)
"""


@pytest.fixture
def record_file(tmp_path: Path, make_record) -> str:
    file = tmp_path / "record.json"
    file.write_text(make_record().model_dump_json())
    return str(file)


@pytest.fixture
def job_file(tmp_path: Path) -> Path:
    file = tmp_path / "job.py"
    file.write_text(textwrap.dedent(JOB))
    return file


@pytest.fixture
def worker(database: Database, job_file: Path, monkeypatch) -> Worker:
    """A worker in this process whose runs take moments."""
    for name, value in SPEED.items():
        monkeypatch.setenv(name, value)
    return Worker(database, read_settings(), (sys.executable, str(job_file)))


@pytest.fixture
def put(database: Database, record_file: str):
    def put(run_id: str, **args) -> str:
        request = Request(kind="plan", args={"record": record_file, **args}, scenario_name="s", run_id=run_id)
        return RunQueue(database).put(request)

    return put


class Nursery:
    """A process that has imported what a worker needs and forks one when it is asked to."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", NURSERY],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[3],
        )

    def ask(self, **what: object) -> int | None:
        """A new worker's id, or the exit code of the one whose id is asked about (None: it runs)."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(what) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(60)


@pytest.fixture(scope="module")
def nursery():
    nursery = Nursery()
    yield nursery
    nursery.close()


class Forked:
    """A worker as a process of its own, asked about as one asks subprocess.Popen."""

    def __init__(self, nursery: Nursery, **what: object) -> None:
        self.nursery, self.returncode = nursery, None
        self.pid = nursery.ask(**what)

    def poll(self) -> int | None:
        if self.returncode is None:
            self.returncode = self.nursery.ask(pid=self.pid)
        return self.returncode

    def wait(self) -> int:
        _wait_until(lambda: self.poll() is not None)
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class Fleet:
    """Workers as processes of their own."""

    def __init__(self, nursery: Nursery, database: Database, url: str, job_file: Path) -> None:
        self.nursery = nursery
        self.words = [url, str(database.runs_folder), str(job_file)]
        self.log = str(job_file.parent / "workers.log")
        self.running: list[Forked] = []

    def start(self, mode: str = "stay", lease: float = LEASE) -> Forked:
        env = {**SPEED, "WAFERLAG_LEASE_SECONDS": str(lease)}
        process = Forked(self.nursery, words=[*self.words, mode], env=env, log=self.log)
        self.running.append(process)
        return process

    def close(self) -> None:
        for process in self.running:
            process.kill()
            process.wait()


@pytest.fixture
def fleet(nursery: Nursery, database: Database, database_url: str, job_file: Path):
    fleet = Fleet(nursery, database, database_url, job_file)
    yield fleet
    fleet.close()


def _ends_once(database: Database, run_ids: list[str]) -> None:
    """Each run is done, ended once, and its file is whole; nothing that was reported is missing."""
    for run_id in run_ids:
        run = queries.run(database, run_id)
        assert run.state == "done", (run_id, run.state, run.error)
        ends = [line for line in queries.audit_trail(database, run_id) if line.event in ("done", "failed")]
        assert len(ends) == 1, run_id
        assert RunRepository(database).get(run_id).answer.sentence.startswith("Order 96")
    assert check(database).problems == []
    assert check(database).files == len(run_ids)


def _wait_until(condition, seconds: float = PATIENCE) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come about in time"
        time.sleep(0.1)


# --- one worker ------------------------------------------------------------------------------------


def test_a_run_is_computed_and_stored_and_the_worker_stops_when_the_queue_is_empty(database, worker, put):
    put("a")
    put("b")
    worker.work(drain=True)
    _ends_once(database, ["a", "b"])
    run = queries.run(database, "a")
    assert run.artefact == f"a/1/{FILE_NAME}"
    assert run.code_version == "0.1.0"


def test_progress_is_seen_from_another_process_while_the_run_goes_on(database, worker, put):
    put("a", steps=40)
    working = threading.Thread(target=worker.work, kwargs={"drain": True})
    working.start()
    _wait_until(lambda: queries.run(database, "a").progress is not None)
    assert queries.run(database, "a").progress["step"] == "futures"
    RunQueue(database).cancel("a")
    working.join(PATIENCE)
    assert queries.run(database, "a").state == "cancelled"


def test_a_cancelled_run_ends_within_a_few_beats_and_leaves_no_process(database, worker, put):
    put("a", seconds=60)
    working = threading.Thread(target=worker.work, kwargs={"drain": True})
    working.start()
    _wait_until(lambda: (database.runs_folder / "a" / "1" / "job.json").exists())
    began = time.monotonic()
    RunQueue(database).cancel("a")
    working.join(PATIENCE)
    assert queries.run(database, "a").state == "cancelled"
    assert time.monotonic() - began < 10  # a beat is 0.4 s; the rest is room for a busy machine
    assert not _processes_of(database.runs_folder / "a")


def _processes_of(folder: Path) -> list[str]:
    """Command lines of processes that work in a run's folder (Linux tells them under /proc)."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = entry.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(folder) in line:
            found.append(line)
    return found


@pytest.mark.parametrize(("code", "says"), [(2, "error: unknown GPU 'H21'"), (3, "Traceback\nValueError: our mistake")])
def test_a_run_that_fails_shows_its_own_message(database, worker, put, code, says):
    put("a", exit=code, says=says)
    worker.work(drain=True)
    run = queries.run(database, "a")
    assert (run.state, run.error, run.attempts) == ("failed", says, 1)


def test_a_run_whose_process_is_killed_is_tried_again(database, worker, put):
    put("a", deaths=2)
    worker.work(drain=True)
    _ends_once(database, ["a"])
    assert queries.run(database, "a").attempts == 3
    events = [line.event for line in queries.audit_trail(database, "a")]
    assert events.count("given back") == 2


@pytest.mark.slow
def test_a_run_whose_process_is_killed_each_time_has_failed(database, worker, put):
    put("a", deaths=99)
    worker.work(drain=True)
    run = queries.run(database, "a")
    assert run.state == "failed"
    assert "SIGKILL, 3 times" in run.error


@pytest.mark.slow
def test_a_run_that_finds_no_room_waits_for_some_and_fails_only_after_many_attempts(database, worker, put, monkeypatch):
    monkeypatch.setattr("db.queue.MAX_ATTEMPTS", 4)
    put("a", exit=NO_ROOM)
    put("b", exit=NO_ROOM, once=True)
    worker.work(drain=True)
    run = queries.run(database, "a")
    assert (run.state, run.attempts) == ("failed", 4)
    assert "no room for its files" in run.error
    assert queries.run(database, "b").state == "done"
    given_back = [line for line in queries.audit_trail(database, "b") if line.event == "given back"]
    assert [line.note for line in given_back] == ["no room left on the disk for its files"]


@pytest.mark.parametrize("result", ["", "{}", '{"record": {"scenario": 1}, "artefact": null}'])
@pytest.mark.slow
def test_a_result_that_cannot_be_read_fails_its_run_and_not_the_worker(database, worker, put, result):
    put("a", result=result)
    put("b")
    worker.work(drain=True)
    assert "its result cannot be read" in queries.run(database, "a").error
    assert queries.run(database, "b").state == "done"


def test_an_unknown_kind_has_failed_and_the_known_ones_are_named(database, monkeypatch):
    for name, value in SPEED.items():
        monkeypatch.setenv(name, value)
    RunQueue(database).put(Request(kind="dream", args={}, scenario_name="s", run_id="a"))
    Worker(database, read_settings()).work(drain=True)
    assert "unknown kind of run 'dream'; known: plan, compare" in queries.run(database, "a").error


def test_an_identical_run_is_not_computed_but_shared(database, worker, put, make_record):
    repository = RunRepository(database)
    known = repository.add(make_record(), {"need": [1.0, 2.0]})
    with database.read() as session:
        identity = session.execute(text("SELECT identity FROM run")).scalar_one()
    put("a", identity=identity)
    put("b", identity="nobody knows this one")
    worker.work(drain=True)
    assert (database.runs_folder / "a" / "1" / "answer").read_text() == "known"
    assert (database.runs_folder / "b" / "1" / "answer").read_text() == "compute"
    assert repository.get("a") == repository.get(known)
    assert repository.arrays("a")["need"].tolist() == [1.0, 2.0]
    assert queries.run(database, "a").artefact != queries.run(database, known).artefact


@pytest.mark.slow
def test_a_stopped_worker_gives_its_run_back_and_the_next_one_finishes_it(database, fleet, put):
    put("a", seconds=0.5)
    process = fleet.start()
    _wait_until(lambda: queries.run(database, "a").state == "running")
    process.send_signal(signal.SIGTERM)
    assert process.wait() == 0
    run = queries.run(database, "a")
    assert (run.state, run.attempts) == ("queued", 0)
    assert fleet.start("drain").wait() == 0
    _ends_once(database, ["a"])


def test_the_process_of_a_run_ends_with_its_worker(database, fleet, put):
    put("a", seconds=60)
    process = fleet.start()
    folder = database.runs_folder / "a"
    _wait_until(lambda: bool(_processes_of(folder)))
    process.kill()
    _wait_until(lambda: not _processes_of(folder))


# --- many workers, killed --------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_workers_killed_at_random_moments_leave_every_run_done_once(database, fleet, put, workers):
    """Workers under load; each kill -9 is followed by a start, as systemd would do. Half of the kills fall at a random
    moment after some run has begun, so that most of them hit one; the other half on a worker that has just begun."""
    chance = random.Random(20251116 + workers)
    run_ids = [put(f"r{number:03}", seconds=0.25) for number in range(8 + KILLS // 2)]
    working = [fleet.start() for _ in range(workers)]
    victim = 0
    for kill in range(KILLS):
        if kill % 2:
            _wait_until(lambda: bool(queries.runs(database, state="running")) or RunQueue(database).is_empty())
            if RunQueue(database).is_empty():
                run_ids += [put(f"r{kill:03}-{more}", seconds=0.25) for more in range(workers)]
            time.sleep(chance.uniform(0.0, 0.8))
            victim = chance.randrange(workers)
        else:
            time.sleep(chance.uniform(0.0, 0.2))
        working[victim].kill()
        working[victim].wait()
        working[victim] = fleet.start()
    _wait_until(RunQueue(database).is_empty)
    _ends_once(database, run_ids)
    assert sum(queries.run(database, run_id).attempts for run_id in run_ids) > len(run_ids)
    _wait_until(lambda: not _processes_of(database.runs_folder))


@pytest.fixture
def clock(database, tmp_path, monkeypatch):
    """Set the clock of the workers' SQLite so many seconds ahead of the machine's."""
    if database.engine.dialect.name != "sqlite":
        pytest.skip("PostgreSQL's clock cannot be set from here")
    file = tmp_path / "clock"
    file.write_text("0")
    monkeypatch.setitem(SPEED, "WAFERLAG_TEST_CLOCK", str(file))

    def set_to(seconds: float) -> None:
        (tmp_path / "clock.new").write_text(str(seconds))
        (tmp_path / "clock.new").rename(file)

    return set_to


@pytest.mark.slow
@pytest.mark.parametrize("hours", [1, -1])
def test_a_clock_that_jumps_by_an_hour_in_mid_run_loses_and_doubles_nothing(database, fleet, put, clock, hours):
    run_ids = [put(f"r{number}", seconds=0.4) for number in range(4)]
    working = [fleet.start() for _ in range(2)]
    _wait_until(lambda: bool(queries.runs(database, state="running")))
    clock(3600 * hours)
    if hours > 0:
        time.sleep(1.0)
        clock(0)
    _wait_until(RunQueue(database).is_empty, 60)
    _ends_once(database, run_ids)
    for process in working:
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 0


@pytest.mark.slow
def test_a_worker_killed_while_the_clock_was_ahead_holds_its_run_no_longer(database, fleet, put, clock):
    put("a", seconds=0.4)
    clock(3600)
    first = fleet.start()
    _wait_until(lambda: queries.run(database, "a").state == "running")
    first.kill()
    first.wait()
    with database.read() as session:
        assert session.execute(text("SELECT lease_until FROM run")).scalar_one() > time.time() + 3000
    clock(0)
    killed = time.monotonic()
    fleet.start()
    _wait_until(lambda: queries.run(database, "a").attempts == 2)
    assert time.monotonic() - killed < LEASE + 10
    _wait_until(RunQueue(database).is_empty)
    _ends_once(database, ["a"])


def _answers_sigterm(pid: int) -> bool:
    """Whether a process has a handler of its own for SIGTERM (Linux tells the mask under /proc)."""
    status = Path(f"/proc/{pid}/status").read_text()
    mask = int(re.search(r"^SigCgt:\s*([0-9a-f]+)", status, re.M)[1], 16)
    return bool(mask >> (signal.SIGTERM - 1) & 1)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="this system has no /proc")
def test_a_worker_stopped_while_it_starts_ends_well_and_holds_no_run(tmp_path, record_file):
    """From its first line on: SIGTERM at random moments of the start, most of them during the imports."""
    chance = random.Random(26)
    url = f"sqlite:///{tmp_path / 'w.db'}"
    with open_database(url) as database:
        # The job ends at once: its file is no scenario. What counts is that it is queued, or was taken and ended.
        args = {"record": record_file, "source": "no-such-scenario"}
        RunQueue(database).put(Request(kind="plan", args=args, scenario_name="s", run_id="a"))
        for _ in range(max(4, KILLS // 4)):
            command = [sys.executable, "-m", "waferlag", "worker", "--db", url]
            process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
            _wait_until(lambda pid=process.pid: _answers_sigterm(pid))
            time.sleep(chance.uniform(0.0, 1.5))
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
            run = queries.run(database, "a")
            assert run.state in ("queued", "failed"), run.state
            assert not _processes_of(database.runs_folder)


@pytest.mark.slow
def test_of_two_workers_one_killed_for_good_at_a_random_moment_the_other_does_all(database, fleet, put):
    """Pair after pair; the survivor is stopped politely before the next pair begins."""
    chance = random.Random(71)
    run_ids: list[str] = []
    for pair in range(max(1, KILLS // 10)):
        ours = [put(f"p{pair}-{number}", seconds=0.25) for number in range(5)]
        first, second = fleet.start(), fleet.start()
        _wait_until(lambda: bool(queries.runs(database, state="running")))
        time.sleep(chance.uniform(0.0, 1.5))
        first.kill()
        _wait_until(RunQueue(database).is_empty)
        run_ids += ours
        _ends_once(database, run_ids)
        second.send_signal(signal.SIGTERM)
        assert second.wait() == 0


@pytest.mark.slow
def test_of_two_workers_one_killed_for_good_the_other_finishes_its_run_within_the_lease(database, fleet, put):
    put("long", seconds=4.0)
    first = fleet.start()
    _wait_until(lambda: queries.run(database, "long").state == "running")
    second = fleet.start()
    put("ready", steps=0)
    _wait_until(lambda: queries.run(database, "ready").state == "done")
    run_ids = ["long", "ready", *(put(f"r{number}") for number in range(6))]
    first.kill()
    killed = time.monotonic()
    _wait_until(lambda: queries.run(database, "long").attempts == 2)
    # At worst: a lease just renewed, then the run in the other one's hand (0.3 s), then its look; the rest is
    # room for a busy machine.
    assert time.monotonic() - killed < LEASE + 10
    _wait_until(RunQueue(database).is_empty)
    _ends_once(database, run_ids)
    second.send_signal(signal.SIGTERM)
    assert second.wait() == 0


@pytest.mark.slow
def test_a_suspended_worker_that_wakes_after_the_take_over_changes_nothing(database, fleet, put):
    put("a", seconds=0.7)
    sleeper = fleet.start()
    _wait_until(lambda: queries.run(database, "a").state == "running")
    sleeper.send_signal(signal.SIGSTOP)
    assert fleet.start("drain").wait() == 0
    done = queries.run(database, "a")
    assert (done.state, done.attempts) == ("done", 2)
    sleeper.send_signal(signal.SIGCONT)
    time.sleep(1.5)
    after = queries.run(database, "a")
    assert (after.artefact, after.ended) == (done.artefact, done.ended)
    _ends_once(database, ["a"])


@pytest.mark.slow
def test_three_workers_drain_many_runs_once_each(database, fleet, put):
    run_ids = [put(f"r{number:03}", steps=0) for number in range(SMALL_RUNS)]
    # Nobody dies here: with a lease that outlasts any pause of a busy machine, each run is begun once.
    for process in [fleet.start("drain", lease=60) for _ in range(3)]:
        assert process.wait() == 0
    _ends_once(database, run_ids)
    assert all(queries.run(database, run_id).attempts == 1 for run_id in run_ids)


# --- the database goes away ------------------------------------------------------------------------


@pytest.mark.slow
def test_a_locked_database_is_waited_for_and_nothing_is_lost(tmp_path, job_file, monkeypatch, record_file):
    import sqlite3

    import db.connection

    monkeypatch.setattr(db.connection, "BUSY_SECONDS", 0.2)
    for name, value in SPEED.items():
        monkeypatch.setenv(name, value)
    with open_database(str(tmp_path / "w.db")) as database:
        RunQueue(database).put(Request(kind="plan", args={"record": record_file}, scenario_name="s", run_id="a"))
        worker = Worker(database, read_settings(), (sys.executable, str(job_file)))
        working = threading.Thread(target=worker.work, kwargs={"drain": True})
        working.start()
        _wait_until(lambda: queries.run(database, "a").state == "running")
        holder = sqlite3.connect(tmp_path / "w.db", isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        time.sleep(1.2)
        holder.execute("ROLLBACK")
        holder.close()
        working.join(PATIENCE)
        assert not working.is_alive()
        _ends_once(database, ["a"])


@pytest.mark.postgres
def test_a_postgresql_that_cuts_every_connection_is_waited_for(
    postgres_url, tmp_path, job_file, monkeypatch, record_file
):
    for name, value in SPEED.items():
        monkeypatch.setenv(name, value)
    with open_database(postgres_url, tmp_path / "runs") as database:
        for run_id in ("a", "b", "c"):
            args = {"record": record_file, "seconds": 0.3}
            RunQueue(database).put(Request(kind="plan", args=args, scenario_name="s", run_id=run_id))
        worker = Worker(database, read_settings(), (sys.executable, str(job_file)))
        working = threading.Thread(target=worker.work, kwargs={"drain": True})
        working.start()
        with open_database(postgres_url, tmp_path / "runs") as other:
            for _ in range(5):
                time.sleep(0.4)
                with other.read() as session:
                    session.execute(
                        text(
                            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                        )
                    )
        working.join(PATIENCE)
        assert not working.is_alive()
        _ends_once(database, ["a", "b", "c"])


def test_a_worker_gives_up_on_a_database_that_stays_away(tmp_path, job_file, monkeypatch, caplog):
    import sqlite3

    import db.connection
    from db.errors import DatabaseUnavailableError

    monkeypatch.setattr(db.connection, "BUSY_SECONDS", 0.1)
    monkeypatch.setenv("WAFERLAG_OUTAGE_SECONDS", "1")
    monkeypatch.setenv("WAFERLAG_POLL_SECONDS", "0.1")
    with open_database(str(tmp_path / "w.db")) as database:
        worker = Worker(database, read_settings(), (sys.executable, str(job_file)))
        holder = sqlite3.connect(tmp_path / "w.db", isolation_level=None)
        holder.execute("BEGIN EXCLUSIVE")
        with pytest.raises(DatabaseUnavailableError, match="locked"):
            worker.work(drain=True)
        holder.close()
    said = [line.getMessage() for line in caplog.records]
    assert sum("notices wait" in line for line in said) <= 1
    assert sum("trying again for 1 s" in line for line in said) == 1


# --- housekeeping ----------------------------------------------------------------------------------


def test_a_worker_fires_what_is_due_and_its_run_belongs_to_the_schedule(database, worker, record_file):
    from db.schedules import Schedule, ScheduleRepository
    from waferlag.worker.cron import slots

    schedule = Schedule("weekly", "* * * * *", "UTC", {"scenario": "s", "record": record_file})
    ScheduleRepository(database).add(schedule, slots)
    with database.write() as session:
        session.execute(text("UPDATE schedule SET next_at = :at"), {"at": (time.time() // 60) * 60 - 120})
    worker.work(drain=True)
    (run,) = queries.runs(database, schedule="weekly")
    assert run.state == "done"
    assert queries.schedules(database)[0].last_note == "2 missed before it"


def test_old_runs_go_with_their_files_and_the_trail_stays(database, worker, put):
    put("old")
    put("new")
    worker.work(drain=True)
    with database.write() as session:
        session.execute(text("UPDATE run SET ended = ended - 864000 WHERE id = 'old'"))
    cleared = clear(database, keep_days=5)
    assert cleared.runs == 1
    old = time.time() - 7200
    for path in [database.runs_folder / "old", *(database.runs_folder / "old").rglob("*")]:
        os.utime(path, (old, old))
    assert clear(database, keep_days=5).folders == 1
    assert [run.id for run in queries.runs(database)] == ["new"]
    assert not (database.runs_folder / "old").exists()
    assert (database.runs_folder / "new").exists()
    assert queries.audit_trail(database, "old")[0].event == "removed"


def test_attempts_that_lost_leave_no_file_behind_after_an_hour(database, worker, put):
    put("a", deaths=1)
    worker.work(drain=True)
    assert sorted(path.name for path in (database.runs_folder / "a").iterdir()) == ["1", "2"]
    clear(database, None)
    assert (database.runs_folder / "a" / "1").exists()
    with database.write() as session:
        session.execute(text("UPDATE run SET ended = ended - 7200"))
    clear(database, None)
    assert sorted(path.name for path in (database.runs_folder / "a").iterdir()) == ["2"]
    _ends_once(database, ["a"])


def test_the_job_file_says_which_attempt_it_is(database, worker, put):
    put("a")
    worker.work(drain=True)
    job = json.loads((database.runs_folder / "a" / "1" / "job.json").read_text())
    assert (job["run_id"], job["epoch"], job["kind"]) == ("a", 1, "plan")
