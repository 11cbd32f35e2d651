"""Replayed goodputs kept in a folder, one small file for each question, shared by all processes of a user."""

import json
import os
import tempfile
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from executor.estimate.replayed_goodput import Answer


@dataclass(frozen=True)
class GoodputFolder:
    """Answers by key. What cannot be read is asked again, and a folder that cannot be written to is no fault:
    nothing is lost but time.
    """

    folder: Path

    def get(self, key: str) -> Answer | None:
        """The answer to the question of that key, if it was kept whole."""
        try:
            found = json.loads(self._path(key).read_text(encoding="utf-8"))
            figures = (float(found[name]) for name in ("concurrency", "ttft_ms", "tpot_ms"))
            return Answer(float(found["requests_per_s"]), str(found["bound"]), *figures)
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def put(self, key: str, answer: Answer) -> None:
        """Keep an answer; readers see it whole or not at all."""
        with suppress(OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=self.folder, suffix=".part")
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                json.dump(asdict(answer), file)
            os.replace(name, self._path(key))

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.json"
