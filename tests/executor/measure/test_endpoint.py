import asyncio
import json
import re

import numpy as np
import pytest

from executor.errors import BadInputError
from executor.measure.endpoint import Client, Endpoint
from executor.measure.loadgen import Prompt, closed_loop, open_loop
from executor.serving_metrics import Bounds

ASKED = Prompt("one two three", 3, 8)


def asking(model="tiny", prompt=ASKED, **settings):
    """A coroutine that asks the server once."""

    async def use(server):
        async with Client(Endpoint(server.url, model, **settings)) as client:
            return await client.ask(prompt)

    return use


def test_tokens_are_timed_when_they_arrive(with_server):
    server, answer = with_server(asking(), first_s=0.1, gap_s=0.03)
    assert answer.outcome == "completed"
    assert (answer.prompt_tokens, answer.output_tokens) == (7, 8)
    late = np.array(answer.times) - np.array(server.written[0])
    assert (late >= 0).all()
    assert np.median(late) < 0.02  # loopback takes well under a millisecond; the machine may be busy


def test_the_request_is_what_an_openai_server_expects(with_server):
    extra = {"ignore_eos": True}
    server, _ = with_server(asking(prompt=Prompt((5, 6), 2, 3), extra=extra, key="secret"))
    head, body = server.asked[0]
    assert head.startswith("POST /v1/completions HTTP/1.1")
    assert "bearer secret" in head.lower()
    assert (body["prompt"], body["max_tokens"], body["stream"], body["ignore_eos"]) == ([5, 6], 3, True, True)
    assert body["stream_options"] == {"include_usage": True}


def test_chat_is_asked_by_messages_and_counts_deltas(with_server):
    server, answer = with_server(asking(api="chat"))
    head, body = server.asked[0]
    assert head.startswith("POST /v1/chat/completions")
    assert body["messages"] == [{"role": "user", "content": "one two three"}]
    assert (answer.outcome, len(answer.times)) == ("completed", 8)


@pytest.mark.parametrize(
    ("model", "outcome", "message", "pieces"),
    [
        ("overloaded", "refused", "HTTP 503: .*try later", 0),
        ("stuck", "slow", "not complete after 0.5 s", 0),
        ("hangs-up", "broken-off", "ended early", 2),
        ("no-done", "broken-off", "ended before the answer", 2),
        ("error-event", "broken-off", "out of memory", 2),
        ("garbage", "malformed", "not JSON", 2),
        ("list", "malformed", "no object", 2),
        ("no-stream", "malformed", "application/json, no event stream", 0),
        ("no-http", "malformed", "not HTTP", 0),
    ],
)
def test_every_way_to_fail_is_told_apart(with_server, model, outcome, message, pieces):
    _, answer = with_server(asking(model, timeout_s=0.5))
    assert answer.outcome == outcome
    assert len(answer.times) == pieces
    assert re.search(message, answer.message)


def test_nobody_listening_is_refused():
    async def use():
        async with Client(Endpoint("http://127.0.0.1:9", "tiny")) as client:
            return await client.ask(ASKED)

    assert asyncio.run(use()).outcome == "refused"


def test_connections_are_kept_open_between_requests(with_server):
    async def use(server):
        async with Client(Endpoint(server.url, "tiny")) as client:
            return await closed_loop(client.ask, [ASKED] * 12, concurrency=3)

    server, run = with_server(use, gap_s=0.0)
    assert run.outcomes["completed"] == 12
    assert server.connections == 3


def test_models_are_listed(with_server):
    async def use(server):
        async with Client(Endpoint(f"{server.url}/v1/", "")) as client:
            return await client.models()

    assert with_server(use)[1] == ("tiny",)


@pytest.mark.parametrize("url", ["localhost:80", "ftp://x", "http://", "http://u:p@h", "http://h:port"])
def test_an_address_that_is_none_is_an_error(url):
    with pytest.raises(BadInputError):
        Endpoint(url, "tiny")


def test_the_key_is_shown_nowhere():
    assert "secret" not in repr(Endpoint("http://h", "m", key="secret"))


def test_a_closed_loop_keeps_its_concurrency_and_counts_what_went_wrong(with_server):
    async def use(server):
        async with Client(Endpoint(server.url, "tiny")) as good, Client(Endpoint(server.url, "hangs-up")) as bad:
            turn = iter(range(100))

            async def ask(prompt):
                return await (bad if next(turn) % 4 == 3 else good).ask(prompt)

            return await closed_loop(ask, [ASKED] * 16, concurrency=4)

    server, run = with_server(use)
    assert run.most_in_flight == 4
    assert run.outcomes == {"completed": 12, "refused": 0, "slow": 0, "broken-off": 4, "malformed": 0}
    metrics = run.metrics(Bounds(ttft_ms=60_000))
    assert (metrics["completed"], metrics["failed"], metrics["total_output_tokens"]) == (12, 4, 12 * 8)
    assert metrics["total_input_tokens"] == 12 * 7  # as the server counted
    assert run.attained(Bounds(ttft_ms=60_000)) == 0.75  # failures are misses
    assert len(server.asked) == 16


def test_an_open_loop_keeps_its_arrival_times_under_load(with_server):
    """One request at a time, 60 ms each, offered every 20 ms: the queue grows and so does TTFT."""
    count, gap, service = 15, 0.02, 0.06

    async def use(server):
        async with Client(Endpoint(server.url, "tiny")) as client:
            return await open_loop(client.ask, [Prompt("x", 1, 1)] * count, gap * np.arange(count))

    _, run = with_server(use, first_s=service, one_at_a_time=True)
    assert run.outcomes["completed"] == count
    assert run.most_in_flight > 5
    sent = np.array([each.sent for each in run.requests])
    assert np.diff(sent).mean() == pytest.approx(gap, rel=0.25)
    ttft = run.latencies.ttft
    # The last waits for all before it: count x service - its own arrival; a busy machine only adds.
    assert ttft[-1] >= count * service - (count - 1) * gap - 1e-3
    assert ttft[-1] > 4 * ttft[0]


def test_an_open_loop_needs_one_arrival_a_request():
    with pytest.raises(BadInputError, match="one arrival time"):
        asyncio.run(open_loop(None, [ASKED], np.array([0.0, 1.0])))


def test_tokens_are_pieces_where_the_server_does_not_count(with_server):
    async def use(server):
        server.event = lambda writer, content: (
            None if "usage" in content else type(server).event(server, writer, content)
        )
        async with Client(Endpoint(server.url, "tiny")) as client:
            return await closed_loop(client.ask, [ASKED], 1)

    run = with_server(use)[1]
    assert run.counted_pieces
    assert run.metrics()["total_output_tokens"] == 8
    assert json.dumps(run.metrics())
