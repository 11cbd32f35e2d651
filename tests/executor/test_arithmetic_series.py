import numpy as np
import pytest

from executor.arithmetic_series import FEW, Ramps

SHARES = [0.0, 0.01, 0.5, 0.9, 0.99, 1.0]


def ramps(series, longest, growth, seed):
    chance = np.random.default_rng(seed)
    return Ramps(
        chance.lognormal(0, 1, series).round(1),  # with ties
        growth * chance.integers(0, 3, series),
        chance.integers(1, longest + 1, series),
        chance.integers(0, 4, series) + (np.arange(series) == 0),
    )


def written_out(found):
    """Every value, in no order."""
    place = np.repeat(np.arange(found.steps.size), found.steps)
    step = np.arange(place.size) - np.repeat(np.cumsum(found.steps) - found.steps, found.steps)
    return np.repeat(found.first[place] + found.growth[place] * step, found.count[place])


@pytest.mark.parametrize("growth", [0.0, 1e-3, 0.5])
@pytest.mark.parametrize(("series", "longest"), [(1, 1), (7, 5), (300, 1000), (3, 2 * FEW), (3 * FEW, 1)])
def test_figures_are_numpys_with_each_value_written_out(series, longest, growth):
    found = ramps(series, longest, growth, seed=series)
    values = written_out(found)
    assert found.total == values.size
    assert found.mean() == pytest.approx(values.mean(), rel=1e-12)
    assert found.deviation(found.mean()) == pytest.approx(values.std(), rel=1e-9, abs=1e-12)
    assert found.quantiles(SHARES) == pytest.approx(np.quantile(values, SHARES), rel=1e-12)


def test_many_equal_values_have_their_quantiles_too():
    found = Ramps.of(np.concatenate([np.full(2 * FEW, 3.0), [1.0], np.full(FEW, 7.0)]))
    assert found.quantiles([0.0, 0.3, 0.9]).tolist() == [1.0, 3.0, 7.0]


def test_values_with_a_count_of_nothing_are_not_there():
    found = Ramps(np.array([9.0, 1.0]), np.zeros(2), np.array([5, 1]), np.array([0, 1]))
    assert found.quantiles([0.5, 1.0]).tolist() == [1.0, 1.0]
