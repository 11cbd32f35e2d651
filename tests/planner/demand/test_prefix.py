"""Prefix reuse: small cases by hand, and the published hour against an independent count."""

import csv

import numpy as np
import pytest

from planner.demand.prefix import distinct_blocks, reuse_share
from planner.demand.readers.mooncake import read_mooncake
from planner.demand.readers.trace import Requests


def requests(*blocks, tokens=None):
    sizes = tokens or [10 * len(each) for each in blocks]
    return Requests(
        arrival_s=np.arange(len(blocks), dtype=float),
        input_tokens=np.array(sizes),
        output_tokens=np.ones(len(blocks), dtype=np.int64),
        blocks=blocks,
        block_tokens=10,
    )


def test_only_a_run_from_the_first_block_counts():
    """Second request: two blocks found, the third new, the fourth found but behind a new one."""
    assert reuse_share(requests((1, 2, 3, 4), (1, 2, 9, 4))) == 20 / 80


def test_the_last_block_counts_only_as_far_as_it_is_filled():
    assert reuse_share(requests((1, 2), (1, 2), tokens=[15, 15])) == 15 / 30


def test_a_small_cache_forgets_the_oldest():
    stream = requests((1,), (2,), (1,))
    assert reuse_share(stream) == 1 / 3
    assert reuse_share(stream, cache_blocks=2) == 1 / 3
    assert reuse_share(stream, cache_blocks=1) == 0.0


def test_a_larger_cache_never_serves_less(published):
    trace = read_mooncake(published / "mooncake" / "synthetic_trace.jsonl.gz")
    shares = [reuse_share(trace.requests, size) for size in (1_000, 10_000, 40_000)]
    assert shares == sorted(shares)
    assert reuse_share(trace.requests, distinct_blocks(trace.requests)) == reuse_share(trace.requests)


def test_the_published_hour_is_served_as_another_count_says(published):
    trace = read_mooncake(published / "mooncake" / "conversation_trace.jsonl.gz")
    with (published / "mooncake_prefix_cache_curve.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["trace"] == "mooncake_conversation"]
    assert len(rows) == 7
    for row in rows:
        share = reuse_share(trace.requests, int(row["cache_blocks_512_tokens"]))
        assert share == pytest.approx(float(row["token_hit_share"]), abs=0.001)  # the table has three digits
