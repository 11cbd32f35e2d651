"""The oracle over shards: the same bits whoever answers, and the same answer as over all futures at once."""

import copy

import numpy as np
import pytest

from planner.optimise.lp import formulation as module
from planner.optimise.lp.formulation import Formulation, Shard
from planner.parallel.backends import Processes

BOUND = 0.02


@pytest.fixture
def futures(synthetic, monkeypatch):
    """Seven shards, the last of them short, whose pools compete for two small clouds."""
    monkeypatch.setattr(module, "SHARD", 50)
    return synthetic(330, spot_cap=6)


@pytest.fixture
def kept(futures):
    return 1000.0 * (np.random.default_rng(3).random((futures.count, futures.months)) < 0.9)


@pytest.mark.parametrize("bound", [np.inf, BOUND])
@pytest.mark.slow
def test_a_solve_over_several_processes_gives_the_same_bits_as_over_one(futures, kept, bound):
    found = [Formulation(futures, Processes(count)).solve(0.9, bound, kept=kept) for count in (1, 2, 3)]
    for other in found[1:]:
        assert other.plan.orders.tobytes() == found[0].plan.orders.tobytes()
        assert other.plan.reserved.tobytes() == found[0].plan.reserved.tobytes()
        assert other.cuts.slope.tobytes() == found[0].cuts.slope.tobytes()
        assert other.rounds == found[0].rounds > 5


def test_shards_together_answer_as_all_futures_at_once(futures, kept, monkeypatch):
    formulation = Formulation(futures)
    points = np.random.default_rng(4).uniform(0, 20, (4, len(formulation.outlay)))
    answers = []
    for size in (50, 1000):
        monkeypatch.setattr(module, "SHARD", size)
        with formulation.oracle(0.9, True, kept) as ask:
            answers.append([ask(point) for point in points])
    for (values, slopes), (all_values, all_slopes) in zip(*answers, strict=True):
        # Sums in another order: rounding, and where bases tie, another subgradient of the same value.
        np.testing.assert_allclose(values, all_values, rtol=1e-12)
        np.testing.assert_allclose(slopes, all_slopes, rtol=1e-9, atol=1e-9 * np.abs(all_slopes).max())


def test_a_shard_that_was_lost_catches_up_and_answers_with_the_same_bits(futures, kept):
    formulation = Formulation(futures)
    part = slice(0, 50)
    shard = Shard(formulation.over(part), kept[part], True)
    lost = copy.deepcopy(shard)
    points = list(np.random.default_rng(5).uniform(0, 20, (9, len(formulation.outlay))))
    for number in range(1, len(points) + 1):
        told = shard.expectations(points[:number])
    anew = lost.expectations(points)
    assert all(one.tobytes() == other.tobytes() for one, other in zip(told, anew, strict=True))
    weight = np.linspace(0, 1, 50)
    late = copy.deepcopy(Shard(formulation.over(part), kept[part], True))
    assert shard.tail(points, weight).tobytes() == late.tail(points, weight).tobytes()


def test_an_answer_asked_for_twice_is_the_same(futures, kept):
    formulation = Formulation(futures)
    shard = Shard(formulation.over(slice(0, 50)), kept[:50], False)
    point = np.full(len(formulation.outlay), 3.0)
    first, again = shard.expectations([point]), shard.expectations([point])
    assert first[0].tobytes() == again[0].tobytes()
    assert first[2] is None
