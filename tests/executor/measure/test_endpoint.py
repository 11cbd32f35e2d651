import asyncio
import base64
import ipaddress
import json
import random
import re
import socket
from urllib.parse import quote

import numpy as np
import pytest
from pydantic import SecretStr

from executor.errors import BadInputError
from executor.measure.addresses import AllowedHosts, check_endpoint, hosts_of, place_of, reach_of
from executor.measure.endpoint import Client, Endpoint, _ProblemError, _Reading
from executor.measure.loadgen import Prompt, closed_loop, open_loop
from executor.serving_metrics import Bounds
from tests.executor.test_user_files import mutant

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
    server, _ = with_server(asking(prompt=Prompt((5, 6), 2, 3), extra=extra, key=SecretStr("secret")))
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
        ("no-stream", "malformed", "no event stream: application/json", 0),
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


@pytest.mark.parametrize(
    "url",
    [
        *("localhost:80", "ftp://x", "http://", "http://u:p@h", "http://h:port", "http://h/a b", "http://h/\r\nX: y"),
        *(
            "http://h/é",
            "http://bücher.example",
            "http://h:0",
            "http://h:65536",
            "http://h:",
            "http://a..b",
            "http://-a",
        ),
        *("http://[::1", "http://[x]", "http://h\0", f"http://{'a' * 64}", "http:///v1", "http://h:1:2", ""),
    ],
)
def test_an_address_that_is_none_is_an_error(url):
    with pytest.raises(BadInputError):
        Endpoint(url, "tiny")


def test_an_address_is_taken_apart():
    found = place_of("HTTPS://GPU1.example:8443/serving/v1")
    assert (found.secure, found.host, found.port, found.path) == (True, "GPU1.example", 8443, "/serving/v1")
    assert [place_of(url).port for url in ("http://h", "https://h", "http://[::1]:9/")] == [80, 443, 9]
    assert place_of("http://[::1]:9").host == "::1"


@pytest.mark.parametrize(
    "url",
    [
        "user:sesame@h:8000",
        "https:/u:sesame@h/v1",
        "http:\\\\u:sesame@h",
        "http://h/v1?api_key=sesame",
        "http://h#sesame",
    ],
)
def test_an_address_that_may_hold_a_secret_is_refused_without_it(url):
    with pytest.raises(BadInputError) as told:
        place_of(url)
    assert "sesame" not in str(told.value)


KEY = "sk-SECRET99/+x"
ECHOES = {
    "plain": f"Bearer {KEY}",
    "upper": KEY.upper(),
    "json": json.dumps(KEY),
    "percent": quote(f"Bearer {KEY}", safe=""),
    "every percent": "".join(f"%{byte:02X}" for byte in KEY.encode()),
    "hexadecimal": KEY.encode().hex(),
    **{f"base64 after {n}": base64.b64encode(b"x" * n + KEY.encode() + b"yy").decode() for n in range(4)},
    "base64 url": base64.urlsafe_b64encode(f"Bearer {KEY}".encode()).decode(),
}


@pytest.mark.parametrize("echo", ECHOES.values(), ids=ECHOES.keys())
@pytest.mark.parametrize("where", ["error", "event", "head", "models"])
def test_a_server_that_echoes_the_key_does_not_put_it_into_a_message(with_server, where, echo):
    async def use(server):
        server.echo = (where, echo)
        async with Client(Endpoint(server.url, "echo", key=SecretStr(KEY))) as client:
            try:
                return await client.models() if where == "models" else await client.ask(ASKED)
            except BadInputError as problem:
                return problem

    told = str(with_server(use)[1])
    assert echo not in told
    assert "[key]" in told
    assert len(told) < 400


def test_the_key_is_shown_nowhere():
    assert "secret" not in repr(Endpoint("http://h", "m", key=SecretStr("secret")))
    for key in ("sk-secret\r\nX: y", "sk-secret ", "sk-sécret"):
        with pytest.raises(BadInputError) as caught:
            Endpoint("http://h", "m", key=SecretStr(key))
        assert "cret" not in str(caught.value)


