"""The if-then calendar: orders that depend on what the gates are seen to do.

A plan that orders the same in every future pays prepayments for goods that a closed gate will hold, and buys
the dearer substitute even where the gate has opened. A buyer may look first. Each source is unfolded into
*rules*, columns of the same programme. For a source with gates:

    in any case                       x GPUs in month m
    if at least promised              the same, where the source's least open gate is promised or passing
    if passing                        the same, where all its gates pass
    once cleared                      in the first month from m on in which all its gates pass

For a source without gates, looking at those of the first source that has some:

    in any case                       x GPUs in month m
    while SOURCE is not passing       the same, where its least open gate is closed or promised
    while SOURCE is closed            the same, where it is closed

A rule looks at the month's first day and at nothing later, so every policy made of rules can be carried
out. The rules of one source share its caps as if all of them ordered. The policy is calibrated like the static
plan, from the static plan, and recommended only where it beats that on futures neither has seen.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from planner.futures.arrays import CLOSED, PASSING, PROMISED, Array, Futures, Orders, Whole
from planner.optimise.evaluate import Outcome, evaluate
from planner.optimise.intervals import paired
from planner.optimise.lp.formulation import Formulation
from planner.optimise.policies.benchmarks import Benchmark, enough, first_cleared
from planner.optimise.service_level.calibrate import AGAIN, Calibration, calibrate, reconsider
from planner.optimise.service_level.confirm import Confirmation, Samples

_DEARER = 1e-3
"""The policy must be cheaper than the static plan by more than this share to be worth its conditions."""


@dataclass(frozen=True)
class Rule:
    """When the orders of one column of the unfolded programme are placed."""

    source: int
    """Place of the source among the futures' purchases."""
    watched: int
    """Place of the source whose gates are looked at."""
    least: int = CLOSED
    most: int = PASSING
    """The order is placed where the least open gate of the watched source is in a state from least to most."""
    waits: bool = False
    """Whether an order that is not placed in its month waits for the first month in which it is."""

    @property
    def always(self) -> bool:
        """Whether it orders in any case."""
        return self.least == CLOSED and self.most == PASSING and not self.waits


@dataclass(frozen=True)
class ConditionalOrder:
    """One line of the if-then calendar."""

    pool: str
    source: str
    month: int
    gpus: int
    rule: Rule
    placed: float
    """Share of the judging futures in which it is placed."""


@dataclass(frozen=True)
class IfThen:
    """The calibrated policy against the static plan, on the same judging futures."""

    rules: tuple[Rule, ...]
    calibration: Calibration
    """In the unfolded programme: its sources are the rules. Judged on the validating futures."""
    plan: Orders
    """[N, P, S, M] what the policy orders in each judging future."""
    outcome: Outcome
    lines: tuple[ConditionalOrder, ...]
    recommended: bool
    """Whether the policy is cheaper than the static plan beyond its interval and no further from the goal."""

    @property
    def conditional(self) -> bool:
        """Whether any order depends on what is seen; else the policy is a static plan."""
        return any(not self.rules[i].always for _, i, _ in np.argwhere(self.calibration.plan.orders > 0))


def if_then(samples: Samples, made: Confirmation, cleared: Benchmark | None = None) -> IfThen | None:
    """Calibrate the policy from the static plan; None where no source has a gate that is ever not passing.

    ``cleared`` is the benchmark that orders nothing until cleared: a policy of this kind too, and taken up where it
    does better.
    """
    rules = rules_of(samples.train)
    if len(rules) == len(samples.train.purchases):
        return None
    static, level = made.validated, samples.cvar_level
    seen = Formulation(unfold(enough(samples.train), rules))
    unseen = Formulation(unfold(samples.validate, rules))
    start = _embedded(static.plan, rules)
    found = calibrate(
        seen, unseen, made.aim, cvar_level=level, effort=AGAIN, start=start, out_of_reach=static.out_of_reach
    )
    starts = [start]
    if cleared is not None and cleared.wanted is not None:
        starts.append(_embedded(cleared.wanted, rules, waits=True))
    found = reconsider(seen, unseen, found, starts, cvar_level=level)
    return compared(samples.confirm, rules, found, made.confirmed)


