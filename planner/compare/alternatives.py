"""What a plan is compared with, each study independent of the others, so that they run side by side.

Benchmark policies and other ways to plan come first; what waiting costs, what knowing more or another world would be
worth and what other goals cost are asked of the way that won.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar, cast

from executor.reference.accelerators import accelerator
from planner.futures.arrays import Futures, Orders
from planner.futures.sample import draw_prospects
from planner.optimise.evaluate import evaluate
from planner.optimise.policies.benchmarks import (
    Benchmark,
    base_stock,
    everything_now,
    nine_month_mrp,
    nothing_until_cleared,
    only_from,
)
from planner.optimise.policies.choice import Choice, choose, fewer
from planner.optimise.policies.if_then import IfThen, compared, if_then
from planner.optimise.policies.rolling_horizon import confirmed, finalists, validated
from planner.optimise.policies.rule import Rule
from planner.optimise.service_level.calibrate import Calibration, Effort
from planner.optimise.service_level.confirm import Confirmation, Samples, with_benchmarks
from planner.optimise.value.information import (
    FrontierPoint,
    OtherWorld,
    efficient,
    point_of,
    value_of_information,
    worth_of,
)
from planner.optimise.value.order_value import Waiting, value_of_waiting
from planner.parallel.backends import Spread
from planner.record.ids import PolicyId
from planner.record.models import Information
from planner.sampling.seeds import Use, root_of
from planner.scenario.models import Scenario
from planner.sizing import Capacity
from planner.supply.network.from_scenario import FOREIGN

T = TypeVar("T")

GOALS = (0.8, 0.95)
"""Other goals whose cost is shown beside that of the scenario's own."""

_TUNED = 5_000
"""Benchmark policies and the if-then calendar are calibrated on so many validating futures at most; all are judged on
every confirming one."""
_EFFORT = Effort(turns=2, polished=1)
"""Of a benchmark policy that the optimiser plans."""


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


class Done:
    """What jobs brought, done side by side: as many at a time as there is room for, the first ones first."""

    def __init__(self, where: Spread, jobs: Sequence[Job[Any]]) -> None:
        found = where.map(_do, [(job.work, *job.asked) for job in jobs])
        self._found: dict[Job[Any], Any] = dict(zip(jobs, found, strict=True))

    def __getitem__(self, job: Job[T]) -> T:
        return cast("T", self._found[job])


def _do(work: Callable[..., Any], *asked: Any) -> Any:
    return work(*asked)


def company(
    scenario: Scenario, samples: Samples, static: Confirmation, where: Spread
) -> tuple[Choice, list[Benchmark]]:
    """The choice among the ways to plan, and the benchmark policies, all with common random numbers."""
    gated = any(source.gates for source in scenario.purchases)
    screening, waiting = Job(finalists, (samples,)), [Job(_by_gates, (samples, static))] if gated else []
    trying = _benchmarks(scenario, samples, static)
    done = Done(where, [screening, *waiting, *trying])
    rules = done[screening]
    replanned = confirmed(samples, _best(rules, samples, where))
    by_gates = [done[job] for job in waiting]
    benchmarks = [*(cleared for cleared, _ in by_gates), *(done[job] for job in trying)]
    fixed = [benchmark.plan for benchmark in benchmarks if benchmark.plan.orders.ndim == 3]
    # Where own orders wait, these futures are those of this plan's volume, and another plan has no place on them.
    better = static if scenario.own_orders_wait else with_benchmarks(samples, static, fixed)
    policy = next((policy for _, policy in by_gates), None)
    if scenario.own_orders_wait and policy is not None and not policy.conditional:
        policy = None
    if policy is not None and better is not static:
        policy = compared(samples.confirm, policy.rules, policy.calibration, better.confirmed)
    return choose(samples, better, policy, replanned), benchmarks


def _best(rules: Sequence[Rule], samples: Samples, where: Spread) -> Rule:
    """The rule that does best on the validating futures with its rental; with one there is nothing to compare."""
    if len(rules) == 1:
        return rules[0]
    jobs = {rule: Job(validated, (samples, rule)) for rule in rules}
    scores = Done(where, list(jobs.values()))
    return min(rules, key=lambda rule: scores[jobs[rule]])


def _benchmarks(scenario: Scenario, samples: Samples, static: Confirmation) -> list[Job[Benchmark]]:
    """Jobs for the benchmarks that differ from the plan here; the slow ones first, so that the last one is short."""
    home = [source.name for source in scenario.purchases if accelerator(source.sku).vendor not in FOREIGN]
    both = (samples.train, samples.confirm)
    benchmarks = [Job(_only, ("domestic-only", home, samples))] if 0 < len(home) < len(scenario.purchases) else []
    if scenario.rentals and static.confirmed.plan.orders.any():
        benchmarks.append(Job(_only, ("rent-only", (), samples)))
    with_goal = (*both, samples.goal)
    return [*benchmarks, Job(everything_now, with_goal), Job(nine_month_mrp, both), Job(base_stock, with_goal)]


def _only(name: PolicyId, purchases: Sequence[str], samples: Samples) -> Benchmark:
    some = _some(samples)
    return only_from(name, samples.train, some.validate, samples.aim, purchases, samples.confirm, _EFFORT)


def _some(samples: Samples) -> Samples:
    """With as many validating futures as tune a benchmark."""
    return samples.first(samples.train.count, _TUNED, samples.confirm.count)


def _by_gates(samples: Samples, static: Confirmation) -> tuple[Benchmark, IfThen | None]:
    """The benchmark that waits for the gates, and the calendar that looks at them and takes up what it does better."""
    some = _some(samples)
    cleared = nothing_until_cleared(some.train, some.validate, samples.aim, some.confirm, _EFFORT)
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
    if not worlds_too:
        return _waiting(samples, choice.studied, study), None
    few = fewer(samples)
    gates = [gate.name for gate in scenario.gates]
    names = [*gates, *([None] if len(gates) > 1 else [])]
    waiting = Job(_waiting, (samples, choice.studied, study))
    worlds = {name: Job(_world, (name, scenario, serving, few, study)) for name in names}
    goals = [Job(_goal, (replace(few, goal=goal), study)) for goal in GOALS if abs(goal - samples.goal) > 1e-9]
    closed, information = Job(study, (few,)), Job(value_of_information, (few.train,))
    done = Done(where, [waiting, *worlds.values(), *goals, *([closed] if worlds else []), information])
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
