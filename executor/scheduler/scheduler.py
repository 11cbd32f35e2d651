"""Which sequences run in the next step, with how many tokens each: continuous batching without torch or clock.

The engine runs it on a device and the replay on a modelled clock; both do

    step = scheduler.schedule()             # None: nothing can run now
    ...                                     # compute the step, or add its modelled time
    for sequence in scheduler.finish(step, tokens):  # tokens: one id per sampler; None: lengths only
        ...                                 # it ended, sequence.reason says why

``schedule`` may be called once more before ``finish`` (one-step look-ahead): the tokens still under way are
counted, not known. Steps finish in the order in which they were scheduled.

The rules, in order:

1. every decoding sequence gets one token; a sequence that needs a page when none is available preempts the
   youngest running one, possibly itself, which gives up its pages and is computed again later;
2. what is left of the token budget goes to unfinished prompts, oldest first, in chunks;
3. then waiting requests are admitted in order of arrival, each with pages for all it has to compute; a step
   that preempted admits nobody.

With ``prefill_first`` rules 2 and 3 come first and such a step holds prompts only: the decoding sequences wait.

All decoding sequences advance together, so nothing is counted per sequence: a sequence's position is
``step.number - origin``, and page needs and ends by length wait in buckets by step number. A step without
arrivals costs O(1) plus one pointer per decoding sequence, and ``advance`` takes many such steps at once.
"""

from array import array
from collections import abc, deque
from dataclasses import dataclass, field
from hashlib import blake2b
from heapq import heappop, heappush
from itertools import count, repeat

from executor.errors import BadInputError
from executor.scheduler.kv_pages import PagePool, Pages
from executor.scheduler.sequence import ROUNDING, Chunk, Request, Sequence, State, Step, steps_for


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one replica holds and does at once. Lengths in tokens."""

    pages: int
    """KV pages of the device."""
    page_size: int = 64
    """Tokens a page. 64 is the page of FlashMLA (README, 2025-02, published)."""
    max_batch: int = 256
    """Sequences running at once. vLLM's max_num_seqs for online serving (0.10, 2025-08, published)."""
    token_budget: int = 8192
    """Tokens a step. vLLM's max_num_batched_tokens on GPUs of 70 GiB and more (0.10, 2025-08, published)."""
    max_length: int = 1 << 20
    """Prompt and output of one sequence together."""
    prefix_caching: bool = True
    reserve_pages: int = 0
    """Pages an admission leaves free for the growth of those that run already."""
    prefill_first: bool = False
    """Prompts and decoding sequences never share a step, and prompts come first."""
    tokens_per_step: float = 1
    """Tokens that a decoding sequence gains in a step, on average: above 1 where drafts are accepted, and then only
    for sequences of which lengths alone are known."""

    def __post_init__(self) -> None:
        for name in ("pages", "page_size", "max_batch", "token_budget", "max_length"):
            if getattr(self, name) < 1:
                raise BadInputError(f"{name} must be at least 1 (got {getattr(self, name)})")
        if not 1 <= self.tokens_per_step <= self.page_size:
            raise BadInputError(
                f"tokens_per_step must be from 1 to the page_size {self.page_size} (got {self.tokens_per_step!r})"
            )
        if self.token_budget < self.max_batch:
            raise BadInputError(
                f"token_budget {self.token_budget} is below max_batch {self.max_batch}:"
                " every decoding sequence needs one token a step; raise the budget or lower the batch"
            )


@dataclass
class Counters:
    """What happened so far."""

    steps: int = 0
    preemptions: int = 0
    prompt_tokens_cached: int = 0
    prompt_tokens_computed: int = 0
    ended: dict[str, int] = field(default_factory=lambda: {"stop": 0, "length": 0, "cancelled": 0})


