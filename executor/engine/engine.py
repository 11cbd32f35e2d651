"""The engine: requests in, tokens out. One step is schedule, launch, collect.

With look-ahead the host launches step n + 1 before it reads the tokens of step n (docs/executor.md, "The step"). On the
CPU that changes nothing but the order, and is off by default.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from executor.engine import backends
from executor.engine.batch import Batch, Packer, Tables
from executor.engine.graphs import DecodeGraphs
from executor.engine.kv import KvCache, page_bytes
from executor.engine.layers import rope_table
from executor.engine.linear import Scaling
from executor.engine.model import Decoder
from executor.engine.routing import LEARNED, Routing, routing_tables
from executor.engine.sampling import GREEDY, Sampling, SlotSettings, signed
from executor.engine.slices import WHOLE, Slice
from executor.engine.weights import DummyWeights, ModelWeights, MoeWeights, build, check_memory
from executor.errors import BadInputError, DoesNotFitError
from executor.model.spec import ModelSpec
from executor.scheduler.scheduler import Limits, Scheduler
from executor.scheduler.sequence import Request, Step

MEMORY_SHARE = 0.92
"""Share of the device's memory that weights, workspace and KV pages may fill together; the rest is left to the driver
and to fragmentation. vLLM's gpu_memory_utilization is 0.9 by default (0.10, 2025-08, published)."""


@dataclass(frozen=True)
class Settings:
    """How an engine runs. None: chosen from the model and the device."""

    max_batch: int = 256
    token_budget: int = 8192
    page_size: int = 64
    pages: int | None = None
    """KV pages; None: enough for ``max_batch`` of a quarter length, but on CUDA :meth:`Engine.load` and
    :meth:`Engine.dummy` take what memory is left."""
    max_length: int | None = None
    """None: the model's max_position_embeddings."""
    prefix_caching: bool = True
    kv_dtype: torch.dtype | None = None
    """float8_e4m3fn halves the cache; None: the model's data type."""
    look_ahead: bool | None = None
    graphs: bool | None = None
    triton: bool | None = None
    """Use the Triton kernels: by default on CUDA. On the CPU they run only under TRITON_INTERPRET=1."""
    tune: bool = True
    """Time the kernels' shapes on CUDA before the first request; a minute or two when nothing is compiled yet."""
    seed: int = 0


@dataclass(frozen=True)
class Output:
    """What one step brought one request. ``reason`` says why it ended; None while it goes on."""

    request_id: Hashable
    token: int | None
    reason: str | None


@dataclass(frozen=True)
class _Flying:
    """A launched step whose tokens have not been read."""

    step: Step
    tokens: Tensor
    ready: Any


