"""An OpenAI-compatible server as something to measure: /v1/completions and /v1/chat/completions, streamed.

HTTP/1.1 is h11's business; this file opens connections, sends the request, reads server-sent events and says how
an answer ended. Redirects are not followed. The API key goes into a header and nowhere else: what a server says is
cleaned of it before anybody reads it (``_Told``).
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import quote, quote_plus

import h11
from pydantic import SecretStr

from executor.errors import BadInputError
from executor.measure.addresses import AllowedHosts, permitted, place_of
from executor.measure.loadgen import Answer, Outcome, Prompt
from executor.user_files import parsed

Api = Literal["completions", "chat"]
PATHS: dict[Api, str] = {"completions": "/completions", "chat": "/chat/completions"}
MOST_LINE_BYTES = 1 << 20
"""No event of a token stream is longer."""
MOST_BODY_BYTES = 1 << 20
"""As much of an answer that is no stream is read for its message."""
READ_BYTES = 1 << 16
MOST_TOLD = 240
"""Characters of a message about an answer."""
MOST_TOKENS = 10**9
"""A server that counts more tokens in an answer miscounts."""


_NO_KEY = SecretStr("")


class _ProblemError(Exception):
    """How an answer went wrong."""

    def __init__(self, outcome: Outcome, message: str, said: bytes = b"") -> None:
        """``said``: what the server said, not yet cleaned of the key."""
        self.outcome = outcome
        self.said = said
        super().__init__(message)


@dataclass(frozen=True)
class Endpoint:
    """Where a model is served, and how it is asked."""

    url: str
    """Base address, with or without ``/v1``."""
    model: str
    """Name that goes into the request."""
    api: Api = "completions"
    key: SecretStr = _NO_KEY
    timeout_s: float = 600.0
    """An answer that is not complete by then counts as slow."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Further fields of the request, for example ``{"ignore_eos": true}``."""
    hosts: AllowedHosts | None = None
    """Where connections may go; then messages do not quote the server either. None: anywhere."""

    def __post_init__(self) -> None:
        place_of(self.url)
        if not re.fullmatch(r"[\x21-\x7e]*", self.key.get_secret_value()):
            raise BadInputError("the API key holds a blank or a character beyond ASCII, which no header carries")
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
        self._place = place_of(endpoint.url)
        self._context = ssl.create_default_context() if self._place.secure else None
        self._told = _Told(endpoint.key, quotes=endpoint.hosts is None)
        base = self._place.path.rstrip("/")
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
            return reading.answer(problem.outcome, self._told.message(problem))
        except TimeoutError:
            return reading.answer("slow", f"not complete after {self.endpoint.timeout_s:g} s")
        except (OSError, EOFError, h11.RemoteProtocolError) as problem:
            lost = _lost(reading, problem)
            return reading.answer(lost.outcome, self._told.message(lost))
        if not reading.times:
            return reading.answer("malformed", "the answer holds no token")
        return reading.answer("completed")

    async def models(self) -> tuple[str, ...]:
        """Names that the server lists under /v1/models; BadInputError where it does not say."""
        try:
            async with asyncio.timeout(self.endpoint.timeout_s):
                connection = await self._connect()
                await connection.send(self._request("GET", "/models", b""))
                response = await connection.response()
                body = await connection.body()
                connection.close()
        except (_ProblemError, OSError, EOFError, TimeoutError, h11.RemoteProtocolError) as problem:
            lost = problem if isinstance(problem, _ProblemError) else _lost(_Reading(), problem)
            raise BadInputError(f"{self.endpoint.url} cannot be reached: {self._told.message(lost)}") from None
        try:
            return tuple(self._told.cleaned(str(entry["id"])) for entry in parsed(body, "models")["data"])
        except (BadInputError, LookupError, TypeError):
            status = response.status_code
            raise BadInputError(
                f"{self.endpoint.url} lists no models (HTTP {status}): give the name by --model"
            ) from None

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
        place, hosts = self._place, self.endpoint.hosts
        try:
            addresses = [place.host] if hosts is None else await permitted(place, hosts)
        except BadInputError as problem:
            raise _ProblemError("refused", str(problem)) from None
        name = place.host if place.secure else None
        for at, address in enumerate(addresses, start=1):
            try:
                opened = asyncio.open_connection(address, place.port, ssl=self._context, server_hostname=name)
                return _Connection(*await opened)
            except OSError as problem:
                if at == len(addresses):
                    raise _ProblemError("refused", f"no connection: {_words(problem)}") from problem
        raise AssertionError("a host without an address is refused before")

    def _request(self, method: str, path: str, body: bytes) -> tuple[h11.Request, bytes]:
        headers = [
            ("Host", self._place.authority),
            ("Accept", "text/event-stream, application/json"),
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(body))),
        ]
        if key := self.endpoint.key.get_secret_value():
            headers.append(("Authorization", f"Bearer {key}"))
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

    async def body(self) -> bytes:
        """The body of an answer that is no stream, about MOST_BODY_BYTES of it at most."""
        body = b""
        while len(body) < MOST_BODY_BYTES and isinstance(event := await self.event(), h11.Data):
            body += event.data
        return body

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
            found = parsed(payload, "an event")
        except BadInputError:
            raise _ProblemError("malformed", "an event is not JSON", payload) from None
        if not isinstance(found, dict):
            raise _ProblemError("malformed", "an event is no object", payload)
        if found.get("error"):
            raise _ProblemError("broken-off", "the server reports", payload)
        self._count(found.get("usage"))
        choices = found.get("choices")
        if not isinstance(choices, list) or not all(isinstance(choice, dict) for choice in choices):
            raise _ProblemError("malformed", "an event has no choices", payload)
        for choice in choices[:1]:
            if _text(choice):
                self.times.append(asyncio.get_running_loop().time())
            if choice.get("finish_reason") is not None:
                self.finished = True

    def _count(self, usage: object) -> None:
        if isinstance(usage, dict):
            prompt, output = usage.get("prompt_tokens"), usage.get("completion_tokens")
            if type(prompt) is int and 0 <= prompt <= MOST_TOKENS:
                self.prompt_tokens = prompt
            if type(output) is int and 0 <= output <= MOST_TOKENS:
                self.output_tokens = output


