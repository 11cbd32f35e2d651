"""How much of the input a prefix cache would serve, from the hashes of the prefix blocks."""

from collections import OrderedDict

from planner.demand.readers.trace import Requests


def reuse_share(requests: Requests, cache_blocks: int | None = None) -> float:
    """Share of input tokens found in one global prefix cache with least-recently-used eviction.

    A hit is a run of blocks from the first one on; the last block of a request may be partly filled.
    ``cache_blocks`` is the size of the cache; None: it never evicts.
    """
    assert requests.blocks is not None, "a trace without hashes has no reuse to count"
    cache: OrderedDict[int, None] = OrderedDict()
    served = 0
    for blocks, tokens in zip(requests.blocks, requests.input_tokens.tolist(), strict=True):
        served += min(_run(cache, blocks) * requests.block_tokens, tokens)
        for block in blocks:
            cache[block] = None
            cache.move_to_end(block)
        while cache_blocks is not None and len(cache) > cache_blocks:
            cache.popitem(last=False)
    return served / float(requests.input_tokens.sum())


def distinct_blocks(requests: Requests) -> int:
    """Blocks that a cache holds which never evicts."""
    assert requests.blocks is not None, "a trace without hashes has no blocks"
    return len({block for blocks in requests.blocks for block in blocks})


def _run(cache: OrderedDict[int, None], blocks: tuple[int, ...]) -> int:
    """Blocks from the first on that the cache holds."""
    for at, block in enumerate(blocks):
        if block not in cache:
            return at
    return len(blocks)