class Engine:
    """A slice of a model on one device, serving requests by continuous batching."""

    def __init__(
        self,
        spec: ModelSpec,
        weights: ModelWeights,
        settings: Settings = Settings(),
        part: Slice = WHOLE,
        routing: Routing = LEARNED,
    ) -> None:
        self.spec = spec
        self.device = weights.embedding.device
        on_cuda = self.device.type == "cuda"
        limits = _limits(spec, settings)
        self.scheduler = Scheduler(limits)
        self.tables = Tables(limits, self.device)
        self.decoder = _decoder(spec, weights, settings, part, routing, limits, self.tables)
        self.look_ahead = on_cuda if settings.look_ahead is None else settings.look_ahead
        self._packer = Packer(self.tables, self.device)
        self._slots = SlotSettings(limits.max_batch + 1, self.device)
        self._samplings: dict[Hashable, tuple[Sampling, int]] = {}
        self._chance = np.random.default_rng(settings.seed)
        self._flying: _Flying | None = None
        self._next_id = 0
        self._pinned: list[Tensor] = []
        self._turn = 0
        if on_cuda and settings.tune:
            with torch.inference_mode():
                _tune(self.decoder, limits.max_batch)
        self.graphs: DecodeGraphs | None = None
        if on_cuda and settings.graphs is not False:
            self.graphs = DecodeGraphs(self._forward, self.tables, limits.max_batch, limits.max_length)
            with torch.inference_mode():
                self.graphs.capture()

    @classmethod
    def load(
        cls,
        directory: Path,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
        settings: Settings = Settings(),
    ) -> Engine:
        """An engine with the weights in ``directory``; raises ExecutorError before memory is spent."""
        from executor.engine.checkpoint import load

        spec, weights = load(directory, dtype, torch.device(device))
        return cls(spec, weights, _with_pages(spec, weights, settings, WHOLE, LEARNED))

    @classmethod
    def dummy(
        cls,
        spec: ModelSpec,
        dtype: torch.dtype = torch.bfloat16,
        device: torch.device | str = "cpu",
        settings: Settings = Settings(),
        part: Slice = WHOLE,
        routing: Routing = LEARNED,
        scaling: Scaling = "none",
        seed: int = 0,
    ) -> Engine:
        """An engine with seeded random weights made on the device, FP8 where ``scaling`` says so."""
        part.check(spec)
        sizes = build(spec, part, DummyWeights(dtype, torch.device("meta"), scaling))
        check_memory(f"{spec.name}: weights", sizes.bytes, torch.device(device))
        weights = build(spec, part, DummyWeights(dtype, torch.device(device), scaling, seed))
        return cls(spec, weights, _with_pages(spec, weights, settings, part, routing), part, routing)

    @property
    def unfinished(self) -> int:
        """Requests added and not ended."""
        return self.scheduler.unfinished

    def add(self, prompt: Sequence[int], sampling: Sampling = GREEDY, request_id: Hashable | None = None) -> Hashable:
        """Queue a prompt of token ids; returns the request's id. BadInputError for one that cannot run."""
        if request_id is None:
            request_id, self._next_id = self._next_id, self._next_id + 1
        worst = max(prompt, default=0, key=lambda token: max(token, -token * self.spec.vocab))
        if not 0 <= worst < self.spec.vocab:
            raise BadInputError(f"request {request_id!r}: token {worst} is not in 0..{self.spec.vocab - 1}")
        self.scheduler.add(Request(request_id, prompt, sampling.max_tokens, sampling.stop_ids, sampling.min_tokens))
        seed = int(self._chance.integers(1 << 62)) if sampling.seed is None else sampling.seed
        self._samplings[request_id] = sampling, signed(seed)
        return request_id

    def cancel(self, request_id: Hashable) -> Output | None:
        """End a request now; None where it has ended already."""
        sequence = self.scheduler.cancel(request_id)
        if sequence is None:
            return None
        del self._samplings[request_id]
        return Output(request_id, None, sequence.reason)

    def step(self) -> list[Output]:
        """Launch the next step and take in the one before it (or, without look-ahead, the same one)."""
        with torch.inference_mode():
            launched = self._launch()
        done, self._flying = (self._flying, launched) if self.look_ahead else (launched, None)
        return [] if done is None else self._collect(done)

    def generate(
        self, prompts: Sequence[Sequence[int]], sampling: Sampling | Sequence[Sampling] = GREEDY
    ) -> list[list[int]]:
        """The tokens generated for each prompt, in the prompts' order."""
        each = [sampling] * len(prompts) if isinstance(sampling, Sampling) else sampling
        ids = [self.add(prompt, one) for prompt, one in zip(prompts, each, strict=True)]
        tokens: dict[Hashable, list[int]] = {request_id: [] for request_id in ids}
        while self.unfinished:
            for output in self.step():
                if output.token is not None and output.request_id in tokens:
                    tokens[output.request_id].append(output.token)
        return [tokens[request_id] for request_id in ids]

    def stream(self, prompt: Sequence[int], sampling: Sampling = GREEDY) -> Iterator[int]:
        """One request's tokens as they come; leaving the loop early cancels it."""
        request_id = self.add(prompt, sampling)
        try:
            while True:
                for output in self.step():
                    if output.request_id == request_id and output.token is not None:
                        yield output.token
                    if output.request_id == request_id and output.reason is not None:
                        return
        finally:
            self.cancel(request_id)

    # -- one step ------------------------------------------------------------------------------------------

    def _launch(self) -> _Flying | None:
        step = self.scheduler.schedule()
        if step is None:
            return None
        for chunk in step.chunks:
            sampling, seed = self._samplings[chunk.sequence.request.id]
            self._slots.put(chunk.sequence.slot, sampling, seed)
        batch = self._packer.pack(step)
        graphs = self.graphs
        logits = graphs.replay(batch) if graphs is not None and graphs.fits(batch) else self._forward(batch)
        slots = [sequence.slot for sequence in step.samplers]
        if not slots:
            return _Flying(step, logits, None)
        positions = batch.positions[batch.sample_rows]
        tokens = self._slots.sample(logits, slots, batch.sample_slots, positions)
        self.tables.last_tokens[batch.sample_slots.long()] = tokens
        return _Flying(step, *self._to_host(tokens))

    def _collect(self, flying: _Flying) -> list[Output]:
        if flying.ready is not None:
            flying.ready.synchronize()
        alive = [s.request.id if s.reason is None else None for s in flying.step.samplers]
        tokens = flying.tokens.tolist() if alive else []
        ended = {s.request.id: s.reason for s in self.scheduler.finish(flying.step, tokens)}
        for request_id in ended:
            del self._samplings[request_id]
        return [
            Output(request_id, token, ended.get(request_id))
            for request_id, token in zip(alive, tokens, strict=True)
            if request_id is not None
        ]

    def _forward(self, batch: Batch) -> Tensor:
        return self.decoder.forward(batch)

    def _to_host(self, tokens: Tensor) -> tuple[Tensor, Any]:
        """Start the copy of sampled tokens; the event tells when they may be read."""
        if self.device.type != "cuda":
            return tokens, None
        if not self._pinned:
            size = self.scheduler.limits.max_batch
            self._pinned = [torch.empty(size, dtype=torch.int64, pin_memory=True) for _ in range(3)]
        self._turn = (self._turn + 1) % len(self._pinned)
        host = self._pinned[self._turn][: tokens.numel()]
        host.copy_(tokens, non_blocking=True)
        ready = torch.cuda.Event()
        ready.record()
        return host, ready


