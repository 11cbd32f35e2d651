"""The command line as a whole: exit codes, streams, interruption, and what escapes a verb."""

import os
import signal
import subprocess
import sys
import time

import pytest
import typer

from waferlag import main as front_door

VERBS = list(typer.main.get_command(front_door.app).commands)
CLI = [sys.executable, "-m", "waferlag"]


def shell(line: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """A line of bash in which $W is the command line; its exit code is that of the first part of a pipe."""
    return subprocess.run(
        ["bash", "-c", f"{line}; exit ${{PIPESTATUS[0]}}"],
        env={**os.environ, "W": " ".join(CLI), **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_help_names_every_verb(command):
    code, out, err = command("--help")
    assert (code, err) == (0, "")
    assert [verb for verb in VERBS if f"  {verb} " not in out] == []


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_explains_itself_in_80_columns(command, verb):
    code, out, err = command(verb, "--help")
    assert (code, err) == (0, "")
    assert max(map(len, out.splitlines())) <= 80


def test_version_is_told(command):
    assert command("--version")[1].startswith("waferlag ")


@pytest.mark.parametrize("words", [[], ["plann"], ["plan"], ["plan", "1-quickstart", "--jsn", "x"]])
def test_a_usage_error_is_the_users_mistake(command, words):
    code, _, err = command(*words)
    assert code == 2
    assert "Usage: waferlag" in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    "words", [["--seed", "1.5"], ["--seed", "x"], ["--replications", "many"], ["--replications", "1e3"]]
)
def test_a_value_of_the_wrong_type_names_the_option(command, words):
    code, out, err = command("plan", "1-quickstart", *words)
    assert (code, out) == (2, "")
    assert f"'{words[0]}'" in err


def fail(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Let the command line meet this error."""

    def raises(**_: str) -> None:
        raise error

    monkeypatch.setattr(front_door, "app", raises)


def test_our_own_mistake_is_told_without_a_traceback(command, monkeypatch):
    monkeypatch.delenv("WAFERLAG_DEBUG", raising=False)
    fail(monkeypatch, RuntimeError("a thing broke"))
    code, out, err = command("plan")
    assert (code, out) == (3, "")
    assert "our mistake: RuntimeError: a thing broke" in err
    assert "WAFERLAG_DEBUG=1" in err
    assert "Traceback" not in err


def test_the_traceback_is_there_for_who_asks(command, monkeypatch):
    monkeypatch.setenv("WAFERLAG_DEBUG", "1")
    fail(monkeypatch, RuntimeError("a thing broke"))
    code, _, err = command("plan")
    assert code == 3
    assert "Traceback" in err


def test_a_message_cannot_steer_the_terminal(command, tmp_path):
    code, _, err = command("check", tmp_path / "red\x1b[31m\u202e.yaml")
    assert code == 2
    assert "\x1b" not in err
    assert "\u202e" not in err


def test_ctrl_c_between_steps_is_130(command, monkeypatch):
    fail(monkeypatch, KeyboardInterrupt())
    assert command("plan") == (130, "", "stopped\n")


def test_a_reader_that_leaves_is_no_failure():
    for line in ("$W schema | head -c 1", "$W --help | true"):
        found = shell(line)
        assert (found.returncode, found.stderr) == (0, ""), line


@pytest.mark.slow
def test_a_reader_that_leaves_loses_no_work(tiny, tmp_path):
    """The reader takes one line and goes: the plan's JSON and its run are written, and the exit code is the plan's."""
    environment = {"WAFERLAG_DB": f"sqlite:///{tmp_path / 'plans.db'}"}
    for number, pipe in enumerate(("2>&1 | head -1", "2>&1 | true", ">&- 2>&-", "2> /dev/full")):
        target = tmp_path / f"{number}.json"
        found = shell(f"$W plan {tiny()} --json {target} {pipe}", **environment)
        assert (found.returncode, target.is_file()) == (0, True), (pipe, found.stderr)
    assert shell("$W runs list --limit 9", **environment).stdout.count(" done ") == 4
    missing = shell("$W check nothing-like-it 2>&1 | true")
    assert (missing.returncode, missing.stderr) == (2, "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
@pytest.mark.slow
def test_a_full_disk_under_stdout_is_told_after_the_work_is_kept(tiny, tmp_path):
    found = shell(f"$W plan {tiny()} --quiet --no-save --json {tmp_path / 'p.json'} > /dev/full")
    assert (found.returncode, (tmp_path / "p.json").is_file()) == (2, True)
    assert found.stderr == "error: stdout cannot be written: No space left on device\n"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_a_full_disk_is_told_and_is_not_our_mistake():
    found = shell("$W scenarios > /dev/full")
    assert found.returncode == 2
    assert found.stderr == "error: stdout cannot be written: No space left on device\n"


@pytest.mark.slow
def test_closed_streams_do_no_harm():
    assert shell("$W check 1-quickstart <&-").returncode == 0
    assert shell("$W check 1-quickstart >&-").returncode == 0
    missing = shell("$W check nothing-like-it 2>&-")
    assert (missing.returncode, missing.stdout) == (2, "")


def test_output_that_a_terminal_cannot_show_is_no_failure(tiny):
    path = tiny(name="wide.yaml", title="推理")
    found = shell(f"$W check {path}", PYTHONIOENCODING="ascii")
    assert (found.returncode, found.stderr) == (0, "")


@pytest.mark.slow
def test_ctrl_c_stops_a_plan_with_nothing_half_written(tmp_path):
    target = tmp_path / "plan.json"
    running = subprocess.Popen(
        [*CLI, "plan", "2-h20-july-2025", "--replications", "20000", "--no-save", "--json", str(target)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert running.stderr is not None
    running.stderr.readline()  # the first line of progress: the work has begun
    time.sleep(0.5)
    os.killpg(running.pid, signal.SIGINT)
    out, err = running.communicate(timeout=60)
    assert running.returncode == 130
    assert out == ""
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []
