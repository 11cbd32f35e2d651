"""CUDA graphs of decoding steps: one per batch size of a few buckets, replayed with new inputs.

A replay launches a whole step at once, so that the host's time per kernel no longer counts. Steps with prompt chunks
are launched kernel by kernel: they are long enough to hide the host.
"""

import bisect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from executor.engine.batch import Batch, Tables


class DecodeGraphs:
    """Graphs by bucket over one set of static inputs, sharing one memory pool."""

    def __init__(self, forward: Callable[[Batch], Tensor], tables: Tables, max_batch: int, max_context: int) -> None:
        # By 8 up to 64, by 16 up to 256 and by 32 beyond: padding wastes at most a quarter.
        sizes = [1, 2, 4, *range(8, 65, 8), *range(80, 257, 16), *range(288, max_batch, 32)]
        self.sizes = [*(size for size in sizes if size < max_batch), max_batch]
        self._forward = forward
        self._tables = tables
        self._max_context = max_context
        device = tables.pages.device
        self._positions = torch.zeros(max_batch, dtype=torch.int32, device=device)
        self._slots = torch.full((max_batch,), tables.trash_slot, dtype=torch.int32, device=device)
        self._rows = torch.arange(max_batch, device=device)
        self._graphs: dict[int, Any] = {}
        self._logits: Tensor | None = None

    def capture(self) -> None:
        """Record every bucket, largest first so that the pool is sized once."""
        pool = torch.cuda.graph_pool_handle()
        for size in reversed(self.sizes):
            logits = self._forward(self.static_batch(size))  # the first run compiles kernels, which a capture must not
            if self._logits is None:
                self._logits = torch.empty_like(logits)
            del logits
            torch.cuda.synchronize()
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=pool):
                self._logits[:size].copy_(self._forward(self.static_batch(size)))  # one buffer for all graphs
            self._graphs[size] = graph

    def replay(self, batch: Batch) -> Tensor:
        """Logits [decodes, vocabulary] of a step without chunks, valid until the next replay."""
        size = self.sizes[bisect.bisect_left(self.sizes, batch.decodes)]
        self.set_inputs(batch.slots, batch.positions)
        return self.replay_size(size)[: batch.decodes]

    def replay_size(self, size: int) -> Tensor:
        """Logits [size, vocabulary] for whatever the static inputs hold: for measurements."""
        assert self._logits is not None
        self._graphs[size].replay()
        return self._logits[:size]

    def set_inputs(self, slots: Tensor, positions: Tensor) -> None:
        """Put rows into the static inputs; those beyond them pad in the trash slot."""
        rows = slots.shape[0]
        self._positions.zero_()
        self._slots.fill_(self._tables.trash_slot)
        self._positions[:rows] = positions
        self._slots[:rows] = slots

    def fits(self, batch: Batch) -> bool:
        """Whether there is a graph for this step."""
        return batch.chunks is None and bool(self._graphs) and batch.decodes <= self.sizes[-1]

    def static_batch(self, size: int) -> Batch:
        """The batch a graph of ``size`` rows reads: ids, pages and cells follow from slots and positions."""
        slots, positions = self._slots[:size], self._positions[:size]
        return Batch(
            token_ids=self._tables.last_tokens[slots],
            positions=positions,
            slots=slots,
            cells=self._tables.cells(slots, positions),
            decodes=size,
            max_context=self._max_context,
            chunks=None,
            sample_rows=self._rows[:size],
            sample_slots=slots,
        )
