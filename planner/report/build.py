"""The plan record: every figure that a screen, a report or an export shows."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from planner.clock import minutes, month_label, month_starts
from planner.compare.alternatives import Worth
from planner.demand.traffic import Traffic
from planner.futures.arrays import Array
from planner.futures.limits import whole_lot
from planner.futures.months import month_days
from planner.futures.prices import unit_column
from planner.futures.sample import Prospects
from planner.optimise.congestion import Settled
from planner.optimise.evaluate import Outcome
from planner.optimise.intervals import mean_of, paired, probability, quantiles
from planner.optimise.policies.benchmarks import Benchmark
from planner.optimise.policies.choice import Choice
from planner.optimise.service_level.calibrate import Calibration
from planner.optimise.service_level.infeasible_months import OutOfReach, relaxations
from planner.optimise.value.information import tornado
from planner.optimise.value.order_value import OrderReason, Waiting, firm_orders
from planner.record.ids import PolicyId, Verdict
from planner.record.models import (
    Answer,
    Dates,
    GateOdds,
    Interval,
    Kpis,
    MissedMonth,
    Month,
    Order,
    OwnVolume,
    PlanRecord,
    PoolMonth,
    Reasons,
    Rival,
    Unsellable,
)
from planner.record.provenance import versions
from planner.report import analysis_sections as findings
from planner.report.cash_flow import committed, cost_parts, monthly_risk, monthly_spend
from planner.report.orders import _lead_times, _orders, _reservations, arrival
from planner.report.sentences import with_sentences
from planner.report.serving_rows import _profile, serving_row
from planner.sampling.seeds import PLANNED, root_of
from planner.scenario.load import scenario_hash
from planner.scenario.models import Scenario
from planner.scenario.sources import Purchase
from planner.sizing import Capacity
from planner.supply.network.from_scenario import candidate_orders, supply_spec
from planner.supply.network.gate import State

SECONDS_PER_DAY = 86400.0


def record_of(
    scenario: Scenario,
    overrides: Sequence[str],
    serving: Sequence[Capacity],
    fresh: Prospects,
    choice: Choice,
    benchmarks: Sequence[Benchmark],
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
    answer = _answer(scenario, fresh, choice, waiting, months, orders)
    study = _study(scenario, choice, worth, fresh)
    record = PlanRecord(
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
        rivals=_rivals(scenario, choice, benchmarks),
        later=later,
        sizing=[serving_row(each) for each in serving],
        profiles=[_profile(each) for each in serving],
        lead_times=_lead_times(scenario, fresh),
        gate_odds=list(odds),
        physics=_physics(scenario, fresh, choice, settled),
        sources=_sources(scenario, fresh.load.traffic),
        why=_why(scenario, chosen, fresh, budget, settled),
        quarters=findings.quarters(scenario, fresh, chosen, spend),
        calendar=findings.calendar(scenario, choice),
        limits=findings.binding(scenario, choice.static.confirmed.solution.limits),
        **study,
    )
    return with_sentences(record)


def _study(scenario: Scenario, choice: Choice, worth: Worth | None, fresh: Prospects) -> dict[str, Any]:
    """What other worlds and goals cost, and what the outcome swings with."""
    swings = tornado(fresh.futures, choice.chosen.outcome)
    if worth is None:
        return {"tornado": swings}
    return {
        "tornado": swings,
        "information": worth.information,
        "open_gates": findings.open_gates(scenario, worth),
        "frontier": findings.frontier(scenario, worth),
    }


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
        shortfall_share=mean_of(_shortfall_share(fresh, outcome)),
        cost_per_million_tokens=_cost_per_million_tokens(scenario, fresh, outcome),
    )


def _cost_per_million_tokens(scenario: Scenario, fresh: Prospects, outcome: Outcome) -> float | None:
    output = np.array([stream.output.mean for stream in fresh.load.traffic])
    seconds = month_days(scenario) * SECONDS_PER_DAY
    served = fresh.load.mean_rps * (1.0 - outcome.shortfall) * output[:, None] * seconds
    tokens = float(served.sum(axis=(1, 2)).mean())
    return float(outcome.cost.total.mean()) / tokens * 1e6 if tokens > 0 else None


def _shortfall_share(fresh: Prospects, outcome: Outcome) -> Array:
    """[N] unmet share of each future's demand over the horizon; each pool counts alike."""
    need = fresh.futures.need
    return np.asarray(((outcome.shortfall * need).sum(axis=2) / need.sum(axis=2)).mean(axis=1))


