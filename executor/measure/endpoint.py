"""An OpenAI-compatible server as something to measure: /v1/completions and /v1/chat/completions, streamed.

HTTP/1.1 is h11's business; this file opens connections, sends the request, reads server-sent events and says how
an answer ended. The API key goes into a header and nowhere else.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

import h11

from executor.errors import BadInputError
from executor.measure.loadgen import Answer, Outcome, Prompt

Api = Literal["completions", "chat"]
PATHS: dict[Api, str] = {"completions": "/completions", "chat": "/chat/completions"}
MOST_LINE_BYTES = 1 << 20
"""No event of a token stream is longer."""
MOST_BODY_BYTES = 1 << 20
"""As much of an answer that is no stream is read for its message."""
READ_BYTES = 1 << 16


class _ProblemError(Exception):
    """How an answer went wrong."""

    def __init__(self, outcome: Outcome, message: str) -> None:
        self.outcome = outcome
        self.message = message
        super().__init__(message)


@dataclass(frozen=True)
class Endpoint:
    """Where a model is served, and how it is asked."""

    url: str
    """Base address, with or without ``/v1``."""
    model: str
    """Name that goes into the request."""
    api: Api = "completions"
    key: str = field(default="", repr=False)
    timeout_s: float = 600.0
    """An answer that is not complete by then counts as slow."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Further fields of the request, for example ``{"ignore_eos": true}``."""

    def __post_init__(self) -> None:
        parts = _split(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise BadInputError(f"endpoint {self.url!r}: write http://HOST:PORT or https://HOST/PATH")
        if parts.username or parts.password:
            raise BadInputError("an endpoint's address must hold no password: give the key by its variable")
        if self.api not in PATHS:
            raise BadInputError(f"api must be completions or chat (got {self.api!r})")
        if not self.timeout_s > 0:
            raise BadInputError(f"timeout must be above 0 s (got {self.timeout_s!r})")

    def body(self, prompt: Prompt) -> bytes:
        """The request's JSON."""
        content = prompt.content if isinstance(prompt.content, str) else list(prompt.content)
        asked: dict[str, Any] = (
            {"prompt": content} if self.api == "completions" else {"messages": [{"role": "user", "content": content}]}
        )
        return json.dumps(
            {
                "model": self.model,
                **asked,
                "max_tokens": prompt.max_tokens,
                "temperature": 0,
                "stream": True,
                "stream_options": {"include_usage": True},
                **self.extra,
            }
        ).encode()


class Client:
    """Asks one endpoint, over connections that are kept open between requests."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        parts = _split(endpoint.url)
        secure = parts.scheme == "https"
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if secure else 80)
        self._context = ssl.create_default_context() if secure else None
        self._name = parts.netloc
        base = parts.path.rstrip("/")
        self._base = base if base.endswith("/v1") else f"{base}/v1"
        self._idle: list[_Connection] = []

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *_: object) -> None:
        for connection in self._idle:
            connection.close()

    async def ask(self, prompt: Prompt) -> Answer:
        """Send one prompt and follow its stream to the end; every way to fail is an outcome, not an error."""
        reading = _Reading()
        try:
            async with asyncio.timeout(self.endpoint.timeout_s):
                await self._follow(self.endpoint.body(prompt), reading)
        except _ProblemError as problem:
            return reading.answer(problem.outcome, problem.message)
        except TimeoutError:
            return reading.answer("slow", f"not complete after {self.endpoint.timeout_s:g} s")
        except (OSError, EOFError, h11.RemoteProtocolError) as problem:
            return reading.answer(*_lost(reading, problem))
        if not reading.times:
            return reading.answer("malformed", "the answer holds no token")
        return reading.answer("completed")

    async def models(self) -> tuple[str, ...]:
        """Names that the server lists under /v1/models; BadInputError where it does not say."""
        try:
            async with asyncio.timeout(self.endpoint.timeout_s):
                connection = await self._connect()
                await connection.send(self._request("GET", "/models", b""))
                status, body = await connection.whole()
                connection.close()
            listed = json.loads(body)["data"]
            names = tuple(str(entry["id"]) for entry in listed)
        except (_ProblemError, OSError, EOFError, TimeoutError, h11.RemoteProtocolError) as problem:
            raise BadInputError(f"{self.endpoint.url} cannot be reached: {_words(problem)}") from None
        except (ValueError, KeyError, TypeError):
            raise BadInputError(
                f"{self.endpoint.url} lists no models (HTTP {status}): give the name by --model"
            ) from None
        return names

    async def _follow(self, body: bytes, reading: _Reading) -> None:
        connection = self._idle.pop() if self._idle else None
        if connection is not None:
            try:  # a server may have closed a connection that was idle
                await self._exchange(connection, body, reading)
                return
            except (OSError, EOFError, h11.RemoteProtocolError):
                if reading.begun:
                    raise
        await self._exchange(await self._connect(), body, reading)

    async def _exchange(self, connection: _Connection, body: bytes, reading: _Reading) -> None:
        try:
            await connection.send(self._request("POST", PATHS[self.endpoint.api], body))
            await _read(connection, reading)
        except BaseException:
            connection.close()
            raise
        if connection.renew():
            self._idle.append(connection)

    async def _connect(self) -> _Connection:
        try:
            reader, writer = await asyncio.open_connection(self._host, self._port, ssl=self._context)
        except OSError as problem:
            raise _ProblemError("refused", f"no connection: {_words(problem)}") from problem
        return _Connection(reader, writer)

    def _request(self, method: str, path: str, body: bytes) -> tuple[h11.Request, bytes]:
        headers = [
            ("Host", self._name),
            ("Accept", "text/event-stream, application/json"),
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(body))),
        ]
        if self.endpoint.key:
            headers.append(("Authorization", f"Bearer {self.endpoint.key}"))
        return h11.Request(method=method, target=self._base + path, headers=headers), body


class _Connection:
    """One TCP (or TLS) connection that speaks HTTP/1.1."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._http = h11.Connection(h11.CLIENT)

    async def send(self, request: tuple[h11.Request, bytes]) -> None:
        head, body = request
        sent = [self._http.send(head)]
        if body:
            sent.append(self._http.send(h11.Data(data=body)))
        sent.append(self._http.send(h11.EndOfMessage()))
        self._writer.write(b"".join(part or b"" for part in sent))
        await self._writer.drain()

    async def event(self) -> h11.Event | type[h11.PAUSED]:
        """The next event of the response; EOFError or RemoteProtocolError where the server hung up."""
        while True:
            event = self._http.next_event()
            if event is not h11.NEED_DATA:
                return event  # type: ignore[return-value]
            received = await self._reader.read(READ_BYTES)
            if not received and self._http.their_state is h11.SEND_RESPONSE:
                raise EOFError("the server closed the connection")
            self._http.receive_data(received)

    async def response(self) -> h11.Response:
        """The response's head; informational ones are passed over."""
        while True:
            event = await self.event()
            if isinstance(event, h11.Response):
                return event
            if not isinstance(event, h11.InformationalResponse):
                raise EOFError("the server closed the connection")

    async def whole(self) -> tuple[int, bytes]:
        """Status and body of an answer that is no stream, at most MOST_BODY_BYTES of it."""
        status, body = (await self.response()).status_code, b""
        while isinstance(event := await self.event(), h11.Data) and len(body) < MOST_BODY_BYTES:
            body += event.data
        return status, body

    def renew(self) -> bool:
        """Make ready for the next request; False, and closed, where HTTP does not allow it."""
        if self._http.our_state is h11.DONE and self._http.their_state is h11.DONE:
            self._http.start_next_cycle()
            return True
        self.close()
        return False

    def close(self) -> None:
        self._writer.close()


@dataclass
class _Reading:
    """What of an answer has arrived so far."""

    times: list[float] = field(default_factory=list)
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    begun: bool = False
    finished: bool = False

    def answer(self, outcome: Outcome, message: str = "") -> Answer:
        return Answer(outcome, tuple(self.times), self.prompt_tokens, self.output_tokens, message)

    def take(self, payload: bytes) -> None:
        """One event's JSON. Raises _ProblemError for what is no part of a token stream."""
        try:
            found = json.loads(payload)
        except (ValueError, RecursionError):
            raise _ProblemError("malformed", f"an event is not JSON: {_excerpt(payload)}") from None
        if not isinstance(found, dict):
            raise _ProblemError("malformed", f"an event is no object: {_excerpt(payload)}")
        if found.get("error"):
            raise _ProblemError("broken-off", f"the server reports: {_excerpt(payload)}")
        self._count(found.get("usage"))
        choices = found.get("choices")
        if not isinstance(choices, list) or not all(isinstance(choice, dict) for choice in choices):
            raise _ProblemError("malformed", f"an event has no choices: {_excerpt(payload)}")
        for choice in choices[:1]:
            if _text(choice):
                self.times.append(asyncio.get_running_loop().time())
            if choice.get("finish_reason") is not None:
                self.finished = True

    def _count(self, usage: object) -> None:
        if isinstance(usage, dict):
            prompt, output = usage.get("prompt_tokens"), usage.get("completion_tokens")
            if type(prompt) is int and prompt >= 0:
                self.prompt_tokens = prompt
            if type(output) is int and output >= 0:
                self.output_tokens = output


async def _read(connection: _Connection, reading: _Reading) -> None:
    """Follow one answer to its end, or raise how it went wrong."""
    response = await connection.response()
    reading.begun = True
    if response.status_code != 200:
        body = b""
        while isinstance(event := await connection.event(), h11.Data) and len(body) < MOST_BODY_BYTES:
            body += event.data
        raise _ProblemError("refused", f"HTTP {response.status_code}: {_excerpt(body)}")
    kind = dict(response.headers).get(b"content-type", b"").split(b";")[0].strip().lower()
    if kind != b"text/event-stream":
        raise _ProblemError("malformed", f"the answer is {kind.decode('latin-1') or 'untyped'}, no event stream")
    done = False
    async for payload in _payloads(connection):
        if payload == b"[DONE]":
            done = True
        elif not done:
            reading.take(payload)
    if not (done or reading.finished):
        raise _ProblemError("broken-off", "the stream ended before the answer did")


async def _payloads(connection: _Connection) -> AsyncIterator[bytes]:
    """The data of each server-sent event. Token streams put one JSON text on one line."""
    held = b""
    while isinstance(event := await connection.event(), h11.Data):
        *lines, held = (held + bytes(event.data)).split(b"\n")
        if len(held) > MOST_LINE_BYTES:
            raise _ProblemError("malformed", f"an event is longer than {MOST_LINE_BYTES} bytes")
        for line in lines:
            if line.startswith(b"data:"):
                yield line[5:].strip()
    if held.startswith(b"data:"):
        yield held[5:].strip()


def _text(choice: Mapping[str, Any]) -> bool:
    """Whether a choice brings text: an answer's, or a reasoning model's thoughts."""
    delta = choice.get("delta")
    found = delta if isinstance(delta, dict) else choice
    return any(found.get(name) for name in ("text", "content", "reasoning_content", "reasoning"))


def _lost(reading: _Reading, problem: Exception) -> tuple[Outcome, str]:
    """A connection that ended early: before the answer began it was refused, after that broken off."""
    if isinstance(problem, h11.RemoteProtocolError) and not reading.begun:
        return "malformed", f"the answer is not HTTP: {problem}"
    if isinstance(problem, h11.RemoteProtocolError):
        return "broken-off", f"the connection ended early: {problem}"
    return "broken-off" if reading.begun else "refused", _words(problem)


def _split(url: str) -> Any:
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018  a port that is no number raises here
    except ValueError as problem:
        raise BadInputError(f"endpoint {url!r}: {problem}") from None
    return parts


def _words(problem: BaseException) -> str:
    return str(problem) or type(problem).__name__


def _excerpt(text: bytes) -> str:
    shown = text[:200].decode("utf-8", "replace").strip()
    return f"{shown}.." if len(text) > 200 else shown