class Scheduler:
    """Continuous batching over a pool of KV pages. ``max_batch`` slots name the places in the batch.

    >>> scheduler = Scheduler(Limits(pages=8, page_size=4, max_batch=2, token_budget=8))
    >>> scheduler.add(Request("a", prompt=10, max_tokens=2))
    >>> [(step.tokens, len(scheduler.finish(step))) for step in iter(scheduler.schedule, None)]
    [(8, 0), (2, 0), (1, 1)]
    """

    def __init__(self, limits: Limits, pool: Pages | None = None) -> None:
        """``pool``: in place of one of ``limits.pages`` numbered pages; then no changes of page tables are noted."""
        self.limits = limits
        self.pool: Pages = pool or PagePool(limits.pages)
        self._has_tables = pool is None
        self._page_size = limits.page_size
        self._pace = int(limits.tokens_per_step) if limits.tokens_per_step == 1 else limits.tokens_per_step
        self._caching = limits.prefix_caching
        self.counters = Counters()
        self._number = 0
        self._sequences: dict[abc.Hashable, Sequence] = {}
        self._waiting: deque[Sequence] = deque()
        self._running: dict[Sequence, None] = {}
        self._prefilling: dict[Sequence, None] = {}
        self._decoding: dict[Sequence, None] = {}
        self._origins: float = 0
        self._free_slots = list(range(limits.max_batch - 1, -1, -1))
        self._due: dict[int, list[Sequence]] = {}
        self._last: dict[int, list[Sequence]] = {}
        self._next_due: list[int] = []
        self._next_last: list[int] = []
        self._blocked = False
        self._changes: list[tuple[int, int, int]] = []

    # -- what the caller asks ------------------------------------------------------------------------------

    @property
    def decoding(self) -> int:
        """Sequences that get a token from the next step, unless one of them is preempted for it."""
        return len(self._decoding)

    @property
    def context(self) -> float:
        """KV tokens that those read in the next step, their own included."""
        return self._context(self._number + 1)

    @property
    def is_quiet(self) -> bool:
        """The next step decodes and nothing else, as far as is known before pages are given out."""
        if self._prefilling or not self._decoding:
            return False
        return self._blocked or not self._waiting or not self._free_slots

    @property
    def quiet_at_most(self) -> int:
        """Steps up to the next one in which a decoding sequence ends; ``advance`` takes no more."""
        return self._next_last[0] - self._number if self._decoding else 0

    @property
    def unfinished(self) -> int:
        """Requests added and not ended."""
        return len(self._sequences)

    def add(self, request: Request) -> None:
        """Queue a request. Raises BadInputError for one that could never run."""
        self._check(request)
        sequence = Sequence(request)
        self._sequences[request.id] = sequence
        self._waiting.append(sequence)

    def cancel(self, request_id: abc.Hashable) -> Sequence | None:
        """End a request now; None where it is unknown or has ended. Tokens still under way are dropped."""
        sequence = self._sequences.get(request_id)
        if sequence is not None:
            self._end(sequence, "cancelled")
        return sequence

    def schedule(self) -> Step | None:
        """The next step, or None where nothing can run (no work, or all of it waits for ``finish``)."""
        if self.limits.prefill_first:
            chunks = self._prompts(self.limits.token_budget, admit=True)
            if chunks:  # the decoding sequences stand still, and so does the number their positions follow
                return self._step(self._number, (), 0, chunks, [])
        number = self._number + 1
        preemptions = self.counters.preemptions
        if self._next_due and self._next_due[0] == number:
            self._grow(number)
        decodes = tuple(self._decoding)
        context = self._context(number)
        closing = self._close(number) if self._next_last and self._next_last[0] == number else []
        budget = self.limits.token_budget - len(decodes)
        chunks = self._prompts(budget, admit=self.counters.preemptions == preemptions)
        if not decodes and not chunks:
            self._changes = []
            return None
        self._number = number
        return self._step(number, decodes, context, chunks, closing)

    def advance(self, most: int) -> tuple[int, list[Sequence]]:
        """Take up to ``most`` steps in which the decoding sequences get their tokens and nobody else runs.

        They are scheduled and finished at once, pages included, up to the one with which a sequence ends.
        Returns how many were taken and who ended: 0 where the next step has to be scheduled, because a prompt
        is in it or a page is lacking. For sequences of which only lengths are known, with no step under way.
        """
        if not self.is_quiet:
            return 0, []
        until = min(self._number + most, self._next_last[0])
        due = self._next_due
        while due and due[0] <= until:
            if self.pool.available < len(self._due[due[0]]):
                until = due[0] - 1
                break
            self._grow(due[0])
        taken = until - self._number
        self._number = until
        self.counters.steps += taken
        self._changes = []
        ended = self._close(until) if until == self._next_last[0] else []
        for sequence in ended:
            self._end(sequence, "length")
        return taken, ended

    def finish(self, step: Step, tokens: abc.Sequence[int] | None = None) -> list[Sequence]:
        """Take in a computed step: one token id per ``step.samplers``, or None for lengths alone.

        Returns the sequences that ended with it, each exactly once.
        """
        ended: list[Sequence] = []
        if tokens is not None:
            for sequence, token in zip(step.samplers, tokens, strict=True):
                if sequence.state is not State.ENDED and self._append(sequence, token):
                    ended.append(sequence)
        for sequence in step.closing:
            if sequence.state is State.CLOSING:
                self._end(sequence, "length")
                ended.append(sequence)
        return ended

    # -- one step ------------------------------------------------------------------------------------------

    def _context(self, number: int) -> float:
        """KV tokens that the decoding sequences read in the step of that number, their own included."""
        count = len(self._decoding)
        return self._pace * number * count - self._origins + count

    def _step(
        self, number: int, decodes: tuple[Sequence, ...], context: float, chunks: list[Chunk], closing: list[Sequence]
    ) -> Step:
        """The step of that number; the prompts that it completes decode from the next one on."""
        for chunk in chunks:
            if chunk.samples:
                self._start_decoding(chunk.sequence, number, closing)
        changes: tuple[tuple[int, int, int], ...] = ()
        if self._changes:
            changes, self._changes = tuple(self._changes), []
        self.counters.steps += 1
        return Step(number, decodes, context, chunks, changes, closing)

    def _prompts(self, budget: int, admit: bool) -> list[Chunk]:
        """Chunks of the prompts under way, then of those that can be admitted, as far as the budget goes."""
        chunks: list[Chunk] = []
        for sequence in self._prefilling:  # oldest first
            if budget == 0:
                break
            budget -= self._take_chunk(sequence, budget, chunks)
        if self._waiting and admit:
            self._admit(budget, chunks)
        return chunks

    def _grow(self, number: int) -> None:
        """Give a page to each decoding sequence whose next token starts one."""
        heappop(self._next_due)
        for sequence in self._due.pop(number):
            if sequence.state is not State.DECODING or sequence.due != number:
                continue  # it ended or was preempted since
            while not self.pool.available:
                victim = next(reversed(self._running))
                self._preempt(victim, number)
                if victim is sequence:
                    break
            else:
                pages = self.pool.take_many(1)
                if self._has_tables:
                    self._changes.append((sequence.slot, len(sequence.pages), pages[0]))
                sequence.pages += pages
                self._await_page(sequence)

    def _close(self, number: int) -> list[Sequence]:
        """The decoding sequences that sample their last token, by length, in this step."""
        closing: list[Sequence] = []
        heappop(self._next_last)
        for sequence in self._last.pop(number):
            if sequence.state is State.DECODING and sequence.last == number:  # not ended or preempted since
                self._leave_batch(sequence)
                sequence.state = State.CLOSING
                closing.append(sequence)
        return closing

    def _admit(self, budget: int, chunks: list[Chunk]) -> None:
        """Admit waiting sequences in order while slots, pages and budget last."""
        while budget > 0 and self._waiting and self._free_slots and not self._blocked:
            sequence = self._waiting[0]
            if sequence.state is State.ENDED:
                self._waiting.popleft()
                continue
            if sequence.tokens is not None and len(sequence.tokens) < sequence.length:
                break  # preempted with a token under way: its id is known after the next finish
            if not self._take_pages(sequence):
                self._blocked = True
                break
            self._waiting.popleft()
            sequence.state = State.PREFILLING
            self._running[sequence] = None
            self._prefilling[sequence] = None
            budget -= self._take_chunk(sequence, budget, chunks)

    def _take_pages(self, sequence: Sequence) -> bool:
        """Pages for all that is known of a sequence, cached ones first; False, and none taken, if too few."""
        size = self._page_size
        found = self._find_prefix(sequence) if self._caching else []
        missing = -(-sequence.length // size) - len(found)
        reserve = self.limits.reserve_pages if self._running else 0
        pool = self.pool
        if pool.available < missing + reserve:
            pool.release(found)
            return False
        sequence.slot = self._free_slots.pop()
        sequence.pages = found + pool.take_many(missing)
        if self._has_tables:
            self._changes.extend(zip(repeat(sequence.slot), count(), sequence.pages, strict=False))
        sequence.computed = sequence.cached = len(found) * size
        if sequence.request.computed and not sequence.preemptions:  # what was preempted is gone
            sequence.computed = max(sequence.computed, sequence.request.computed)
        self.counters.prompt_tokens_cached += sequence.cached
        return True

    def _find_prefix(self, sequence: Sequence) -> list[int]:
        """Cached pages of the longest known prefix; the last token is always computed, to sample after it."""
        known = (sequence.length - 1) // self._page_size
        names = self._hashes(sequence, known)
        return self.pool.find_run(names[:known]) if names else []

    def _take_chunk(self, sequence: Sequence, budget: int, chunks: list[Chunk]) -> int:
        """As much of the prompt as the budget allows; returns the number of tokens."""
        start = sequence.computed
        count = min(sequence.length - start, budget)
        sequence.computed = start + count
        chunks.append(Chunk(sequence, start, count, samples=sequence.computed == sequence.length))
        self.counters.prompt_tokens_computed += count
        if self._caching and (sequence.hashes or sequence.tokens is not None):
            size = self._page_size
            self._publish(sequence, start // size, sequence.computed // size)
        return count

    def _start_decoding(self, sequence: Sequence, number: int, closing: list[Sequence]) -> None:
        """The prompt is complete in this step: from the next one on, one token a step."""
        del self._prefilling[sequence]
        pace = self._pace
        left = sequence.prompt_length + sequence.request.max_tokens - sequence.length - 1
        sequence.last = number + (left if pace == 1 else steps_for(left, pace))
        if sequence.last == number:
            self._running.pop(sequence)
            sequence.state = State.CLOSING
            closing.append(sequence)
            return
        sequence.state = State.DECODING
        sequence.origin = pace * (number + 1) - sequence.length
        self._decoding[sequence] = None
        self._origins += sequence.origin
        self._put(self._last, self._next_last, sequence.last, sequence)
        self._await_page(sequence)

    # -- changes of one sequence ---------------------------------------------------------------------------

    def _append(self, sequence: Sequence, token: int) -> bool:
        """Add a sampled token; True where it ends the sequence."""
        tokens = sequence.tokens
        if tokens is None:
            return False
        size = self.limits.page_size
        if len(tokens) % size == 0 and sequence.pages and self.limits.prefix_caching:
            self._publish(sequence, len(tokens) // size - 1, len(tokens) // size)
        tokens.append(token)
        request = sequence.request
        outputs = len(tokens) - sequence.prompt_length
        if token in request.stop_ids and outputs >= request.min_tokens:
            self._end(sequence, "stop")
        elif outputs >= request.max_tokens:
            self._end(sequence, "length")
        return sequence.state is State.ENDED

    def _preempt(self, sequence: Sequence, number: int) -> None:
        """Take all pages away; the sequence waits at the head of the queue to be computed again."""
        if sequence.state is State.DECODING:
            sequence.length = int(self._pace * number - sequence.origin + ROUNDING) + 1
        self._give_up(sequence)
        sequence.state = State.WAITING
        sequence.preemptions += 1
        self.counters.preemptions += 1
        self._waiting.appendleft(sequence)

    def _end(self, sequence: Sequence, reason: str) -> None:
        del self._sequences[sequence.request.id]
        if sequence.state is State.WAITING:
            self._blocked = False  # it stays in the deque until it reaches the head
        else:
            self._give_up(sequence)
        sequence.state = State.ENDED
        sequence.reason = reason
        self.counters.ended[reason] += 1

    def _give_up(self, sequence: Sequence) -> None:
        """Return slot and pages. The tail of a sequence is evicted before its more often shared head."""
        if sequence.state is not State.CLOSING:
            self._leave_batch(sequence)
        self.pool.release(sequence.pages)
        sequence.pages = []
        self._free_slots.append(sequence.slot)
        sequence.slot = -1
        self._blocked = False
        if self._changes:  # a table that was changed earlier in this step and lost again
            self._changes = [change for change in self._changes if change[0] != self._free_slots[-1]]

    def _leave_batch(self, sequence: Sequence) -> None:
        del self._running[sequence]
        if sequence.state is State.DECODING:
            del self._decoding[sequence]
            self._origins -= sequence.origin
        else:
            del self._prefilling[sequence]

    def _await_page(self, sequence: Sequence) -> None:
        """Note the step in which its tokens begin another page, unless it ends before."""
        tokens = sequence.origin + len(sequence.pages) * self._page_size
        due = int(tokens) if self._pace == 1 else steps_for(tokens, self._pace)
        if due <= sequence.last:
            sequence.due = due
            self._put(self._due, self._next_due, due, sequence)

    @staticmethod
    def _put(buckets: dict[int, list[Sequence]], numbers: list[int], number: int, sequence: Sequence) -> None:
        """Note a sequence for the step of that number; ``numbers`` is the heap of those noted."""
        if number not in buckets:
            buckets[number] = []
            heappush(numbers, number)
        buckets[number].append(sequence)

    # -- prefix hashes and checks --------------------------------------------------------------------------

    def _publish(self, sequence: Sequence, first: int, stop: int) -> None:
        """Let the full pages first..stop be found by their names, where they have one."""
        if first < stop:
            self.pool.publish_run(sequence.pages, self._hashes(sequence, stop), first, stop)

    def _hashes(self, sequence: Sequence, pages: int) -> abc.Sequence[abc.Hashable]:
        """Names of at least the first ``pages`` full pages, as far as there are any.

        Where tokens are known, a name is a 128-bit hash of the page's tokens and of the name before it.
        """
        hashes = sequence.hashes
        if sequence.tokens is not None and len(hashes) < pages:
            assert isinstance(hashes, list)
            size = self.limits.page_size
            while len(hashes) < pages:
                start = len(hashes) * size
                content = array("q", sequence.tokens[start : start + size])
                before = str(hashes[-1]).encode() if hashes else b""
                hashes.append(blake2b(before + content.tobytes(), digest_size=16).hexdigest())
        return hashes

    def _check(self, request: Request) -> None:
        limits, prompt, computed = self.limits, request.prompt_length, request.computed
        total = prompt + request.max_tokens
        held = -(-(total - 1) // limits.page_size)  # the last token is sampled and never written
        if request.id in self._sequences:
            raise BadInputError(f"request {request.id!r} is running already; give each request its own id")
        if self._pace != 1 and not isinstance(request.prompt, int):
            wrong = f"tokens_per_step is {self._pace}, which is for lengths alone; give the number of prompt tokens, or"
            wrong += " let tokens_per_step be 1"
        elif prompt < 1 or request.max_tokens < 1:
            wrong = f"prompt and max_tokens need at least 1 token (got {prompt} and {request.max_tokens})"
        elif not 0 <= computed < prompt:
            wrong = f"computed must be from 0 to below the prompt's {prompt} tokens (got {computed})"
        elif total > limits.max_length:
            wrong = f"{prompt} prompt tokens and {request.max_tokens} more exceed the longest sequence,"
            wrong += f" {limits.max_length}; shorten one of them"
        elif held > limits.pages:
            wrong = f"{total} tokens need {held} KV pages of {limits.page_size} tokens, the device has {limits.pages}"
        else:
            return
        raise BadInputError(f"request {request.id!r}: {wrong}")
