r"""Planning anew every month, as a planning department does: the rule of rule.py with its parameters searched.

Every rule of a grid (caution, lead time, patience) is carried out on training futures with about the rental that goes
with it. The best are then given the rental that an optimiser finds for them (with the rule's orders placed in every
future, the cheapest that brings the probability to its aim), and compared on the validating futures; the best of these
is judged on the confirming ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import product

import numpy as np

from planner.futures.arrays import Futures, Orders, Whole, no_orders
from planner.optimise.evaluate import evaluate
from planner.optimise.lp.formulation import Formulation
from planner.optimise.policies.benchmarks import enough
from planner.optimise.policies.rule import Beliefs, Rule, carried_out
from planner.optimise.service_level.calibrate import AGAIN, Calibration, calibrate, roughly
from planner.optimise.service_level.confirm import RAISES, Confirmation, Samples, judged
from planner.optimise.service_level.infeasible_months import OutOfReach, out_of_reach

CAUTIONS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
"""Quantiles tried: at a half the planner believes in medians."""

_FIRST_MONTHS = (0, 1)
"""Patience tried: believing in quantiles the rule may order a month too early."""

_SHORTER_LEADS = 2
"""Bounds on the lead time that are tried, the next longest medians: a cheap source may bind the rule to goods that come
long after the need has changed. At a high caution a bound leaves further sources aside."""

_SCREENED = 600
"""Rules are screened on so many training futures."""

_CLOSE, _FINALISTS = 0.03, 4
"""Rules that cost at most this share more than the best in the screening are compared whole, so many at most: whole
lots and fresh futures move costs by a few per cent."""

Beyond = tuple[OutOfReach, ...]


@dataclass(frozen=True)
class Replanned:
    """The rule with its rental."""

    confirmation: Confirmation
    """Its plan's orders are [N, P, S, M], those of each confirming future."""
    beliefs: Beliefs
    rule: Rule


def rules_near(rule: Rule) -> list[Rule]:
    """Rules much like one, for worlds and goals that differ a little: its neighbours in caution, with and without its
    bound on lead times, patient or not."""
    cautions = [caution for caution in CAUTIONS if abs(caution - rule.caution) < 0.11]
    leads = dict.fromkeys((rule.longest_lead, None))
    return [Rule(*each) for each in product(cautions, _FIRST_MONTHS, leads)]


def replanned_confirmation(samples: Samples, rules: Sequence[Rule] | None = None) -> Replanned:
    """The best of some rules with the rental that goes with it, judged on the confirming futures; None: of the grid."""
    last = finalists(samples, rules)
    return confirmed(samples, last[0] if len(last) == 1 else min(last, key=lambda rule: validated(samples, rule)))


def finalists(samples: Samples, rules: Sequence[Rule] | None = None) -> list[Rule]:
    """Those that cost about least with rental in parts of GPUs, by what screening shows; one where lots may be rough.

    ``rules``: None: the whole grid.
    """
    beliefs = Beliefs(enough(samples.train))
    few = samples.train.take(slice(0, _SCREENED)) if samples.train.count > _SCREENED else samples.train
    costs: dict[bytes, tuple[float, Rule]] = {}
    for rule in _grid(beliefs) if rules is None else rules:
        orders = carried_out(few, beliefs, rule)
        alike = sha256(orders.tobytes()).digest()
        if alike not in costs:  # what changes nothing is not tried twice
            costs[alike] = (_roughly(few, orders, samples), rule)
    ranked = sorted(costs.values(), key=lambda each: each[0])
    most = ranked[0][0] + _CLOSE * abs(ranked[0][0])
    close = [rule for cost, rule in ranked if cost <= most]
    return close[: _FINALISTS if samples.effort.polished else 1]


def validated(samples: Samples, rule: Rule) -> tuple[float, float]:
    """Less is better: what the rule with its rental lacks of the goal on the validating futures, then its cost."""
    found = _with_rental(samples, Beliefs(enough(samples.train)), rule, samples.aim, _beyond(samples))
    return _lacking(found, samples.goal), found.outcome.expected_cost


