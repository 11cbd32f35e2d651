"""A plan that is done, judged once more on futures that had no part in it: does its service level hold?"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np

from executor.errors import UserMistakeError
from executor.estimate.replayed_goodput import Memory
from executor.portable import linear
from executor.portable.gamma import gamma_tails
from planner.futures.arrays import Array, Flags, Futures, Orders, Whole
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

_CHANCE = 0.05
"""A plan that states the truth is called untrue this often."""

_EXPECTED = 5.0
"""A month is taken into the joint test where, given the months before, it differs in so many futures of the smaller
sample: the usual least count for a chi-squared test. Fewer would make one odd future look like proof."""


@dataclass(frozen=True)
class AuditedMonth:
    """One month, as stated and as seen."""

    month: str
    required: bool
    promised: Interval
    seen: Interval

    @property
    def difference(self) -> Interval:
        """Seen minus stated, with a 90 % interval of both errors: Newcombe's, from the two Wilson intervals.

        R. G. Newcombe, Interval estimation for the difference between independent proportions, 1998, method 10.
        """
        stated, seen = self.promised, self.seen
        gap = seen.value - stated.value
        below = np.sqrt(np.square([seen.value - seen.low, stated.high - stated.value]).sum())
        above = np.sqrt(np.square([seen.high - seen.value, stated.value - stated.low]).sum())
        return Interval(value=gap, low=gap - float(below), high=gap + float(above), level=seen.level)

    @property
    def holds(self) -> bool:
        """Whether chance explains the difference between stated and seen."""
        return self.difference.low <= 0.0 <= self.difference.high


@dataclass(frozen=True)
class Joint:
    """All required months in one test: they share each future's growth, so each by itself tells little anew."""

    statistic: float
    """d' V^-1 d for the differences d and their covariance V: chi-squared where the plan states the truth."""
    degrees: int
    """Months that tell something anew."""
    chance: float
    """Probability of a larger statistic where the plan states the truth."""


Verdict = Literal["as-stated", "more-often", "less-often"]


@dataclass(frozen=True)
class Audit:
    """A plan against fresh futures."""

    record: PlanRecord
    root: int
    futures: int
    months: tuple[AuditedMonth, ...]
    joint: Joint
    cost: Interval
    """Mean cost as seen."""

    @property
    def required(self) -> list[AuditedMonth]:
        """The months in which the goal must hold."""
        return [month for month in self.months if month.required]

    @property
    def weakest(self) -> AuditedMonth:
        """The plan's own weakest month."""
        return next(month for month in self.months if month.month == self.record.answer.weakest_month)

    @property
    def verdict(self) -> Verdict:
        """Whether demand was met as stated, by the joint test; else in which direction it was not."""
        if self.joint.chance >= _CHANCE:
            return "as-stated"
        short = any(month.difference.high < 0 for month in self.required)
        return "less-often" if short or sum(month.difference.value for month in self.required) < 0 else "more-often"

    @property
    def over_service(self) -> float:
        """By how much the weakest month as seen exceeds the goal, as a share; below nothing where it misses it."""
        return min(month.seen.value for month in self.required) - self.record.answer.goal

    @property
    def cost_of_over_service(self) -> float | None:
        """About what meeting demand more often than the goal asks costs, money.

        By the slope at the goal of the plan's own frontier of cost against probability; None where the record has none.
        """
        points = sorted((point.probability.value, point.mean_cost.value) for point in self.record.frontier)
        above = [at for at, (odds, _) in enumerate(points) if at and odds > self.record.answer.goal]
        if len(points) < 2:
            return None
        at = above[0] if above else len(points) - 1
        (low, cheap), (high, dear) = points[at - 1], points[at]
        return max(0.0, self.over_service) * max(0.0, dear - cheap) / (high - low) if high > low else None

    def as_json(self) -> dict[str, Any]:
        """Everything that is needed to read the result and to get it again."""
        return {
            **inputs(self.record.scenario, tuple(self.record.overrides), {"audit": self.root}),
            "way": self.record.answer.way,
            "futures": self.futures,
            "verdict": self.verdict,
            "joint": vars(self.joint),
            "weakest": _as_json(self.weakest),
            "months": [_as_json(month) for month in self.months],
            "mean_cost": {"promised": self.record.kpis.mean_cost.model_dump(), "seen": self.cost.model_dump()},
            "over_service": {"probability": self.over_service, "cost": self.cost_of_over_service},
        }


def _as_json(month: AuditedMonth) -> dict[str, Any]:
    return {
        "month": month.month,
        "required": month.required,
        "promised": month.promised.model_dump(),
        "seen": month.seen.model_dump(),
        "difference": month.difference.model_dump(),
        "holds": month.holds,
    }


def joint_test(stated: Array, met: Flags, judged_on: int) -> Joint:
    """Stated probabilities [T] of ``judged_on`` futures against the months met [N, T] in others.

    The months' correlations are those seen; their variances are those of both samples together.
    """
    N, seen = len(met), met.mean(axis=0)
    pooled = (judged_on * stated + N * seen) / (judged_on + N)
    spread = np.sqrt(pooled * (1.0 - pooled) * (1.0 / judged_on + 1.0 / N))
    scaled = (met - seen) / np.where(seen * (1 - seen) > 0, np.sqrt(seen * (1 - seen)), 1.0)
    correlation = linear.product(scaled.T, scaled) / N
    np.fill_diagonal(correlation, 1.0)
    told: list[int] = []
    for month in range(len(seen)):
        tried = [*told, month]
        own_share = np.square(linear.cholesky(correlation[np.ix_(tried, tried)])[-1, -1])
        if own_share * pooled[month] * (1.0 - pooled[month]) * min(N, judged_on) >= _EXPECTED:
            told = tried
    if not told:
        return Joint(0.0, 0, 1.0)
    z = ((seen - stated)[told] / spread[told])[:, None]
    statistic = float(np.square(linear.forward(linear.cholesky(correlation[np.ix_(told, told)]), z)).sum())
    chance = float(gamma_tails(len(told) / 2, np.array([statistic / 2]))[1][0]) if statistic > 0 else 1.0
    return Joint(statistic, len(told), chance)


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
    draw = partial(draw_prospects, scenario, serving, engine="fast", processes=processes, volume=_volume(record))
    fresh = draw(root, futures).futures
    progress(0.6, "what the plan learnt")
    train = root_of(scenario.seed, "optimise")
    calendar = record.answer.way == "fixed-calendar"
    learnt = fresh if calendar else draw(train, scenario.run.training_futures).futures
    progress(0.8, "carrying the plan out")
    outcome = evaluate(fresh, Orders(_orders(record, learnt, fresh), Axes.of(scenario).reserved(record.reservations)))
    progress(1.0, "done")
    required = np.array([month.required for month in record.months])
    stated = np.array([month.probability.value for month in record.months])
    return Audit(
        record=record,
        root=root,
        futures=futures,
        joint=joint_test(stated[required], outcome.met_jointly[:, required], scenario.run.replications),
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
    if volume := (record.physics.get("congestion") or {}).get("volume"):
        return np.array(volume, dtype=np.int64)
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
