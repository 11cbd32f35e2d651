"""The process of one run, as its worker holds it."""

import contextlib
import json
import logging
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from db.artefacts import file_error, private_file, replace_file

LOG_TAIL = 2_000
"""Characters of a failed run's log that its error shows."""

log = logging.getLogger("waferlag.worker.loop")


class Child:
    """A started process, what it last said about its progress, and what it left in its folder.

    It has a process group of its own, so that what it starts ends with it; it ends itself when the pipe to
    its stdin closes, as it does when the worker dies.
    """

    def __init__(self, command: Sequence[str], folder: Path, job: dict[str, Any]) -> None:
        self.folder = folder
        self.progress: dict[str, Any] | None = None
        self.question: str | None = None
        text = json.dumps(job, allow_nan=False)
        replace_file(folder / "job.json", lambda path: path.write_text(text, encoding="utf-8"))
        try:
            self.process = self._started(command)
        except OSError as error:
            raise file_error(folder, error) from error
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _started(self, command: Sequence[str]) -> "subprocess.Popen[str]":
        private_file(self.folder / "log.txt")
        with (self.folder / "log.txt").open("wb") as log_file:
            return subprocess.Popen(
                [*command, str(self.folder)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log_file,
                text=True,
                encoding="utf-8",
                start_new_session=True,
            )

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            try:
                said = json.loads(line)
            except ValueError:
                log.warning("the process of a run said %r", line[:200])
                continue
            if "identity" in said:
                self.question = said["identity"]
            else:
                self.progress = said

    def answer(self, is_known: Callable[[str], bool]) -> None:
        """Answer its question whether a run of the same identity is done, if it asked."""
        if self.question is None:
            return
        words = "known\n" if is_known(self.question) else "compute\n"
        self.question = None
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(words)
            self.process.stdin.flush()
        except BrokenPipeError:
            log.warning("the process of a run ended before it was answered")

    def wait(self, seconds: float) -> None:
        """Until it ends, or for so long."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)

    def kill(self) -> None:
        """End it and all that it started; no harm if it has ended."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self._listener.join(1)

    def result(self) -> dict[str, Any]:
        """What it left."""
        body: dict[str, Any] = json.loads((self.folder / "result.json").read_text(encoding="utf-8"))
        return body

    def last_words(self) -> str:
        """The end of its log: its message, if it had one."""
        text = (self.folder / "log.txt").read_text(encoding="utf-8", errors="replace").strip()
        return text[-LOG_TAIL:] or f"exit code {self.process.returncode}, and nothing in its log"
