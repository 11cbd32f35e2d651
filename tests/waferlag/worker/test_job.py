"""The process of a run by itself: what it leaves, what it says, how it ends."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from waferlag.worker.job import NO_ROOM

resource = pytest.importorskip("resource", reason="no limit on the size of files can be set here")
ROOT = Path(__file__).parents[3]


def _job(folder: Path, scenario: Path, largest_file: int | None = None) -> tuple[int, str]:
    """Compute a plan as a worker would ask for it, in a folder whose files may not grow beyond a size."""
    from planner.scenario.load import load

    body = load(str(scenario)).scenario.model_dump(mode="json")
    job = {
        "run_id": "a",
        "epoch": 1,
        "kind": "plan",
        "args": {"again": True, "overrides": []},
        "due": None,
        "scenario": body,
        "runs_folder": str(folder),
    }
    attempt = folder / "a" / "1"
    attempt.mkdir(parents=True)
    (attempt / "job.json").write_text(json.dumps(job))

    def limit() -> None:
        if largest_file is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))

    # Its stdin must stay open: when it ends, the worker is dead, and the process ends itself.
    process = subprocess.Popen(
        [sys.executable, "-m", "waferlag.worker.job", str(attempt)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        preexec_fn=limit,
    )
    assert process.stderr is not None
    said = process.stderr.read()
    return process.wait(120), said


@pytest.mark.slow
def test_a_plan_is_left_whole_with_its_arrays(tmp_path, tiny):
    code, said = _job(tmp_path, tiny())
    assert code == 0, said
    result = json.loads((tmp_path / "a/1/result.json").read_text())
    assert result["record"]["scenario"]["name"] == "tiny"
    assert (tmp_path / result["artefact"]["path"]).stat().st_size == result["artefact"]["size"]


@pytest.mark.parametrize("largest_file", [2_000, 20_000])
@pytest.mark.slow
def test_where_there_is_no_room_it_says_so_and_leaves_nothing_half_written(tmp_path, tiny, largest_file):
    """2,000 bytes hold no Parquet file of the arrays; 20,000 hold it, and no record."""
    code, said = _job(tmp_path, tiny(), largest_file)
    assert code == NO_ROOM, said
    assert "no room left on the disk" in said
    left = {path.name for path in (tmp_path / "a/1").iterdir()}
    assert left <= {"job.json", "replications.parquet"}
