"""Three ways to plan, of which the one that does best on fresh futures is recommended.

A *fixed calendar* orders the same in every future. An *if-then calendar* (if_then.py) looks at the gates before it
orders. *Monthly re-planning* (rolling_horizon.py) looks at gates, need and pipeline, and can therefore fix
nothing but its rule: what to order this month is certain, what later is a distribution.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from planner.optimise.intervals import paired
from planner.optimise.policies.if_then import IfThen, static_of
from planner.optimise.policies.rolling_horizon import Replanned, replanned_confirmation, rules_near
from planner.optimise.policies.rule import Rule
from planner.optimise.service_level.calibrate import Calibration
from planner.optimise.service_level.confirm import Confirmation, Samples, confirmation, with_benchmarks

Way = Literal["fixed-calendar", "if-then-calendar", "monthly-re-planning"]

_DEARER = 1e-3
"""A way must be cheaper by more than this share, beyond its interval, to be chosen over a simpler one."""

_COMPARED = (500, 1_000, 2_000)
"""Other worlds and other goals are studied on so many futures of the three roots at most."""


@dataclass(frozen=True)
class Choice:
    """The recommended way to plan, and the others on the same confirming futures."""

    way: Way
    static: Confirmation
    policy: IfThen | None
    """None: no gate is ever seen to change, or only an answer was asked for."""
    replanned: Replanned | None

    @property
    def chosen(self) -> Calibration:
        """The recommended plan judged on the confirming futures; its orders are [P, S, M] or [N, P, S, M]."""
        return self.of(self.way)

    def of(self, way: Way) -> Calibration:
        """The plan of one way, judged on the confirming futures."""
        if way == "monthly-re-planning":
            assert self.replanned is not None
            return self.replanned.confirmation.confirmed
        if way == "if-then-calendar":
            assert self.policy is not None
            there = self.static.confirmed
            solution = replace(there.solution, plan=self.policy.plan)
            return replace(there, solution=solution, outcome=self.policy.outcome)
        return self.static.confirmed

    @property
    def ways(self) -> tuple[Way, ...]:
        """Those that were studied, simplest first."""
        found: list[Way] = ["fixed-calendar"]
        found += ["if-then-calendar"] if self.policy is not None else []
        found += ["monthly-re-planning"] if self.replanned is not None else []
        return tuple(found)

    @property
    def studied(self) -> Calibration:
        """What other months, worlds and goals are compared with: the chosen plan, or the fixed calendar that stands
        for an if-then calendar, from which it differs little and which takes half the time."""
        return self.static.confirmed if self.way == "if-then-calendar" else self.chosen

    def study(self) -> Callable[[Samples], Calibration]:
        """The way that is studied, to be carried out in other worlds and for other goals."""
        if self.way == "monthly-re-planning":
            assert self.replanned is not None
            return _Replanning(self.replanned.rule)
        return _fixed


def fewer(samples: Samples) -> Samples:
    """The futures on which other worlds and other goals are studied."""
    return replace(samples.first(*_COMPARED), polished=0)


def choose(samples: Samples, static: Confirmation, policy: IfThen | None, replanned: Replanned | None) -> Choice:
    """The simplest way that none beats; a policy that turns out to look at nothing is taken up as a calendar."""
    if policy is not None and policy.recommended and not policy.conditional:
        static = with_benchmarks(samples, static, [static_of(policy, samples.train)])
        policy = None
    choice = Choice("fixed-calendar", static, policy, replanned)
    for way in choice.ways[1:]:
        other = choice.of(way)
        if other.outcome.affordable(samples.confirm.budget) and _beats(other, choice.chosen):
            choice = replace(choice, way=way)
    return choice


def _beats(other: Calibration, chosen: Calibration) -> bool:
    """Whether another way comes nearer to a goal that the chosen one misses, or keeps it for less money."""
    ours, theirs = lacking(chosen), lacking(other)
    if theirs != ours:
        return theirs < ours
    cost = paired(chosen.outcome.cost.total, other.outcome.cost.total)
    return cost.high < -_DEARER * chosen.outcome.expected_cost


def lacking(found: Calibration) -> float:
    """What the months in which the goal must hold miss in all."""
    short = found.accepted - found.outcome.probability
    return float(short[short > 0].sum())


def _fixed(samples: Samples) -> Calibration:
    return confirmation(samples).confirmed


@dataclass(frozen=True)
class _Replanning:
    """Monthly re-planning by about the rule that was found best."""

    rule: Rule

    def __call__(self, samples: Samples) -> Calibration:
        return replanned_confirmation(samples, rules_near(self.rule)).confirmation.confirmed