def _decoder(
    spec: ModelSpec,
    weights: ModelWeights,
    settings: Settings,
    part: Slice,
    routing: Routing,
    limits: Limits,
    tables: Tables,
) -> Decoder:
    """The model with its cache, tables and operators."""
    device = weights.embedding.device
    dtype = settings.kv_dtype or weights.embedding.dtype
    need = (limits.pages + 1) * page_bytes(spec, part, limits.page_size, dtype)
    check_memory(f"{spec.name}: {limits.pages} KV pages", need, device)
    return Decoder(
        spec=spec,
        part=part,
        weights=weights,
        operators=backends.operators(device, settings.triton),
        rope=rope_table(spec, limits.max_length, device),
        cache=KvCache(spec, part, limits.pages, limits.page_size, dtype, device),
        tables=tables,
        routing=routing_tables(spec, part, routing, limits.token_budget, device),
    )


def _tune(decoder: Decoder, max_batch: int) -> None:
    """Choose the kernels' shapes for this model, where kernels are used."""
    from executor.engine.operators_triton import TritonOperators
    from executor.engine.tuning import tune

    if isinstance(decoder.operators, TritonOperators):
        mlps = (layer.mlp for layer in decoder.weights.layers)
        experts = [mlp.experts for mlp in mlps if isinstance(mlp, MoeWeights)]
        heads = len(decoder.part.heads(decoder.spec))
        tune(decoder.operators.tuning, decoder.spec, heads, decoder.cache, experts, max_batch)


def _limits(spec: ModelSpec, settings: Settings) -> Limits:
    """What the engine holds, as the scheduler needs it."""
    size, max_length = settings.page_size, settings.max_length or spec.max_position
    pages = settings.pages
    if pages is None:
        pages = -(-settings.max_batch * max(max_length // 4, size) // size)
    return Limits(
        pages=pages,
        page_size=size,
        max_batch=settings.max_batch,
        token_budget=settings.token_budget,
        max_length=max_length,
        prefix_caching=settings.prefix_caching,
        reserve_pages=min(settings.max_batch, pages // 100),
    )


def _with_pages(spec: ModelSpec, weights: ModelWeights, settings: Settings, part: Slice, routing: Routing) -> Settings:
    """The settings with as many KV pages as a CUDA device holds beside the weights and the workspace.

    :raises DoesNotFitError: not one page fits.
    """
    device = weights.embedding.device
    if settings.pages is not None or device.type != "cuda":
        return settings
    one = page_bytes(spec, part, settings.page_size, settings.kv_dtype or weights.embedding.dtype)
    workspace = _workspace(spec, weights, settings, part, routing, one)
    free, total = torch.cuda.mem_get_info(device)
    room = int(free - (1 - MEMORY_SHARE) * total - max(0, workspace))
    pages = room // one - 1
    if pages < 1:
        short = (one - room) / 1e9
        raise DoesNotFitError(f"{spec.name}: no memory is left for KV pages, short by {short:.2f} GB", short)
    longest = -(-(settings.max_length or spec.max_position) // settings.page_size)
    return replace(settings, pages=min(pages, settings.max_batch * longest))


def _workspace(
    spec: ModelSpec, weights: ModelWeights, settings: Settings, part: Slice, routing: Routing, page: int
) -> int:
    """Bytes that the largest step takes besides weights and KV pages of ``page`` bytes, measured by running it."""
    device = weights.embedding.device
    max_length = settings.max_length or spec.max_position
    length = min(max_length, settings.token_budget) - 1
    count = max(1, min(settings.max_batch, settings.token_budget // max(1, length)))
    pages = count * -(-max_length // settings.page_size)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    probe = Engine(spec, weights, replace(settings, pages=pages, graphs=False), part, routing)
    probe.generate([[1 + row] * length for row in range(count)], Sampling(max_tokens=1))
    taken = torch.cuda.max_memory_allocated(device) - before - pages * page
    del probe
    torch.cuda.empty_cache()
    return taken
