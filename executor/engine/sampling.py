"""Choosing the next token on the device: greedy, temperature, top-k and top-p, each request with its own seed.

A sampled token is the inverse of the cumulative distribution at a number u in [0, 1) that depends on the
request's seed and the token's position alone. So a request gets the same tokens whatever it is batched with,
in whatever chunks its prompt was computed, and after a preemption.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from executor.errors import BadInputError


@dataclass(frozen=True)
class Sampling:
    """How one request's tokens are chosen and when they end."""

    temperature: float = 0.0
    """0: greedy, the most probable token."""
    top_k: int = 0
    """Only the so many most probable tokens; 0: all."""
    top_p: float = 1.0
    """Only the most probable tokens whose probabilities add up to this much (after temperature and top_k)."""
    seed: int | None = None
    """None: the engine draws one from its own."""
    max_tokens: int = 128
    stop_ids: frozenset[int] = frozenset()
    min_tokens: int = 0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.temperature) and self.temperature >= 0):
            raise BadInputError(f"temperature must be 0 or more (got {self.temperature})")
        if not 0 < self.top_p <= 1:
            raise BadInputError(f"top_p must be above 0 and at most 1 (got {self.top_p})")
        if self.top_k < 0 or self.max_tokens < 1 or self.min_tokens < 0:
            raise BadInputError(
                "top_k and min_tokens must be 0 or more and max_tokens at least 1"
                f" (got {self.top_k}, {self.min_tokens}, {self.max_tokens})"
            )


GREEDY = Sampling()


class SlotSettings:
    """Per slot, on host and device: temperature, top-k, top-p and seed of the request that runs there."""

    def __init__(self, slots: int, device: torch.device) -> None:
        self.device = device
        self._numbers = np.zeros((slots, 3), dtype=np.float32)  # temperature, top_k, top_p
        self._seeds = np.zeros(slots, dtype=np.int64)
        self._changed = True
        self.numbers = torch.zeros(slots, 3, device=device)
        self.seeds = torch.zeros(slots, dtype=torch.int64, device=device)

    def put(self, slot: int, sampling: Sampling, seed: int) -> None:
        """A request enters a slot."""
        self._numbers[slot] = sampling.temperature, sampling.top_k, sampling.top_p
        self._seeds[slot] = seed
        self._changed = True

    def sample(self, logits: Tensor, slots: list[int], device_slots: Tensor, positions: Tensor) -> Tensor:
        """Tokens [S] from logits [S, vocabulary]; ``positions`` [S] are those of the tokens sampled after."""
        if not self._numbers[slots, 0].any():
            return logits.argmax(dim=-1)
        if self._changed:
            self.numbers = torch.from_numpy(self._numbers).to(self.device)
            self.seeds = torch.from_numpy(self._seeds).to(self.device)
            self._changed = False
        _, top_k, top_p = self._numbers[slots].T
        truncated = bool((top_k > 0).any() or (top_p < 1).any())  # a distribution that is cut has to be sorted
        return sample(logits, self.numbers[device_slots], self.seeds[device_slots], positions, truncated)


def sample(logits: Tensor, numbers: Tensor, seeds: Tensor, positions: Tensor, truncated: bool) -> Tensor:
    """Tokens [S]. ``numbers`` [S, 3]: temperature, top_k, top_p; rows of temperature 0 are greedy."""
    temperature, top_k, top_p = (column.unsqueeze(1) for column in numbers.unbind(1))
    scaled = logits.float() / torch.where(temperature > 0, temperature, 1.0)
    u = uniform(seeds, positions).unsqueeze(1)
    if truncated:
        scaled, tokens = scaled.sort(dim=-1, descending=True, stable=True)
        weights = _cut(torch.softmax(scaled, dim=-1), top_k, top_p)
        drawn = tokens.gather(1, _invert(weights, u)).squeeze(1)
    else:
        drawn = _invert(torch.softmax(scaled, dim=-1), u).squeeze(1)
    return torch.where(numbers[:, 0] > 0, drawn, logits.argmax(dim=-1))


def uniform(seeds: Tensor, positions: Tensor) -> Tensor:
    """A number in [0, 1) per (seed, position), by two rounds of the splitmix64 finaliser (Steele et al., 2014)."""
    mixed = _mix(seeds + positions.long() * signed(0x9E3779B97F4A7C15))
    mixed = _mix(mixed + seeds)
    return ((mixed >> 40) & 0xFFFFFF).float() * 2.0**-24


def _cut(sorted_weights: Tensor, top_k: Tensor, top_p: Tensor) -> Tensor:
    """Zero all but the first top_k, and of those all after top_p is reached; the first is always kept."""
    rank = torch.arange(sorted_weights.shape[1], device=sorted_weights.device)
    kept = torch.where((top_k > 0) & (rank >= top_k), 0.0, sorted_weights)
    before = kept.cumsum(dim=-1) - kept
    return torch.where((rank > 0) & (before >= top_p * kept.sum(-1, keepdim=True)), 0.0, kept)


def _invert(weights: Tensor, u: Tensor) -> Tensor:
    """The first index whose cumulative weight exceeds u times the total; never one of weight zero."""
    cumulative = weights.cumsum(dim=-1)
    total = cumulative[:, -1:]
    target = torch.minimum(u * total, torch.nextafter(total, torch.zeros_like(total)))
    return torch.searchsorted(cumulative, target, right=True)


def _mix(value: Tensor) -> Tensor:
    """splitmix64's finaliser on signed 64-bit integers, with logical shifts."""
    value = (value ^ _shift(value, 30)) * signed(0xBF58476D1CE4E5B9)
    value = (value ^ _shift(value, 27)) * signed(0x94D049BB133111EB)
    return value ^ _shift(value, 31)


def _shift(value: Tensor, by: int) -> Tensor:
    return (value >> by) & ((1 << (64 - by)) - 1)


def signed(value: int) -> int:
    """Any integer as the signed 64-bit number with the same last bits."""
    value &= (1 << 64) - 1
    return value - (1 << 64) if value >= 1 << 63 else value
