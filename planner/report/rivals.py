"""Benchmark policies in the record, and how the plan compares."""

from collections.abc import Sequence

import numpy as np

from planner.clock import month_label, month_starts
from planner.futures.arrays import Array
from planner.futures.sample import Prospects
from planner.optimise.evaluate import Outcome
from planner.optimise.intervals import mean_of, paired, probability
from planner.optimise.policies.benchmarks import Rival
from planner.optimise.policies.choice import Choice
from planner.record.ids import PolicyId, Verdict
from planner.record.models import Interval
from planner.record.models import Rival as RivalRow
from planner.report import analysis_sections as findings
from planner.scenario.models import Scenario


def shortfall_share(fresh: Prospects, outcome: Outcome) -> Array:
    """[N] unmet share of each future's demand over the horizon; each pool counts alike."""
    need = fresh.futures.need
    return np.asarray(((outcome.shortfall * need).sum(axis=2) / need.sum(axis=2)).mean(axis=1))


def _rivals(scenario: Scenario, choice: Choice, rivals: Sequence[Rival]) -> list[RivalRow]:
    """The other ways to plan, then the rules of thumb and the narrower choices."""
    mine = choice.chosen.outcome
    ways: list[tuple[PolicyId, Outcome]] = [(way, choice.of(way).outcome) for way in choice.ways if way != choice.way]
    return [
        _rival(scenario, name, outcome, mine)
        for name, outcome in [*ways, *((rival.name, rival.outcome) for rival in rivals)]
    ]


def _rival(scenario: Scenario, name: PolicyId, outcome: Outcome, mine: Outcome) -> RivalRow:
    starts = month_starts(scenario.start, scenario.horizon_months)
    weakest = findings.weakest_required(scenario, outcome)
    shortfall = outcome.shortfall.mean(axis=(1, 2))
    worst = np.sort(shortfall)[-max(1, outcome.count // 10) :]
    cost = paired(mine.cost.total, outcome.cost.total)
    return RivalRow(
        name=name,
        mean_cost=mean_of(outcome.cost.total),
        cost_difference=cost,
        weakest_month=month_label(starts[weakest]),
        probability=probability(outcome.met_jointly[:, weakest]),
        shortfall_share=float(shortfall.mean()),
        worst_tenth_shortfall=float(worst.mean()),
        gpus_ordered=float(outcome.ordered.sum(axis=(1, 2)).mean()),
        verdict=_verdict(scenario, outcome, mine, cost),
    )


def _verdict(scenario: Scenario, outcome: Outcome, mine: Outcome, cost: Interval) -> Verdict:
    """A rival that serves less often than the goal is no match, however cheap; within the interval it ties."""
    required = slice(scenario.goal.from_month - 1, None)
    aim = np.minimum(mine.probability[required], scenario.goal.probability)
    if np.any(outcome.probability[required] < aim - 1e-12):
        return "misses-goal"
    budget = scenario.goal.budget
    if not outcome.affordable(None if budget is None else scenario.in_currency(budget)):
        return "over-budget"
    if cost.low > 0:
        return "dearer"
    return "cheaper" if cost.high < 0 else "ties"
