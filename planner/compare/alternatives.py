"""What a plan is compared with, each study independent of the others, so that they run side by side.

Rivals and other ways to plan come first; what waiting costs, what knowing more or another world would be worth and what
other goals cost are asked of the way that won.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar, cast

from executor.reference.accelerators import accelerator
from planner.futures.arrays import Futures, Orders
from planner.futures.sample import draw_prospects
from planner.optimise.evaluate import evaluate
from planner.optimise.policies.benchmarks import (
    Rival,
    base_stock,
    everything_now,
    nine_month_mrp,
    nothing_until_cleared,
    only_from,
)
from planner.optimise.policies.choice import Choice, choose, fewer
from planner.optimise.policies.if_then import IfThen, compared, if_then
from planner.optimise.policies.rolling_horizon import finalists, promised, validated
from planner.optimise.service_level.calibrate import Calibration
from planner.optimise.service_level.confirm import Promise, Samples, with_rivals
from planner.optimise.value.information import (
    FrontierPoint,
    Information,
    OtherWorld,
    efficient,
    point_of,
    value_of_information,
    worth_of,
)
from planner.optimise.value.order_value import Waiting, value_of_waiting
from planner.parallel.backends import Spread
from planner.record.ids import PolicyId
from planner.sampling.seeds import Use, root_of
from planner.scenario.models import Scenario
from planner.sizing import Capacity
from planner.supply.network.from_scenario import FOREIGN

T = TypeVar("T")

GOALS = (0.8, 0.95)
"""Other goals whose cost is shown beside that of the scenario's own."""


_TUNED = 5_000
"""Rivals and the if-then calendar are calibrated on so many validating futures at most; all are judged on every
confirming one."""


@dataclass(frozen=True)
class Company:
    """The recommended way among the others, and the rivals."""

    choice: Choice
    rivals: tuple[Rival, ...]


@dataclass(frozen=True)
class Worth:
    """What other worlds and other goals cost, and what knowing is worth."""

    information: Information
    open_gates: tuple[OtherWorld, ...]
    frontier: tuple[FrontierPoint, ...]
    futures: int
    """Confirming futures on which other worlds and goals were judged."""


@dataclass(frozen=True, eq=False)
class Job(Generic[T]):
    """One study: a function and what it is asked; both travel to where the work is done."""

    work: Callable[..., T]
    asked: tuple[Any, ...]


@dataclass(frozen=True)
class Done:
    """What jobs brought that were done side by side."""

    results: dict[Job[Any], Any]

    def __getitem__(self, job: Job[T]) -> T:
        return cast("T", self.results[job])


def side_by_side(where: Spread, jobs: Sequence[Job[Any]]) -> Done:
    """Do the jobs, as many at a time as there is room for, the first ones first."""
    found = where.map(_do, [(job.work, *job.asked) for job in jobs])
    return Done(dict(zip(jobs, found, strict=True)))


def _do(work: Callable[..., Any], *asked: Any) -> Any:
    return work(*asked)


def company(scenario: Scenario, samples: Samples, static: Promise, where: Spread) -> Company:
    """Try every way and every rival that the scenario offers, with common random numbers."""
    screening = Job(finalists, (samples,))
    gated = any(source.gates for source in scenario.purchases)
    waiting = [Job(_by_gates, (samples, static))] if gated else []
    trying = _rivals(scenario, samples, static)
    done = side_by_side(where, [screening, *waiting, *trying])
    rules = {rule: Job(validated, (samples, rule)) for rule in done[screening]}
    compared_whole = side_by_side(where, list(rules.values()))
    replanning = promised(samples, min(rules, key=lambda rule: compared_whole[rules[rule]]))
    by_gates = [done[job] for job in waiting]
    rivals = [*(cleared for cleared, _ in by_gates), *(done[job] for job in trying)]
    fixed = [rival.plan for rival in rivals if rival.plan.orders.ndim == 3]
    # Where own orders wait, these futures are those of this plan's volume, and another plan has no place on them.
    better = static if scenario.own_orders_wait else with_rivals(samples, static, fixed)
    policy = next((found for _, found in by_gates), None)
    if policy is not None and better is not static:
        policy = compared(samples.confirm, policy.rules, policy.calibration, better.confirmed)
    return Company(choose(samples, better, policy, replanning), tuple(rivals))


