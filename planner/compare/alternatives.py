"""What a plan is compared with, each study independent of the others, so that they run side by side.

Rivals and other ways to plan come first; what waiting costs, what knowing more or another world would be worth and what
other goals cost are asked of the way that won.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

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
from planner.optimise.policies.rolling_horizon import Replanned, replanned_promise
from planner.optimise.service_level.calibrate import Calibration
from planner.optimise.service_level.confirm import Promise, Trio, with_rivals
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

GOALS = (0.8, 0.95)
"""Other goals whose cost is shown beside that of the scenario's own."""

ALL_GATES = "all gates"

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


def company(scenario: Scenario, trio: Trio, static: Promise, where: Spread) -> Company:
    """Try every way and every rival that the scenario offers, on the same luck."""
    names = _names(scenario, static)
    jobs: list[tuple[Any, ...]] = [("monthly-re-planning", trio, static, ())]
    jobs += [("gates", trio, static, ())] if any(source.gates for source in scenario.purchases) else []
    home = [source.name for source in scenario.purchases if accelerator(source.sku).vendor not in FOREIGN]
    jobs += [(name, trio, static, home) for name in names]
    made = dict(zip([job[0] for job in jobs], where.map(_attempt, jobs), strict=True))
    replanned: Replanned = made.pop("monthly-re-planning")
    cleared, policy = made.pop("gates", (None, None))
    rivals = ([cleared] if cleared is not None else []) + [made[name] for name in names]
    fixed = [rival.plan for rival in rivals if rival.plan.orders.ndim == 3]
    better = with_rivals(trio, static, fixed)
    if policy is not None and better is not static:
        policy = compared(trio.confirm, policy.rules, policy.calibration, better.confirmed)
    return Company(choose(trio, better, policy, replanned), tuple(rivals))


def _names(scenario: Scenario, static: Promise) -> list[str]:
    """Rivals that differ from the plan in this scenario; the slow ones first, so that the last one is short."""
    home = [source for source in scenario.purchases if accelerator(source.sku).vendor not in FOREIGN]
    names = ["domestic-only"] if 0 < len(home) < len(scenario.purchases) else []
    if scenario.rentals and static.confirmed.plan.orders.any():
        names.append("rent-only")
    return [*names, "everything-now", "nine-month-mrp", "base-stock"]


def _attempt(name: str, trio: Trio, static: Promise, home: Sequence[str]) -> Any:
    """One way to act, by its name."""
    train, judge, goal = trio.train, trio.confirm, trio.goal
    if name == "monthly-re-planning":
        return replanned_promise(trio)
    some = trio.first(trio.train.count, _TUNED, trio.confirm.count)
    if name == "gates":
        return _by_gates(some, static, trio.aim)
    if name == "everything-now":
        return everything_now(train, judge, goal)
    if name == "nine-month-mrp":
        return nine_month_mrp(train, judge)
    if name == "base-stock":
        return base_stock(train, judge, goal)
    only = home if name == "domestic-only" else ()
    called: PolicyId = "domestic-only" if name == "domestic-only" else "rent-only"
    return only_from(called, train, some.validate, trio.aim, only, judge=judge, polished=1)


def _by_gates(trio: Trio, static: Promise, aim: float) -> tuple[Rival, IfThen | None]:
    """The rival that waits for the gates, and the calendar that looks at them and takes up what it does better."""
    cleared = nothing_until_cleared(trio.train, trio.validate, aim, trio.confirm, polished=1)
    return cleared, if_then(trio, static, cleared)


def later_or_elsewhere(
    scenario: Scenario,
    serving: Sequence[Capacity],
    trio: Trio,
    choice: Choice,
    where: Spread,
    worlds_too: bool = True,
) -> tuple[Waiting, Worth | None]:
    """What waiting a month costs; and, where asked, information, open gates and other goals. All side by side."""
    study = choice.study()
    jobs: list[tuple[Any, ...]] = [(_waiting, trio, choice.studied, study)]
    if not worlds_too:
        return _do(*jobs[0]), None
    few = fewer(trio)
    gates = [gate.name for gate in scenario.gates]
    worlds = [*gates, *([ALL_GATES] if len(gates) > 1 else [])]
    goals = [goal for goal in GOALS if abs(goal - trio.goal) > 1e-9]
    jobs += [(_world, name, scenario, serving, few, study) for name in worlds]
    jobs += [(_goal, replace(few, goal=goal), study) for goal in goals]
    jobs += [(study, few)] if worlds else []
    jobs += [(_information, few)]
    waited, *made = where.map(_do, jobs)
    there, points = made[: len(worlds)], made[len(worlds) : len(worlds) + len(goals)]
    own = point_of(few.confirm, _judged_on(few, choice.studied))
    return waited, Worth(
        information=made[-1],
        open_gates=tuple(worth_of(name, other, made[-2]) for name, other in zip(worlds, there, strict=True)),
        frontier=efficient([*points, own]),
        futures=few.confirm.count,
    )


def _waiting(trio: Trio, now: Calibration, study: Callable[[Trio], Calibration]) -> Waiting:
    """The recommended way with nothing ordered in the first month, against itself."""
    return value_of_waiting(now, lambda: study(replace(trio.only(1), polished=1)))


def _do(work: Callable[..., Any], *job: Any) -> Any:
    return work(*job)


def _judged_on(few: Trio, chosen: Calibration) -> Calibration:
    """The recommended plan on fewer of its futures."""
    orders = chosen.plan.orders
    part = Orders(orders if orders.ndim == 3 else orders[: few.confirm.count], chosen.plan.reserved)
    solution = replace(chosen.solution, plan=part)
    return replace(chosen, solution=solution, outcome=evaluate(few.confirm, part))


def _world(
    name: str,
    scenario: Scenario,
    serving: Sequence[Capacity],
    few: Trio,
    study: Callable[[Trio], Calibration],
) -> Calibration:
    """The study with a gate, or all of them, open throughout; under the same roots."""
    gates = [
        gate.model_copy(update={"always": "open", "events": []}) if name in (gate.name, ALL_GATES) else gate
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


def _goal(trio: Trio, study: Callable[[Trio], Calibration]) -> FrontierPoint:
    return point_of(trio.confirm, study(trio))


def _information(trio: Trio) -> Information:
    return value_of_information(trio.train)
