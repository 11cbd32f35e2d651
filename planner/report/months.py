"""Months in the record: demand, fleet, unmet demand and spend."""

from collections.abc import Sequence

from planner.clock import month_label, month_starts
from planner.futures.arrays import Array
from planner.futures.prices import unit_column
from planner.futures.sample import Prospects
from planner.optimise.intervals import probability, quantiles
from planner.optimise.service_level.calibrate import Calibration
from planner.record.models import Month, PoolMonth
from planner.scenario.models import Scenario
from planner.sizing import Capacity
from planner.supply.network.gate import State

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
