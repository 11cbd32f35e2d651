"""A measurement asked for as a run: the worker measures an endpoint on loopback and keeps the profile."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from db import queries
from db.connection import Database
from db.queue import MEASURE, Request, RunQueue
from db.repository import profile_body
from db.session import open_database
from waferlag.settings import Settings
from waferlag.worker.loop import Worker


class Endpoint(BaseHTTPRequestHandler):
    """Answers every completion with as many pieces as it was asked for; notes what it was asked with."""

    protocol_version = "HTTP/1.1"
    asked: list

    def do_GET(self) -> None:
        self._whole(json.dumps({"data": [{"id": "tiny"}]}).encode(), "application/json")

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.asked.append((dict(self.headers), body))
        events = [{"choices": [{"text": "x", "finish_reason": None}]}] * body["max_tokens"]
        usage = {"prompt_tokens": 12, "completion_tokens": body["max_tokens"]}
        lines = [f"data: {json.dumps(event)}" for event in [*events, {"choices": [], "usage": usage}]]
        self._whole("\n\n".join([*lines, "data: [DONE]", ""]).encode(), "text/event-stream")

    def _whole(self, content: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def endpoint() -> Iterator[tuple[str, list]]:
    """Address of a server on loopback, and the requests it has seen."""
    seen: list = []
    handler = type("Noted", (Endpoint,), {"asked": seen})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", seen
    server.shutdown()
    server.server_close()


@pytest.fixture
def database(tmp_path) -> Iterator[Database]:
    with open_database(f"sqlite:///{tmp_path / 'own.sqlite'}") as opened:
        yield opened


def asked(endpoint: str) -> dict:
    return {
        "model": "Qwen/Qwen3-8B",
        "endpoint": endpoint,
        "gpu": "H100-SXM",
        "engine": "vllm",
        "precision": "bf16",
        "layout": {"tp": 2},
        "isl": 12,
        "osl": 4,
        "requests": 3,
        "concurrency": [1, 2],
    }


def work(database: Database, args: dict) -> queries.RunSummary:
    """One measurement through the queue, in a process of its own."""
    run_id = RunQueue(database).put(Request(kind=MEASURE, args=args, scenario_name="a measurement"))
    Worker(database, Settings(poll_seconds=0.1)).work(drain=True)
    return queries.run(database, run_id)


def test_the_worker_measures_an_endpoint_and_keeps_the_profile(database, endpoint, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "very-secret")
    monkeypatch.setenv("WAFERLAG_ENDPOINT_HOSTS", "127.0.0.1")
    url, seen = endpoint
    run = work(database, asked(url))
    assert (run.state, run.error) == ("done", None)
    (kept,) = queries.profiles(database)
    profile = profile_body(database, kept.id)
    assert (kept.model, kept.gpu, kept.label) == ("Qwen/Qwen3-8B", "H100-SXM", "measured")
    assert [point["concurrency"] for point in profile["points"]] == [1.0, 2.0]
    assert all(point["metrics"]["completed"] == 3 for point in profile["points"])
    assert profile["layout"]["tp"] == 2
    assert profile["provenance"]["command"].startswith(f"waferlag measure Qwen/Qwen3-8B --endpoint {url}")
    assert len(seen) == 2 * (3 + 2)  # two warm-up requests before each
    assert all("very-secret" not in str(headers) for headers, _ in seen), "whoever typed the address gets no key"


@pytest.mark.parametrize("hosts", ["", "serve.example, 10.0.0.0/8"])
def test_the_worker_measures_no_host_that_the_setting_does_not_name(database, endpoint, monkeypatch, hosts):
    monkeypatch.setenv("WAFERLAG_ENDPOINT_HOSTS", hosts)
    url, seen = endpoint
    run = work(database, asked(url))
    assert run.state == "failed"
    assert "WAFERLAG_ENDPOINT_HOSTS" in run.error
    assert seen == []


def test_an_endpoint_that_is_not_there_fails_the_run_in_words(database, monkeypatch):
    monkeypatch.setenv("WAFERLAG_ENDPOINT_HOSTS", "127.0.0.1")
    run = work(database, asked("http://127.0.0.1:9"))
    assert run.state == "failed"
    assert "cannot be reached" in run.error
    assert "Traceback" not in run.error
    assert queries.profiles(database) == []
