r"""What knowing more, or another world, would be worth; what the service level costs; what to learn first.

    VSS   = EEV - RP    value of the stochastic solution: the cost of planning with means, carried out
    EVPI  = RP - WS     expected value of perfect information: the most a forecast could be worth

    RP    expected cost of the plan that knows the distribution (the programme without a goal)
    EEV   expected cost, over the same futures, of the plan that is best for the mean future
    WS    mean over the futures of the cost of the plan that is best for that very future

All are of the programme in parts of GPUs, without probability or CVaR, so that RP is an optimum and neither value can
be negative beyond the gap of the solve.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from planner.futures.arrays import Array, Futures, Orders
from planner.optimise.evaluate import Outcome, evaluate
from planner.optimise.intervals import paired
from planner.optimise.lp.extensive_form import monolithic
from planner.optimise.lp.formulation import Formulation
from planner.optimise.service_level.calibrate import Calibration
from planner.record.models import Information, Interval, Swing, SwingInput

_GAP = 1e-5
"""Relative gap of the solves whose differences are taken: a tenth of what is shown."""

_FORETOLD = 100
"""Perfect information is bought for so many of the futures, each with a programme of its own."""


def value_of_information(futures: Futures, foretold: int = _FORETOLD) -> Information:
    """VSS over all futures and EVPI over the first ``foretold`` of them."""
    formulation = Formulation(futures)
    recourse = formulation.solve(gap=_GAP).plan
    mean_plan = Formulation(mean_future(futures)).solve(gap=_GAP).plan
    allowed = Orders(
        np.where(futures.may_order, mean_plan.orders, 0.0), np.where(futures.may_reserve, mean_plan.reserved, 0.0)
    )
    known, naive = (evaluate(formulation, plan).cost.total for plan in (recourse, allowed))
    count = min(foretold, futures.count)
    ahead = np.array([monolithic(futures.take([n])).expected_cost for n in range(count)])
    return Information(stochastic_solution=paired(known, naive), perfect=paired(ahead, known[:count]), foretold=count)


def mean_future(futures: Futures) -> Futures:
    """One future in which everything is at its mean, and every order arrives in its median month."""
    arrival = np.quantile(futures.arrival_month, 0.5, axis=0, method="inverted_cdf")
    means = {
        name: getattr(futures, name).mean(axis=0, keepdims=True)
        for name in ("need", "owned", "per_gpu", "rental_per_gpu", "outlay")
    }
    return replace(futures, **means, arrival_month=arrival[None].astype(np.int64), passing=None, regime=None)


@dataclass(frozen=True)
class OtherWorld:
    """The same study with something changed and the same random numbers, re-optimised."""

    gate: str | None
    """The gate that is always open there; None: all of them."""
    cost: Interval
    """Cost there less cost here, per future, money; below nothing: the other world is cheaper."""
    probability: Interval
    """Probability there less here, of the month that is weakest here."""
    month: int


def worth_of(gate: str | None, there: Calibration, here: Calibration) -> OtherWorld:
    """Compare with a world whose futures were drawn under the same roots: a gate always open, a lower price.

    Both judged on the same number of confirming futures.
    """
    month = here.outcome.weakest_month
    return OtherWorld(
        gate=gate,
        cost=paired(here.outcome.cost.total, there.outcome.cost.total),
        probability=paired(here.outcome.met_jointly[:, month], there.outcome.met_jointly[:, month]),
        month=month,
    )


@dataclass(frozen=True)
class FrontierPoint:
    """What one goal costs."""

    goal: float
    plan: Orders
    outcome: Outcome
    """On the confirming futures."""
    month: int
    """The weakest month in which the goal must hold."""
    meets_goal: bool

    @property
    def cost(self) -> float:
        """Expected, money."""
        return self.outcome.expected_cost

    @property
    def weakest(self) -> float:
        """Probability of the weakest month in which the goal must hold."""
        return float(self.outcome.probability[self.month])


def point_of(confirm: Futures, found: Calibration) -> FrontierPoint:
    """A plan as a point of the frontier of cost against probability."""
    required = np.flatnonzero(confirm.must_meet)
    odds = found.outcome.probability
    month = int(required[odds[required].argmin()]) if len(required) else int(odds.argmin())
    return FrontierPoint(found.goal, found.plan, found.outcome, month, found.meets_goal)


def efficient(points: Iterable[FrontierPoint]) -> tuple[FrontierPoint, ...]:
    """From the lowest probability to the highest; a point that costs more than one with a higher probability is
    left out: nobody would choose it.
    """
    every = list(points)
    kept: dict[tuple[float, float], FrontierPoint] = {}
    for point in every:
        beaten = any(
            other.cost <= point.cost
            and other.weakest >= point.weakest
            and (other.cost, -other.weakest) != (point.cost, -point.weakest)
            for other in every
        )
        if not beaten:
            kept.setdefault((point.weakest, point.cost), point)
    return tuple(kept[place] for place in sorted(kept))


def tornado(validate: Futures, outcome: Outcome) -> list[Swing]:
    """The inputs by how far the outcome swings with them, widest cost swing first: what to learn first.

    The swing is read off the validating futures themselves, whose inputs vary together as they were drawn; nothing is
    simulated again. An input is one number a future: growth and level of each pool's need, what a GPU carries,
    when each source's first order arrives. Constant inputs are left out.
    """
    cost = outcome.cost.total
    met = outcome.met_jointly[:, validate.must_meet].mean(axis=1)
    swings = []
    for varied, values in _inputs(validate).items():
        if np.ptp(values) <= 1e-12 * max(1.0, float(np.abs(values).max())):
            continue
        rank = np.argsort(values, kind="stable")
        fifth = max(1, len(rank) // 5)
        low, high = rank[:fifth], rank[-fifth:]
        swings.append(
            Swing(
                input=varied,
                cost_low=float(cost[low].mean()),
                cost_high=float(cost[high].mean()),
                met_low=float(met[low].mean()),
                met_high=float(met[high].mean()),
            )
        )
    return sorted(swings, key=lambda swing: -abs(swing.cost_high - swing.cost_low))


def _inputs(futures: Futures) -> dict[SwingInput, Array]:
    """[N] each: one number a future for every input that the futures hold."""
    inputs: dict[SwingInput, Array] = {}
    for p, pool in enumerate(futures.pools):
        inputs[SwingInput(kind="need", pool=pool)] = futures.need[:, p].mean(axis=1)
        for place, source in enumerate(futures.purchases):
            inputs[SwingInput(kind="carries", pool=pool, sku=source.sku)] = futures.per_gpu[:, p, place]
        for place, rental in enumerate(futures.rentals):
            inputs[SwingInput(kind="rented-carries", pool=pool, sku=rental.sku)] = futures.rental_per_gpu[:, p, place]
    for s, source in enumerate(futures.purchases):
        months = np.flatnonzero(source.may_order.any(axis=0))
        if len(months):
            arrival = futures.arrival_month[:, s, months] - months
            inputs[SwingInput(kind="months-to-service", source=source.name)] = arrival.mean(axis=1)
    return inputs
