"""The main story: a scenario in, a plan out. Read it as a table of contents."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from executor.estimate.replayed_goodput import Memory
from planner.compare import alternatives as studies
from planner.futures.arrays import Orders
from planner.futures.sample import Prospects, draw_prospects
from planner.optimise.congestion import Settled, settle
from planner.optimise.policies.choice import Choice
from planner.optimise.service_level.calibrate import Calibration
from planner.optimise.service_level.confirm import Samples, confirmation
from planner.optimise.value.order_value import budget_that_would_do, order_reasons
from planner.parallel.backends import Processes, Spread
from planner.record.models import PlanRecord
from planner.report.build import record_of
from planner.report.gates import gate_odds
from planner.sampling.seeds import Use, root_of
from planner.scenario.models import Scenario
from planner.sizing import Capacity, capacities
from planner.supply.simulate import Engine

Progress = Callable[[float, str], None]
"""Called with the share done (0..1) and the step now under way."""

Depth = Literal["answer", "study"]
"""answer: the plan, its benchmark policies and its reasons. study: also the worth of information, of open gates and of
other goals."""


@dataclass(frozen=True)
class Study:
    """A plan, and the arrays over replications that its figures are quantiles of."""

    record: PlanRecord
    arrays: dict[str, NDArray[np.float64]]
    """[replication, pool, month] each: need, capacity, shortfall (requests/s; share)."""


def plan(
    scenario: Scenario,
    overrides: Sequence[str] = (),
    progress: Progress | None = None,
    processes: int | Spread = 1,
    depth: Depth = "study",
    memory: Memory | None = None,
) -> Study:
    """Which GPUs to order, from whom, by when; with what probability; what waiting costs; and why.

    ``memory``: where goodputs that were replayed before are found again.

    :raises ScenarioError: the scenario cannot be planned: a model does not fit, an SLO is out of reach.
    """
    tell = progress or (lambda _share, _step: None)
    where = Processes(processes) if isinstance(processes, int) else processes
    tell(0.0, "serving figures")
    serving = capacities(scenario, memory)
    settled = None
    if scenario.own_orders_wait:
        settled, samples, fresh = _settled(scenario, serving, where, tell)
        static = settled.confirmation
    else:
        samples, fresh = _futures(scenario, serving, where, tell)
        tell(0.25, "orders and service level")
        static = confirmation(samples, spread=where)
    tell(0.4, "other ways and benchmark policies")
    choice, benchmarks = studies.company(scenario, samples, static, where)
    tell(0.7, "waiting, other worlds and goals")
    waiting, worth = studies.later_or_elsewhere(scenario, serving, samples, choice, where, worlds_too=depth == "study")
    tell(0.9, "reasons")
    reasons = order_reasons(samples.confirm, choice.chosen)
    odds = gate_odds(scenario, fresh)
    budget = _budget(samples, choice.chosen)
    record = record_of(
        scenario,
        overrides,
        serving,
        fresh,
        choice,
        benchmarks,
        waiting,
        reasons,
        odds,
        budget=budget,
        worth=worth,
        settled=settled,
    )
    tell(1.0, "done")
    return Study(record, _arrays(fresh, choice))


def _settled(
    scenario: Scenario, serving: Sequence[Capacity], where: Spread, tell: Progress
) -> tuple[Settled, Samples, Prospects]:
    """Own orders lengthen the lines they wait in: plan, draw at the plan's volume, plan again."""
    drawn: list[tuple[Samples, Prospects]] = []

    def draw(orders: Orders | None) -> Samples:
        shape = (len(scenario.purchases), scenario.horizon_months)
        volume = np.zeros(shape, dtype=np.int64) if orders is None else orders.orders.sum(axis=0).astype(np.int64)
        tell(0.05 * len(drawn), "orders and service level at their own volume")
        drawn.append(_futures(scenario, serving, where, lambda _share, _step: None, volume))
        return drawn[-1][0]

    found = settle(draw)
    fresh = next(fresh for samples, fresh in drawn if samples is found.samples)
    return found, found.samples, fresh


def _futures(
    scenario: Scenario,
    serving: Sequence[Capacity],
    where: Spread,
    tell: Progress,
    volume: NDArray[np.int64] | None = None,
) -> tuple[Samples, Prospects]:
    """Futures that a plan is made on, that its kept shares are found on, and that judge it; the last with all they
    hold.

    ``volume`` [S, M]: GPUs of the plan whose lots wait in the same lines.
    """
    run, goal = scenario.run, scenario.goal

    def under(use: Use, count: int, engine: Engine, start: float, end: float, what: str) -> Prospects:
        def share(part: float) -> None:
            tell(start + part * (end - start), what)

        root = root_of(scenario.seed, use)
        return draw_prospects(scenario, serving, root, count, engine, where, share, volume)

    train = under("optimise", run.training_futures, "fast", 0.02, 0.05, "futures to plan on")
    tuned = under("validate", run.replications, "fast", 0.05, 0.12, "futures to calibrate on")
    fresh = under("confirm", run.replications, run.engine, 0.12, 0.25, "futures to judge by")
    samples = Samples(train.futures, tuned.futures, fresh.futures, goal.probability, goal.cvar_level)
    return samples, fresh


def _budget(samples: Samples, chosen: Calibration) -> float | None:
    """What budget would do, where one is set and the goal is missed."""
    if samples.train.budget is None or chosen.meets_goal:
        return None
    few = samples.first(1_000, 2_000, 1)
    return budget_that_would_do(few.train, few.validate, samples.goal)


def _arrays(fresh: Prospects, choice: Choice) -> dict[str, NDArray[np.float64]]:
    outcome = choice.chosen.outcome
    return {"need": fresh.futures.need, "capacity": outcome.capacity, "shortfall": outcome.shortfall}
