"""What orders, rentals, power and unmet demand cost, by month."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from executor.errors import Problem
from executor.reference.accelerators import accelerator
from planner.fleet.cost import Fate, Purchased, Terms, purchased, running_cost_per_day
from planner.futures.arrays import Array, Whole
from planner.futures.months import HOURS_PER_DAY, month_days, month_discount
from planner.scenario.errors import ScenarioError
from planner.scenario.models import Scenario
from planner.scenario.sources import Purchase, Rental
from planner.sizing import Capacity
from planner.supply.network.spec import SupplySpec
from planner.supply.outcomes import Deliveries


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


def _by_month(values: NDArray[np.generic], lots: Whole, missing: float) -> Array:
    """[N, M] a column of the deliveries by order month; ``missing`` where no order can be placed."""
    taken = values[:, np.maximum(lots, 0)].astype(np.float64)
    return np.where(lots >= 0, taken, missing)


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
        problem = Problem("costs.gpu_watts", f"no power figure is published for {sku}", mend=f"add {sku}: WATTS")
        raise ScenarioError(scenario.name, [problem])
    return published


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
