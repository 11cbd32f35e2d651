"""Processes beside the server that compute what a page asks for, so that no page thread simulates.

The server starts one with the first question and keeps it: a question costs no start-up then. A second one
starts where the first is busy, so that nobody waits for another visitor's long question. Questions and answers
are pickled over standard input and output; both ends are this program. They end with the server.
"""

import os
import pickle
import queue
import subprocess
import sys
import threading
import traceback
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from executor.errors import WaferlagError

if TYPE_CHECKING:
    from planner.compare.what_if import QuickAnswer
    from planner.record.models import PlanRecord

GOODPUTS = "WAFERLAG_GOODPUT_FOLDER"
"""Variable that names the folder in which replayed goodputs are found again instead of in seconds of replay."""
PROCESSES = 2
"""Questions computed at the same time; more of them wait."""
KEPT = 200
"""Answers kept, the latest used ones."""


class BackgroundError(WaferlagError):
    """The process beside the server failed or was killed; the next question starts a new one."""


class Background:
    """Asks the processes, from any thread; keeps the answers to questions that were given a name."""

    def __init__(self, processes: int = PROCESSES) -> None:
        # Last in, first out: the process that is warm is asked first.
        self._free: queue.LifoQueue[_Process] = queue.LifoQueue()
        for _ in range(processes):
            self._free.put(_Process())
        self._askers = ThreadPoolExecutor(processes, "background")
        self._kept: OrderedDict[Any, Future[Any]] = OrderedDict()
        self._lock = threading.Lock()

    def ask(self, question: str, *arguments: Any) -> Any:
        """The answer of the job named ``question``.

        Raises BackgroundError with the message of whatever the job raised.
        """
        process = self._free.get()
        try:
            return process.ask(question, arguments)
        finally:
            self._free.put(process)

    def begin(self, name: Any, question: str, *arguments: Any) -> Future[Any]:
        """Ask without waiting. The same ``name`` (hashable) is asked once, unless it failed."""
        with self._lock:
            known = self._kept.get(name)
            if known is None or (known.done() and known.exception() is not None):
                known = self._askers.submit(self.ask, question, *arguments)
            self._kept[name] = known
            self._kept.move_to_end(name)
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
            return known

    def warm_up(self, processes: int = 1) -> None:
        """Start processes before anybody asks, and let them import what the answers need."""
        for number in range(processes):
            self.begin(("warm up", number), "warm up")

    def close(self) -> None:
        """End the processes; for whoever does not end with them."""
        self._askers.shutdown(wait=True)
        while not self._free.empty():
            self._free.get().kill()


class _Process:
    """One process, started when it is first asked; asked one question at a time."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def ask(self, question: str, arguments: tuple[Any, ...]) -> Any:
        process = self._running()
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            _send(process.stdin, (question, arguments))
            kind, answer = pickle.load(process.stdout)
        except (EOFError, OSError, pickle.UnpicklingError) as error:
            self.kill()
            raise BackgroundError("the computing process was stopped; try again") from error
        if kind == "error":
            raise BackgroundError(answer)
        return answer

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._process = None

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            command = [sys.executable, "-c", "from dashboard.compute.background import main; main()"]
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        return self._process


def _answer(question: str, arguments: tuple[Any, ...]) -> tuple[str, Any]:
    try:
        from planner.compare import single_future, what_if

        jobs: dict[str, Callable[..., Any]] = {"quick answer": _quick_answer, "warm up": what_if.warm_up}
        jobs |= {"pipeline": single_future.pipeline, "story": single_future.story}
        return "result", jobs[question](*arguments)
    except WaferlagError as error:
        return "error", str(error)
    except Exception as error:
        traceback.print_exc(file=sys.stderr)
        return "error", f"this is our mistake: {type(error).__name__}: {error}"


def _quick_answer(record: "PlanRecord", *changes: Any) -> "QuickAnswer":
    """The answer to a what-if; goodputs that were replayed before are brought into this process first."""
    from db.goodputs import GoodputFolder
    from planner.compare.what_if import quick_answer

    folder = os.environ.get(GOODPUTS)
    return quick_answer(record, *changes, memory=GoodputFolder(Path(folder)) if folder else None)


def _send(pipe: IO[bytes], thing: Any) -> None:
    pickle.dump(thing, pipe)
    pipe.flush()


def main() -> None:
    """Answer on standard output until standard input closes; what a job prints goes to the log."""
    questions, answers = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr
    while True:
        try:
            question, arguments = pickle.load(questions)
        except EOFError:
            return
        _send(answers, _answer(question, arguments))