def compared(judge: Futures, rules: tuple[Rule, ...], found: Calibration, static: Calibration) -> IfThen:
    """The policy beside the static plan on the judging futures."""
    plan = Orders(placed(judge, rules, found.plan.orders), found.plan.reserved)
    outcome = evaluate(judge, plan)
    cost = paired(static.outcome.cost.total, outcome.cost.total)
    ours = np.maximum(static.accepted - outcome.probability, 0.0).sum()
    theirs = np.maximum(static.accepted - static.outcome.probability, 0.0).sum()
    return IfThen(
        rules=rules,
        calibration=found,
        plan=plan,
        outcome=outcome,
        lines=_lines(judge, rules, found.plan),
        recommended=bool(cost.high < -_DEARER * static.outcome.expected_cost and ours <= theirs + 1e-12),
    )


def static_of(policy: IfThen, futures: Futures) -> Orders:
    """A policy that looks at nothing, as the static plan it is."""
    orders = np.zeros((len(futures.pools), len(futures.purchases), futures.months), dtype=np.int64)
    for i, rule in enumerate(policy.rules):
        orders[:, rule.source] += policy.calibration.plan.orders[:, i].astype(np.int64)
    return Orders(orders, policy.calibration.plan.reserved)


def regime_of(futures: Futures) -> NDArray[np.int8]:
    """[N, S, M] state of the least open gate of each source; passing throughout where nothing is known."""
    if futures.regime is not None:
        return futures.regime
    shape = futures.arrival_month.shape
    passing = np.ones(shape, dtype=bool) if futures.passing is None else futures.passing
    return np.where(passing, PASSING, CLOSED).astype(np.int8)


def rules_of(futures: Futures) -> tuple[Rule, ...]:
    """Every source in any case; and conditions that hold in some of the futures and not in all."""
    regime = regime_of(futures)
    sources = range(len(futures.purchases))
    gated = [s for s in sources if (regime[:, s] < PASSING).any()]
    rules = []
    for s in sources:
        watched = s if s in gated or not gated else gated[0]
        seen = regime[:, watched][:, futures.purchases[s].may_order.any(axis=0)]
        promised, passing = ((seen >= state).mean() if seen.size else 1.0 for state in (PROMISED, PASSING))
        rules.append(Rule(s, s))
        if 0 < promised < 1 and promised != passing:
            rules.append(Rule(s, s, least=PROMISED) if watched == s else Rule(s, watched, most=CLOSED))
        if 0 < passing < 1 and watched == s:
            rules += [Rule(s, s, least=PASSING), Rule(s, s, least=PASSING, waits=True)]
        elif 0 < passing < 1:
            rules.append(Rule(s, watched, most=PROMISED))
    return tuple(rules)


def unfold(futures: Futures, rules: tuple[Rule, ...]) -> Futures:
    """The same futures with one source per rule: an order that its rule does not place costs and brings nothing."""
    month = months_placed(futures, rules)
    T = futures.months
    place = [rule.source for rule in rules]
    sources = [futures.purchases[s] for s in place]
    inside = np.minimum(month, T - 1)
    arrival = np.take_along_axis(futures.arrival_month[:, place], inside, axis=2)
    outlay = np.take_along_axis(futures.outlay[:, place], inside, axis=2)
    return replace(
        futures,
        # Columns of one source share its allotment.
        purchases=tuple(replace(source, allotment=source.allotment or source.name) for source in sources),
        per_gpu=futures.per_gpu[:, :, place],
        arrival_month=np.where(month < T, arrival, T),
        outlay=np.where(month < T, outlay, 0.0),
        passing=None,
        regime=None,
        joint_caps=tuple(
            (tuple(i for i, rule in enumerate(rules) if rule.source in members), cap)
            for members, cap in futures.joint_caps
        ),
    )


