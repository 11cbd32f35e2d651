"""From a study's arrays to the plan's record: every figure with its interval, every order with its reasons."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from planner import findings, wording
from planner.cash import committed, cost_parts, monthly_risk, monthly_spend
from planner.chance import Key
from planner.clock import day_of, minutes, month_label, month_starts
from planner.figures import LEVEL, Array, difference, mean_of, probability, quantiles
from planner.optimise.calibrate import Calibration
from planner.optimise.choice import Choice
from planner.optimise.congestion import Settled
from planner.optimise.evaluate import Outcome, wilson
from planner.optimise.policies import Rival
from planner.optimise.reasons import OrderReason, Waiting, firm_orders
from planner.optimise.worth import tornado
from planner.prospects import Prospects, carried_out, month_days, order_prices, price_path, unit_column
from planner.record import (
    Answer,
    Dates,
    GateOdds,
    Interval,
    Kpis,
    LaterOrder,
    LeadTime,
    Month,
    Order,
    PlanRecord,
    PoolMonth,
    Reservation,
    Verdict,
)
from planner.record import Rival as RivalRow
from planner.roots import PLANNED, root_of
from planner.scenario.load import scenario_hash
from planner.scenario.models import Scenario
from planner.sizing import Capacity, serving_row
from planner.studies import Worth
from planner.supply.build import candidate_orders, supply_spec
from planner.supply.gate import Always, State
from planner.versions import versions

SECONDS_PER_DAY = 86400.0
CLOSED, CONDITIONAL = int(State.CLOSED), int(State.CONDITIONAL)


def record_of(
    scenario: Scenario,
    overrides: Sequence[str],
    serving: Sequence[Capacity],
    fresh: Prospects,
    choice: Choice,
    rivals: Sequence[Rival],
    waiting: Waiting,
    reasons: Sequence[OrderReason],
    odds: Sequence[GateOdds],
    budget: float | None = None,
    worth: Worth | None = None,
    settled: Settled | None = None,
) -> PlanRecord:
    """The whole record of a plan, judged on the fresh futures.

    ``budget``: what would do where the scenario's own does not. ``worth`` None: an answer without its studies.
    ``settled``: how the plan came to stand at its own volume; None: its orders lengthen nothing.
    """
    chosen = choice.chosen
    spend = monthly_spend(scenario, fresh, chosen)
    months = _months(scenario, serving, fresh, chosen, np.sum(list(spend.values()), axis=0))
    orders = _orders(scenario, fresh, chosen, reasons)
    later = findings.later_orders(scenario, chosen, firm_orders(chosen.plan))
    kpis = _kpis(scenario, fresh, chosen)
    answer = _answer(scenario, fresh, choice, waiting, months, orders, later, odds)
    study = _study(scenario, choice, worth, fresh)
    return PlanRecord(
        versions=versions(),
        scenario=scenario,
        overrides=list(overrides),
        scenario_hash=scenario_hash(scenario),
        seed=scenario.seed,
        roots={use: root_of(scenario.seed, use) for use in PLANNED},
        answer=answer,
        months=months,
        orders=orders,
        reservations=_reservations(scenario, chosen),
        kpis=kpis,
        rivals=_rivals(scenario, choice, rivals),
        later=later,
        sizing=[serving_row(each) for each in serving],
        profiles=[_profile(each) for each in serving],
        lead_times=_lead_times(scenario, fresh),
        gate_odds=list(odds),
        physics=_physics(scenario, fresh, choice, settled),
        sources=wording.sources(scenario, fresh.load.traffic),
        reasons=wording.reasons(scenario, chosen, fresh, orders, budget, settled),
        quarters=findings.quarters(scenario, fresh, chosen, spend),
        calendar=findings.calendar(scenario, choice),
        limits=findings.binding(scenario, choice.static.confirmed.solution.limits),
        **study,
    )


def _study(scenario: Scenario, choice: Choice, worth: Worth | None, fresh: Prospects) -> dict[str, Any]:
    """What other worlds and goals cost, and what the outcome swings with."""
    swings = findings.swings(tornado(fresh.futures, choice.chosen.outcome))
    if worth is None:
        return {"tornado": swings}
    return {
        "tornado": swings,
        "information": findings.information(worth),
        "open_gates": findings.open_gates(scenario, worth),
        "frontier": findings.frontier(scenario, worth),
    }


def arrival(start: dt.date, minute: NDArray[np.int64]) -> Dates:
    """Quantiles of a day; -1 counts as later than the horizon."""
    late = np.where(minute >= 0, minute.astype(np.float64), np.inf)
    found = np.quantile(late, (0.1, 0.5, 0.9), method="higher")
    p10, p50, p90 = (day_of(start, value) if np.isfinite(value) else None for value in found)
    return Dates(p10=p10, p50=p50, p90=p90)


# --- months ----------------------------------------------------------------------------------------------------


def _months(
    scenario: Scenario, serving: Sequence[Capacity], fresh: Prospects, chosen: Calibration, spend: Array
) -> list[Month]:
    """``spend``: [N, T] undiscounted."""
    starts = month_starts(scenario.start, scenario.horizon_months)
    joint = chosen.outcome.met_jointly
    return [
        Month(
            month=month_label(day),
            start=day,
            probability=probability(joint[:, t]),
            required=t + 1 >= scenario.goal.from_month,
            pools=[_pool_month(scenario, serving, fresh, chosen, p, t) for p in range(len(scenario.pools))],
            gates=_gate_shares(fresh, t),
            spend=quantiles(spend[:, t]),
        )
        for t, day in enumerate(starts)
    ]


def _pool_month(
    scenario: Scenario, serving: Sequence[Capacity], fresh: Prospects, chosen: Calibration, p: int, t: int
) -> PoolMonth:
    """One pool in one month, counted in GPUs of its unit of account, future by future."""
    futures, outcome = fresh.futures, chosen.outcome
    column = unit_column(serving, scenario.pools[p].name)
    unit = fresh.per_gpu[:, column]
    reserved = (futures.rental_per_gpu[:, p] * chosen.plan.reserved[p, :, t]).sum(axis=1)
    spot = (futures.rental_per_gpu[:, p] * outcome.spot_gpus[:, p, :, t]).sum(axis=1)
    need = futures.need[:, p, t]
    return PoolMonth(
        pool=scenario.pools[p].name,
        unit=serving[column].sku,
        need_gpus=quantiles(need / unit),
        in_service_gpus=quantiles((outcome.capacity[:, p, t] - reserved) / unit),
        reserved_gpus=float((reserved / unit).mean()),
        spot_gpus=quantiles(spot / unit),
        unmet_gpus=quantiles(outcome.shortfall[:, p, t] * need / unit),
        probability=probability(outcome.met[:, p, t]),
    )


def _gate_shares(fresh: Prospects, t: int) -> dict[str, dict[str, float]]:
    """Share of futures in each state on the month's first day, by gate."""
    shares = {}
    for g, gate in enumerate(fresh.spec.gates):
        states = fresh.deliveries.gate_state[:, g, t]
        shares[gate.name] = {state.name.lower(): float((states == state).mean()) for state in State}
    return shares


