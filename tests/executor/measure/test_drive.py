"""The engine on its own clock, and the replay against it."""

import itertools

import numpy as np
import pytest

pytest.importorskip("torch")

from benchmarks.engine_loop import drive
from benchmarks.step_samples import StepSample, fitted_batch_time
from executor.errors import BadInputError
from executor.replay.arrivals import Arrivals, arrival_times
from executor.replay.cluster import replay
from tests.executor.token_times import times_of


@pytest.fixture
def engine(tiny_engine):
    """An engine with few pages and a small budget."""
    return lambda **settings: tiny_engine(**{"pages": 64, "token_budget": 96, **settings})


def requests(rate, count=30, seed=0):
    chance = np.random.default_rng(seed)
    return Arrivals(
        arrival_times(count, rate, 1.0, chance), chance.integers(5, 150, count), chance.integers(1, 40, count)
    )


def one_second():
    """Every step takes one second, whatever is in it."""
    chance = np.random.default_rng(1)
    samples = [
        StepSample(*(int(n) for n in chance.integers(1, 50, 3)), float(chance.integers(1, 900)), 1, 1.0)
        for _ in range(200)
    ]
    found = fitted_batch_time([each._replace(completed=at % 2) for at, each in enumerate(samples)], 640, 96)
    assert found.fixed == pytest.approx(1.0, abs=1e-9)
    return found


def test_with_one_second_a_step_the_engine_and_the_replay_give_the_same_token_times(engine):
    """A clock that counts one for every look makes each step one second: what remains is the scheduling."""
    served = engine(pages=36)
    given = requests(rate=0.2)
    ticking = itertools.count()
    driven = drive(served, given, clock=lambda: float(next(ticking)))
    found = replay(given, one_second(), served.scheduler.limits)
    assert found.preemptions.sum() > 0
    for at, times in enumerate(driven.token_s):
        assert times == pytest.approx(times_of(found, at), rel=1e-12)


def test_a_fit_recovers_the_coefficients_and_survives_hiccups():
    chance = np.random.default_rng(2)
    samples = []
    for at in range(400):
        batch, context, tokens = (int(n) for n in chance.integers(0, (20, 9000, 500)))
        square, completed = float(tokens**2), int(chance.integers(0, 3))
        seconds = 0.004 + 1e-4 * batch + 2e-7 * context + 3e-5 * (batch + tokens) + 1e-9 * square + 5e-4 * completed
        samples.append(StepSample(batch, context, tokens, square, completed, seconds * (9 if at % 97 == 0 else 1)))
    found = fitted_batch_time(samples, 1000, 512)
    assert found.fixed == pytest.approx(0.004, rel=1e-6)
    assert found.context == pytest.approx(2e-7, rel=1e-4)
    assert found.step(7, 300, 40, 1600.0, 1) == pytest.approx(0.004 + 7e-4 + 6e-5 + 47 * 3e-5 + 1.6e-6 + 5e-4, rel=1e-6)


def test_a_fit_follows_kernels_that_change_with_the_number_of_rows():
    """A product of one row is another kernel than one of two or three; from four on rows cost alike."""
    chance = np.random.default_rng(3)
    base = {1: 0.014, 2: 0.022, 3: 0.023}
    samples = []
    for _ in range(500):
        batch, context = int(chance.integers(1, 17)), int(chance.integers(10, 4000))
        seconds = base.get(batch, 0.020 + 0.001 * batch) + 2e-6 * context
        samples.append(StepSample(batch, context, 0, 0.0, 0, seconds * chance.lognormal(0, 0.02)))
    found = fitted_batch_time(samples, 1000, 512)
    for batch in (1, 2, 3, 4, 6, 8, 12, 16):
        expected = base.get(batch, 0.020 + 0.001 * batch) + 2e-6 * 1000
        assert found.decode(batch, 1000) == pytest.approx(expected, rel=0.03)  # noise of 2 %, lines between knots


def test_too_few_steps_and_an_engine_with_look_ahead_are_errors(engine):
    with pytest.raises(BadInputError, match="too few"):
        fitted_batch_time([StepSample(1, 1, 1, 1, 1, 1.0)], 10, 10)
    with pytest.raises(BadInputError, match="look_ahead"):
        drive(engine(look_ahead=True), requests(1.0, 2))


def test_the_engine_is_left_as_it_was(engine):
    served = engine()
    scheduler = served.scheduler
    found = drive(served, requests(rate=100.0, count=5))
    assert served.scheduler is scheduler
    assert served.unfinished == 0
    assert [times.size for times in found.token_s] == found.arrivals.output.tolist()
    assert all(sample.seconds > 0 for sample in found.samples)
