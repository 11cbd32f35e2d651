"""One run in a process of its own: ``python -m waferlag.worker.job FOLDER``, started by a worker.

The folder holds ``job.json``; the process leaves ``result.json`` there, whole or not at all. With its worker it speaks
in lines of JSON: on stdout ``{"step": ..., "share": ...}`` and ``{"identity": ...}``, on stdin the answer ``compute``
or ``known``. When stdin ends, the worker is dead, and the process group ends itself: what it might still compute
belongs to another attempt. Exit code 2 is the user's mistake, 75 a full disk, any other ours; stderr has the message.
"""

import contextlib
import json
import os
import queue
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any, TextIO

_answers: "queue.Queue[str]" = queue.Queue()

NO_ROOM = 75
"""Exit code of a run whose files found no room (EX_TEMPFAIL of sysexits.h): it is worth trying again."""

STEP_SECONDS = 0.2
"""Progress is told at most so often; the worker tells the database still more seldom."""


def main(folder: Path) -> int:
    """Do the job of a folder; returns the exit code."""
    threading.Thread(target=_end_with_the_worker, daemon=True).start()
    own_stdout = os.fdopen(os.dup(1), "w", encoding="utf-8")  # for the worker; whatever else prints goes to the log
    os.dup2(2, 1)
    link = Link(own_stdout)
    from db.artefacts import replace_file
    from db.errors import DiskFullError
    from executor.errors import UnknownNameError, UserMistakeError

    try:
        job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
        if job["kind"] not in JOBS:
            raise UnknownNameError("kind of run", job["kind"], JOBS)
        text = json.dumps(JOBS[job["kind"]](job, link), allow_nan=False)
        replace_file(folder / "result.json", lambda path: path.write_text(text, encoding="utf-8"))
    except UserMistakeError as error:
        with contextlib.suppress(OSError):  # the log may lie on the disk that is full
            os.write(2, f"error: {error}\n".encode())
        return NO_ROOM if isinstance(error, DiskFullError) else 2
    return 0


class Link:
    """The line to the worker."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._last = 0.0

    def progress(self, share: float, step: str) -> None:
        """Tell how much is done (0..1), and what is being done."""
        if time.monotonic() - self._last >= STEP_SECONDS or share >= 1:
            self._last = time.monotonic()
            self._say({"share": round(share, 4), "step": step})

    def is_known(self, identity: str) -> bool:
        """Ask whether a run of the same identity is done, so that nothing need be computed."""
        self._say({"identity": identity})
        return _answers.get() == "known"

    def _say(self, line: dict[str, Any]) -> None:
        self._out.write(json.dumps(line) + "\n")
        self._out.flush()


def plan_job(job: dict[str, Any], link: Link) -> dict[str, Any]:
    """Compute a plan; its arrays go to a file beside the result, its record into it."""
    from dataclasses import asdict

    from db.artefacts import ArtefactStore
    from db.identity import run_identity
    from planner.plan import plan
    from waferlag import __version__
    from waferlag.compute.dask_backend import spread
    from waferlag.settings import settings
    from waferlag.worker.scenario_of_run import scenario_of

    scenario, overrides = scenario_of(job)
    settings().allow(scenario)
    if not job["args"].get("again") and link.is_known(run_identity(scenario, __version__)):
        return {"known": run_identity(scenario, __version__)}
    study = plan(scenario, overrides, link.progress, spread(scenario), memory=settings().goodputs())
    store = ArtefactStore(Path(job["runs_folder"]))
    artefact = store.write(job["run_id"], job["epoch"], study.arrays) if study.arrays else None
    return {"record": study.record.model_dump(mode="json"), "artefact": asdict(artefact) if artefact else None}


def compare_job(job: dict[str, Any], link: Link) -> dict[str, Any]:
    """Say what changed between two runs, and which inputs moved the answer."""
    from planner.compare.attribution import causes
    from planner.compare.plans import compare
    from planner.plan import plan
    from planner.record.models import PlanRecord
    from planner.report.change_sentences import with_texts
    from planner.scenario.models import Scenario
    from waferlag.compute.dask_backend import spread
    from waferlag.settings import settings

    before, after = (PlanRecord.model_validate(job[name]) for name in ("previous", "run"))

    def planned(scenario: Scenario) -> PlanRecord:
        return plan(scenario, processes=spread(scenario), memory=settings().goodputs()).record

    why = causes(before, after, planned, link.progress)
    return with_texts(compare(before, after, why)).model_dump(mode="json")


def measure_job(job: dict[str, Any], link: Link) -> dict[str, Any]:
    """Measure an endpoint or the built-in engine; the profile in its JSON form."""
    from waferlag.measurement import measured_profile

    profile: dict[str, Any] = json.loads(measured_profile(job["args"], link.progress).to_json())
    return profile


JOBS = {"plan": plan_job, "compare": compare_job, "measure": measure_job}


def _end_with_the_worker() -> None:
    """Pass answers on; end the group of processes when the worker's end of the pipe is gone."""
    for line in sys.stdin:
        _answers.put(line.strip())
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
