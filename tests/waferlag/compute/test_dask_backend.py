"""Replications on a Dask cluster: the same bits as here, also when a worker is killed half-way."""

import socket
import subprocess
import sys
import threading
import time
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from executor.errors import UnknownNameError
from planner.parallel.backends import Processes
from planner.sampling import Key
from planner.scenario.load import load
from planner.supply.network.from_scenario import candidate_orders, supply_spec
from planner.supply.simulate import simulate
from waferlag.compute.dask_backend import ClusterError, Dask, spread

pytest.importorskip("distributed")
ROOT = Path(__file__).parents[3]


def _square(number: int) -> int:
    return number * number


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Cluster:
    """A scheduler and workers as processes of their own."""

    def __init__(self) -> None:
        self.address = f"tcp://127.0.0.1:{_free_port()}"
        self.processes: list[subprocess.Popen] = []
        port = self.address.rpartition(":")[2]
        self._start("scheduler", "--host", "127.0.0.1", "--port", port, "--no-dashboard")

    def add_worker(self) -> subprocess.Popen:
        return self._start("worker", self.address, "--nthreads", "1", "--no-nanny", "--no-dashboard")

    def _start(self, *words: str) -> subprocess.Popen:
        process = subprocess.Popen(
            [sys.executable, "-m", "dask", *words], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self.processes.append(process)
        return process

    def close(self) -> None:
        for process in reversed(self.processes):
            process.kill()
            process.wait()


@pytest.fixture
def cluster():
    made = Cluster()
    yield made
    made.close()


def test_processes_keep_the_order_of_the_jobs():
    jobs = [(number,) for number in range(7)]
    assert Processes(1).map(_square, jobs) == Processes(2).map(_square, jobs) == [n * n for n in range(7)]


@pytest.mark.slow
def test_a_cluster_with_a_worker_killed_half_way_gives_the_same_bits_as_the_serial_run(cluster):
    scenario = load("1-quickstart").scenario
    spec, orders = supply_spec(scenario), candidate_orders(scenario)
    numbers = range(1536)  # six parts for two workers: when one is done, others are under way and more wait
    serial = simulate(spec, orders, Key(7), numbers, engine="simpy")

    victim = cluster.add_worker()
    cluster.add_worker()
    found = []
    computing = threading.Thread(
        target=lambda: found.append(
            simulate(spec, orders, Key(7), numbers, engine="simpy", processes=Dask(cluster.address))
        )
    )
    computing.start()
    _wait_until_busy(cluster.address)
    victim.kill()
    computing.join(240)
    (made,) = found
    for field in fields(serial):
        one, other = getattr(serial, field.name), getattr(made, field.name)
        if isinstance(one, np.ndarray):
            assert (one.dtype, one.shape) == (other.dtype, other.shape)
            assert one.tobytes() == other.tobytes(), field.name


@pytest.mark.slow
def test_a_plan_with_a_worker_killed_half_way_has_the_bytes_of_the_serial_one(cluster, tiny, tmp_path):
    """The whole command, its replications, rivals and cuts on the cluster: 4,100 futures are three shards."""
    run = {"training_futures": 4100, "replications": 1024, "processes": 1, "engine": "simpy"}
    scenario = tiny(run=run, horizon_months=4)
    serial = _plan(scenario, tmp_path / "serial.json")
    assert serial.wait(240) in (0, 1)

    victim = cluster.add_worker()
    cluster.add_worker()
    words = ("--backend", "dask", "--scheduler", cluster.address)
    spread_out = _plan(scenario, tmp_path / "dask.json", *words)
    _wait_until_busy(cluster.address)
    victim.kill()
    assert spread_out.wait(240) == serial.returncode
    assert (tmp_path / "dask.json").read_bytes() == (tmp_path / "serial.json").read_bytes()


def _plan(scenario: Path, out: Path, *words: str) -> subprocess.Popen:
    command = ["plan", str(scenario), "--json", str(out), "--no-save", "--quiet", *words]
    return subprocess.Popen([sys.executable, "-m", "waferlag", *command], cwd=ROOT, stdout=subprocess.DEVNULL)


@pytest.mark.slow
def test_parts_kept_on_a_cluster_come_back_as_they_were_when_a_worker_dies(cluster):
    victim = cluster.add_worker()
    cluster.add_worker()
    with Dask(cluster.address).hold([[part] for part in range(4)]) as held:
        _wait_for_workers(cluster.address, 2)
        assert held.map(_told, [(1,)] * 4) == [[part, 1] for part in range(4)]
        victim.kill()
        victim.wait()
        after = held.map(_told, [(2,)] * 4)
    # Those that stayed remember what they were told, those that were lost are as they were brought.
    assert all(told in ([part, 1, 2], [part, 2]) for part, told in enumerate(after))


@pytest.mark.slow
def test_large_parts_travel_without_a_warning_to_the_user(cluster, recwarn):
    cluster.add_worker()
    with Dask(cluster.address).hold([bytes(12_000_000)]) as held:
        assert held.map(_length, [()]) == [12_000_000]
    assert [str(told.message) for told in recwarn if "large graph" in str(told.message)] == []


def _length(part: bytes) -> int:
    return len(part)


def _told(part: list[int], word: int) -> list[int]:
    part.append(word)
    return list(part)


def _wait_for_workers(address: str, count: int) -> None:
    from distributed import Client

    with Client(address, timeout=60, set_as_default=False) as client:
        client.wait_for_workers(count, timeout=120)


def _wait_until_busy(address: str) -> None:
    """Until both workers are there and at least one part is done, so that the kill falls half-way."""
    from distributed import Client

    with Client(address, timeout=60, set_as_default=False) as client:
        client.wait_for_workers(2, timeout=120)
        end = time.monotonic() + 120
        while time.monotonic() < end:
            told = client.run_on_scheduler(lambda dask_scheduler: [t.state for t in dask_scheduler.tasks.values()])
            if "memory" in told and "processing" in told:
                return
            time.sleep(0.02)
    raise AssertionError("the cluster never was half-way")


def test_a_scheduler_that_does_not_answer_is_said_so(make_scenario, monkeypatch):
    monkeypatch.setattr("waferlag.compute.dask_backend.CONNECT_SECONDS", 1)
    with pytest.raises(ClusterError, match="no Dask scheduler answers"):
        Dask(f"tcp://127.0.0.1:{_free_port()}").map(_square, [(1,)])


def test_what_was_asked_for_wrongly_is_said_with_the_mend(make_scenario):
    with pytest.raises(ClusterError, match="--scheduler tcp://HOST:8786"):
        spread(make_scenario(), "dask")
    with pytest.raises(UnknownNameError, match="did you mean dask"):
        spread(make_scenario(), "dusk")
    assert spread(make_scenario(run={"processes": 3})) == 3
    assert spread(make_scenario(), "dask", "tcp://a:1") == Dask("tcp://a:1")
