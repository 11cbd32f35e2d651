"""Futures of a scenario: demand, deliveries, serving capacity and money drawn together under one root.

The optimiser sees futures under one root; the plan is judged on futures under another. Each is made here, by
the same function, so that only the luck differs.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from executor.errors import Problem
from executor.portable.elementary import exp, log
from planner.chance import Key
from planner.clock import MINUTES_PER_DAY, minutes, month_starts
from planner.demand.forecast import Load, draw_load
from planner.fleet.availability import availability
from planner.fleet.cost import Fate, Purchased, Terms, purchased, running_cost_per_day
from planner.optimise.calendar import PASSING
from planner.optimise.futures import Futures
from planner.optimise.futures import Purchase as PurchaseLimits
from planner.optimise.futures import Rental as RentalLimits
from planner.reference.accelerators import accelerator
from planner.scenario.checks import spot_price
from planner.scenario.errors import ScenarioError
from planner.scenario.models import Purchase, Rental, Scenario
from planner.sizing import Capacity, capacity_of, draw_per_gpu
from planner.standing import in_service
from planner.supply.build import candidate_orders, supply_spec
from planner.supply.deliveries import Deliveries
from planner.supply.fast_engine import CannotExpressError
from planner.supply.luck import process_yields
from planner.supply.simulate import Engine, simulate
from planner.supply.spec import Cap, Orders, SupplySpec
from planner.supply.spread import Spread

Array = NDArray[np.float64]
Whole = NDArray[np.int64]
HOURS_PER_DAY = 24.0
NOT_ORDERED = -1
_WORTH_A_PROCESS = 600_000
"""Lots times replications, some two seconds of the fast engine."""


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
        _payments(scenario, source, lot_of[s], deliveries, spec, good[s])
        for s, source in enumerate(scenario.purchases)
    )
    standing = in_service(
        scenario, spec, key, numbers, partial(carried_out, engine=engine, processes=processes)
    )
    owned = _owned(scenario, capacities, per_gpu, standing)
    futures = _futures(scenario, capacities, load, per_gpu, owned, deliveries, lot_of, payments, spec, good)
    progress(1.0)
    return Prospects(futures, load, per_gpu, spec, deliveries, lot_of, payments, standing)


def carried_out(
    spec: SupplySpec,
    orders: Orders,
    key: Key,
    numbers: Sequence[int],
    engine: Engine,
    processes: int | Spread = 1,
) -> Deliveries:
    """The deliveries of some orders, by SimPy where the fast engine cannot express the spec."""
    if engine == "fast":
        # A little takes less time here than processes take to start; who names a cluster has more to compute.
        little = len(numbers) * len(orders) < _WORTH_A_PROCESS
        where = 1 if little and isinstance(processes, int) else processes
        try:
            return simulate(spec, orders, key, numbers, engine="fast", processes=where)
        except CannotExpressError:
            pass
    return simulate(spec, orders, key, numbers, engine="simpy", processes=processes)


def _lots(scenario: Scenario, deliveries: Deliveries) -> Whole:
    """[S, M] place of the lot of each source and order month: the last one, where several make up the order."""
    lot_of = np.full((len(scenario.purchases), scenario.horizon_months), NOT_ORDERED, dtype=np.int64)
    orders = deliveries.orders
    lot_of[orders.source, orders.month] = np.arange(len(orders))
    return lot_of


def _by_month(values: NDArray[np.generic], lots: Whole, missing: float) -> Array:
    """[N, M] a column of the deliveries by order month; ``missing`` where no order can be placed."""
    taken = values[:, np.maximum(lots, 0)].astype(np.float64)
    return np.where(lots >= 0, taken, missing)


def _payments(
    scenario: Scenario, source: Purchase, lots: Whole, made: Deliveries, spec: SupplySpec, good: Array
) -> Purchased:
    """Money of one GPU of each order; ``good`` [N] is the share of the pieces started that the route yields."""
    # Scrap is not billed (see Fate.good); what a binding order owes when it ends counts against its refund.
    rest = made.paid_share - np.where(made.accepted_at >= 0, source.prepayment, 0.0)
    refunded = np.where(made.delivered, 0.0, made.refunded_share - rest)
    fate = Fate(
        accepted=_by_month(made.accepted_at, lots, -1.0),
        released=_by_month(made.released_at, lots, -1.0),
        delivered=_by_month(made.delivered_at, lots, -1.0),
        ended=_by_month(made.ended_at, lots, -1.0),
        fee_share=_by_month(made.fee_share, lots, 0.0),
        refunded_share=_by_month(refunded, lots, 0.0),
        good=good[:, None],
    )
    costs = scenario.costs
    terms = Terms(
        price=order_prices(scenario, source),
        prepayment=source.prepayment,
        running_per_day=running_cost_per_day(
            board_power(scenario, source.sku),
            costs.server_power_factor,
            costs.pue,
            scenario.in_currency(costs.hosting_per_kw_month),
            scenario.in_currency(costs.power_per_kwh),
        ),
        useful_life_days=costs.useful_life_months * 365.0 / 12.0,
        discount_per_year=costs.discount_per_year,
    )
    return purchased(terms, fate, float(spec.horizon_minutes))


def order_prices(scenario: Scenario, source: Purchase) -> Array:
    """[M] price per GPU by order month, scenario currency."""
    return scenario.in_currency(source.price) * price_path(source, scenario.horizon_months)


def price_path(source: Purchase | Rental, months: int) -> Array:
    """[M] a source's price in each month over its first: what it changes by a month, multiplied up month by month."""
    return np.asarray(np.cumprod([1.0, *[source.price_change_per_month] * (months - 1)]))