async def _read(connection: _Connection, reading: _Reading) -> None:
    """Follow one answer to its end, or raise how it went wrong."""
    response = await connection.response()
    reading.begun = True
    if response.status_code != 200:
        raise _ProblemError("refused", f"HTTP {response.status_code}", await connection.body())
    kind = dict(response.headers).get(b"content-type", b"").split(b";")[0].strip().lower()
    if kind != b"text/event-stream":
        raise _ProblemError("malformed", "the answer is no event stream", kind or b"untyped")
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


def _lost(reading: _Reading, problem: Exception) -> _ProblemError:
    """A connection that ended early: before the answer began it was refused, after that broken off."""
    if isinstance(problem, h11.RemoteProtocolError):
        said = str(problem).encode()
        if reading.begun:
            return _ProblemError("broken-off", "the connection ended early", said)
        return _ProblemError("malformed", "the answer is not HTTP", said)
    return _ProblemError("broken-off" if reading.begun else "refused", _words(problem))


def _words(problem: BaseException) -> str:
    return str(problem) or type(problem).__name__


class _Told:
    """Messages about a server's answers: without the key in any form in which a server may send it back, and cut."""

    def __init__(self, key: SecretStr, quotes: bool) -> None:
        """``quotes``: messages repeat what the server said."""
        self._quotes = quotes
        forms = sorted(_forms(key.get_secret_value()), key=len, reverse=True)
        self._key = re.compile("|".join(map(re.escape, forms)), re.IGNORECASE) if forms else None

    def message(self, problem: _ProblemError) -> str:
        """What went wrong, in a line of at most MOST_TOLD characters."""
        text = str(problem)
        if problem.said and self._quotes:
            text += f": {problem.said.decode('utf-8', 'replace').strip()}"
        line = "".join(each if each.isprintable() else " " for each in self.cleaned(text)[: MOST_TOLD + 1])
        return line if len(line) <= MOST_TOLD else f"{line[: MOST_TOLD - 2]}.."

    def cleaned(self, text: str) -> str:
        """The text without the key."""
        return text if self._key is None else self._key.sub("[key]", text)


def _forms(key: str) -> set[str]:
    """The key as it is, percent-encoded, in hexadecimal, in JSON, and in base64 whatever comes before it."""
    if not key:
        return set()
    raw = key.encode()
    forms = {quote(key, safe=""), quote_plus(key), "".join(f"%{byte:02x}" for byte in raw), raw.hex()}
    forms.add(json.dumps(key)[1:-1])
    for before in range(3):
        # Digits that hold a bit of what comes before or after the key are left out.
        first, stop = -(-8 * before // 6), 8 * (before + len(raw)) // 6
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            forms.add(encode(b"\0" * before + raw)[first:stop].decode())
    return {key} | {form for form in forms if len(form) >= 4}
