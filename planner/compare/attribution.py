"""Which inputs moved the answer: plan again with one group of inputs swapped at a time, with common random numbers."""

from collections.abc import Callable

import numpy as np

from executor.errors import UserMistakeError
from planner.compare.plans import GROUPS, Cause, input_moves, swap
from planner.futures.arrays import Array
from planner.record.models import PlanRecord
from planner.scenario.load import validate
from planner.scenario.models import Scenario

Planner = Callable[[Scenario], PlanRecord]


def causes(
    before: PlanRecord,
    after: PlanRecord,
    plan: Planner,
    progress: Callable[[float, str], None] = lambda share, step: None,
) -> list[Cause]:
    r"""What each group of inputs did by itself, and what only several did together.

    effect(g) = f(before with g swapped) - f(before),    together = f(after) - f(before) - \sum_g effect(g)

    f: probability in the weakest month, mean cost, GPUs ordered. A change of version is measured by planning
    the scenario before with this version; the other groups are measured from there.
    """
    groups = list(dict.fromkeys(move.group for move in input_moves(before, after)))
    base, found = _head(before), []
    if "version" in groups:
        progress(0.0, "planning the scenario before with this version")
        base = _head(plan(before.scenario))
        found.append(_cause("version", base - _head(before)))
    swapped = [group for group in groups if group != "version"]
    for number, group in enumerate(swapped):
        progress((number + 1) / (len(swapped) + 1), f"planning with {GROUPS[group]} swapped")
        # One group that changed is the whole change: the plan after is its result.
        alone = _head(after) if len(swapped) == 1 else _swapped(before, after, group, plan)
        found.append(alone if isinstance(alone, Cause) else _cause(group, alone - base))
    rest = _head(after) - _head(before)
    for cause in found:
        rest = rest - [cause.probability or 0.0, cause.mean_cost or 0.0, cause.gpus_ordered or 0]
    if len(swapped) > 1:
        found.append(_cause("together", rest))
    return found


def _swapped(before: PlanRecord, after: PlanRecord, group: str, plan: Planner) -> Array | Cause:
    old, new = before.scenario.model_dump(mode="json"), after.scenario.model_dump(mode="json")
    try:
        return _head(plan(validate(swap(old, new, group), f"the scenario with {GROUPS[group]} swapped")))
    except UserMistakeError as error:
        return Cause(group=group, problem=str(error).replace("\n", " "))


def _head(record: PlanRecord) -> Array:
    """[3] the figures that are attributed: probability, mean cost, GPUs ordered."""
    return np.array([record.answer.probability.value, record.kpis.mean_cost.value, record.kpis.gpus_ordered], float)


def _cause(group: str, effect: Array) -> Cause:
    probability, mean_cost, gpus = effect.tolist()
    return Cause(group=group, probability=probability, mean_cost=mean_cost, gpus_ordered=round(gpus))
