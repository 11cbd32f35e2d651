"""How much may be ordered and rented, by month and source."""

import math

import numpy as np

from planner.clock import MINUTES_PER_DAY, minutes, month_starts
from planner.futures.arrays import Purchase as PurchaseLimits
from planner.futures.arrays import Rental as RentalLimits
from planner.futures.arrays import Whole
from planner.futures.months import HOURS_PER_DAY, month_days, month_discount
from planner.futures.prices import price_path
from planner.scenario.checks import spot_price
from planner.scenario.models import Scenario
from planner.scenario.sources import Purchase, Rental
from planner.supply.network.from_scenario import serves
from planner.supply.network.spec import Cap, SupplySpec


def whole_lot(scenario: Scenario, source: Purchase | Rental) -> int:
    """GPUs in the smallest order of which every pool of the source can make whole replicas."""
    replicas = [pool.layouts[source.sku].gpus for pool in scenario.pools if serves(source, pool)]
    return math.lcm(source.lot_gpus, *replicas)


def _purchase_limits(scenario: Scenario, spec: SupplySpec, s: int, lots: Whole) -> PurchaseLimits:
    """What may be ordered from a source; a cap on its route limits its orders."""
    source = scenario.purchases[s]
    caps = [cap for members, cap in _caps_on_routes(spec) if s in members]
    return PurchaseLimits(
        name=source.name,
        sku=source.sku,
        lot_gpus=whole_lot(scenario, source),
        monthly_cap=_limit(source.max_gpus_per_month),
        total_cap=min([_limit(source.max_gpus_total), *caps]),
        may_order=np.array([serves(source, pool) for pool in scenario.pools])[:, None] & (lots >= 0)[None, :],
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
