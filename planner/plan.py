"""The main story: a scenario in, a plan out. Read it as a table of contents."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planner.optimise.calibrate import Calibration, calibrate, reconsider
from planner.optimise.formulation import Formulation
from planner.optimise.futures import Futures
from planner.optimise.policies import Rival, everything_now, nine_month_mrp, nothing_until_cleared, only_from
from planner.optimise.reasons import order_reasons, value_of_waiting
from planner.prospects import Prospects, draw_prospects
from planner.record import PlanRecord
from planner.reference.accelerators import accelerator
from planner.roots import Use, root_of
from planner.scenario.models import Scenario
from planner.sizing import Capacity, capacities
from planner.summary import gate_odds, record_of
from planner.supply.build import FOREIGN
from planner.supply.simulate import Engine
from planner.supply.spread import Processes, Spread

Progress = Callable[[float, str], None]
"""Called with the share done (0..1) and the step now under way."""


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
) -> Study:
    """Which GPUs to order, from whom, by when; with what probability; what waiting costs; and why.

    :raises ScenarioError: the scenario cannot be planned: a model does not fit, an SLO is out of reach.
    """
    tell = progress or (lambda _share, _step: None)
    tell(0.0, "serving figures")
    serving = capacities(scenario)
    train, fresh = _futures(scenario, serving, processes, tell)
    tell(0.5, "orders and promise")
    where = Processes(processes) if isinstance(processes, int) else processes
    seen = Formulation(train.futures, where)
    chosen = calibrate(seen, fresh.futures, scenario.goal.probability, cvar_level=scenario.goal.cvar_level)
    tell(0.75, "rivals")
    rivals = _rivals(scenario, train, fresh, chosen, where)
    static = [rival.plan for rival in rivals if rival.plan.orders.ndim == 3]
    chosen = reconsider(seen, fresh.futures, chosen, static, cvar_level=scenario.goal.cvar_level)
    tell(0.88, "waiting a month")
    waiting = value_of_waiting(
        train.futures, fresh.futures, chosen, cvar_level=scenario.goal.cvar_level, spread=where
    )
    tell(0.94, "reasons")
    reasons = order_reasons(fresh.futures, chosen)
    odds = gate_odds(scenario, fresh)
    record = record_of(scenario, overrides, serving, fresh, chosen, rivals, waiting, reasons, odds)
    tell(1.0, "done")
    return Study(record, _arrays(fresh, chosen))


def _futures(
    scenario: Scenario, serving: Sequence[Capacity], processes: int | Spread, tell: Progress
) -> tuple[Prospects, Prospects]:
    """Futures that the optimiser sees, and fresh ones that judge it."""

    def under(use: Use, count: int, engine: Engine, start: float, end: float, what: str) -> Prospects:
        def share(part: float) -> None:
            tell(start + part * (end - start), what)

        root = root_of(scenario.seed, use)
        return draw_prospects(scenario, serving, root, count, engine, processes, share)

    run = scenario.run
    train = under("optimise", run.scenarios, "fast", 0.05, 0.1, "futures to plan on")
    fresh = under("validate", run.replications, run.engine, 0.1, 0.5, "futures to judge by")
    return train, fresh


def _rivals(
    scenario: Scenario, train: Prospects, fresh: Prospects, chosen: Calibration, where: Spread
) -> tuple[Rival, ...]:
    """Other ways to act on the same futures, side by side; those that this scenario does not offer are left out."""
    home = [source.name for source in scenario.purchases if accelerator(source.sku).vendor not in FOREIGN]
    names = ["everything now", "nine-month MRP"]
    if any(source.gates for source in scenario.purchases):
        names.insert(0, "nothing until cleared")
    if 0 < len(home) < len(scenario.purchases):
        names.append("domestic only")
    if scenario.rentals and chosen.plan.orders.any():
        names.append("rent only")
    goal = scenario.goal.probability
    # The slow ones first, so that nobody waits long for the last.
    order = sorted(names, key=lambda name: name in ("everything now", "nine-month MRP"))
    made = where.map(_rival, [(name, train.futures, fresh.futures, goal, home) for name in order])
    found = dict(zip(order, made, strict=True))
    return tuple(found[name] for name in names)


def _rival(name: str, seen: Futures, unseen: Futures, goal: float, home: Sequence[str]) -> Rival:
    """One way to act, by its name."""
    if name == "nothing until cleared":
        return nothing_until_cleared(seen, unseen, goal)
    if name == "everything now":
        return everything_now(seen, unseen, goal)
    if name == "nine-month MRP":
        return nine_month_mrp(seen, unseen)
    return only_from(name, seen, unseen, goal, home if name == "domestic only" else ())


def _arrays(fresh: Prospects, chosen: Calibration) -> dict[str, NDArray[np.float64]]:
    return {
        "need": fresh.futures.need,
        "capacity": chosen.outcome.capacity,
        "shortfall": chosen.outcome.shortfall,
    }