def _rivals(scenario: Scenario, choice: Choice, benchmarks: Sequence[Benchmark]) -> list[Rival]:
    """The other ways to plan, then the rules of thumb and the narrower choices."""
    mine = choice.chosen.outcome
    ways: list[tuple[PolicyId, Outcome]] = [(way, choice.of(way).outcome) for way in choice.ways if way != choice.way]
    return [
        _rival(scenario, name, outcome, mine)
        for name, outcome in [*ways, *((each.name, each.outcome) for each in benchmarks)]
    ]


def _rival(scenario: Scenario, name: PolicyId, outcome: Outcome, mine: Outcome) -> Rival:
    starts = month_starts(scenario.start, scenario.horizon_months)
    weakest = findings.weakest_required(scenario, outcome)
    shortfall = outcome.shortfall.mean(axis=(1, 2))
    worst = np.sort(shortfall)[-max(1, outcome.count // 10) :]
    cost = paired(mine.cost.total, outcome.cost.total)
    return Rival(
        name=name,
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
    """A policy that serves less often than the goal is no match, however cheap; within the interval it ties."""
    required = slice(scenario.goal.from_month - 1, None)
    aim = np.minimum(mine.probability[required], scenario.goal.probability)
    if np.any(outcome.probability[required] < aim - 1e-12):
        return "misses-goal"
    budget = scenario.goal.budget
    if not outcome.affordable(None if budget is None else scenario.in_currency(budget)):
        return "over-budget"
    if cost.low > 0:
        return "dearer"
    return "cheaper" if cost.high < 0 else "ties"


def _answer(
    scenario: Scenario,
    fresh: Prospects,
    choice: Choice,
    waiting: Waiting,
    months: Sequence[Month],
    orders: Sequence[Order],
) -> Answer:
    required = [month for month in months if month.required]
    weakest = min(required, key=lambda month: month.probability.value)
    feasible = all(month.probability.value >= scenario.goal.probability for month in required)
    dates = [order.last_safe or order.order_on for order in orders]
    starts = month_starts(scenario.start, scenario.horizon_months)
    again = starts[1] if choice.way == "monthly-re-planning" and len(starts) > 1 else None
    need = fresh.futures.need.sum(axis=1)
    growth = np.quantile(need[:, -1] / need[:, 0], (0.1, 0.9))
    return Answer(
        way=choice.way,
        plan_again_on=again,
        feasible=feasible,
        goal=scenario.goal.probability,
        weakest_month=weakest.month,
        probability=weakest.probability,
        next_order_by=min(dates, default=None),
        runs_out=_runs_out(scenario, fresh),
        cost_of_waiting=waiting.cost,
        waiting_takes=waiting.probability.value,
        waiting_hurts=month_label(starts[waiting.hurt_month]),
        demand_growth=(float(growth[0]), float(growth[1])),
    )


def _runs_out(scenario: Scenario, fresh: Prospects) -> Dates:
    """When need first exceeds what is in service today, if nothing is bought or rented."""
    short: NDArray[np.bool_] = np.any(fresh.futures.base_deficit > 0, axis=1)
    first = np.where(np.any(short, axis=1), short.argmax(axis=1), -1)
    starts = np.array([minutes(scenario.start, day) for day in month_starts(scenario.start, short.shape[1])])
    return arrival(scenario.start, np.where(first >= 0, starts[np.maximum(first, 0)], -1))


def _why(
    scenario: Scenario, chosen: Calibration, fresh: Prospects, budget: float | None, settled: Settled | None
) -> Reasons:
    """Months out of reach and what would do; ``budget``: the one that would."""
    unreachable = [out for out in chosen.out_of_reach if out.month + 1 >= scenario.goal.from_month]
    worst_first = sorted(unreachable, key=lambda out: out.best.value)
    return Reasons(
        missed=[_missed(scenario, out) for out in worst_first],
        relaxations=[found for out in worst_first[:1] for found in relaxations(fresh.futures, out.month, chosen.goal)],
        budget_that_would_do=budget,
        own_volume=None if settled is None else _own_volume(settled),
        unsellable=[
            Unsellable(source=source.name, most=_most(source), least=whole_lot(scenario, source))
            for source in scenario.purchases
            if _most(source) < whole_lot(scenario, source)
        ],
    )


def _missed(scenario: Scenario, out: OutOfReach) -> MissedMonth:
    return MissedMonth(
        month=month_label(month_starts(scenario.start, scenario.horizon_months)[out.month]),
        best=out.best,
        missing={pool.name: float(value) for pool, value in zip(scenario.pools, out.missing, strict=True) if value > 0},
    )


def _own_volume(settled: Settled) -> OwnVolume:
    dearer = settled.confirmation.confirmed.outcome.expected_cost - settled.cost_alone
    return OwnVolume(costs=dearer, settled=settled.settled, moves=list(settled.moves))


def _most(source: Purchase) -> float:
    """The most GPUs that one month may order."""
    caps = [cap for cap in (source.max_gpus_per_month, source.max_gpus_total) if cap is not None]
    return min(caps, default=float("inf"))


def _sources(scenario: Scenario, streams: Sequence[Traffic]) -> list[dict[str, str]]:
    """Where the scenario's figures come from, for the report's list of assumptions."""
    rows = [{"what": place, "source": said} for place, said in scenario.evidence.items()]
    for stream in streams:
        origin = stream.trace.origin
        rows += [
            {
                "what": f"traffic of {stream.pool}: {stream.trace.name}",
                "source": f"{origin.title}; {origin.source}",
                "date": origin.date,
                "evidence": origin.evidence,
            },
            {"what": f"busy hour of {stream.pool}", "source": stream.busy_hour.label},
            {"what": f"prefix reuse of {stream.pool}", "source": stream.prefix_reuse.label},
        ]
    return rows


def _physics(scenario: Scenario, fresh: Prospects, choice: Choice, settled: Settled | None) -> dict[str, Any]:
    """Readings that help to judge the model behind the plan."""
    chosen, run = choice.chosen, scenario.run
    made = choice.replanned.confirmation if choice.replanned and choice.way == "monthly-re-planning" else choice.static
    return {
        "futures": {"optimise": run.training_futures, "validate": run.replications, "confirm": len(fresh.futures.need)},
        "engine": run.engine,
        "candidate_lots": len(candidate_orders(scenario)),
        "shortfall_cvar": {"level": scenario.goal.cvar_level, "value": chosen.solution.shortfall_cvar},
        "optimiser": {"gap": chosen.solution.gap, "steps": len(chosen.kept_shares)},
        "promise": {
            "aimed_at": made.aim,
            "raised": made.raised,
            "validated": float(made.validated.outcome.probability[made.validated.required].min(initial=1.0)),
        },
        "replanning": _beliefs(choice),
        "congestion": None
        if settled is None
        else {
            "settled": settled.settled,
            "moves": list(settled.moves),
            "cost_alone": settled.cost_alone,
            "volume": settled.confirmation.confirmed.plan.orders.sum(axis=0).astype(int).tolist(),
        },
        "gates": [gate.name for gate in supply_spec(scenario).gates],
    }


def _beliefs(choice: Choice) -> dict[str, Any] | None:
    """What monthly re-planning believes in, enough to carry the rule out again."""
    if choice.replanned is None:
        return None
    return {**vars(choice.replanned.rule), "learnt_on": choice.replanned.beliefs.train.count}
