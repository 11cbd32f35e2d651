"""The server as `waferlag dashboard` starts it: closed by default, asking nobody, and never left over."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dashboard import serve
from executor.errors import UserMistakeError
from tests.dashboard.test_signin_files import CLIENT, COOKIE, WHOLE

pytestmark = pytest.mark.slow

PATIENCE = 240
"""Seconds until a condition that does not come about has failed. Generous: the machine may be busy."""
MARKER = "sesame-of-the-environment"
WATCHER = """
import os, socket
known = socket.getaddrinfo
def noted(host, *rest, **more):
    with open(os.environ["TEST_LOOKED_UP"], "a") as file:
        file.write(f"{host}\\n")
    return known(host, *rest, **more)
socket.getaddrinfo = noted
"""
"""A sitecustomize that notes which hosts the program looks up."""


def until(condition: Callable[[], Any], what: str) -> Any:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if found := condition():
            return found
        time.sleep(0.1)
    return pytest.fail(f"{what}: not within {PATIENCE} s")


class Started:
    """`waferlag dashboard` in a folder of its own, with a home of its own."""

    def __init__(self, folder: Path, *words: str, secrets: str | None = None, at: str = ".") -> None:
        self.folder, home = folder, folder / "home"
        home.mkdir()
        (folder / "sitecustomize.py").write_text(WATCHER)
        if secrets is not None:
            (folder / at / ".streamlit").mkdir()
            (folder / at / ".streamlit" / "secrets.toml").write_text(secrets)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        roots = [str(folder), str(Path(serve.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
        environment = {
            **os.environ,
            "HOME": str(home),
            "PYTHONPATH": os.pathsep.join(roots),
            "TEST_LOOKED_UP": str(folder / "looked-up"),
            "WAFERLAG_DB": f"sqlite:///{folder / 'waferlag.sqlite'}",
            "WAFERLAG_SMTP__PASSWORD": MARKER,
        }
        command = [sys.executable, "-m", "waferlag", "dashboard", "--no-browser", "--port", str(self.port), *words]
        with (folder / "out").open("w") as out, (folder / "log").open("w") as log:
            self.process = subprocess.Popen(command, cwd=folder, env=environment, stdout=out, stderr=log)

    @property
    def out(self) -> str:
        return (self.folder / "out").read_text()

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    def listening(self) -> "Started":
        until(lambda: self.out or self.process.poll() is not None, "the address")
        assert self.process.poll() is None, self.log
        return self

    def answer(self, path: str, **headers: str) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        answer.read()
        connection.close()
        return answer

    def end(self) -> int:
        self.process.terminate()
        return self.process.wait(PATIENCE)


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Iterator[Started]:
    """A dashboard behind sign-in."""
    started = Started(tmp_path_factory.mktemp("site"), "--no-worker", secrets=WHOLE)
    yield started.listening()
    started.end()


@pytest.mark.parametrize("path", ["/", "/orders", "/_stcore/health", "/_stcore/nothing", "/media/nothing"])
def test_every_answer_forbids_frames_and_guesses_of_its_type(site: Started, path: str):
    answer = site.answer(path)
    assert answer.getheader("Content-Security-Policy") == "frame-ancestors 'none'"
    assert answer.getheader("X-Frame-Options") == "DENY"
    assert answer.getheader("X-Content-Type-Options") == "nosniff"
    assert answer.getheader("Referrer-Policy") == "same-origin"


def test_the_address_is_told_when_the_port_listens_and_sign_in_beside_it(site: Started):
    assert site.out == f"Waferlag dashboard: http://localhost:{site.port}  (Ctrl-C stops it)\n"
    assert "Sign-in is on" in site.log


def test_a_visitor_of_an_unknown_origin_is_refused_and_nobody_is_asked_for_our_address(site: Started):
    shake = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    shake |= {"Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==", "Sec-WebSocket-Protocol": "streamlit"}
    assert site.answer("/_stcore/stream", Origin="http://evil.example", **shake).status == 403
    looked_up = site.folder / "looked-up"
    asked = looked_up.read_text().split() if looked_up.exists() else []
    assert [host for host in asked if host not in ("127.0.0.1", "localhost", "None")] == []


def test_no_secret_is_in_the_log(site: Started):
    site.answer("/")
    assert [secret for secret in (COOKIE, CLIENT, MARKER) if secret in site.log + site.out] == []


@pytest.mark.parametrize("place", [".", "home"])
def test_a_broken_set_up_ends_the_command_before_anything_is_served(tmp_path: Path, place: str):
    broken = WHOLE.replace(f'"{COOKIE}"', f'"{COOKIE}')
    started = Started(tmp_path, "--no-worker", secrets=broken, at=place)
    assert started.process.wait(PATIENCE) == 2
    assert started.out == ""
    assert "secrets.toml: is no TOML" in started.log
    assert COOKIE not in started.log
    assert "Traceback" not in started.log


def descendants(pid: int) -> list[int]:
    """Processes below a process, from /proc."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:  # it ended meanwhile
                continue
    found = [child for child, parent in parents.items() if parent == pid]
    return found + [deeper for child in found for deeper in descendants(child)]


def lives(pid: int) -> bool:
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are read from /proc")
def test_kill_9_leaves_no_process_and_no_port_taken(tmp_path: Path):
    started = Started(tmp_path).listening()
    assert "Sign-in is off" in started.log
    children = until(lambda: (found := descendants(started.process.pid))[1:] and found, "server and worker")
    os.kill(started.process.pid, signal.SIGKILL)
    started.process.wait(PATIENCE)
    until(lambda: not any(map(lives, children)), "the end of server and worker")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", started.port))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "planner.example"])
def test_a_network_is_let_in_without_sign_in_only_where_that_is_said(host: str, monkeypatch):
    monkeypatch.setattr(serve, "sign_in_setup", lambda files: None)
    with pytest.raises(UserMistakeError, match="--without-sign-in"):
        serve._tell_sign_in(host, without=False)
    serve._tell_sign_in(host, without=True)
    monkeypatch.setattr(serve, "sign_in_setup", lambda files: {"auth": {}})
    serve._tell_sign_in(host, without=False)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_this_machine_is_let_in_without_sign_in(host: str, monkeypatch, capsys):
    monkeypatch.setattr(serve, "sign_in_setup", lambda files: None)
    serve._tell_sign_in(host, without=False)
    assert "Sign-in is off" in capsys.readouterr().err
