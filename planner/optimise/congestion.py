"""Own orders lengthen the queues they wait in: plan, simulate at the plan's volume, plan again.

The programme takes lead times as given. Where stages have a capacity, futures drawn for one volume of orders are wrong
for another. So the study is repeated, each time on futures drawn at the volume of the plan before, until the plan stops
moving. It may not: then that is the answer, and the plan returned is the one that does best at its own volume.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from planner.futures.arrays import Array, Orders
from planner.optimise.evaluate import evaluate
from planner.optimise.lp.formulation import Formulation
from planner.optimise.service_level.confirm import Confirmation, Samples, confirmation, confirmed
from planner.optimise.service_level.infeasible_months import NEAR, lowered, out_of_reach

Draw = Callable[[Orders | None], Samples]
"""Futures under the same three roots at a plan's volume; None: no orders of one's own but a probe each."""

_ROUNDS = 5
_MOVED = 0.02
"""A plan has stopped moving when less than this share of its GPUs is ordered elsewhere or in another month."""


@dataclass(frozen=True)
class Settled:
    """The plan that stands at its own volume."""

    confirmation: Confirmation
    """Its confirmed outcome is that of the final simulation: futures drawn at this very plan's volume."""
    samples: Samples
    """Those futures."""
    settled: bool
    """Whether the plan stopped moving."""
    moves: tuple[float, ...]
    """Share of the GPUs ordered that changed place from each round to the next."""
    cost_alone: float
    """What the first plan seemed to cost while its own orders lengthened nothing, money."""


def settle(draw: Draw, *, rounds: int = _ROUNDS) -> Settled:
    """Plan, draw again at the plan's volume, plan again, ``rounds`` times at most."""
    samples = draw(None)
    moves: list[float] = []
    standing: list[tuple[Confirmation, Samples]] = []
    before: Orders | None = None
    cost_alone = float("nan")
    for _ in range(rounds):
        found = confirmation(samples)
        plan = found.confirmed.plan
        if before is None:
            cost_alone = found.confirmed.outcome.expected_cost
        else:
            moves.append(moved(before, plan))
        samples = draw(plan)
        standing.append((_at_its_own_volume(found, samples), samples))
        if moves and moves[-1] <= _MOVED:
            break
        before = plan
    still = bool(moves) and moves[-1] <= _MOVED
    # All rounds by one yardstick: what any of them shows to be possible.
    accepted = np.max([made.confirmed.accepted for made, _ in standing], axis=0)
    scores = [_short_and_dear(made, accepted) for made, _ in standing]
    best = scores.index(min(scores))
    # A plan that stands still is the answer, but never for one that comes nearer to the goal.
    made, there = standing[-1] if still and scores[-1][0] <= scores[best][0] else standing[best]
    made = replace(made, confirmed=replace(made.confirmed, accepted=accepted))
    return Settled(made, there, still and there is samples, tuple(moves), cost_alone)


def _at_its_own_volume(found: Confirmation, samples: Samples) -> Confirmation:
    """The plan judged on futures at its own volume; which months are out of reach is asked anew there."""
    judge = Formulation(samples.confirm)
    seen = evaluate(judge, found.validated.plan)
    short = np.flatnonzero(found.validated.required & (seen.probability < samples.goal))
    beyond = out_of_reach(Formulation(samples.validate), samples.goal, short)
    goal = np.where(found.validated.required, samples.goal, 0.0)
    validated = replace(
        found.validated,
        outcome=evaluate(samples.validate, found.validated.plan),
        out_of_reach=beyond,
        target=lowered(goal, beyond, NEAR),
        accepted=lowered(goal, beyond, 2 * NEAR),
    )
    return replace(found, validated=validated, confirmed=confirmed(judge, validated, samples.goal))


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


def _short_and_dear(made: Confirmation, accepted: Array) -> tuple[float, float]:
    outcome = made.confirmed.outcome
    return float(np.maximum(accepted - outcome.probability, 0.0).sum()), outcome.expected_cost
