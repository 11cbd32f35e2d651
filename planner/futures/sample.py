"""A joint Monte Carlo sample of demand, deliveries, capacity and prices."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from planner.clock import minutes, month_starts
from planner.demand.forecast import Load, draw_load
from planner.fleet.availability import availability
from planner.fleet.cost import Purchased
from planner.futures.arrays import PASSING, Array, Futures, Whole
from planner.futures.deliveries import carried_out
from planner.futures.installed_fleet import in_service
from planner.futures.limits import _caps_on_routes, _purchase_limits, _rental_limits
from planner.futures.prices import _payments, _unmet_price
from planner.parallel.backends import Spread
from planner.sampling import Key
from planner.scenario.models import Scenario
from planner.scenario.sources import Purchase, Rental
from planner.sizing import Capacity, capacity_of, draw_per_gpu
from planner.supply.durations import process_yields
from planner.supply.network.from_scenario import candidate_orders, serves, supply_spec
from planner.supply.network.spec import SupplySpec
from planner.supply.outcomes import Deliveries
from planner.supply.simulate import Engine


@dataclass(frozen=True)
class Prospects:
    """Futures under one root, with what they were made of."""

    futures: Futures
    load: Load
    per_gpu: Array
    """[N, C] requests/s per GPU in service, by capacity (pool and kind of GPU)."""
    spec: SupplySpec
    deliveries: Deliveries
    """One lot for each source and order month, or as many as the plan orders."""
    lot_of: Whole
    """[S, M] which lot stands for an order; -1 where none can be placed."""
    payments: tuple[Purchased, ...]
    """[N, M] undiscounted payments of one GPU, by source."""
    standing: Array
    """[N, F, T] GPUs of today's fleet in their places, by entry and month."""


def draw_prospects(
    scenario: Scenario,
    capacities: Sequence[Capacity],
    root: int,
    replications: int,
    engine: Engine = "fast",
    processes: int | Spread = 1,
    progress: Callable[[float], None] = lambda _share: None,
    volume: Whole | None = None,
) -> Prospects:
    """N futures of the scenario under ``root``; both engines give the same ones.

    ``volume`` [S, M]: GPUs of the plan whose lots wait in the same lines; None: one lot of every source and month.
    """
    key, numbers = Key(root), range(replications)
    load = draw_load(scenario.pools, scenario.start, scenario.horizon_months, key, replications)
    per_gpu = draw_per_gpu(capacities, key, replications)
    progress(0.1)
    spec = supply_spec(scenario)
    candidates = candidate_orders(scenario, volume)
    # A cap on all orders together is the optimiser's business: one lot for each month is no plan.
    deliveries = carried_out(spec.uncapped(), candidates, key, numbers, engine, processes)
    progress(0.9)
    lot_of = _lots(scenario, deliveries)
    good = np.array(
        [process_yields(source, key, numbers).prod(axis=0) for source in spec.sources], dtype=np.float64
    ).reshape(len(spec.sources), replications)
    payments = tuple(
        _payments(scenario, source, lot_of[s], deliveries, spec, good[s]) for s, source in enumerate(scenario.purchases)
    )
    standing = in_service(scenario, spec, key, numbers, partial(carried_out, engine=engine, processes=processes))
    owned = _owned(scenario, capacities, per_gpu, standing)
    futures = _futures(scenario, capacities, load, per_gpu, owned, deliveries, lot_of, payments, spec, good)
    progress(1.0)
    return Prospects(futures, load, per_gpu, spec, deliveries, lot_of, payments, standing)


def _lots(scenario: Scenario, deliveries: Deliveries) -> Whole:
    """[S, M] place of the lot of each source and order month: the last one, where several make up the order."""
    lot_of = np.full((len(scenario.purchases), scenario.horizon_months), -1, dtype=np.int64)
    orders = deliveries.orders
    lot_of[orders.source, orders.month] = np.arange(len(orders))
    return lot_of


