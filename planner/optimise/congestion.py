"""Own orders lengthen the queues they wait in: plan, simulate at the plan's volume, plan again.

The programme takes lead times as given. Where stages have a capacity, futures drawn for one volume of orders
are wrong for another. So the study is repeated, each time on futures drawn at the volume of the plan before,
until the plan stops moving. It may not: then that is the answer, and the plan returned is the one that does
best at its own volume.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from planner.optimise.calibrate import Calibration, calibrate
from planner.optimise.evaluate import Outcome, evaluate
from planner.optimise.futures import Futures, Orders

Draw = Callable[[Orders | None], tuple[Futures, Futures]]
"""Futures to plan on and futures to judge by, under the same roots at every volume; None: no orders of one's own."""

_ROUNDS = 5
_MOVED = 0.02
"""A plan has stopped moving when less than this share of its GPUs is ordered elsewhere or in another month."""


@dataclass(frozen=True)
class Settled:
    """The plan that stands at its own volume."""

    calibration: Calibration
    """Its outcome is that of the final simulation: futures drawn at this very plan's volume."""
    settled: bool
    """Whether the plan stopped moving."""
    moves: tuple[float, ...]
    """Share of the GPUs ordered that changed place from each round to the next."""
    cost_alone: float
    """What the first plan seemed to cost while its own orders lengthened nothing, money."""


def settle(
    draw: Draw, goal: float, *, rounds: int = _ROUNDS, cvar_level: float = 0.9, cvar_bound: float = np.inf
) -> Settled:
    """Plan, draw again at the plan's volume, plan again, ``rounds`` times at most."""
    train, validate = draw(None)
    moves: list[float] = []
    standing: list[Calibration] = []
    before: Orders | None = None
    cost_alone = float("nan")
    for _ in range(rounds):
        found = calibrate(train, validate, goal, cvar_level=cvar_level, cvar_bound=cvar_bound)
        if before is None:
            cost_alone = found.outcome.expected_cost
        else:
            moves.append(moved(before, found.plan))
        train, validate = draw(found.plan)
        standing.append(replace(found, outcome=evaluate(validate, found.plan)))
        if moves and moves[-1] <= _MOVED:
            break
        before = found.plan
    still = bool(moves) and moves[-1] <= _MOVED
    chosen = standing[-1] if still else min(standing, key=lambda plan: _short_and_dear(plan, plan.outcome))
    return Settled(chosen, still, tuple(moves), cost_alone)


def moved(first: Orders, second: Orders) -> float:
    """Share of the GPUs of the larger plan that the two order differently; 0: the same plan.

    >>> empty, eight = np.zeros((1, 1, 2)), np.array([[[8.0, 0.0]]])
    >>> nothing = np.zeros((1, 0, 2))
    >>> moved(Orders(eight, nothing), Orders(empty, nothing)), moved(Orders(eight, nothing), Orders(eight, nothing))
    (1.0, 0.0)
    """
    larger = max(float(first.orders.sum()), float(second.orders.sum()))
    common = float(np.minimum(first.orders, second.orders).sum())
    return 0.0 if larger == 0 else 1.0 - common / larger


def _short_and_dear(plan: Calibration, outcome: Outcome) -> tuple[float, float]:
    return float(np.maximum(plan.accepted - outcome.probability, 0.0).sum()), outcome.expected_cost
