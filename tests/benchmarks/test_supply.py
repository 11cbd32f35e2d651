"""The programs whose times the supply benchmark compares tell the same story."""

import numpy as np

from benchmarks.supply import by_hand, model
from planner.sampling import Key
from planner.supply import simulate


def test_the_hand_written_program_delivers_in_the_engines_minutes():
    spec, orders = model(lots_a_month=2)
    minutes = by_hand(spec, orders, Key(3), range(6))
    for engine in ("simpy", "fast"):
        assert np.array_equal(simulate(spec, orders, Key(3), range(6), engine=engine).delivered_at, minutes)
    assert (minutes >= 0).all()
