"""What the scheduler hands about: requests, the sequences they become, and the steps that compute them."""

import enum
import math
from collections import abc
from dataclasses import dataclass
from typing import NamedTuple

ROUNDING = 1e-9
"""Tokens: more than a product of a pace and a step's number is off by, less than a token."""


class State(enum.Enum):
    """Where a sequence stands."""

    WAITING = "waiting"
    PREFILLING = "prefilling"
    DECODING = "decoding"
    CLOSING = "closing"
    """Its last token, by length, is being computed."""
    ENDED = "ended"


class Request(NamedTuple):
    """A prompt and how long its answer may get.

    ``prompt`` is token ids, or their number where only lengths are known (a trace). ``block_hashes`` names
    the content of the prompt's full pages, first to last, for a trace that tells which prefixes are shared;
    with token ids it is not needed.
    """

    id: abc.Hashable
    prompt: abc.Sequence[int] | int
    max_tokens: int
    stop_ids: frozenset[int] = frozenset()
    min_tokens: int = 0
    """Stop ids before this many output tokens do not end the sequence."""
    block_hashes: abc.Sequence[abc.Hashable] = ()
    computed: int = 0
    """Prompt tokens whose KV comes with the request, as from a prefill replica; fewer than the prompt has."""

    @property
    def prompt_length(self) -> int:
        """Tokens of the prompt."""
        return self.prompt if isinstance(self.prompt, int) else len(self.prompt)


class Sequence:
    """A request under way: its tokens, its pages, its place in the batch."""

    __slots__ = (
        "cached", "computed", "due", "hashes", "last", "length", "origin", "pages", "preemptions", "prompt_length",
        "reason", "request", "slot", "state", "tokens",
    )  # fmt: skip

    def __init__(self, request: Request) -> None:
        self.request = request
        self.prompt_length = request.prompt_length
        self.tokens: list[int] | None = None if isinstance(request.prompt, int) else list(request.prompt)
        """Known ids, prompt and output; None where only lengths are known."""
        self.length = self.prompt_length
        """Tokens to compute before the next one can be sampled; kept up to date except while decoding."""
        self.computed = 0
        """Of those, how many have been scheduled; meaningful while prefilling."""
        self.cached = 0
        """Tokens found in the prefix cache at the latest admission."""
        self.state = State.WAITING
        self.slot = -1
        self.pages: list[int] = []
        self.hashes = request.block_hashes if self.tokens is None else list(request.block_hashes)
        self.origin: float = 0
        self.due = 0
        self.last = 0
        self.preemptions = 0
        self.reason: str | None = None
        """Why it ended: ``stop``, ``length`` or ``cancelled``."""

    @property
    def output(self) -> list[int]:
        """The ids generated so far."""
        return [] if self.tokens is None else self.tokens[self.prompt_length :]


@dataclass(slots=True)  # frozen would cost a microsecond for each
class Chunk:
    """Part of one sequence's prompt (or of what a preemption made it lose): tokens start..start+count."""

    sequence: Sequence
    start: int
    count: int
    samples: bool
    """The chunk reaches the end of what is known, so a token is sampled after it."""


class Step(NamedTuple):
    """What the device computes at once: one token of each of ``decodes``, then the chunks."""

    number: int
    decodes: tuple[Sequence, ...]
    decode_context: float
    """KV tokens read by the decoding rows together, their own included."""
    chunks: abc.Sequence[Chunk]
    new_pages: tuple[tuple[int, int, int], ...]
    """Changes of the page tables: (slot, index in the table, page)."""
    closing: abc.Sequence[Sequence]

    @property
    def tokens(self) -> int:
        """Tokens computed in this step."""
        return len(self.decodes) + sum(chunk.count for chunk in self.chunks)

    @property
    def samplers(self) -> list[Sequence]:
        """Who gets a token from this step, in the order in which ``finish`` expects them."""
        return [*self.decodes, *(chunk.sequence for chunk in self.chunks if chunk.samples)]


def steps_for(tokens: float, pace: float) -> int:
    """Steps after which a sequence has gained so many tokens at ``pace`` tokens a step."""
    return math.ceil(tokens / pace - ROUNDING)
