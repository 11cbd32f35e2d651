"""A small OpenAI-compatible server on loopback that streams tokens at known times and can misbehave on request."""

import asyncio
import contextlib
import json
from dataclasses import dataclass, field

import pytest


@dataclass
class Server:
    """What the server does to a request is the model's name; each one is noted in ``asked``."""

    first_s: float = 0.03
    gap_s: float = 0.01
    one_at_a_time: bool = False
    asked: list = field(default_factory=list)
    written: list = field(default_factory=list)
    """Times at which each answer's tokens were written, on the loop's clock."""
    url: str = ""
    connections: int = 0
    echo: tuple = ("", "")
    """Where the server says something of its own, and what."""

    async def serve(self, reader, writer):
        self.connections += 1
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while await self.one(reader, writer):
                pass
        writer.close()

    async def one(self, reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = next(
            int(line.split(":")[1]) for line in head.splitlines() if line.lower().startswith("content-length")
        )
        body = json.loads(await reader.readexactly(length) or b"{}")
        if self.echo[0]:
            return self.say(writer, *self.echo)
        if head.startswith("GET"):
            return self.plain(writer, 200, {"data": [{"id": "tiny"}]})
        self.asked.append((head, body))
        if self.one_at_a_time:
            async with self.lock():
                return await self.answer(writer, body)
        return await self.answer(writer, body)

    def say(self, writer, where, words):
        if where == "head":
            writer.write(f"HTTP/1.1 200 OK\r\nContent-Type: {words}\r\nContent-Length: 0\r\n\r\n".encode())
            return True
        if where == "event":
            body = f'data: {{"error": "{words}"}}\n\n'.encode()
            kind = f"Content-Type: text/event-stream\r\nContent-Length: {len(body)}\r\n\r\n"
            writer.write(b"HTTP/1.1 200 OK\r\n" + kind.encode() + body)
            return True
        return self.plain(writer, 401 if where == "error" else 200, {"data": [{"id": words}], "x": "y" * 5000})

    def lock(self):
        if not hasattr(self, "_lock"):
            self._lock = asyncio.Lock()
        return self._lock

    async def answer(self, writer, body):
        behaviour = body["model"]
        if behaviour == "overloaded":
            return self.plain(writer, 503, {"error": {"message": "try later"}})
        if behaviour == "no-stream":
            return self.plain(writer, 200, {"choices": [{"text": "whole"}]})
        if behaviour == "no-http":
            writer.write(b"hello\r\n\r\n")
            return False
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        await asyncio.sleep(5.0 if behaviour == "stuck" else self.first_s)
        times = []
        self.written.append(times)
        for token in range(body["max_tokens"]):
            if token:
                await asyncio.sleep(self.gap_s)
            if token == 2 and behaviour != "tiny":
                return await self.misbehave(writer, behaviour)
            times.append(asyncio.get_running_loop().time())
            self.event(writer, self.piece(body, token))
        self.event(writer, {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": len(times)}})
        self.chunk(writer, b"data: [DONE]\n\n")
        writer.write(b"0\r\n\r\n")
        return True

    async def misbehave(self, writer, behaviour):
        if behaviour == "hangs-up":
            return False
        if behaviour == "garbage":
            self.chunk(writer, b"data: {not json\n\n")
        if behaviour == "list":
            self.chunk(writer, b"data: [1, 2]\n\n")
        if behaviour == "error-event":
            self.event(writer, {"error": {"message": "out of memory"}})
        writer.write(b"0\r\n\r\n")  # without [DONE]
        await writer.drain()
        return True

    def piece(self, body, token):
        end = "length" if token == body["max_tokens"] - 1 else None
        if "messages" in body:
            return {"choices": [{"delta": {"content": "x"}, "finish_reason": end}]}
        return {"choices": [{"text": "x", "finish_reason": end}]}

    def event(self, writer, content):
        self.chunk(writer, b"data: " + json.dumps(content).encode() + b"\r\n\r\n")

    def chunk(self, writer, content):
        writer.write(f"{len(content):x}\r\n".encode() + content + b"\r\n")

    def plain(self, writer, status, content):
        body = json.dumps(content).encode()
        writer.write(
            f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        return True


@pytest.fixture
def with_server():
    """Run a coroutine that is given a server's record while the server runs: ``with_server(coroutine)``."""

    def run(use, **settings):
        async def main():
            server = Server(**settings)
            listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
            server.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
            try:
                return server, await use(server)
            finally:
                listening.close()

        return asyncio.run(main())

    return run


TINY = {
    "model_type": "qwen3",
    "num_hidden_layers": 2,
    "hidden_size": 64,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "intermediate_size": 128,
    "vocab_size": 128,
    "max_position_embeddings": 512,
}


@pytest.fixture(scope="session")
def tiny_engine():
    """Make an engine with a tiny model on one thread; keyword arguments are its settings."""
    torch = pytest.importorskip("torch")

    from executor.engine.engine import Engine, Settings
    from executor.model.spec import from_hf_config

    def make(**settings):
        chosen = {"max_batch": 8, "page_size": 16, "prefix_caching": False, **settings}
        return Engine.dummy(from_hf_config(TINY, "tiny"), dtype=torch.float32, settings=Settings(**chosen))

    before = torch.get_num_threads()
    torch.set_num_threads(1)  # threads that wait for one another cost a tiny model more than its arithmetic
    yield make
    torch.set_num_threads(before)
