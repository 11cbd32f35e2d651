r"""The service level: the cheapest plan whose probability holds on futures it has not seen.

A bound on the CVaR limits how bad the worst futures may be, but it is a blunt control of a probability in
every month: it spends on the very futures that a goal of 90 % may give up, and it cannot tell a weak
month from a strong one. So the probability has a control of its own, the *kept share* q_t of each month:

    the q_t N futures that the present plan serves best in month t are kept, the rest given up;
    unmet demand of kept futures costs many times its price, that of the others its price;
    solve, choose the kept futures anew from the new plan, solve again.

Each round keeps what the round before found cheap to keep (a chance constraint by sequential convex
programmes). The kept share is then raised until the *validated* probability, in whole lots and on futures under
another root, meets the goal in every month: up by what a month misses, down by what every step has to spare.
A CVaR bound, where the goal has one, holds throughout. docs/formulation.md compares the two controls.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np

from planner.futures.arrays import Array, Flags, Futures, Orders
from planner.optimise.evaluate import Outcome, evaluate
from planner.optimise.lots.local_search import LotSearch
from planner.optimise.lots.rounding import dive_to_lots, round_to_lots
from planner.optimise.lp.cvar import cvar
from planner.optimise.lp.formulation import Formulation, Solution
from planner.optimise.service_level.infeasible_months import NEAR, OutOfReach, lowered, out_of_reach

_KEPT_PRICE = 1000.0
"""Unmet demand of a kept future, in multiples of its price: enough that buying for one future in a
thousand pays, so that kept means kept."""

_COARSE = 1e-3
"""Relative gap of the solves while the kept futures still change; whole lots move the cost by more."""

_SPARE = 0.004
"""A month that exceeds the goal by no more than this is close enough: one standard error at N = 5,000."""

_SEARCHED = 2_000
"""Whole lots are searched for on so many of the training futures at most, and judged on all fresh ones."""

_STEPS = 40
"""Single-lot steps between two validations."""

_VALIDATIONS = 6
"""Validations of one search, each with the margins that the one before showed to be needed."""

_CLOSE = 0.5
"""Where the plan without a kept share misses less than this over the months, single lots are tried from it too."""

_DETOURS = 2
"""Paying detours while the best plan is polished."""


@dataclass(frozen=True)
class Effort:
    """How hard a plan is searched for."""

    turns: int = 2
    """How often the kept shares are turned and the programme solved again; lots settle the rest."""
    polished: int = 2
    """From how many of the ends of the search it is taken further, by detours."""


AGAIN = Effort(turns=1, polished=1)
"""A search for a little more goes on from what was found."""


@dataclass(frozen=True)
class Calibration:
    """The chosen plan with its validation, and how it was found."""

    solution: Solution
    outcome: Outcome
    """On the validating futures, in whole lots."""
    kept_shares: tuple[Array, ...]
    """[T] q of each step of the search."""
    goal: float
    target: Array
    """[T] the goal, or what a month out of reach aims at; nothing where none is required."""
    accepted: Array
    """[T] what counts as on target: the goal, or a little below what a month out of reach aims at."""
    out_of_reach: tuple[OutOfReach, ...]
    required: Flags
    """[T] months in which the goal must hold."""

    @property
    def plan(self) -> Orders:
        """Whole lots."""
        return self.solution.plan

    @property
    def meets_goal(self) -> bool:
        """Whether the validated probability of every required month is at least the goal."""
        return bool((self.outcome.probability >= self.goal)[self.required].all())


def calibrate(
    train: Futures | Formulation,
    validate: Futures | Formulation,
    goal_probability: float,
    *,
    cvar_level: float = 0.9,
    cvar_bound: float = np.inf,
    effort: Effort = Effort(),
    start: Orders | None = None,
    out_of_reach: tuple[OutOfReach, ...] | None = None,
) -> Calibration:
    """The cheapest plan found on ``train`` whose probability on ``validate`` meets the goal each month.

    ``start`` is a plan that may be ordered, from a neighbouring study; the search goes on from it.
    ``out_of_reach``: what that study found out of reach, where it holds here too; None: to be found.
    Where no step meets it, the plan that comes nearest is returned: `Calibration.meets_goal` is false, and
    `Calibration.out_of_reach` names the months that no plan could serve as often.
    """
    formulation = train if isinstance(train, Formulation) else Formulation(train)
    unseen = validate if isinstance(validate, Formulation) else Formulation(validate)
    search = _Calibrator(formulation, unseen, goal_probability, cvar_level, cvar_bound, effort.polished)
    return search.turn(effort.turns, start, out_of_reach)


def reconsider(
    train: Futures | Formulation,
    validate: Futures | Formulation,
    calibration: Calibration,
    plans: Iterable[Orders],
    *,
    cvar_level: float = 0.9,
) -> Calibration:
    """The calibrated plan, or a better one that starts from one of ``plans`` (static benchmark policies, for instance).

    Whole lots make the search end in different places from different starts. A benchmark policy that does better on
    the validating futures is taken as a new start and searched on from there; so the result is no dearer
    than any of ``plans`` at the same or a better probability.
    """
    formulation = train if isinstance(train, Formulation) else Formulation(train)
    unseen = validate if isinstance(validate, Formulation) else Formulation(validate)
    search = _Calibrator(formulation, unseen, calibration.goal, cvar_level)
    return search.take_up(calibration, plans)


def roughly(train: Futures, goal_probability: float) -> Orders:
    """One step of the kept shares and no lots: about what `calibrate` ends with, in parts of GPUs, at a tenth of the
    work."""
    formulation = Formulation(train)
    plan = formulation.solve(gap=3 * _COARSE).plan
    share = np.where(train.must_meet, goal_probability, 0.0)
    kept = kept_futures(formulation, plan, share) * _KEPT_PRICE
    return formulation.solve(kept=kept, start=plan, gap=3 * _COARSE).plan


class _Calibrator:
    def __init__(
        self,
        formulation: Formulation,
        unseen: Formulation,
        goal: float,
        level: float,
        bound: float = np.inf,
        polished: int = 2,
    ) -> None:
        self.formulation, self.unseen = formulation, unseen
        few = formulation.futures.count <= _SEARCHED
        self.searched = formulation if few else Formulation(formulation.futures.take(slice(0, _SEARCHED)))
        self.goal, self.level, self.bound = goal, level, bound
        self.required = formulation.futures.must_meet
        self.target = np.where(self.required, goal, 0.0)
        self.accepted = self.target.copy()
        self.out_of_reach: tuple[OutOfReach, ...] = ()
        self.kept_shares: list[Array] = []
        self.best: _Candidate | None = None
        # Where searches ended, best first, as many as are to be polished.
        self.ends: list[_Candidate] = []
        self.polished = polished
        # The bound of the programme without a kept share; a priced unmet demand of kept futures proves nothing.
        self.lower_bound = float("nan")

    def turn(self, turns: int, start: Orders | None, known: tuple[OutOfReach, ...] | None) -> Calibration:
        """First without a kept share, unless a neighbour is known; where that falls short, turn it; then polish."""
        months, plain = np.arange(len(self.target)), None
        if start is None:
            plain = self.formulation.solve(self.level, self.bound, gap=_COARSE)
            self.lower_bound = plain.lower_bound
            missing = self._round(plain)
            months = np.flatnonzero(missing > 0)
            start = plain.plan
        if len(months):
            self._give_up(out_of_reach(self.unseen, self.goal, months) if known is None else known)
            self._turn_up(start, turns)
            if plain is not None and _total(missing) < _CLOSE:
                self._settle(plain, np.zeros_like(self.target))
        self._polish()
        return self._calibration()

    def take_up(self, found: Calibration, plans: Iterable[Orders]) -> Calibration:
        """From an earlier result, with other plans as starts."""
        self.out_of_reach, self.target, self.accepted = found.out_of_reach, found.target, found.accepted
        self.lower_bound = found.solution.lower_bound
        self.best = first = self._judge(found.solution, found.plan, found.outcome, found.kept_shares[-1])
        self.kept_shares = list(found.kept_shares)
        for plan in plans:
            benchmark = self._judge(found.solution, plan, evaluate(self.unseen, plan), np.zeros_like(self.target))
            self._remember(benchmark)
            # A benchmark that is cheaper and misses little may need no more than a lot.
            if _total(benchmark.missing) < _CLOSE and benchmark.outcome.expected_cost < first.outcome.expected_cost:
                self._end(benchmark)
        self._polish()
        return found if self.best is first else self._calibration()

    def _calibration(self) -> Calibration:
        assert self.best is not None
        plan = self.best.plan
        solution = replace(
            self.best.solution,
            plan=plan,
            lower_bound=self.lower_bound,
            expected_cost=self.formulation.expected_cost(plan),
            shortfall_cvar=cvar(self.formulation.shortfall_share(plan), self.level),
        )
        return Calibration(
            solution=solution,
            outcome=self.best.outcome,
            kept_shares=tuple(self.kept_shares),
            goal=self.goal,
            target=self.target,
            accepted=self.accepted,
            out_of_reach=self.out_of_reach,
            required=self.required,
        )

    def _give_up(self, months: tuple[OutOfReach, ...]) -> None:
        """Aim lower in months that cannot reach the goal."""
        self.out_of_reach = tuple(month for month in months if self.required[month.month])
        self.accepted = lowered(self.target, self.out_of_reach, 2 * NEAR)
        self.target = lowered(self.target, self.out_of_reach, NEAR)
        # Scores so far were against the goal itself.
        self.best, self.ends = None, []

    def _turn_up(self, plan: Orders, turns: int) -> None:
        kept_share = self.target.copy()
        for _ in range(turns):
            solution = self._keep(plan, kept_share)
            missing = self._settle(solution, kept_share)
            plan = solution.plan
            spare = -missing.max()
            if 0 <= spare <= _SPARE:
                return
            # Up by what a month misses; down where even the weakest month has to spare.
            least = max(0.01, 2.0 / self.formulation.futures.count)
            up = np.where(missing > 0, np.maximum(missing, least), 0.0)
            turn = up if spare < 0 else np.full_like(missing, -0.8 * spare)
            kept_share = np.clip(kept_share + turn, 0.0, 1.0)

    def _keep(self, plan: Orders, kept_share: Array) -> Solution:
        """Solve with the futures kept that ``plan`` serves best, then once more from the new plan.

        The first pass only finds where to start: a part of a large sample is enough for it.
        """
        for formulation, gap in ((self.searched, 3 * _COARSE), (self.formulation, _COARSE)):
            kept = kept_futures(formulation, plan, kept_share) * _KEPT_PRICE
            solution = formulation.solve(self.level, self.bound, kept=kept, start=plan, gap=gap)
            plan = solution.plan
        return solution

    def _round(self, solution: Solution) -> Array:
        """The plan in whole lots as it is; [T] by what months miss."""
        plan = dive_to_lots(self.formulation, solution)
        found = self._judge(solution, plan, evaluate(self.unseen, plan), np.zeros_like(self.target))
        self._remember(found)
        self._end(found)
        return found.missing

    def _settle(self, solution: Solution, kept_share: Array) -> Array:
        """Whole lots, searched until the validated probability is on target; [T] by what months miss it.

        From two starts, as a search by single lots ends where it begins in its own valley.
        """
        dived = dive_to_lots(self.formulation, solution)
        rounded = round_to_lots(self.formulation, solution.plan)
        ends = []
        for whole in (dived, rounded):
            search = LotSearch(self.searched, whole, self.level, self.bound)
            ends.append(self._search(search, solution, kept_share, np.zeros_like(self.target), detours=0))
            self._end(ends[-1])
        return min(ends, key=_score).missing

    def _polish(self) -> None:
        """From the best ends so far, detours included, down to what the validated probabilities spare."""
        for end in self.ends:
            search = LotSearch(self.searched, end.plan, self.level, self.bound)
            margin = search.state.probability - end.outcome.probability
            self._search(search, end.solution, end.kept_share, margin, detours=_DETOURS)

    def _search(
        self, search: LotSearch, solution: Solution, kept_share: Array, margin: Array, detours: int
    ) -> _Candidate:
        """Search, validate, and again with a wider margin where the validated probability falls short.

        The search sees the training futures only and is drawn to what is particular to them. The margin, by
        which a month's training probability must exceed its target, is the most that any validation of this
        search has shown it to be too high. Returns the best that was validated.
        """
        found: list[_Candidate] = []
        for step in range(_VALIDATIONS):
            target = np.clip(self.target + margin, 0.0, 1.0)
            moved = search.run(target, steps=_STEPS, detours=detours if step == 0 else 0)
            if not moved and step > 0:
                break
            outcome = evaluate(self.unseen, search.plan)
            found.append(self._judge(solution, search.plan, outcome, kept_share))
            self._remember(found[-1])
            missing = found[-1].missing
            if (missing <= 0).all():
                break
            # A training future at least, where one is missing: less than one could not be seen there.
            shown = search.state.probability - outcome.probability
            least = np.where(missing > 0, 1.0 / self.searched.futures.count, 0.0)
            margin = np.maximum(margin, shown + least)
        return min(found, key=_score)

    def _judge(self, solution: Solution, plan: Orders, outcome: Outcome, kept_share: Array) -> _Candidate:
        return _Candidate(plan, solution, outcome, kept_share, self.accepted - outcome.probability)

    def _remember(self, found: _Candidate) -> None:
        self.kept_shares.append(found.kept_share)
        if self.best is None or _score(found) < _score(self.best):
            self.best = found

    def _end(self, found: _Candidate) -> None:
        """A search ended here: worth polishing if it is among the best, and not there already."""
        if all(_score(found) != _score(end) for end in self.ends):
            self.ends = sorted([*self.ends, found], key=_score)[: self.polished]


@dataclass(frozen=True)
class _Candidate:
    """A validated plan in whole lots."""

    plan: Orders
    solution: Solution
    """The programme it came from."""
    outcome: Outcome
    kept_share: Array
    missing: Array
    """[T] by what months fall short of what is accepted; below nothing: to spare."""


def _score(found: _Candidate) -> tuple[float, float]:
    """Less is better: first what is missed in all, then the validated cost."""
    return _total(found.missing), found.outcome.expected_cost


def _total(missing: Array) -> float:
    """What is missing in all; months with probability to spare make up for nothing."""
    return float(np.maximum(missing, 0.0).sum())


def kept_futures(formulation: Formulation, plan: Orders, kept_share: Array) -> Array:
    """[N, T] one for the share q_t of the futures that the plan serves best in month t, else nothing.

    Best: least unserved value; among fully served futures, most capacity to spare.
    """
    deficit = formulation.deficit(plan)
    unserved = formulation.least.cover(deficit).cost
    spare = (formulation.futures.unmet_price * deficit).sum(axis=1)
    N = len(deficit)
    kept = np.zeros_like(unserved)
    for t in range(kept.shape[1]):
        best_first = np.lexsort((spare[:, t], unserved[:, t]))
        kept[best_first[: int(np.ceil(kept_share[t] * N - 1e-9))], t] = 1.0
    return kept
