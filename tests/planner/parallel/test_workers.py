"""Processes that keep their parts: order, memory, mistakes and sudden deaths."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from planner.parallel.backends import Processes
from planner.parallel.workers import CrewError


class Counter:
    """A part that remembers what it was told."""

    def __init__(self, start: int) -> None:
        self.total = start


def _add(counter: Counter, amount: int) -> int:
    counter.total += amount
    return counter.total


def _whereabouts(counter: Counter) -> int:
    return os.getpid()


def _fail(counter: Counter) -> None:
    raise ValueError(f"part {counter.total} refuses")


def _die(counter: Counter) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize("processes", [1, 2, 3, 9])
@pytest.mark.slow
def test_parts_stay_where_they_are_and_answer_in_their_order(processes):
    with Processes(processes).hold([Counter(10 * part) for part in range(5)]) as held:
        assert held.map(_add, [(part,) for part in range(5)]) == [0, 11, 22, 33, 44]
        assert held.map(_add, [(1,)] * 5) == [1, 12, 23, 34, 45]


def test_the_parts_lie_in_processes_of_their_own_which_end_with_the_context():
    with Processes(2).hold([Counter(part) for part in range(4)]) as held:
        places = held.map(_whereabouts, [()] * 4)
    assert places[0] == places[2] != places[1] == places[3]
    assert os.getpid() not in places
    for place in set(places):
        with pytest.raises(ProcessLookupError):
            os.kill(place, 0)


HELD = """
with Processes(3).hold([parts.Counter(part) for part in range(3)]) as held:
    print(*held.map(parts._whereabouts, [()] * 3), flush=True)
    time.sleep(600)
"""
MAPPED = """
Processes(3).map(parts._told_and_slow, [()] * 3)
"""


@pytest.mark.parametrize("last", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.parametrize("asks", [HELD, MAPPED], ids=["held", "mapped"])
@pytest.mark.slow
def test_the_processes_end_with_the_one_that_asks_however_it_ends(asks, last):
    head = (
        "import sys, time\nfrom planner.parallel.backends import Processes\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\nimport {Path(__file__).stem} as parts\n"
    )
    asker = subprocess.Popen(
        [sys.executable, "-c", head + asks], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3]
    )
    assert asker.stdout is not None
    places: set[int] = set()
    while len(places) < 3:
        places |= {int(word) for word in asker.stdout.readline().split()}
    asker.send_signal(last)
    asker.wait()
    end = time.monotonic() + 20
    while any(_lives(place) for place in places):
        assert time.monotonic() < end, "a process outlived the one that asked"
        time.sleep(0.05)


def _told_and_slow() -> None:
    os.write(1, f"{os.getpid()}\n".encode())
    time.sleep(600)


def _lives(place: int) -> bool:
    """Whether a process works or waits; one that is dead and not yet taken notice of does not."""
    try:
        state = Path(f"/proc/{place}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


@pytest.mark.slow
def test_a_mistake_in_a_process_is_raised_here_and_the_crew_goes_on():
    with Processes(2).hold([Counter(7), Counter(8)]) as held:
        with pytest.raises(ValueError, match="part 7 refuses"):
            held.map(_fail, [(), ()])
        assert held.map(_add, [(1,), (1,)]) == [8, 9]


def test_a_process_that_was_killed_is_said_so_with_the_mend():
    with Processes(2).hold([Counter(1), Counter(2)]) as held, pytest.raises(CrewError, match="memory"):
        held.map(_die, [(), ()])