def board_power(scenario: Scenario, sku: str) -> float:
    """Watts of one GPU: the scenario's own figure, else the published one.

    :raises ScenarioError: nobody published one and the scenario gives none.
    """
    if sku in scenario.costs.gpu_watts:
        return scenario.costs.gpu_watts[sku]
    published = accelerator(sku).tdp_w
    if published is None:
        problem = Problem(
            "costs.gpu_watts", f"no power figure is published for {sku}", mend=f"add {sku}: WATTS"
        )
        raise ScenarioError(scenario.name, [problem])
    return published


def month_days(scenario: Scenario) -> Array:
    """[T] days of each month that lie in the plan; the first month begins with the scenario."""
    starts = month_starts(scenario.start, scenario.horizon_months + 1)
    return np.diff([(day - scenario.start).days for day in starts]).astype(np.float64)


def month_discount(scenario: Scenario) -> Array:
    """[T] present value of one unit of money paid evenly over each month."""
    days = month_days(scenario)
    middle = np.cumsum(days) - days / 2.0
    return exp(-middle / 365.0 * log(1.0 + scenario.costs.discount_per_year))


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
        up = (
            availability(source.failures_per_year, source.repair_days)
            if isinstance(source, Purchase)
            else 1.0
        )
        for p, pool in enumerate(scenario.pools):
            if source.sku in pool.layouts and (source.pools is None or pool.name in source.pools):
                carried[:, p, s] = up * per_gpu[:, capacity_of(capacities, pool.name, source.sku)]
    return carried


def whole_lot(scenario: Scenario, source: Purchase | Rental) -> int:
    """GPUs in the smallest order of which every pool of the source can make whole replicas."""
    replicas = [
        pool.layouts[source.sku].gpus
        for pool in scenario.pools
        if source.sku in pool.layouts and (source.pools is None or pool.name in source.pools)
    ]
    return math.lcm(source.lot_gpus, *replicas)