# --- orders ----------------------------------------------------------------------------------------------------


def _orders(
    scenario: Scenario, fresh: Prospects, chosen: Calibration, reasons: Sequence[OrderReason]
) -> list[Order]:
    starts = month_starts(scenario.start, scenario.horizon_months)
    sources = {source.name: s for s, source in enumerate(scenario.purchases)}
    return [_order(scenario, fresh, chosen, reason, sources[reason.source], starts) for reason in reasons]


def _order(
    scenario: Scenario,
    fresh: Prospects,
    chosen: Calibration,
    reason: OrderReason,
    s: int,
    starts: Sequence[dt.date],
) -> Order:
    source = scenario.purchases[s]
    delivered = fresh.deliveries.delivered_at[:, fresh.lot_of[s, reason.month]]
    price = float(order_prices(scenario, source)[reason.month]) * reason.gpus
    count = len(fresh.futures.need)
    low, high = wilson(round(reason.probability_without * count), count, LEVEL)
    last = min(reason.last_safe_month, scenario.horizon_months - 1)
    matters = reason.probability_with - reason.probability_without > 0.5 / count
    order = Order(
        pool=reason.pool,
        source=source.name,
        sku=source.sku,
        month=month_label(starts[reason.month]),
        order_on=starts[reason.month],
        gpus=reason.gpus,
        lots=reason.gpus // source.lot_gpus,
        last_safe=starts[last] if last < scenario.horizon_months - 1 else None,
        protects=month_label(starts[reason.protects_month]) if matters else None,
        arrives=arrival(scenario.start, delivered),
        arrives_within_horizon=float((delivered >= 0).mean()),
        price=price,
        prepayment=price * source.prepayment,
        probability_without=Interval(value=reason.probability_without, low=float(low), high=float(high)),
        cost_without=Interval(
            value=reason.cost_without.mean, low=reason.cost_without.low, high=reason.cost_without.high
        ),
        why="",
    )
    accepted = fresh.deliveries.accepted_at[:, fresh.lot_of[s, reason.month]] >= 0
    return order.model_copy(
        update={"why": wording.why(order, reason, scenario, source, float(accepted.mean()))}
    )