def months_placed(futures: Futures, rules: tuple[Rule, ...]) -> Whole:
    """[N, rules, M] month in which an order of month m is placed; T: never."""
    T = futures.months
    regime = regime_of(futures)
    waiting = any(rule.waits for rule in rules)
    cleared = first_cleared(replace(futures, passing=regime >= PASSING)) if waiting else None
    months = np.empty((futures.count, len(rules), T), dtype=np.int64)
    for i, rule in enumerate(rules):
        if cleared is not None and rule.waits:
            months[:, i] = cleared[:, rule.source]
        else:
            seen = regime[:, rule.watched]
            months[:, i] = np.where((rule.least <= seen) & (seen <= rule.most), np.arange(T), T)
    return months


def placed(futures: Futures, rules: tuple[Rule, ...], orders: Whole | Array) -> Whole:
    """[N, P, S, M] what a policy ``orders`` [P, rules, M] places in each future, its sources' caps kept.

    Orders that waited may together exceed a monthly cap; what does not fit is placed in the next month in
    which the source passes.
    """
    T, P = futures.months, len(futures.pools)
    month = months_placed(futures, rules)
    regime = regime_of(futures)
    result = np.zeros((futures.count, P, len(futures.purchases), T), dtype=np.int64)
    for s, source in enumerate(futures.purchases):
        due = np.zeros((futures.count, P, T + 1))
        waited = np.zeros((futures.count, P, T + 1))
        for i, rule in enumerate(rules):
            if rule.source != s:
                continue
            into = waited if rule.waits else due
            for ordered in np.flatnonzero(orders[:, i].any(axis=0)):
                into[np.arange(futures.count), :, month[:, i, ordered]] += orders[:, i, ordered]
        cap = np.floor(min(source.monthly_cap, 1e15) / source.lot_gpus) * source.lot_gpus
        left = np.full(futures.count, min(source.total_cap, 1e15))
        owed = np.zeros((futures.count, P))
        for m in range(T):
            owed += waited[:, :, m]
            room = np.minimum(cap, np.floor(left / source.lot_gpus) * source.lot_gpus)
            passes = (regime[:, s, m] >= PASSING) & source.may_order[:, m].any()
            for p in range(P):
                part = np.minimum(due[:, p, m], room)
                late = np.where(passes, np.minimum(owed[:, p], room - part), 0.0)
                result[:, p, s, m] = part + late
                owed[:, p] -= late
                room, left = room - part - late, left - part - late
    return result


def _embedded(plan: Orders, rules: tuple[Rule, ...], waits: bool = False) -> Orders:
    """A static plan in the unfolded programme: every order in any case, or once cleared where that is a rule."""
    P, _, M = plan.orders.shape
    orders = np.zeros((P, len(rules), M), dtype=np.int64)
    waiting = {rule.source for rule in rules if rule.waits} if waits else set()
    for i, rule in enumerate(rules):
        if rule.waits if rule.source in waiting else rule.always:
            orders[:, i] = plan.orders[:, rule.source]
    return Orders(orders, plan.reserved)


def _lines(judge: Futures, rules: tuple[Rule, ...], plan: Orders) -> tuple[ConditionalOrder, ...]:
    """By month, source and condition."""
    month = months_placed(judge, rules)
    lines = [
        ConditionalOrder(
            pool=judge.pools[p],
            source=judge.purchases[rules[i].source].name,
            month=int(m),
            gpus=int(plan.orders[p, i, m]),
            rule=rules[i],
            placed=float((month[:, i, m] < judge.months).mean()),
        )
        for p, i, m in np.argwhere(plan.orders > 0)
    ]
    order = {rule: i for i, rule in enumerate(rules)}
    return tuple(sorted(lines, key=lambda line: (line.month, line.source, order[line.rule], line.pool)))