def _purchase_limits(scenario: Scenario, spec: SupplySpec, s: int, lots: Whole) -> PurchaseLimits:
    """What may be ordered from a source; a cap on its route limits its orders."""
    source = scenario.purchases[s]
    caps = [cap for members, cap in _caps_on_routes(spec) if s in members]
    serves = [
        source.sku in pool.layouts and (source.pools is None or pool.name in source.pools)
        for pool in scenario.pools
    ]
    return PurchaseLimits(
        name=source.name,
        sku=source.sku,
        lot_gpus=whole_lot(scenario, source),
        monthly_cap=_limit(source.max_gpus_per_month),
        total_cap=min([_limit(source.max_gpus_total), *caps]),
        may_order=np.array(serves)[:, None] & (lots >= 0)[None, :],
    )


def _caps_on_routes(spec: SupplySpec) -> tuple[tuple[tuple[int, ...], float], ...]:
    """Every cap in all, with the places of the sources whose routes go through it."""
    found = []
    for line in spec.lines:
        if isinstance(line, Cap):
            members = tuple(
                place
                for place, source in enumerate(spec.sources)
                if any(stage.line == line.name for stage in source.route.stages)
            )
            found.append((members, float(line.gpus)))
    return tuple(found)


def _limit(cap: int | None) -> float:
    return math.inf if cap is None else float(cap)


def _rental_limits(scenario: Scenario, source: Rental) -> RentalLimits:
    months = scenario.horizon_months
    hours = month_days(scenario) * HOURS_PER_DAY
    path = price_path(source, months) * hours * month_discount(scenario)
    starts = [minutes(scenario.start, day) for day in month_starts(scenario.start, months)]
    notice = source.notice_days * MINUTES_PER_DAY
    return RentalLimits(
        name=source.name,
        sku=source.sku,
        reserved_cap=np.full(months, float(source.max_gpus)),
        spot_cap=np.full(months, float(source.max_spot_gpus)),
        reserved_price=scenario.in_currency(source.price_per_gpu_hour) * path,
        spot_price=spot_price(scenario, source) * path,
        notice_months=next((t for t, start in enumerate(starts) if start >= notice), months),
        lot_gpus=whole_lot(scenario, source),
    )


def _arrival_months(scenario: Scenario, made: Deliveries, lot_of: Whole) -> Whole:
    """[N, S, M] first month that begins after the GPUs can serve; T where that is beyond the horizon."""
    months = scenario.horizon_months
    starts = [minutes(scenario.start, day) for day in month_starts(scenario.start, months)]
    month = np.searchsorted(starts, made.delivered_at, side="left")
    month = np.where(made.delivered_at >= 0, month, months)
    arrivals = month[:, np.maximum(lot_of, 0)]
    return np.where(lot_of >= 0, arrivals, months).astype(np.int64)


def _unmet_price(scenario: Scenario, capacities: Sequence[Capacity]) -> Array:
    """[P, T] discounted money per request/s that a month does not serve.

    The price is per GPU-hour; a request/s is worth the GPUs of the pool's unit of account that carry it.
    """
    hourly = scenario.in_currency(scenario.goal.unmet_price_per_gpu_hour)
    gpus = np.array([1.0 / capacities[unit_column(capacities, pool.name)].per_gpu for pool in scenario.pools])
    hours = month_days(scenario) * HOURS_PER_DAY
    return hourly * gpus[:, None] * (hours * month_discount(scenario))[None, :]


def unit_column(capacities: Sequence[Capacity], pool: str) -> int:
    """The capacity in whose GPUs a pool's need is counted: its first layout."""
    return next(at for at, capacity in enumerate(capacities) if capacity.pool == pool)


def _regime(scenario: Scenario, made: Deliveries, spec: SupplySpec) -> NDArray[np.int8]:
    """[N, S, M] state of a source's least open gate on the month's first day: closed, promised, passing."""
    shape = (len(made.replications), len(scenario.purchases), scenario.horizon_months)
    regime = np.full(shape, PASSING, dtype=np.int8)
    for s, source in enumerate(spec.sources):
        for gate in spec.gates_of(source):
            state = made.gate_state[:, gate, : scenario.horizon_months].astype(np.int8)
            regime[:, s] = np.minimum(regime[:, s], state)
    return regime
