"""The KV cache's pages as numbers: who holds which, which are free, which can be found again by their hash.

The tensors are in ``engine/kv.py``; here a page is an index, so the replay can use the same pool.
"""

from collections import OrderedDict, deque
from collections.abc import Hashable, Sequence

TIDY_AFTER = 10_000
"""Releases after which the list of them is gone through."""


class PagePool:
    """Pages with reference counts, and a prefix cache over the full ones. Every operation is O(1) a page.

    A page is *held* while a sequence refers to it. A page nobody holds is *available*: either blank, or idle,
    that is, still findable by its hash until it is the least recently used one and its room is needed.
    """

    def __init__(self, pages: int) -> None:
        self.pages = pages
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
        for page in taken:
            holders[page] = 1
        held = self.pages - len(blank) - len(self._idle)
        if held > self.most_held:
            self.most_held = held
        return taken

    def find_run(self, block_hashes: Sequence[Hashable], /) -> list[int]:
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

    def publish_run(self, table: Sequence[int], names: Sequence[Hashable], first: int, stop: int) -> None:
        """Let the full pages first..stop of a table be found by their names, as far as they have one.

        The first page with a content is the one found.
        """
        page_of, hash_of = self._page_of, self._hash_of
        for page, block_hash in zip(table[first:stop], names[first:stop], strict=False):
            if hash_of[page] is None and page_of.setdefault(block_hash, page) == page:
                hash_of[page] = block_hash

    def release(self, table: Sequence[int]) -> None:
        """Hold these pages once less; of those released together, the last is reused first."""
        holders, hash_of, idle, blank = self._holders, self._hash_of, self._idle, self._blank
        for page in reversed(table):
            left = holders[page] = holders[page] - 1
            if left == 0:
                if hash_of[page] is None:
                    blank.append(page)
                else:
                    idle[page] = None


class CountedPages:
    """The same decisions where nobody writes into a page: pages without a name are counted, not told apart.

    A table holds the names of the pages that can be found by one, and None for each other page. For a replay,
    where lengths are known and contents are not.
    """

    def __init__(self, pages: int) -> None:
        self.pages = pages
        self.most_held = 0
        self._blank = pages
        self._idle = 0
        self._state: dict[Hashable, int] = {}
        """Of each page that can be found: how many hold it, or minus the number of the release that let it go."""
        self._released: deque[tuple[int, list[Hashable]]] = deque()
        """Number of a release and the pages it let go, the next to be reused last; some are held again since."""
        self._releases = 0
        self._next_tidying = TIDY_AFTER

    @property
    def available(self) -> int:
        """Pages that can be taken now."""
        return self._blank + self._idle

    @property
    def held(self) -> int:
        """Pages that sequences refer to."""
        return self.pages - self._blank - self._idle

    def take_many(self, count: int) -> list:
        """So many pages without a name: blank ones, then the least recently used. IndexError if too few."""
        left = self._blank - count
        if left < 0:
            self._evict(-left)
            left = 0
        self._blank = left
        held = self.pages - left - self._idle
        if held > self.most_held:
            self.most_held = held
        return [None] * count

    def _evict(self, count: int) -> None:
        if count > self._idle:
            raise IndexError("no page is available")
        self._idle -= count
        state = self._state
        while count:
            number, names = self._released[0]
            while names:
                name = names.pop()
                if state.get(name) == number:
                    del state[name]
                    count -= 1
                    if not count:
                        return
            self._released.popleft()

    def find_run(self, names: Sequence[Hashable], /) -> list:
        """The pages with these contents up to the first that the cache does not have, each held once more."""
        found: list[Hashable | None] = []
        state = self._state
        for name in names:
            holders = state.get(name)
            if holders is None:
                break
            if holders < 0:
                self._idle -= 1
                holders = 0
            state[name] = holders + 1
            found.append(name)
        return found

    def publish_run(self, table: list, names: Sequence[Hashable], first: int, stop: int) -> None:
        """Let the full pages first..stop of a table be found by their names, as far as they have one."""
        state = self._state
        new = names[first:stop]
        once = dict.fromkeys(new, 1)
        if len(once) == len(new) and state.keys().isdisjoint(new):
            state.update(once)
            table[first : first + len(new)] = new
            return
        for at, name in enumerate(new, first):
            if name not in state:
                state[name] = 1
                table[at] = name

    def release(self, table: Sequence[Hashable | None]) -> None:
        """Hold these pages once less; of those released together, the last is reused first."""
        names = [name for name in table if name is not None]
        self._blank += len(table) - len(names)
        if not names:
            return
        state = self._state
        self._releases -= 1
        number = self._releases
        if list(map(state.__getitem__, names)).count(1) == len(names):
            state.update(dict.fromkeys(names, number))
        else:
            kept, names = names, []
            for name in reversed(kept):  # a page may stand twice in a table
                left = state[name] - 1
                state[name] = left or number
                if not left:
                    names.append(name)
            names.reverse()
        self._idle += len(names)
        self._released.append((number, names))
        if len(self._released) > self._next_tidying:
            self._tidy()

    def _tidy(self) -> None:
        """Forget what was held again, so that the list of releases does not grow for ever."""
        state = self._state
        left = ((number, [name for name in names if state.get(name) == number]) for number, names in self._released)
        self._released = deque((number, names) for number, names in left if names)
        self._next_tidying = 2 * len(self._released) + TIDY_AFTER


Pages = PagePool | CountedPages
"""What the scheduler gives out. A page is whatever the pool puts into a sequence's table."""