def confirmed(samples: Samples, rule: Rule) -> Replanned:
    """The rule with its rental, judged on the confirming futures; aimed higher where these miss the goal."""
    beliefs, beyond = Beliefs(enough(samples.train)), _beyond(samples)
    best = made = _confirmed(samples, beliefs, rule, samples.aim, beyond)
    while made.raised < RAISES and made.lacks > 0 and _lacking(made.validated, samples.goal) == 0 and made.aim < 1.0:
        made = _confirmed(samples, beliefs, rule, samples.raised(made), beyond, made)
        best = min(best, made, key=lambda each: each.lacks)
    return Replanned(best, beliefs, rule)


def _beyond(samples: Samples) -> Beyond:
    return out_of_reach(Formulation(samples.first(_SCREENED, _SCREENED, 1).validate), samples.aim)


def _grid(beliefs: Beliefs) -> list[Rule]:
    leads = (None, *beliefs.usual_leads[1 : 1 + _SHORTER_LEADS])
    return [Rule(*each) for each in product(CAUTIONS, _FIRST_MONTHS, leads)]


def _lacking(found: Calibration, goal: float) -> float:
    missing = np.minimum(found.accepted, goal) - found.outcome.probability
    return float(missing[missing > 0].sum())


def _roughly(few: Futures, orders: Whole, samples: Samples) -> float:
    """What a rule costs with about the best rental, on the futures that both were made on.

    A point of probability that a month lacks is charged as a hundredth of the cost: about what it takes to mend it.
    """
    given = _given(few, orders)
    found = evaluate(given, roughly(given, samples.aim))
    lacks = np.where(given.must_meet, np.maximum(samples.goal - found.probability, 0.0), 0.0)
    return (found.expected_cost + outlay_of(few, orders)) * (1.0 + float(lacks.sum()))


def _confirmed(
    samples: Samples, beliefs: Beliefs, rule: Rule, aim: float, beyond: Beyond, before: Confirmation | None = None
) -> Confirmation:
    found = _with_rental(samples, beliefs, rule, aim, beyond, before)
    carried = Orders(carried_out(samples.confirm, beliefs, rule), found.plan.reserved)
    made = replace(found, solution=replace(found.solution, plan=carried))
    return judged(Formulation(samples.confirm), made, samples.goal, 0 if before is None else before.raised + 1)


def _with_rental(
    samples: Samples, beliefs: Beliefs, rule: Rule, aim: float, beyond: Beyond, before: Confirmation | None = None
) -> Calibration:
    """The rental that goes with the rule's orders, by the optimiser that sees them as capacity in service.

    ``beyond``: months whose goal nothing within the limits can meet. ``before``: where the search goes on from. The
    outcome is that of orders and rental together on the validating futures.
    """
    train, validate = beliefs.train, samples.validate
    orders = carried_out(validate, beliefs, rule)
    seen, unseen = _given(train, carried_out(train, beliefs, rule)), _given(validate, orders)
    start, effort = None, samples.effort
    if before is not None:
        start, effort = replace(no_orders(seen), reserved=before.validated.plan.reserved), AGAIN
    found = calibrate(seen, unseen, aim, out_of_reach=beyond, start=start, effort=effort)
    return replace(found, outcome=evaluate(validate, Orders(orders, found.plan.reserved)))


def _given(futures: Futures, orders: Whole) -> Futures:
    """The futures with some orders placed and nothing more to order."""
    brought = Formulation(futures).deliveries.capacity(orders)
    spent = outlay_of(futures, orders)
    budget = None if futures.budget is None else max(0.0, futures.budget - spent)
    return replace(futures.only(purchases=()), owned=futures.owned + brought, budget=budget)


def outlay_of(futures: Futures, orders: Whole) -> float:
    """Expected outlay of orders [N, P, S, M], money."""
    return float((futures.outlay * orders.sum(axis=1)).sum(axis=(1, 2)).mean())
