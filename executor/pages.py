"""The KV cache's pages as numbers: who holds which, which are free, which can be found again by their hash.

The tensors are in ``engine/kv.py``; here a page is an index, so the replay can use the same pool.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable


class PagePool:
    """Pages with reference counts, and a prefix cache over the full ones. Every operation is O(1) a page.

    A page is *held* while a sequence refers to it. A page nobody holds is *available*: either blank, or idle,
    that is, still findable by its hash until it is the least recently used one and its room is needed.
    """

    def __init__(self, pages: int) -> None:
        self.pages = pages
        self.evictions = 0
        self._blank = list(range(pages - 1, -1, -1))
        self._idle: dict[int, None] = {}
        self._holders = [0] * pages
        self._hash_of: dict[int, Hashable] = {}
        self._page_of: dict[Hashable, int] = {}

    @property
    def available(self) -> int:
        """Pages that can be taken now."""
        return len(self._blank) + len(self._idle)

    @property
    def held(self) -> int:
        """Pages that sequences refer to."""
        return self.pages - self.available

    def take(self) -> int:
        """A page to write into. IndexError where none is available: ask ``available`` first."""
        if self._blank:
            page = self._blank.pop()
        else:
            page = next(iter(self._idle), -1)
            if page < 0:
                raise IndexError("no page is available")
            del self._idle[page]
            del self._page_of[self._hash_of.pop(page)]
            self.evictions += 1
        self._holders[page] = 1
        return page

    def find(self, block_hash: Hashable) -> int | None:
        """The page with this content, held once more; None where the cache does not have it."""
        page = self._page_of.get(block_hash)
        if page is None:
            return None
        if self._holders[page] == 0:
            del self._idle[page]
        self._holders[page] += 1
        return page

    def publish(self, page: int, block_hash: Hashable) -> None:
        """Let a held, full page be found by its hash. The first page with a content is the one found."""
        if block_hash not in self._page_of and page not in self._hash_of:
            self._page_of[block_hash] = page
            self._hash_of[page] = block_hash

    def release(self, pages: Iterable[int]) -> None:
        """Hold these pages once less; of those released together, the first is reused first."""
        for page in pages:
            self._holders[page] -= 1
            if self._holders[page] == 0:
                if page in self._hash_of:
                    self._idle[page] = None
                else:
                    self._blank.append(page)