def _rivals(scenario: Scenario, samples: Samples, static: Promise) -> list[Job[Rival]]:
    """Rivals that differ from the plan in this scenario; the slow ones first, so that the last one is short."""
    home = [source.name for source in scenario.purchases if accelerator(source.sku).vendor not in FOREIGN]
    both = (samples.train, samples.confirm)
    rivals = [Job(_only, ("domestic-only", home, samples))] if 0 < len(home) < len(scenario.purchases) else []
    if scenario.rentals and static.confirmed.plan.orders.any():
        rivals.append(Job(_only, ("rent-only", (), samples)))
    return [
        *rivals,
        Job(everything_now, (*both, samples.goal)),
        Job(nine_month_mrp, both),
        Job(base_stock, (*both, samples.goal)),
    ]


def _only(name: PolicyId, purchases: Sequence[str], samples: Samples) -> Rival:
    some = _some(samples)
    return only_from(name, samples.train, some.validate, samples.aim, purchases, judge=samples.confirm, polished=1)


def _some(samples: Samples) -> Samples:
    """With as many validating futures as tune a rival."""
    return samples.first(samples.train.count, _TUNED, samples.confirm.count)


def _by_gates(samples: Samples, static: Promise) -> tuple[Rival, IfThen | None]:
    """The rival that waits for the gates, and the calendar that looks at them and takes up what it does better."""
    some = _some(samples)
    cleared = nothing_until_cleared(some.train, some.validate, samples.aim, some.confirm, polished=1)
    return cleared, if_then(some, static, cleared)


def later_or_elsewhere(
    scenario: Scenario,
    serving: Sequence[Capacity],
    samples: Samples,
    choice: Choice,
    where: Spread,
    worlds_too: bool = True,
) -> tuple[Waiting, Worth | None]:
    """What waiting a month costs; and, where asked, information, open gates and other goals. All side by side."""
    study = choice.study()
    waiting = Job(_waiting, (samples, choice.studied, study))
    if not worlds_too:
        return waiting.work(*waiting.asked), None
    few = fewer(samples)
    gates = [gate.name for gate in scenario.gates]
    names = [*gates, *([None] if len(gates) > 1 else [])]
    worlds = {name: Job(_world, (name, scenario, serving, few, study)) for name in names}
    goals = [Job(_goal, (replace(few, goal=goal), study)) for goal in GOALS if abs(goal - samples.goal) > 1e-9]
    closed = Job(study, (few,))
    information = Job(value_of_information, (few.train,))
    done = side_by_side(where, [waiting, *worlds.values(), *goals, *([closed] if worlds else []), information])
    own = point_of(few.confirm, _judged_on(few, choice.studied))
    return done[waiting], Worth(
        information=done[information],
        open_gates=tuple(worth_of(name, done[job], done[closed]) for name, job in worlds.items()),
        frontier=efficient([*(done[job] for job in goals), own]),
        futures=few.confirm.count,
    )


def _waiting(samples: Samples, now: Calibration, study: Callable[[Samples], Calibration]) -> Waiting:
    """The recommended way with nothing ordered in the first month, against itself."""
    return value_of_waiting(now, lambda: study(replace(samples.only(1), polished=1)))


def _judged_on(few: Samples, chosen: Calibration) -> Calibration:
    """The recommended plan on fewer of its futures."""
    orders = chosen.plan.orders
    part = Orders(orders if orders.ndim == 3 else orders[: few.confirm.count], chosen.plan.reserved)
    solution = replace(chosen.solution, plan=part)
    return replace(chosen, solution=solution, outcome=evaluate(few.confirm, part))


def _world(
    name: str, scenario: Scenario, serving: Sequence[Capacity], few: Samples, study: Callable[[Samples], Calibration]
) -> Calibration:
    """The study with a gate, or all of them, open throughout; under the same roots."""
    gates = [
        gate.model_copy(update={"always": "open", "events": []}) if name in (gate.name, None) else gate
        for gate in scenario.gates
    ]
    opened = scenario.model_copy(update={"gates": gates})

    def under(use: Use, count: int) -> Futures:
        return draw_prospects(opened, serving, root_of(scenario.seed, use), count).futures

    return study(
        replace(
            few,
            train=under("optimise", few.train.count),
            validate=under("validate", few.validate.count),
            confirm=under("confirm", few.confirm.count),
        )
    )


def _goal(samples: Samples, study: Callable[[Samples], Calibration]) -> FrontierPoint:
    return point_of(samples.confirm, study(samples))