def _reservations(scenario: Scenario, chosen: Calibration) -> list[Reservation]:
    starts = month_starts(scenario.start, scenario.horizon_months)
    hours = month_days(scenario) * 24.0
    rows = []
    for p, r, t in np.argwhere(chosen.plan.reserved > 0):
        source = scenario.rentals[r]
        gpus = int(chosen.plan.reserved[p, r, t])
        hourly = scenario.in_currency(source.price_per_gpu_hour) * float(price_path(source, int(t) + 1)[-1])
        notice = dt.timedelta(days=int(np.ceil(source.notice_days)))
        rows.append(
            Reservation(
                pool=scenario.pools[p].name,
                source=source.name,
                sku=source.sku,
                month=month_label(starts[t]),
                reserve_by=max(scenario.start, starts[t] - notice),
                gpus=gpus,
                price=gpus * hourly * float(hours[t]),
            )
        )
    return rows


# --- money and rivals ------------------------------------------------------------------------------------------


def _kpis(scenario: Scenario, fresh: Prospects, chosen: Calibration) -> Kpis:
    outcome = chosen.outcome
    total = outcome.cost.total
    return Kpis(
        expected_cost=quantiles(total),
        mean_cost=mean_of(total),
        cost_parts=cost_parts(fresh, chosen),
        committed=committed(scenario, chosen),
        at_risk=float(monthly_risk(scenario, fresh, chosen).max()),
        gpus_ordered=round(float(chosen.outcome.ordered.sum(axis=(1, 2)).mean())),
        shortfall_share=mean_of(shortfall_share(fresh, outcome)),
        cost_per_million_tokens=_cost_per_million_tokens(scenario, fresh, outcome),
    )


def shortfall_share(fresh: Prospects, outcome: Outcome) -> Array:
    """[N] unmet share of each future's demand over the horizon; each pool counts alike."""
    need = fresh.futures.need
    return np.asarray(((outcome.shortfall * need).sum(axis=2) / need.sum(axis=2)).mean(axis=1))


def _cost_per_million_tokens(scenario: Scenario, fresh: Prospects, outcome: Outcome) -> float | None:
    output = np.array([stream.output.mean for stream in fresh.load.traffic])
    seconds = month_days(scenario) * SECONDS_PER_DAY
    served = fresh.load.mean_rps * (1.0 - outcome.shortfall) * output[:, None] * seconds
    tokens = float(served.sum(axis=(1, 2)).mean())
    return float(outcome.cost.total.mean()) / tokens * 1e6 if tokens > 0 else None


def _rivals(scenario: Scenario, choice: Choice, rivals: Sequence[Rival]) -> list[RivalRow]:
    """The other ways to plan, then the rules of thumb and the narrower choices."""
    mine = choice.chosen.outcome
    ways = [(way, choice.of(way).outcome) for way in choice.ways if way != choice.way]
    return [
        _rival(scenario, name, outcome, mine)
        for name, outcome in [*ways, *((rival.name, rival.outcome) for rival in rivals)]
    ]


