"""A process beside the server that computes what a page asks for, so that no page thread simulates.

The server starts it with the first question and keeps it: a question costs no start-up then. Questions and
answers are pickled over its standard input and output; both ends are this program. It ends with the server.
"""

import pickle
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from typing import Any, BinaryIO

from planner.errors import WaferlagError

_SIZE_BYTES = 8


class BackgroundError(WaferlagError):
    """The process beside the server failed or was killed; the next question starts a new one."""


class Background:
    """Asks the process one question at a time, from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def ask(self, question: str, *arguments: Any) -> Any:
        """The answer of the job named ``question``.

        Raises BackgroundError with the message of whatever the job raised.
        """
        with self._lock:
            process = self._running()
            try:
                _send(process.stdin, (question, arguments))
                kind, answer = _receive(process.stdout)
            except (EOFError, OSError) as error:
                process.kill()
                self._process = None
                raise BackgroundError("the computing process was stopped; try again") from error
        if kind == "error":
            raise BackgroundError(answer)
        return answer

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            command = [sys.executable, "-c", "from dashboard.background import main; main()"]
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        return self._process


def serve(questions: BinaryIO, answers: BinaryIO) -> None:
    """Answer until the other end closes."""
    while True:
        try:
            question, arguments = _receive(questions)
        except EOFError:
            return
        _send(answers, _answer(question, arguments))


def _answer(question: str, arguments: tuple[Any, ...]) -> tuple[str, Any]:
    from executor.errors import ExecutorError

    try:
        return "result", _jobs()[question](*arguments)
    except (WaferlagError, ExecutorError) as error:
        return "error", str(error)
    except Exception as error:
        traceback.print_exc(file=sys.stderr)
        return "error", f"this is our mistake: {type(error).__name__}: {error}"


def _jobs() -> dict[str, Callable[..., Any]]:
    from dashboard import trace, whatif

    return {
        "pipeline": trace.pipeline,
        "story": trace.story,
        "quick answer": whatif.quick_answer,
        "tornado": whatif.tornado,
        "without order": whatif.without_order,
    }


def _send(pipe: BinaryIO | Any, thing: Any) -> None:
    raw = pickle.dumps(thing)
    pipe.write(len(raw).to_bytes(_SIZE_BYTES, "big") + raw)
    pipe.flush()


def _receive(pipe: BinaryIO | Any) -> Any:
    size = pipe.read(_SIZE_BYTES)
    if len(size) < _SIZE_BYTES:
        raise EOFError
    raw = pipe.read(int.from_bytes(size, "big"))
    return pickle.loads(raw)


def main() -> None:
    """Serve on standard input and output; what a job prints goes to the log, not into the answers."""
    answers = sys.stdout.buffer
    sys.stdout = sys.stderr
    serve(sys.stdin.buffer, answers)
