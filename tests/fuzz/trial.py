"""Run the readers on damaged inputs in processes of their own, within limits, and judge what comes out."""

import json
import multiprocessing
import os
import resource
import shutil
import signal
import socket
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from executor.errors import UserMistakeError
from tests.fuzz.kinds import KINDS, Kind, read_quietly
from tests.fuzz.mutations import SECRET

LIMIT_S = 5.0
"""CPU seconds for one input: a loaded machine is no failure. A YAML file of all the nodes that are read takes most of
them; the slowest input of another kind takes a third of a second."""
PATIENCE_S = 60.0
"""A reader that waits so long, on a pipe say, hangs."""
CHUNK = 50


class TookTooLongError(BaseException):
    """No ``except Exception`` of a reader may catch it."""


@dataclass(frozen=True)
class Failure:
    """What is needed to make an input again, and what went wrong with it."""

    kind: str
    seed: int
    number: int
    what: str
    said: str = ""

    def __str__(self) -> str:
        return f"{self.kind}:{self.seed}:{self.number} {self.what}\n{self.said}"


@dataclass
class Tally:
    """Outcomes by kind, and the failures."""

    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)


def judged(kind: Kind, path: Path, random: Random) -> tuple[str, str]:
    """(accepted, refused or what went wrong; the message or the traceback)."""
    signal.setitimer(signal.ITIMER_PROF, LIMIT_S)
    try:
        read_quietly(kind, path, random)
    except UserMistakeError as refusal:
        said = str(refusal)
        return ("secret shown", said[:2000]) if SECRET in said else ("refused", said)
    except TookTooLongError:
        return "hang", _last_lines()
    except MemoryError:
        return "memory", _last_lines()
    except Exception as error:
        return f"escaped {type(error).__name__}", _last_lines()
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    return "accepted", ""


def _last_lines() -> str:
    return "".join(traceback.format_exc().splitlines(keepends=True)[-12:])[:3000]


def lay_out(kind: Kind, seed: int, number: int, name: str, folder: Path) -> tuple[Path, Random]:
    """Write the files of an input into ``folder`` / in, beside what it may not read; the path to read."""
    random = Random(f"{name}:{seed}:{number}")
    inner = folder / "in"
    shutil.rmtree(inner, ignore_errors=True)
    inner.mkdir()
    files = kind.make(random)
    for file, raw in files.items():
        (inner / file).parent.mkdir(exist_ok=True)
        (inner / file).write_bytes(raw)
    (inner / "link.json").symlink_to(folder / "secret.json")
    os.mkfifo(inner / "pipe")
    return inner / next(iter(files)), random


def forbidden(folder: Path) -> None:
    """Files beside the input's folder that no reader may tell of."""
    (folder / "secret.json").write_text(json.dumps({"model_type": SECRET, SECRET: 1}), encoding="utf-8")
    (folder / "secret.csv").write_text(f"TIMESTAMP,{SECRET}\n", encoding="utf-8")


def limited(limit_bytes: int) -> None:
    """Limits of this process: CPU time by alarm, and address space beside what it holds now."""

    def late(*_: Any) -> None:
        raise TookTooLongError

    signal.signal(signal.SIGPROF, late)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + limit_bytes
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    socket.setdefaulttimeout(1)


def _work(name: str, seed: int, numbers: Sequence[int], now: Any, pipe: Any) -> None:
    """A chunk of one kind in a process of its own."""
    limited(KINDS[name].limit_bytes)
    scratch = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    outcomes: Counter[tuple[str, str]] = Counter()
    failures = []
    with tempfile.TemporaryDirectory(dir=scratch, prefix="fuzz-") as folder:
        forbidden(Path(folder))
        for number in numbers:
            now.value = number
            path, random = lay_out(KINDS[name], seed, number, name, Path(folder))
            what, said = judged(KINDS[name], path, random)
            outcomes[name, what.split()[0]] += 1
            if what not in ("accepted", "refused"):
                failures.append(Failure(name, seed, number, what, said.replace(folder, "FOLDER")))
    pipe.send((outcomes, failures))


def trial(jobs: Iterator[tuple[str, int, Sequence[int]]], processes: int, stop_at: float = float("inf")) -> Tally:
    """All chunks, each in a process of its own, so many at a time; a process that dies or hangs is a failure."""
    fork = multiprocessing.get_context("fork")
    tally, running = Tally(), []
    waiting: list[tuple[str, int, Sequence[int]]] = []

    def start(name: str, seed: int, numbers: Sequence[int]) -> None:
        now, (here, there) = fork.Value("q", numbers[0]), fork.Pipe(duplex=False)
        process = fork.Process(target=_work, args=(name, seed, numbers, now, there), daemon=True)
        process.start()
        there.close()
        running.append([process, here, now, (name, seed, numbers), numbers[0], time.monotonic()])

    while True:
        while len(running) < processes and time.monotonic() < stop_at:
            job = waiting.pop() if waiting else next(jobs, None)
            if job is None:
                break
            start(*job)
        if not running:
            return tally
        time.sleep(0.01)
        for each in list(running):
            process, pipe, now, (name, seed, numbers), at, since = each
            if now.value != at:
                each[4:] = [now.value, time.monotonic()]
            if pipe.poll():
                try:
                    outcomes, failures = pipe.recv()
                except EOFError:
                    process.join()
                    what = f"died ({process.exitcode})"
                else:
                    process.join()
                    tally.outcomes += outcomes
                    tally.failures += failures
                    running.remove(each)
                    continue
            elif time.monotonic() - since > PATIENCE_S:
                process.kill()
                process.join()
                what = "hang"
            else:
                continue
            running.remove(each)
            number = now.value
            tally.failures.append(Failure(name, seed, number, what))
            tally.outcomes[name, what.split()[0]] += 1
            # what was judged before the death is judged again: it makes the same inputs
            rests = ([n for n in numbers if n < number], [n for n in numbers if n > number])
            waiting += [(name, seed, rest) for rest in rests if rest]


def warmed_up(names: Sequence[str]) -> list[str]:
    """The kinds that can be read here, their readers imported and tried once, so that every fork has them."""
    found = []
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        forbidden(Path(folder))
        for name in names:
            kind = KINDS[name]
            path, random = lay_out(kind, 0, 0, name, Path(folder))
            try:
                read_quietly(kind, path, random)
            except ImportError as error:
                print(f"{name}: left out, {error}", file=sys.stderr)
                continue
            except Exception:  # judged later, in a process of its own
                pass
            found.append(name)
    return found
