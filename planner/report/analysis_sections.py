"""The plan's studies as the record holds them: calendar, later orders, money by quarter, worth, limits."""

import datetime as dt
from collections.abc import Sequence

import numpy as np

from planner.clock import month_label, month_starts
from planner.compare.alternatives import Worth
from planner.futures.arrays import CLOSED, PASSING, PROMISED, Array
from planner.futures.sample import Prospects
from planner.optimise.evaluate import Outcome
from planner.optimise.intervals import mean_of, paired, probability, quantiles
from planner.optimise.lp.formulation import Limit
from planner.optimise.policies.choice import Choice
from planner.optimise.policies.if_then import ConditionalOrder as Line
from planner.optimise.policies.if_then import Rule
from planner.optimise.service_level.calibrate import Calibration
from planner.record.ids import GateLevel
from planner.record.models import (
    BindingLimit,
    Calendar,
    Condition,
    ConditionalOrder,
    FrontierPoint,
    LaterOrder,
    OpenGate,
    Quarter,
)
from planner.report.cash_flow import monthly_commitments, monthly_risk
from planner.scenario.models import Scenario

SELDOM = 0.01
"""A later order that fewer futures place is not listed."""

MOST_LIMITS = 8
"""Binding limits listed, those that cost most first."""


def calendar(scenario: Scenario, choice: Choice) -> Calendar:
    """Everything settled beforehand: with conditions where they save, else the same in every future."""
    conditional = choice.policy is not None and choice.policy.recommended
    found = choice.of("if-then-calendar" if conditional else "fixed-calendar")
    lines = choice.policy.lines if conditional and choice.policy is not None else _fixed_lines(scenario, found)
    month = weakest_required(scenario, found.outcome)
    starts = month_starts(scenario.start, scenario.horizon_months)
    saved = choice.static.confirmed.outcome.cost.total
    return Calendar(
        conditional=conditional,
        lines=[_line(scenario, line, starts) for line in lines if line.placed > 0],
        mean_cost=mean_of(found.outcome.cost.total),
        cost_difference=paired(choice.chosen.outcome.cost.total, found.outcome.cost.total),
        weakest_month=month_label(starts[month]),
        probability=probability(found.outcome.met_jointly[:, month]),
        conditions_save=paired(found.outcome.cost.total, saved) if conditional else None,
    )


def weakest_required(scenario: Scenario, outcome: Outcome) -> int:
    """The month of lowest probability among those in which the goal must hold."""
    first = scenario.goal.from_month - 1
    return int(outcome.probability[first:].argmin()) + first


LEVELS: dict[int, GateLevel] = {CLOSED: "closed", PROMISED: "promised", PASSING: "passing"}


def condition_of(rule: Rule, scenario: Scenario) -> Condition:
    """When a rule places its orders, as the record holds it; ``planner.audit`` finds the rule again by it."""
    if rule.always:
        return Condition()
    watched = scenario.purchases[rule.watched].name
    return Condition(watched=watched, least=LEVELS[rule.least], most=LEVELS[rule.most], waits=rule.waits)


def _fixed_lines(scenario: Scenario, found: Calibration) -> list[Line]:
    orders = found.plan.orders
    placed = sorted((int(m), int(s), int(p)) for p, s, m in np.argwhere(orders > 0))
    return [
        Line(
            pool=scenario.pools[p].name,
            source=scenario.purchases[s].name,
            month=m,
            gpus=int(orders[p, s, m]),
            rule=Rule(s, s),
            placed=1.0,
        )
        for m, s, p in placed
    ]


def _line(scenario: Scenario, line: Line, starts: Sequence[dt.date]) -> ConditionalOrder:
    source = next(each for each in scenario.purchases if each.name == line.source)
    return ConditionalOrder(
        pool=line.pool,
        source=line.source,
        sku=source.sku,
        month=month_label(starts[line.month]),
        order_on=starts[line.month],
        gpus=line.gpus,
        # What the first day shows is known: an order that every future places there has no condition.
        condition=Condition() if line.placed >= 1 else condition_of(line.rule, scenario),
        placed=line.placed,
    )


def later_orders(scenario: Scenario, chosen: Calibration, firm: np.ndarray) -> list[LaterOrder]:
    """What a policy orders beyond what is firm, by month, source and pool; nothing for a fixed calendar."""
    orders = chosen.plan.orders
    if orders.ndim == 3:
        return []
    starts = month_starts(scenario.start, scenario.horizon_months)
    rows = []
    for m in range(scenario.horizon_months):
        for s, source in enumerate(scenario.purchases):
            for p, pool in enumerate(scenario.pools):
                more = orders[:, p, s, m] - firm[p, s, m]
                placed = float((more > 0).mean())
                if placed < SELDOM:
                    continue
                rows.append(
                    LaterOrder(
                        pool=pool.name,
                        source=source.name,
                        sku=source.sku,
                        month=month_label(starts[m]),
                        placed=placed,
                        mean_gpus=float(more.mean()),
                        gpus=quantiles(more),
                    )
                )
    return rows


def quarters(scenario: Scenario, fresh: Prospects, chosen: Calibration, spend: dict[str, Array]) -> list[Quarter]:
    """Payments, commitments and money at risk by calendar quarter; ``spend`` [N, T] by kind."""
    ordered = monthly_commitments(scenario, chosen)
    risk = monthly_risk(scenario, fresh, chosen)
    names = [f"{day.year}-Q{(day.month + 2) // 3}" for day in month_starts(scenario.start, scenario.horizon_months)]
    rows = []
    for name in dict.fromkeys(names):
        months = [t for t, each in enumerate(names) if each == name]
        by_kind = {kind: paid[:, months].sum(axis=1) for kind, paid in spend.items()}
        rows.append(
            Quarter(
                quarter=name,
                spend=quantiles(np.sum(list(by_kind.values()), axis=0)),
                mean={kind: float(paid.mean()) for kind, paid in by_kind.items()},
                committed=float(ordered[months].sum()),
                at_risk=float(risk[months].max()),
            )
        )
    return rows


def open_gates(scenario: Scenario, found: Worth) -> list[OpenGate]:
    """What each gate costs by not being open, the dearest first; all of them together at the head."""
    starts = month_starts(scenario.start, scenario.horizon_months)
    rows = [
        OpenGate(
            gate=world.gate,
            cost_difference=world.cost,
            weakest_month=month_label(starts[world.month]),
            probability_difference=world.probability,
            futures=found.futures,
        )
        for world in found.open_gates
    ]
    return sorted(rows, key=lambda row: row.cost_difference.value)


def frontier(scenario: Scenario, found: Worth) -> list[FrontierPoint]:
    """Cost against probability."""
    starts = month_starts(scenario.start, scenario.horizon_months)
    return [
        FrontierPoint(
            goal=point.goal,
            mean_cost=mean_of(point.outcome.cost.total),
            weakest_month=month_label(starts[point.month]),
            probability=probability(point.outcome.met_jointly[:, point.month]),
            meets_goal=point.meets_goal,
        )
        for point in found.frontier
    ]


def binding(scenario: Scenario, limits: Sequence[Limit]) -> list[BindingLimit]:
    """Limits that bind, with their shadow prices; those that would save most first."""
    labels = [month_label(day) for day in month_starts(scenario.start, scenario.horizon_months)]
    dearest = sorted((limit for limit in limits if limit.price > 0), key=lambda limit: -limit.price)
    return [
        BindingLimit(
            limit=limit.kind,
            sources=list(limit.names),
            month=None if limit.month is None else labels[limit.month],
            saves=limit.price,
        )
        for limit in dearest[:MOST_LIMITS]
    ]