def _futures(
    scenario: Scenario,
    capacities: Sequence[Capacity],
    load: Load,
    per_gpu: Array,
    owned: Array,
    made: Deliveries,
    lot_of: Whole,
    payments: Sequence[Purchased],
    spec: SupplySpec,
    good: Array,
) -> Futures:
    pools, months = scenario.pools, scenario.horizon_months
    headroom = np.array([1.0 + pool.headroom for pool in pools])
    regime = _regime(scenario, made, spec)
    return Futures(
        months=months,
        pools=tuple(pool.name for pool in pools),
        need=load.peak_rps * headroom[None, :, None],
        owned=owned,
        purchases=tuple(_purchase_limits(scenario, spec, s, lots) for s, lots in enumerate(lot_of)),
        rentals=tuple(_rental_limits(scenario, source) for source in scenario.rentals),
        per_gpu=_carried(scenario, capacities, per_gpu, scenario.purchases) * good.T[:, None, :],
        rental_per_gpu=_carried(scenario, capacities, per_gpu, scenario.rentals),
        arrival_month=_arrival_months(scenario, made, lot_of),
        outlay=np.stack([part.outlay for part in payments], axis=1)
        if payments
        else np.zeros((len(per_gpu), 0, months)),
        unmet_price=_unmet_price(scenario, capacities),
        budget=None if scenario.goal.budget is None else scenario.in_currency(scenario.goal.budget),
        required=np.arange(1, months + 1) >= scenario.goal.from_month,
        passing=regime >= PASSING,
        joint_caps=tuple((members, cap) for members, cap in _caps_on_routes(spec) if len(members) > 1),
        regime=regime,
    )


def _owned(scenario: Scenario, capacities: Sequence[Capacity], per_gpu: Array, standing: Array) -> Array:
    """[N, P, T] requests/s of the GPUs in service on the first day, as far as they still stand in their places."""
    owned = np.zeros((len(per_gpu), len(scenario.pools), scenario.horizon_months))
    place = {pool.name: p for p, pool in enumerate(scenario.pools)}
    for at, entry in enumerate(scenario.fleet):
        column = capacity_of(capacities, entry.pool, entry.sku)
        repaired = entry.failures_per_year * (1.0 - entry.replaced_share)
        up = availability(repaired, entry.repair_days)
        owned[:, place[entry.pool]] += standing[:, at] * up * per_gpu[:, column, None]
    return owned


def _carried(
    scenario: Scenario, capacities: Sequence[Capacity], per_gpu: Array, sources: Sequence[Purchase | Rental]
) -> Array:
    """[N, P, S] requests/s one GPU of each source carries in each pool it may serve."""
    carried = np.zeros((len(per_gpu), len(scenario.pools), len(sources)))
    for s, source in enumerate(sources):
        up = availability(source.failures_per_year, source.repair_days) if isinstance(source, Purchase) else 1.0
        for p, pool in enumerate(scenario.pools):
            if serves(source, pool):
                carried[:, p, s] = up * per_gpu[:, capacity_of(capacities, pool.name, source.sku)]
    return carried


def _arrival_months(scenario: Scenario, made: Deliveries, lot_of: Whole) -> Whole:
    """[N, S, M] first month that begins after the GPUs can serve; T where that is beyond the horizon."""
    months = scenario.horizon_months
    starts = [minutes(scenario.start, day) for day in month_starts(scenario.start, months)]
    month = np.searchsorted(starts, made.delivered_at, side="left")
    month = np.where(made.delivered_at >= 0, month, months)
    arrivals = month[:, np.maximum(lot_of, 0)]
    return np.where(lot_of >= 0, arrivals, months).astype(np.int64)


def _regime(scenario: Scenario, made: Deliveries, spec: SupplySpec) -> NDArray[np.int8]:
    """[N, S, M] state of a source's least open gate on the month's first day: closed, promised, passing."""
    shape = (len(made.replications), len(scenario.purchases), scenario.horizon_months)
    regime = np.full(shape, PASSING, dtype=np.int8)
    for s, source in enumerate(spec.sources):
        for gate in spec.gates_of(source):
            state = made.gate_state[:, gate, : scenario.horizon_months].astype(np.int8)
            regime[:, s] = np.minimum(regime[:, s], state)
    return regime
