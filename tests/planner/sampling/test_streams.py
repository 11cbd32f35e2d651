"""The keyed streams: published vectors, and draws that nothing else can change."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.sampling import Key, entity_id
from planner.sampling.streams import philox4x32

WORD = st.integers(0, 2**32 - 1)


@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
    ids=["zeros", "all ones", "digits of pi"],
)
def test_blocks_equal_the_known_answers_published_with_random123(counter, key, expected):
    words = philox4x32(tuple(np.array([word], dtype=np.uint64) for word in counter), key)
    assert tuple(int(word[0]) for word in words) == expected


def test_arrays_give_the_same_numbers_as_one_call_for_each_counter():
    replication, entity = np.arange(5)[:, None], np.array([7, 2**32 - 1, entity_id("H20", 3, 0)])[None, :]
    together = Key(11).uniform("lot", replication, entity, stage=3, draw=2)
    one_by_one = [[float(Key(11).uniform("lot", int(r), int(e), 3, 2)) for e in entity[0]] for r in replication[:, 0]]
    assert np.array_equal(together, np.array(one_by_one))


@given(root=WORD, replication=WORD, entity=WORD, stages=st.integers(1, 9))
def test_all_stages_at_once_equal_each_stage_alone(root, replication, entity, stages):
    bulk = Key(root).stages("lot", replication, entity, stages)
    assert np.array_equal(bulk, Key(root).uniform("lot", replication, entity, np.arange(stages)))


def test_more_replications_entities_or_stages_change_no_earlier_draw():
    few = Key(5).stages("lot", np.arange(10)[:, None], np.arange(4)[None, :], 3)
    many = Key(5).stages("lot", np.arange(20_000)[:, None], np.arange(6)[None, :], 8)
    assert np.array_equal(many[:3, :10, :4], few)


@given(st.tuples(WORD, WORD, WORD, WORD, WORD))
def test_uniforms_are_never_zero_and_never_one(words):
    root, replication, entity, stage, draw = words
    assert 0.0 < float(Key(root).uniform("gate", replication, entity, stage, draw)) < 1.0


def test_roots_domains_and_every_counter_word_give_other_numbers():
    base = float(Key(1).uniform("lot", 1, 1, 1, 1))
    others = [
        Key(2).uniform("lot", 1, 1, 1, 1), Key(1).uniform("gate", 1, 1, 1, 1), Key(1).uniform("lot", 2, 1, 1, 1),
        Key(1).uniform("lot", 1, 2, 1, 1), Key(1).uniform("lot", 1, 1, 2, 1), Key(1).uniform("lot", 1, 1, 1, 2),
    ]  # fmt: skip
    assert len({base, *map(float, others)}) == 7


def test_uniforms_are_even_and_neighbouring_counters_are_uncorrelated():
    u = Key(2025).stages("lot", np.arange(40_000)[:, None], np.arange(5)[None, :], 2)
    counts = np.histogram(u, bins=20, range=(0, 1))[0]
    expected = u.size / 20
    assert float(((counts - expected) ** 2 / expected).sum()) < 50.8  # chi-square, 19 degrees, 1 in 10 000
    correlations = np.corrcoef(u.transpose(0, 2, 1).reshape(10, -1))[np.triu_indices(10, 1)]
    assert np.abs(correlations).max() < 4.5 / np.sqrt(40_000)  # 45 pairs, each beyond 4.5 sd once in 150 000


def test_an_entity_is_named_by_what_it_is_and_text_is_not_a_number():
    assert entity_id("H20 from new wafers", 3, 0) == 534164987
    assert entity_id("a", 1) != entity_id("a", "1")
    assert entity_id("a", "b") != entity_id("ab")


@pytest.mark.parametrize("root", [-1, 2**32])
def test_a_root_outside_one_word_is_refused(root):
    with pytest.raises(ValueError, match="a root is a whole number"):
        Key(root)


@pytest.mark.parametrize(("replication", "message"), [(-1, "lies in"), (2**32, "lies in"), (0.5, "whole numbers")])
def test_a_counter_that_is_no_word_is_refused(replication, message):
    with pytest.raises(ValueError, match=message):
        Key(1).uniform("lot", replication, 0)
