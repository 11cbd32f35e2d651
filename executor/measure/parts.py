"""A decoding step on this device and what it consists of: attention, MLP or experts of a layer, the head.

Every sequence stands at the same context, over pages of its own; weights and pages are taken in turn layer by layer, as
in a step. On CUDA what is timed are replays of graphs, on the CPU calls.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812

from executor.engine.engine import Engine
from executor.engine.graphs import DecodeGraphs
from executor.engine.timing import Timing, time_calls, time_replays
from executor.engine.weights import MoeWeights
from executor.errors import BadInputError

SAMPLES = 30


@dataclass(frozen=True)
class Part:
    """One operator class of a step of ``batch`` sequences: seconds of one call, median and quartiles."""

    name: str
    batch: int
    context: int
    calls: int
    """How often a step calls it."""
    timing: Timing


def step_parts(engine: Engine, batches: Sequence[int], context: int, samples: int = SAMPLES) -> Iterator[Part]:
    """For each batch size the whole step, then its operators. BadInputError where the engine cannot hold it."""
    limits = engine.scheduler.limits
    pages = -(-(context + 1) // engine.tables.page_size)
    for batch in batches:
        if batch > limits.max_batch or batch * pages > limits.pages or context >= limits.max_length:
            raise BadInputError(
                f"{batch} sequences at {context} tokens of context are more than the engine holds: at most"
                f" {limits.max_batch} sequences, {limits.pages} pages of {limits.page_size} tokens and"
                f" {limits.max_length} tokens each"
            )
    fill(engine, context)
    with torch.inference_mode():
        for batch in batches:
            yield Part("step", batch, context, 1, time_step(engine, batch, context, samples))
            yield from _operators(engine, batch, context, samples)


def _operators(engine: Engine, batch: int, context: int, samples: int) -> Iterator[Part]:
    decoder, device = engine.decoder, engine.device
    graphs, weights = _graphs(engine, context), engine.decoder.weights
    _set(graphs, engine, batch, context)
    rows = graphs.static_batch(batch)
    x = torch.randn(batch, weights.embedding.shape[1], device=device, dtype=weights.embedding.dtype)

    def timed(name: str, calls: list[Callable[[], object]]) -> Part:
        return Part(name, batch, context, len(calls), time_calls(calls, device, samples))

    def attention(at: int) -> Callable[[], object]:
        return lambda: decoder._attention(weights.layers[at], x, rows, decoder.cache.layers[at])

    def mlp(at: int) -> Callable[[], object]:
        return lambda: decoder._mlp(weights.layers[at].mlp, x, decoder.routing[at])

    layers = range(len(weights.layers))
    experts = [at for at in layers if isinstance(weights.layers[at].mlp, MoeWeights)]
    dense = [at for at in layers if at not in experts]
    yield timed("attention", [attention(at) for at in layers])
    if dense:
        yield timed("mlp", [mlp(at) for at in dense])
    if experts:
        yield timed("experts", [mlp(at) for at in experts])
    yield timed("head", [lambda: F.linear(x, weights.head)])


def fill(engine: Engine, context: int) -> None:
    """Random keys and values in every page, and page tables that give each slot its own pages."""
    for layer in engine.decoder.cache.layers:
        for tensor in (layer.keys, layer.values):
            if tensor.numel():
                tensor.copy_(torch.randn(tensor.shape[1:], device=tensor.device))
    width = -(-(context + 1) // engine.tables.page_size)
    limits = engine.scheduler.limits
    slots = min(limits.max_batch, limits.pages // width)
    order = torch.randperm(limits.pages, device=engine.device).int()
    engine.tables.pages[:slots, :width] = order[: slots * width].view(slots, width)


def time_step(engine: Engine, batch: int, context: int, samples: int) -> Timing:
    """One decoding step of ``batch`` rows at the context, by graph replay where there are graphs."""
    graphs = _graphs(engine, context)
    _set(graphs, engine, batch, context)
    if engine.graphs is None:
        with torch.inference_mode():
            return time_calls([lambda: engine._forward(graphs.static_batch(batch))], engine.device, samples)
    size = next(size for size in graphs.sizes if size >= batch)
    return time_replays(lambda: graphs.replay_size(size), samples)


def _graphs(engine: Engine, context: int) -> DecodeGraphs:
    if engine.graphs is not None:
        return engine.graphs
    limits = engine.scheduler.limits
    return DecodeGraphs(engine._forward, engine.tables, limits.max_batch, context)


def _set(graphs: DecodeGraphs, engine: Engine, batch: int, context: int) -> None:
    slots = torch.arange(batch, device=engine.device, dtype=torch.int32)
    graphs.set_inputs(slots, torch.full_like(slots, context - 1))
