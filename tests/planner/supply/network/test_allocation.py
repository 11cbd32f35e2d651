"""Quantities divided among customers: by hand, and what every rule must keep."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.supply.network.allocation import Rule, allocate

RULES = get_args(Rule)


@pytest.mark.parametrize(
    ("rule", "given_out"),
    [
        ("proportional", [40_000, 25_000, 10_000]),  # 75,000 of 300,000: a quarter of each
        ("uniform", [25_000, 25_000, 25_000]),
        ("in-turn", [75_000, 0, 0]),
    ],
)
def test_75_000_are_divided_among_three_who_ask_for_300_000(rule, given_out):
    assert allocate(75_000, [160_000, 100_000, 40_000], rule) == given_out


def test_what_a_small_customer_does_not_need_goes_to_the_others_in_equal_parts():
    assert allocate(100, [10, 80, 60], "uniform") == [10, 45, 45]
    assert allocate(100, [10, 80, 30], "uniform") == [10, 60, 30]


def test_everybody_gets_all_where_it_suffices():
    for rule in RULES:
        assert allocate(100, [10, 80, 10], rule) == [10, 80, 10]


def test_parts_of_a_gpu_go_to_the_largest_remainders():
    """10 in the ratio 5 : 3 : 4: 4.17, 2.5, 3.33."""
    assert allocate(10, [5, 3, 4], "proportional") == [4, 3, 3]
    assert allocate(11, [9, 9, 9], "uniform") == [4, 4, 3]


@given(st.integers(0, 200), st.lists(st.integers(0, 90), min_size=1, max_size=6), st.sampled_from(RULES))
def test_nothing_is_lost_and_nobody_gets_more_than_is_asked_for(quantity, asked, rule):
    given_out = allocate(quantity, asked, rule)
    assert sum(given_out) == min(quantity, sum(asked))
    assert all(0 <= part <= one for part, one in zip(given_out, asked, strict=True))
    more = allocate(quantity + 1, asked, "uniform")
    assert all(two >= one for one, two in zip(allocate(quantity, asked, "uniform"), more, strict=True))


@given(st.integers(0, 200), st.lists(st.integers(0, 90), min_size=2, max_size=6))
def test_under_equal_parts_nobody_gains_by_asking_for_more(quantity, asked):
    honest = allocate(quantity, asked, "uniform")[-1]
    if honest < asked[-1]:
        assert allocate(quantity, [*asked[:-1], asked[-1] + 50], "uniform")[-1] == honest


def test_negative_quantities_are_refused():
    with pytest.raises(ValueError, match="not negative"):
        allocate(-1, [1], "uniform")