def _rival(scenario: Scenario, name: str, outcome: Outcome, mine: Outcome) -> RivalRow:
    starts = month_starts(scenario.start, scenario.horizon_months)
    weakest = findings.weakest_required(scenario, outcome)
    shortfall = outcome.shortfall.mean(axis=(1, 2))
    worst = np.sort(shortfall)[-max(1, outcome.count // 10) :]
    cost = difference(mine.cost.total, outcome.cost.total)
    return RivalRow(
        name=name,
        meaning=wording.MEANING.get(name, ""),
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
        return "short of the goal"
    budget = scenario.goal.budget
    if not outcome.affordable(None if budget is None else scenario.in_currency(budget)):
        return "over the budget"
    if cost.low > 0:
        return "dearer"
    return "cheaper" if cost.high < 0 else "ties"


# --- answer ----------------------------------------------------------------------------------------------------


def _answer(
    scenario: Scenario,
    fresh: Prospects,
    choice: Choice,
    waiting: Waiting,
    months: Sequence[Month],
    orders: Sequence[Order],
    later: Sequence[LaterOrder],
    odds: Sequence[GateOdds],
) -> Answer:
    required = [month for month in months if month.required]
    weakest = min(required, key=lambda month: month.probability.value)
    feasible = all(month.probability.value >= scenario.goal.probability for month in required)
    dates = [order.last_safe or order.order_on for order in orders]
    starts = month_starts(scenario.start, scenario.horizon_months)
    again = starts[1] if choice.way == "monthly re-planning" and len(starts) > 1 else None
    return Answer(
        sentence=wording.sentence(scenario, choice, months, orders, later, weakest, feasible),
        way=choice.way,
        plan_again_on=again,
        waiting=wording.waiting(scenario, waiting),
        rests_on=wording.rests_on(scenario, fresh, odds),
        feasible=feasible,
        goal=scenario.goal.probability,
        weakest_month=weakest.month,
        probability=weakest.probability,
        next_order_by=min(dates, default=None),
        runs_out=_runs_out(scenario, fresh),
        cost_of_waiting=Interval(value=waiting.cost.mean, low=waiting.cost.low, high=waiting.cost.high),
    )


def _runs_out(scenario: Scenario, fresh: Prospects) -> Dates:
    """When need first exceeds what is in service today, if nothing is bought or rented."""
    short: NDArray[np.bool_] = np.any(fresh.futures.base_deficit > 0, axis=1)
    first = np.where(np.any(short, axis=1), short.argmax(axis=1), -1)
    starts = np.array([minutes(scenario.start, day) for day in month_starts(scenario.start, short.shape[1])])
    return arrival(scenario.start, np.where(first >= 0, starts[np.maximum(first, 0)], -1))


# --- serving, supply, gates ------------------------------------------------------------------------------------


def _profile(capacity: Capacity) -> dict[str, Any]:
    """What the sizing stands on, short enough to read."""
    found = capacity.goodput
    return {
        "model": capacity.model,
        "gpu": capacity.sku,
        "precision": capacity.precision,
        "engine": capacity.engine,
        "label": found.label,
        "calibration_rows": found.calibration_rows,
        "kv_tokens": found.kv_tokens,
        "reason": found.reason,
    }


def _lead_times(scenario: Scenario, fresh: Prospects) -> list[LeadTime]:
    """From an order on the first day on which the source takes any, to service.

    A source from which nothing arrives within the horizon in any future has no lead time to show.
    """
    rows = []
    for s, source in enumerate(scenario.purchases):
        placed = np.flatnonzero(fresh.lot_of[s] >= 0)
        if len(placed) == 0:
            continue
        lot = fresh.lot_of[s, placed[0]]
        delivered = fresh.deliveries.delivered_at[:, lot]
        arrived = delivered[delivered >= 0]
        if len(arrived) == 0:
            continue
        days = (arrived - fresh.deliveries.orders.placed_at[lot]) / 1440.0
        early = arrival_quantile(scenario.start, delivered, 0.05)
        rows.append(
            LeadTime(
                source=source.name,
                entry="own route" if source.route is not None else source.entry,
                days=quantiles(days),
                arrives_within_horizon=float((delivered >= 0).mean()),
                promised_not_before=early,
            )
        )
    return rows


def arrival_quantile(start: dt.date, delivered: NDArray[np.int64], share: float) -> dt.date | None:
    """The day by which this share of all futures has the goods; None beyond the horizon."""
    late = np.where(delivered >= 0, delivered.astype(np.float64), np.inf)
    found = float(np.quantile(late, share, method="higher"))
    return day_of(start, found) if np.isfinite(found) else None


def gate_odds(scenario: Scenario, fresh: Prospects) -> list[GateOdds]:
    """What each gate does to orders of the first day, by opening it on the same luck."""
    gated = [s for s, source in enumerate(scenario.purchases) if source.gates and fresh.lot_of[s, 0] >= 0]
    if not gated:
        return []
    as_drawn = _any_delivered(fresh.deliveries.delivered_at[:, fresh.lot_of[gated, 0]])
    return [
        _odds_of(scenario, fresh, g, as_drawn, _with_gate_open(scenario, fresh, g, gated))
        for g in range(len(fresh.spec.gates))
    ]


def _with_gate_open(scenario: Scenario, fresh: Prospects, g: int, gated: Sequence[int]) -> NDArray[np.bool_]:
    """[N] whether any first-day order from a gated source serves if gate ``g`` had always been open."""
    opened = replace(fresh.spec.gates[g], law=Always(State.OPEN), events=())
    gates = tuple(opened if at == g else gate for at, gate in enumerate(fresh.spec.gates))
    orders = fresh.deliveries.orders.select(fresh.lot_of[gated, 0])
    key = Key(root_of(scenario.seed, "confirm"))
    numbers = range(len(fresh.futures.need))
    made = carried_out(replace(fresh.spec, gates=gates), orders, key, numbers, "fast")
    return _any_delivered(made.delivered_at)


def _any_delivered(delivered_at: NDArray[np.int64]) -> NDArray[np.bool_]:
    """[N] whether any of the lots serves within the horizon."""
    return np.asarray(np.any(delivered_at >= 0, axis=1))


def _odds_of(
    scenario: Scenario, fresh: Prospects, g: int, drawn: NDArray[np.bool_], opened: NDArray[np.bool_]
) -> GateOdds:
    gate = fresh.spec.gates[g]
    states = fresh.deliveries.gate_state[:, g]
    starts = month_starts(scenario.start, scenario.horizon_months)
    passed = np.maximum.accumulate(states >= CONDITIONAL, axis=1).mean(axis=0)
    soon = [t for t, day in enumerate(starts) if 0 < (day - scenario.start).days <= 90]
    return GateOdds(
        gate=gate.name,
        authority=gate.authority,
        state=State(int(states[0, 0])).name.lower(),
        passes_within_months={month_label(day): float(passed[t]) for t, day in enumerate(starts)},
        closes_within_90_days=float((states[:, soon] == CLOSED).any(axis=1).mean()),
        arrives=probability(drawn),
        arrives_if_open=probability(opened),
    )


def _physics(scenario: Scenario, fresh: Prospects, choice: Choice, settled: Settled | None) -> dict[str, Any]:
    """Readings that help to judge the model behind the plan."""
    chosen, run = choice.chosen, scenario.run
    made = (
        choice.replanned.promise
        if choice.replanned and choice.way == "monthly re-planning"
        else choice.static
    )
    return {
        "futures": {
            "optimise": run.scenarios,
            "validate": run.replications,
            "confirm": len(fresh.futures.need),
        },
        "engine": run.engine,
        "candidate_lots": len(candidate_orders(scenario)),
        "shortfall_cvar": {"level": scenario.goal.cvar_level, "value": chosen.solution.shortfall_cvar},
        "optimiser": {"gap": chosen.solution.gap, "steps": len(chosen.steps)},
        "promise": {
            "aimed_at": made.aim,
            "raised": made.raised,
            "validated": float(made.validated.outcome.probability[made.validated.required].min(initial=1.0)),
        },
        "replanning": _beliefs(choice),
        "congestion": None
        if settled is None
        else {"settled": settled.settled, "moves": list(settled.moves), "cost_alone": settled.cost_alone},
        "gates": [gate.name for gate in supply_spec(scenario).gates],
    }


def _beliefs(choice: Choice) -> dict[str, Any] | None:
    """What monthly re-planning believes in, enough to carry the rule out again."""
    if choice.replanned is None:
        return None
    beliefs = choice.replanned.beliefs
    return {
        "caution": beliefs.caution,
        "first_month": beliefs.first_month,
        "longest_lead": beliefs.longest_lead,
        "learnt_on": beliefs.train.count,
    }
