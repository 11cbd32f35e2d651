"""Lengths without arrivals: a cumulative distribution, or one pair."""

import json

import numpy as np
import pytest

from executor.errors import FileError
from planner.demand.readers.lengths import LEVELS, fixed_lengths, read_cdf, read_cdf_pair
from planner.demand.summary import joint_lengths


def test_a_straight_line_gives_even_lengths(written):
    """Even between 1 and 1001: mean 501, and every step 2.5 tokens wide."""
    values = read_cdf(written("[[1001, 1.0]]"))
    assert values.size == LEVELS
    assert values.mean() == pytest.approx(501)
    assert np.diff(values) == pytest.approx(1000 / LEVELS)


def test_the_mean_is_that_of_the_piecewise_even_law(written):
    """A tenth even in 1..100, six tenths in 100..300, three tenths in 300..1000."""
    values = read_cdf(written("[[100, 0.1], [300, 0.7], [1000, 1.0]]"))
    assert values.mean() == pytest.approx(0.1 * 50.5 + 0.6 * 200 + 0.3 * 650)
    assert (np.diff(values) > 0).all()


def test_a_vertical_step_is_one_length_and_a_level_step_is_a_hole(written):
    values = read_cdf(written("[[100, 0.0], [100, 0.5], [200, 0.5], [300, 1.0]]"))
    assert values[: LEVELS // 2] == pytest.approx(100)
    assert values[LEVELS // 2] == pytest.approx(200, abs=1)  # first of the even half: 200 to 300
    assert values.mean() == pytest.approx(0.5 * 100 + 0.5 * 250)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "must be a list of points"),
        ('{"a": 1}', "must be a list of points"),
        ("[[1, 2, 3]]", r"point 0 must be \[tokens, cumulative\]"),
        ("[[10, 0.5], [5, 1.0]]", "point 1 lies below the one before"),
        ("[[10, 0.5], [50, 0.4]]", "point 1 lies below the one before"),
        ("[[10, 0.5]]", "do not end at 1"),
        ('[["x", 1.0]]', "tokens of point 0 must be a number"),
        ("[[10, NaN]]", "is no JSON: NaN is no number"),
        ("[[0, 1.0]]", "tokens of point 0 must be a finite number of 1 or more"),
        ("[[10, 1.0]", "is no JSON"),
    ],
)
def test_what_is_no_distribution_is_refused(written, text, message):
    with pytest.raises(FileError, match=message):
        read_cdf(written(text))


def test_margins_alone_make_independent_lengths(written):
    path = written("[[1001, 1.0]]")
    joint = joint_lengths(read_cdf_pair(path, path, "margins").lengths)
    by_input = {}
    for cell in joint.cells:
        by_input.setdefault(round(cell.input), []).append(cell.output)
    assert len(by_input) == 12
    outputs = np.array(list(by_input.values()))
    assert outputs == pytest.approx(np.tile(outputs[0], (12, 1)))
    assert "independent" in joint.pairing


def test_one_pair_is_every_request_alike():
    joint = joint_lengths(fixed_lengths("pair", 4096, 1024).lengths)
    assert {(cell.input, cell.output) for cell in joint.cells} == {(4096, 1024)}
    assert (joint.input.p10, joint.input.p99, joint.output.mean) == (4096, 4096, 1024)


def test_the_points_survive_a_round_through_a_file(written):
    points = [[int(10 * 1.5**n), (n + 1) / 20] for n in range(20)]
    values = read_cdf(written(json.dumps(points)))
    for tokens, until in points[:-1]:
        below = (values < tokens).mean()
        assert below == pytest.approx(until, abs=1 / LEVELS)  # one step of the grid
