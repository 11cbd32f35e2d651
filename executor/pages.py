"""The KV cache's pages as numbers: who holds which, which are free, which can be found again by their hash.

The tensors are in ``engine/kv.py``; here a page is an index, so the replay can use the same pool.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterable


class PagePool:
    """Pages with reference counts, and a prefix cache over the full ones. Every operation is O(1) a page.

    A page is *held* while a sequence refers to it. A page nobody holds is *available*: either blank, or idle,
    that is, still findable by its hash until it is the least recently used one and its room is needed.
    """

    def __init__(self, pages: int) -> None:
        self.pages = pages
        self.evictions = 0
        self.most_held = 0
        """Most pages held at once so far."""
        self._blank = list(range(pages - 1, -1, -1))
        self._idle: OrderedDict[int, None] = OrderedDict()  # a dict would search for its first entry
        self._holders = [0] * pages
        self._hash_of: list[Hashable | None] = [None] * pages
        self._page_of: dict[Hashable, int] = {}

    @property
    def available(self) -> int:
        """Pages that can be taken now."""
        return len(self._blank) + len(self._idle)

    @property
    def held(self) -> int:
        """Pages that sequences refer to."""
        return self.pages - len(self._blank) - len(self._idle)

    def take(self) -> int:
        """A page to write into. IndexError where none is available: ask ``available`` first."""
        return self.take_many(1)[0]

    def take_many(self, count: int) -> list[int]:
        """So many pages to write into: blank ones, then the least recently used. IndexError if too few."""
        blank, holders, hash_of = self._blank, self._holders, self._hash_of
        split = max(0, len(blank) - count)
        taken = blank[split:]
        taken.reverse()
        evicted = count - len(taken)
        if evicted > len(self._idle):
            raise IndexError("no page is available")
        del blank[split:]
        for _ in range(evicted):
            page, _none = self._idle.popitem(last=False)
            del self._page_of[hash_of[page]]
            hash_of[page] = None
            taken.append(page)
        self.evictions += max(0, evicted)
        for page in taken:
            holders[page] = 1
        held = self.pages - len(blank) - len(self._idle)
        if held > self.most_held:
            self.most_held = held
        return taken

    def find(self, block_hash: Hashable) -> int | None:
        """The page with this content, held once more; None where the cache does not have it."""
        found = self.find_run((block_hash,))
        return found[0] if found else None

    def find_run(self, block_hashes: Iterable[Hashable]) -> list[int]:
        """The pages with these contents up to the first that the cache does not have, each held once more."""
        found: list[int] = []
        page_of, holders, idle = self._page_of, self._holders, self._idle
        for block_hash in block_hashes:
            page = page_of.get(block_hash)
            if page is None:
                break
            if holders[page] == 0:
                del idle[page]
            holders[page] += 1
            found.append(page)
        return found

    def publish(self, page: int, block_hash: Hashable) -> None:
        """Let a held, full page be found by its hash. The first page with a content is the one found."""
        self.publish_run((page,), (block_hash,))

    def publish_run(self, pages: Iterable[int], block_hashes: Iterable[Hashable]) -> None:
        """``publish`` for many pages; hashes beyond the last page, or pages beyond the last hash, are left."""
        page_of, hash_of = self._page_of, self._hash_of
        for page, block_hash in zip(pages, block_hashes, strict=False):
            if hash_of[page] is None and page_of.setdefault(block_hash, page) == page:
                hash_of[page] = block_hash

    def release(self, pages: Iterable[int]) -> None:
        """Hold these pages once less; of those released together, the first is reused first."""
        holders, hash_of, idle, blank = self._holders, self._hash_of, self._idle, self._blank
        for page in pages:
            left = holders[page] = holders[page] - 1
            if left == 0:
                if hash_of[page] is None:
                    blank.append(page)
                else:
                    idle[page] = None
