"""A plan that is done, judged once more on futures that had no part in it: does its service level hold?"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from executor.errors import UserMistakeError
from executor.estimate.replayed_goodput import Memory
from planner.futures.arrays import Futures, Orders, Whole
from planner.futures.sample import draw_prospects
from planner.optimise.evaluate import evaluate
from planner.optimise.intervals import mean_of, probability
from planner.optimise.policies.if_then import placed, rules_of
from planner.optimise.policies.rule import Beliefs, Rule, carried_out
from planner.parallel.backends import Spread
from planner.record.models import Interval, PlanRecord
from planner.record.orders_as_arrays import Axes
from planner.record.provenance import inputs
from planner.report.analysis_sections import condition_of
from planner.sampling.seeds import root_of
from planner.sizing import capacities


@dataclass(frozen=True)
class AuditedMonth:
    """One month, as promised and as seen."""

    month: str
    required: bool
    promised: Interval
    seen: Interval

    @property
    def holds(self) -> bool:
        """Whether the promised probability lies within the interval seen."""
        return self.seen.low <= self.promised.value <= self.seen.high


@dataclass(frozen=True)
class Audit:
    """A plan against fresh futures."""

    record: PlanRecord
    root: int
    futures: int
    months: tuple[AuditedMonth, ...]
    cost: Interval
    """Mean cost as seen."""

    @property
    def weakest(self) -> AuditedMonth:
        """The plan's own weakest month."""
        return next(month for month in self.months if month.month == self.record.answer.weakest_month)

    def as_json(self) -> dict[str, Any]:
        """Everything that is needed to read the result and to get it again."""
        return {
            **inputs(self.record.scenario, tuple(self.record.overrides), {"audit": self.root}),
            "way": self.record.answer.way,
            "futures": self.futures,
            "weakest": _as_json(self.weakest),
            "months": [_as_json(month) for month in self.months],
            "mean_cost": {"promised": self.record.kpis.mean_cost.model_dump(), "seen": self.cost.model_dump()},
        }


def _as_json(month: AuditedMonth) -> dict[str, Any]:
    return {
        "month": month.month,
        "required": month.required,
        "promised": month.promised.model_dump(),
        "seen": month.seen.model_dump(),
        "holds": month.holds,
    }


def audit(
    record: PlanRecord,
    futures: int,
    processes: int | Spread = 1,
    progress: Callable[[float, str], None] = lambda _share, _step: None,
    memory: Memory | None = None,
) -> Audit:
    """Carry the plan out on fresh futures under a root of their own, by the fast engine where it can.

    ``memory``: where goodputs that were replayed before are found again.

    :raises UserMistakeError: the record is older than the way it plans by.
    """
    scenario = record.scenario
    serving = capacities(scenario, memory)
    root = root_of(scenario.seed, "audit")
    progress(0.1, "fresh futures")
    volume = _volume(record)
    fresh = draw_prospects(scenario, serving, root, futures, "fast", processes, volume=volume).futures
    progress(0.6, "what the plan learnt")
    way = record.answer.way
    learnt = (
        draw_prospects(
            scenario,
            serving,
            root_of(scenario.seed, "optimise"),
            scenario.run.training_futures,
            "fast",
            processes,
            volume=volume,
        ).futures
        if way != "fixed-calendar"
        else fresh
    )
    progress(0.8, "carrying the plan out")
    outcome = evaluate(fresh, Orders(_orders(record, learnt, fresh), Axes.of(scenario).reserved(record.reservations)))
    progress(1.0, "done")
    return Audit(
        record=record,
        root=root,
        futures=futures,
        months=tuple(
            AuditedMonth(month.month, month.required, month.probability, probability(outcome.met_jointly[:, t]))
            for t, month in enumerate(record.months)
        ),
        cost=mean_of(outcome.cost.total),
    )


def _volume(record: PlanRecord) -> Whole | None:
    """[S, M] GPUs of the plan whose lots wait in the same lines; None: own orders lengthen nothing."""
    if not record.scenario.own_orders_wait:
        return None
    lines = record.calendar.lines if record.calendar is not None else record.orders
    return Axes.of(record.scenario).orders(lines).sum(axis=0)


def _orders(record: PlanRecord, learnt: Futures, fresh: Futures) -> Whole:
    """[P, S, M], or [N, P, S, M] where the way looks before it orders."""
    if record.answer.way == "monthly-re-planning":
        return _replanned(record, learnt, fresh)
    if record.answer.way == "if-then-calendar":
        return _conditional(record, learnt, fresh)
    return Axes.of(record.scenario).orders(record.orders)


def _replanned(record: PlanRecord, learnt: Futures, fresh: Futures) -> Whole:
    held = record.physics.get("replanning")
    if not isinstance(held, dict):
        raise UserMistakeError("the plan does not say what it believes in: plan it again with this version")
    train = learnt.take(slice(0, int(held["learnt_on"])))
    return carried_out(fresh, Beliefs(train), Rule(held["caution"], held["first_month"], held["longest_lead"]))


def _conditional(record: PlanRecord, learnt: Futures, fresh: Futures) -> Whole:
    if record.calendar is None:
        raise UserMistakeError("the plan holds no calendar: plan it again with this version")
    rules = rules_of(learnt)
    orders = np.zeros((len(fresh.pools), len(rules), fresh.months), dtype=np.int64)
    axes = Axes.of(record.scenario)
    place = {(rule.source, condition_of(rule, record.scenario)): i for i, rule in enumerate(rules)}
    for line in record.calendar.lines:
        rule = place[axes.sources[line.source], line.condition]
        orders[axes.pools[line.pool], rule, axes.months[line.month]] += line.gpus
    return placed(fresh, rules, orders)
