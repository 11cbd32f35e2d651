r"""The confirmed service level of a plan: its probabilities on futures that no part of it was chosen by.

The kept shares of calibrate.py are found on the validating futures, and of many plans the one is kept that does best on
them: so they flatter it, or, on an unlucky draw, have made it dearer than it had to be. What is shown is therefore read
off futures under a third root. The plan aims above the goal by one standard error of the validated probability,

    aim = goal + √( goal (1 - goal) / N )

so that the third root does not miss the goal by mere chance about every other time. Where it is missed all the same,
the aim is raised by what is missing and the search goes on from the plan it had, a few times at most.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from executor.portable import linear
from planner.futures.arrays import Futures, Orders
from planner.optimise.evaluate import evaluate
from planner.optimise.lp.formulation import Formulation
from planner.optimise.service_level.calibrate import AGAIN, Calibration, Effort, calibrate, reconsider
from planner.parallel.backends import Spread

RAISES = 2
"""Times the aim is raised: each look at the third root is a choice made on it, so there must be few."""


@dataclass(frozen=True)
class Samples:
    """The three samples of futures, and what is asked of a plan on them."""

    train: Futures
    """Training sample: a plan is made on it."""
    validate: Futures
    """Validation sample: its kept shares are found on it."""
    confirm: Futures
    """Test sample: it is judged on it, as is everything that it is compared with."""
    goal: float
    """Required probability."""
    cvar_level: float = 0.9
    polished: int = 2
    """From how many of the ends of a search it is taken further, by detours; none: one step of the kept shares and
    whole lots a little rougher, for studies of which only differences are shown."""

    @property
    def effort(self) -> Effort:
        """Two turns, or one where the whole lots may be rough too."""
        return Effort(turns=2 if self.polished else 1, polished=self.polished)

    @property
    def aim(self) -> float:
        """The validated probability that a plan aims at: a standard error above the goal."""
        return min(1.0, self.goal + self.error)

    @property
    def error(self) -> float:
        """Standard error of a validated probability at the goal."""
        return float(np.sqrt(self.goal * (1 - self.goal) / self.validate.count))

    def raised(self, made: Confirmation) -> float:
        """The next aim where the third root misses the goal: by less than half an error nothing would move."""
        return min(1.0, made.aim + max(made.lacks, 0.5 * self.error))

    def first(self, train: int, validate: int, confirm: int) -> Samples:
        """The first so many futures of each root, all of them where there are fewer: the same random numbers, less
        of it."""
        return replace(
            self,
            train=_first(self.train, train),
            validate=_first(self.validate, validate),
            confirm=_first(self.confirm, confirm),
        )

    def only(self, first_order_month: int) -> Samples:
        """The same futures with no order before a month."""
        later = (part.only(first_order_month=first_order_month) for part in (self.train, self.validate, self.confirm))
        train, validate, confirm = later
        return replace(self, train=train, validate=validate, confirm=confirm)


def _first(futures: Futures, count: int) -> Futures:
    return futures if futures.count <= count else futures.take(slice(0, count))


@dataclass(frozen=True)
class Confirmation:
    """A calibrated plan, and what it is said to bring."""

    validated: Calibration
    """As the search left it, judged on the validating futures."""
    confirmed: Calibration
    """The same plan judged on the confirming futures, against the goal itself."""
    raised: int
    """How often the aim was raised."""

    @property
    def aim(self) -> float:
        """The probability aimed at on the validating futures in the end."""
        return self.validated.goal

    @property
    def lacks(self) -> float:
        """The most that a required month falls short of the goal, or of what a month out of reach aims at."""
        short = self.confirmed.accepted - self.confirmed.outcome.probability
        return float(np.maximum(short, 0.0).max(initial=0.0))


def confirmation(samples: Samples, spread: Spread | None = None) -> Confirmation:
    """Calibrate, judge on the third root, and aim higher where that misses a goal that can be reached.

    ``spread``: where the optimiser's oracle is answered; None: here.
    """
    train, validate = Formulation(samples.train, spread), Formulation(samples.validate)
    judge = Formulation(samples.confirm)
    level = samples.cvar_level
    found = calibrate(train, validate, samples.aim, cvar_level=level, effort=samples.effort)
    best = made = judged(judge, found, samples.goal, 0)
    while made.raised < RAISES and made.lacks > 0 and found.meets_goal and found.goal < 1.0:
        found = calibrate(
            train,
            validate,
            samples.raised(made),
            cvar_level=level,
            effort=AGAIN,
            start=found.plan,
            out_of_reach=found.out_of_reach,
        )
        made = judged(judge, found, samples.goal, made.raised + 1)
        best = min(best, made, key=lambda each: each.lacks)
    return best


def with_benchmarks(samples: Samples, made: Confirmation, plans: Iterable[Orders]) -> Confirmation:
    """The confirmed plan, or a better one that the search finds from one of ``plans`` (`reconsider`).

    Those that cost more than the budget are no start.
    """
    level, train = samples.cvar_level, Formulation(samples.train)
    budget = np.inf if samples.train.budget is None else samples.train.budget
    within = [plan for plan in plans if linear.dot(train.outlay, train.point(plan)) <= budget * (1 + 1e-9)]
    found = reconsider(train, samples.validate, made.validated, within, cvar_level=level)
    if found is made.validated:
        return made
    other = judged(Formulation(samples.confirm), found, samples.goal, made.raised)
    return min(made, other, key=lambda each: (each.lacks, each.confirmed.outcome.expected_cost))


def judged(judge: Formulation, found: Calibration, goal: float, raised: int) -> Confirmation:
    """A validated plan with what the confirming futures say of it."""
    return Confirmation(found, confirmed(judge, found, goal), raised)


def confirmed(judge: Futures | Formulation, found: Calibration, goal: float) -> Calibration:
    """The calibrated plan as the confirming futures see it."""
    outcome = evaluate(judge, found.plan)
    required = found.required
    return replace(
        found,
        outcome=outcome,
        goal=goal,
        target=np.where(required, np.minimum(found.target, goal), 0.0),
        accepted=np.where(required, np.minimum(found.accepted, goal), 0.0),
    )
