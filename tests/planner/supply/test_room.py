"""Memory that copies of a process share."""

import datetime as dt
import gc
import threading

import numpy as np
import pytest

from benchmarks.supply import same
from planner.parallel.backends import Processes
from planner.parallel.shared_memory import room, written
from planner.sampling import Exponential, Key, Triangular
from planner.supply.network.gate import Point
from planner.supply.network.route import Route, Stage
from planner.supply.network.spec import Allotment, Orders, Source, SupplySpec
from planner.supply.simulate import simulate


def fill(number, first, rows):
    return written(number, first, {"whole": np.full((rows, 3), first), "part": np.full(rows, 0.5 + first)})


def test_copies_of_this_process_write_what_it_reads():
    wanted = {"whole": ((6, 3), np.int64), "flag": ((6,), np.int8), "part": ((6,), np.float64)}
    with room(wanted) as (number, arrays):
        told = Processes(2).map(fill, [(number, 0, 2), (number, 2, 4)])
    if threading.active_count() > 1:  # then processes are no copies, and send what they made
        assert told == [False, False]
        pytest.skip("this process has several threads: it is not copied")
    assert told == [True, True]
    assert arrays["whole"].tolist() == [[0] * 3] * 2 + [[2] * 3] * 4
    assert arrays["part"].tolist() == [0.5, 0.5, 2.5, 2.5, 2.5, 2.5]
    assert arrays["flag"].tolist() == [0] * 6


def test_arrays_outlive_their_room_and_a_room_that_is_gone_takes_nothing():
    with room({"whole": ((1000, 3), np.int64), "part": ((1000,), np.float64)}) as (number, arrays):
        assert fill(number, 0, 1000)
    assert not fill(number, 0, 1000)
    gc.collect()
    arrays["whole"][999] += 1  # they can be written to as any array
    assert arrays["whole"].sum() == 3


def test_an_array_without_elements_has_its_place():
    with room({"none": ((0, 5), np.int64), "one": ((1,), np.float64)}) as (_, arrays):
        assert arrays["none"].shape == (0, 5)
        arrays["one"][0] = 2.0
    assert arrays["one"][0] == 2.0


@pytest.fixture(scope="module")
def world():
    """Several chunks of replications with a yield and an allotment, so that every array of the result is there."""
    stages = (
        Stage("fab", Exponential(30.0), yields=Triangular(0.2, 0.5, 0.9)),
        Point.RELEASE,
        Stage("board", Exponential(10.0), "quota"),
    )
    source = Source("s", "H20-96GB", Route(stages), prepayment=0.3)
    spec = SupplySpec(dt.date(2025, 1, 1), 400 * 1440, (source,), (), (Allotment("quota", 24, 30.0),))
    return spec, Orders.of((0, 0, k, 0, 8, k * 1440) for k in range(20))


@pytest.mark.parametrize("engine", ["simpy", "fast"])
@pytest.mark.slow
def test_two_copies_and_two_new_processes_give_the_bits_of_one(world, engine):
    spec, orders = world
    numbers = range(600)
    alone = simulate(spec, orders, Key(1), numbers, engine=engine)
    assert same(alone, simulate(spec, orders, Key(1), numbers, engine=engine, processes=2))
    done = threading.Event()
    waiting = threading.Thread(target=done.wait)
    waiting.start()  # with a second thread processes are new ones, which see no room of this one
    try:
        assert same(alone, simulate(spec, orders, Key(1), numbers, engine=engine, processes=2))
    finally:
        done.set()
        waiting.join()
