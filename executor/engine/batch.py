"""What the device needs to know of one step, packed on the host and copied over at once.

The page tables and the last sampled token of each slot stay on the device.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from executor.scheduler.scheduler import Limits
from executor.scheduler.sequence import Chunk, Step

Ints = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Chunks:
    """The prompt chunks of a step as ragged rows, in the order of their tokens."""

    starts: Tensor
    """[chunks + 1] first token of each chunk within the chunks' tokens, and their number."""
    context_starts: Tensor
    """[chunks + 1] the same for the tokens each chunk attends to: its own and all before it."""
    context_cells: Tensor | None
    """[all context tokens] their cells in the cache; None where no chunk has anything before it."""
    counts: tuple[int, ...]
    contexts: tuple[int, ...]


@dataclass(frozen=True)
class Batch:
    """One step's tokens: ``decodes`` rows of one token, then the chunks' tokens. Integers are int32 or int64."""

    token_ids: Tensor
    """[T] ids to embed."""
    positions: Tensor
    """[T] place of each token in its sequence."""
    slots: Tensor
    """[T] slot of each token's sequence: the row of the page table."""
    cells: Tensor
    """[T] where each token's keys and values go: page * page_size + offset."""
    decodes: int
    max_context: int
    """The longest context among the decoding rows (an upper bound, under a CUDA graph)."""
    chunks: Chunks | None
    sample_rows: Tensor
    """[S] which tokens' hidden states a token is sampled from."""
    sample_slots: Tensor
    """[S] and the slots it belongs to."""


class Tables:
    """Per slot: the page table and the last sampled token, on the device. The last slot is for padding rows."""

    def __init__(self, limits: Limits, device: torch.device) -> None:
        self.page_size = limits.page_size
        self.trash_slot = limits.max_batch
        width = -(-limits.max_length // limits.page_size)
        shape = (limits.max_batch + 1, min(width, limits.pages) + 1)
        self.pages = torch.full(shape, limits.pages, dtype=torch.int32, device=device)
        self.last_tokens = torch.zeros(limits.max_batch + 1, dtype=torch.int64, device=device)
        self._host = np.full(shape, limits.pages, dtype=np.int32)

    def cells(self, slots: Tensor, positions: Tensor) -> Tensor:
        """Flat cells [T] of tokens at ``positions`` of ``slots``."""
        pages = self.pages[slots, positions // self.page_size]
        return pages.long() * self.page_size + positions % self.page_size

    def note(self, step: Step) -> None:
        """Follow the step's page changes on the host, where prompt contexts are laid out."""
        for slot, index, page in step.new_pages:
            self._host[slot, index] = page

    def context_cells(self, slot: int, length: int) -> Ints:
        """Cells of the first ``length`` tokens of a slot."""
        pages = self._host[slot, : -(-length // self.page_size)]
        offsets = np.arange(self.page_size, dtype=np.int32)
        return np.add.outer(pages * np.int32(self.page_size), offsets).reshape(-1)[:length]


class Packer:
    """Turns steps into batches: one host buffer, one copy, views on the device."""

    def __init__(self, tables: Tables, device: torch.device) -> None:
        self.tables = tables
        self.device = device
        self._buffers: list[Tensor | None] = [None] * 3  # pinned; reused only when long since copied
        self._turn = 0

    def pack(self, step: Step) -> Batch:
        """The batch of one step; page tables on the device are brought up to date first."""
        self.tables.note(step)
        decodes = len(step.decodes)
        slots = np.fromiter((s.slot for s in step.decodes), np.int32, decodes)
        origins = np.fromiter((s.origin for s in step.decodes), np.int64, decodes)
        positions = (step.number - origins).astype(np.int32)
        fields = [_chunk_fields(chunk) for chunk in step.chunks]
        laid = [
            np.concatenate(each)
            for each in zip((np.full(decodes, -1, np.int32), positions, slots), *fields, strict=True)
        ]
        laid += _samplers(step, slots)
        laid.append(np.asarray(step.new_pages, np.int32).reshape(-1, 3).T.reshape(-1))
        counts = tuple(chunk.count for chunk in step.chunks)
        contexts = tuple(chunk.start + chunk.count for chunk in step.chunks)
        laid += _ragged(step.chunks, counts, contexts, self.tables) if step.chunks else []
        sizes = [array.size for array in laid]
        ids, places, owners, rows, samplers, changes, *ragged = self._copy(np.concatenate(laid)).split(sizes)
        if changes.numel():
            changed, indices, pages = changes.view(3, -1)
            self.tables.pages[changed.long(), indices.long()] = pages
        chunks = None
        if ragged:
            starts, context_starts, *cells = ragged
            chunks = Chunks(starts, context_starts, cells[0] if cells else None, counts, contexts)
        return Batch(
            token_ids=torch.where(ids < 0, self.tables.last_tokens[owners], ids),
            positions=places,
            slots=owners,
            cells=self.tables.cells(owners, places),
            decodes=decodes,
            max_context=int(positions.max(initial=0)) + 1,
            chunks=chunks,
            sample_rows=rows,
            sample_slots=samplers,
        )

    def _copy(self, packed: Ints) -> Tensor:
        if self.device.type != "cuda":
            return torch.from_numpy(packed).to(self.device)
        self._turn = (self._turn + 1) % len(self._buffers)
        buffer = self._buffers[self._turn]
        if buffer is None or buffer.numel() < packed.size:
            size = max(1024, 2 * packed.size)
            buffer = self._buffers[self._turn] = torch.empty(size, dtype=torch.int32, pin_memory=True)
        buffer.numpy()[: packed.size] = packed
        return buffer[: packed.size].to(self.device, non_blocking=True)


def _chunk_fields(chunk: Chunk) -> tuple[Ints, Ints, Ints]:
    """Token ids, positions and slots of one chunk."""
    sequence, end = chunk.sequence, chunk.start + chunk.count
    assert sequence.tokens is not None
    ids = np.asarray(sequence.tokens[chunk.start : end], dtype=np.int32)
    return ids, np.arange(chunk.start, end, dtype=np.int32), np.full(chunk.count, sequence.slot, np.int32)


def _samplers(step: Step, slots: Ints) -> tuple[Ints, Ints]:
    """Rows of the batch that a token is sampled from, and their slots, in the order of ``step.samplers``."""
    rows, owners = list(range(len(step.decodes))), slots.tolist()
    end = len(step.decodes)
    for chunk in step.chunks:
        end += chunk.count
        if chunk.samples:
            rows.append(end - 1)
            owners.append(chunk.sequence.slot)
    return np.asarray(rows, np.int32), np.asarray(owners, np.int32)


def _ragged(chunks: Sequence[Chunk], counts: tuple[int, ...], contexts: tuple[int, ...], tables: Tables) -> list[Ints]:
    """Row starts, context starts, and the context's cells where something precedes a chunk."""
    laid = [np.cumsum([0, *lengths]).astype(np.int32) for lengths in (counts, contexts)]
    if any(chunk.start for chunk in chunks):
        each = zip(chunks, contexts, strict=True)
        laid.append(np.concatenate([tables.context_cells(chunk.sequence.slot, context) for chunk, context in each]))
    return laid
