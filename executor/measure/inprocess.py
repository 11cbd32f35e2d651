"""The built-in engine as something to measure: it steps in a thread, requests come from an event loop."""

import asyncio
import os
import queue
import threading
import time
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch

from executor.engine.engine import Engine
from executor.engine.sampling import Sampling
from executor.errors import BadInputError, UnknownNameError, UserMistakeError
from executor.measure.loadgen import Answer, Ask, Prompt
from executor.model.spec import model_spec

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}
IDLE_S = 0.0005
"""How long the engine's thread waits for a request before it looks whether it should stop."""


def built_in(model: str, precision: str) -> Engine:
    """The engine with a directory's weights, or with dummy ones of a model known by name or config.json.

    On the first CUDA device, else on the CPU. UnknownNameError for a model or precision that is not known.
    """
    if precision not in DTYPES:
        raise UnknownNameError("precision of the built-in engine", precision, DTYPES)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    folder = Path(model)
    if os.path.isdir(folder) and any(folder.glob("*.safetensors")):
        return Engine.load(folder, DTYPES[precision], device)
    return Engine.dummy(model_spec(model), DTYPES[precision], device)


@dataclass
class _Asked:
    """A request under way: where its tokens' times go."""

    prompt: Prompt
    done: asyncio.Future[Answer]
    times: list[float] = field(default_factory=list)


@asynccontextmanager
async def asking(engine: Engine) -> AsyncIterator[Ask]:
    """Ask an engine in this process; greedy, without stop ids, so that answers have their full length."""
    server = _Server(engine, asyncio.get_running_loop())
    try:
        yield server.ask
    finally:
        server.stop()


class _Server:
    """Owns the engine while it runs; only its thread touches it."""

    def __init__(self, engine: Engine, loop: asyncio.AbstractEventLoop) -> None:
        self._engine, self._loop = engine, loop
        self._inbox: queue.SimpleQueue[_Asked] = queue.SimpleQueue()
        self._asked: dict[Hashable, _Asked] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, name="engine", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()

    async def ask(self, prompt: Prompt) -> Answer:
        """Queue a prompt of token ids and wait for its answer."""
        if isinstance(prompt.content, str):
            raise BadInputError("the built-in engine is measured with token ids, not with text")
        asked = _Asked(prompt, self._loop.create_future())
        self._inbox.put(asked)
        return await asked.done

    def _work(self) -> None:
        try:
            while not self._stopping.is_set():
                self._take_in()
                if self._engine.unfinished:
                    self._step()
            self._fail("refused", "the measurement was ended")
        except Exception as problem:  # the askers must hear of it, whatever it was
            self._stopping.set()
            self._fail("broken-off", f"the engine failed: {problem}")

    def _take_in(self) -> None:
        """Add what was asked meanwhile; wait a moment where there is nothing else to do."""
        idle = not self._engine.unfinished
        try:
            while True:
                asked = self._inbox.get(timeout=IDLE_S) if idle else self._inbox.get_nowait()
                idle = False
                self._add(asked)
        except queue.Empty:
            return

    def _add(self, asked: _Asked) -> None:
        content = asked.prompt.content
        assert not isinstance(content, str)
        try:
            request_id = self._engine.add(content, Sampling(max_tokens=asked.prompt.max_tokens))
        except UserMistakeError as problem:
            self._settle(asked, Answer("refused", message=str(problem)))
            return
        self._asked[request_id] = asked

    def _step(self) -> None:
        outputs = self._engine.step()
        now = time.monotonic()  # the clock of the event loop
        for output in outputs:
            asked = self._asked[output.request_id]
            if output.token is not None:
                asked.times.append(now)
            if output.reason is not None:
                del self._asked[output.request_id]
                times, prompt = tuple(asked.times), asked.prompt
                self._settle(asked, Answer("completed", times, prompt.tokens, len(times)))

    def _settle(self, asked: _Asked, answer: Answer) -> None:
        def tell() -> None:
            if not asked.done.done():
                asked.done.set_result(answer)

        self._loop.call_soon_threadsafe(tell)

    def _fail(self, outcome: str, message: str) -> None:
        left = list(self._asked.values())
        while not self._inbox.empty():
            left.append(self._inbox.get())
        for asked in left:
            self._settle(asked, Answer(outcome, tuple(asked.times), message=message))  # type: ignore[arg-type]