# -- hosts that queued measurements may go to --------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "reach"),
    [
        ("8.8.8.8", "public"),
        ("10.1.2.3", "private"),
        ("192.168.0.1", "private"),
        ("100.64.0.1", "private"),
        ("127.9.9.9", "loopback"),
        ("::1", "loopback"),
        ("169.254.169.254", "link-local"),
        ("fe80::1", "link-local"),
        ("fd00::1", "private"),
        ("0.0.0.0", "reserved"),
        ("224.0.0.1", "reserved"),
        ("::ffff:127.0.0.1", "loopback"),
        ("64:ff9b::a9fe:a9fe", "link-local"),
        ("2002:7f00:1::", "loopback"),
        ("2001:4860:4860::8888", "public"),
    ],
)
def test_an_address_is_judged_by_who_can_be_met_there(address, reach):
    assert reach_of(ipaddress.ip_address(address)) == reach


@pytest.mark.parametrize(
    ("listed", "host", "address", "permitted"),
    [
        ("", "gpu1", "8.8.8.8", False),
        ("gpu1.example", "GPU1.example.", "8.8.8.8", True),
        ("gpu1.example", "gpu1.example", "10.0.0.1", False),
        ("gpu1.example", "gpu1.example", "127.0.0.1", False),
        ("gpu1.example 10.0.0.0/8", "gpu1.example", "10.0.0.1", True),
        ("10.0.0.0/8", "gpu1.example", "10.0.0.1", True),
        ("10.0.0.0/8", "gpu1.example", "::ffff:10.0.0.1", True),
        ("8.8.8.8", "8.8.8.8", "8.8.8.8", True),
        ("localhost", "localhost", "127.0.0.1", True),
        ("localhost", "gpu1", "169.254.169.254", False),
        ("169.254.0.0/16", "x", "169.254.169.254", True),
    ],
)
def test_private_addresses_need_their_network_listed(listed, host, address, permitted):
    assert hosts_of(listed).permits(host, ipaddress.ip_address(address)) is permitted


def test_a_list_of_hosts_says_which_entry_is_none():
    with pytest.raises(BadInputError, match=r"'10\.0\.0\.1/8' is no host, address or network"):
        hosts_of(["gpu1", "10.0.0.1/8"])


def test_a_measurement_goes_to_the_address_that_was_judged(with_server, monkeypatch):
    """The name is public when the form asks, and this machine when the connection is opened."""
    hosts = hosts_of("gpu1.example")
    answers = [[(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 80))] for address in ("8.8.8.8", "127.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answers.pop(0) if len(answers) > 1 else answers[0])
    check_endpoint("http://gpu1.example", hosts)

    async def use(server):
        url = server.url.replace("127.0.0.1", "gpu1.example")
        async with Client(Endpoint(url, "tiny", hosts=hosts)) as client:
            return await client.ask(ASKED)

    server, answer = with_server(use)
    assert answer.outcome == "refused"
    assert "may not go to gpu1.example (loopback)" in answer.message
    assert not server.asked


def test_a_listed_host_is_measured_and_its_words_are_not_passed_on(with_server):
    _, answer = with_server(asking(hosts=hosts_of("localhost")))
    assert answer.outcome == "completed"
    _, answer = with_server(asking("overloaded", hosts=hosts_of("127.0.0.0/8")))
    assert answer.message == "HTTP 503"
    with pytest.raises(BadInputError, match="WAFERLAG_ENDPOINT_HOSTS"):
        check_endpoint("http://127.0.0.1:9", AllowedHosts())


def test_events_are_taken_or_malformed_whatever_they_hold():
    good = {"choices": [{"text": "x", "finish_reason": None}], "usage": {"prompt_tokens": 3, "completion_tokens": 5}}

    async def take(text):
        reading = _Reading()
        try:
            reading.take(text.encode("utf-8", "surrogatepass"))
        except _ProblemError as problem:
            return problem.outcome
        assert reading.prompt_tokens is None or reading.prompt_tokens <= 10**9
        return "taken"

    chance = random.Random(5)
    found = [asyncio.run(take(mutant(good, chance))) for _ in range(300)]
    assert set(found) == {"taken", "malformed"}


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
