"""`waferlag report` and `waferlag dashboard`, run as a user runs them."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from db.repository import RunRepository
from planner.record.models import PlanRecord

pytestmark = pytest.mark.slow

WAFERLAG = [sys.executable, "-m", "waferlag"]


def run(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*WAFERLAG, *map(str, arguments)], capture_output=True, text=True, cwd=cwd)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def stored(database, record: PlanRecord) -> str:
    return RunRepository(database).add(record)


def test_a_report_is_written_in_both_formats_and_twice_alike(command, stored: str, tmp_path: Path):
    """The second time by a process of its own, whose hashes have another seed."""
    page, paper = tmp_path / "r.html", tmp_path / "r.pdf"
    code, _, err = command("report", stored, "--html", page, "--pdf", paper)
    assert code == 0, err
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert paper.read_bytes().startswith(b"%PDF")
    first = page.read_bytes(), paper.read_bytes()
    done = run("report", stored, "--html", page, "--pdf", paper)
    assert done.returncode == 0, done.stderr
    assert (page.read_bytes(), paper.read_bytes()) == first


def test_without_a_file_named_the_report_lands_beside_the_user(command, stored: str, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, err = command("report", stored[:17])
    assert code == 0, err
    assert [path.suffix for path in tmp_path.glob("*.html")] == [".html"]


def test_a_plans_json_is_reported_without_a_database(command, record: PlanRecord, tmp_path: Path):
    plan = tmp_path / "plan.json"
    plan.write_text(record.model_dump_json(), encoding="utf-8")
    code, _, err = command("report", plan, "--html", tmp_path / "r.html", "--language", "zh")
    assert code == 0, err
    assert '<html lang="zh">' in (tmp_path / "r.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("20000101-000000-abcdef",), "unknown run"),
        (("missing.json",), "No such file"),
        (("RUN", "--language", "fr"), "unknown language 'fr'"),
        (("RUN", "--html", "/no/such/folder/r.html"), "its folder does not exist"),
    ],
)
def test_a_users_mistake_ends_with_one_message_and_code_2(command, stored: str, arguments: tuple[str, ...], said: str):
    code, _, err = command("report", *[stored if part == "RUN" else part for part in arguments])
    assert code == 2
    assert said in err
    assert "Traceback" not in err


def test_a_json_that_is_no_plan_is_told_with_its_place(command, database, tmp_path: Path):
    (tmp_path / "x.json").write_text('{"answer": 3}', encoding="utf-8")
    code, _, err = command("report", tmp_path / "x.json")
    assert code == 2
    assert "is not a plan's JSON" in err


def test_the_dashboard_listens_on_loopback_and_ends_with_its_children(stored: str):
    port = free_port()
    process = subprocess.Popen([*WAFERLAG, "dashboard", "--no-browser", "--no-worker", "--port", str(port)])
    try:
        wait_for(port)
        with pytest.raises(OSError, match=r".*"):
            socket.create_connection((outer_address(), port), timeout=2).close()
    finally:
        process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 0
    with pytest.raises(OSError, match=r".*"):
        socket.create_connection(("127.0.0.1", port), timeout=2).close()


def wait_for(port: int) -> None:
    for _ in range(300):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=1).close()
            return
        except OSError:
            time.sleep(0.2)
    pytest.fail("the dashboard did not start within a minute")


def outer_address() -> str:
    """This machine's address on its network; skips where it has none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # a documentation address: nothing is sent
        except OSError:
            pytest.skip("this machine has no network, so nothing can be reached from outside")
        address = str(probe.getsockname()[0])
    if address.startswith("127."):
        pytest.skip("this machine has only its loopback")
    return address


def test_a_port_that_is_taken_is_told(command, stored: str):
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        code, _, err = command("dashboard", "--no-browser", "--no-worker", "--port", holder.getsockname()[1])
    assert code == 2
    assert "Address already in use (choose another port)" in err


def test_a_database_that_cannot_be_used_is_told_before_anything_is_shown(command, tmp_path: Path):
    broken = tmp_path / "no.sqlite"
    broken.write_text("this is no database", encoding="utf-8")
    words = ["--no-browser", "--no-worker", "--port", free_port(), "--db", f"sqlite:///{broken}"]
    code, _, err = command("dashboard", *words)
    assert code == 2
    assert "Traceback" not in err
    assert os.path.getsize(broken) == len("this is no database")
