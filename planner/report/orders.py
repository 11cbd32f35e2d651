"""Orders, reservations and lead times in the record."""

import datetime as dt
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from planner.clock import day_of, month_label, month_starts
from planner.futures.months import month_days
from planner.futures.prices import order_prices, price_path
from planner.futures.sample import Prospects
from planner.optimise.intervals import LEVEL, quantiles, wilson
from planner.optimise.service_level.calibrate import Calibration
from planner.optimise.value.order_value import OrderReason
from planner.record.models import Dates, Interval, LeadTime, Order, Reservation
from planner.scenario.models import Scenario


def arrival(start: dt.date, minute: NDArray[np.int64]) -> Dates:
    """Quantiles of a day; -1 counts as later than the horizon."""
    p10, p50, p90 = (arrival_quantile(start, minute, share) for share in (0.1, 0.5, 0.9))
    return Dates(p10=p10, p50=p50, p90=p90)


def _orders(scenario: Scenario, fresh: Prospects, chosen: Calibration, reasons: Sequence[OrderReason]) -> list[Order]:
    starts = month_starts(scenario.start, scenario.horizon_months)
    sources = {source.name: s for s, source in enumerate(scenario.purchases)}
    return [_order(scenario, fresh, chosen, reason, sources[reason.source], starts) for reason in reasons]


def _order(
    scenario: Scenario, fresh: Prospects, chosen: Calibration, reason: OrderReason, s: int, starts: Sequence[dt.date]
) -> Order:
    source = scenario.purchases[s]
    delivered = fresh.deliveries.delivered_at[:, fresh.lot_of[s, reason.month]]
    price = float(order_prices(scenario, source)[reason.month]) * reason.gpus
    count = len(fresh.futures.need)
    low, high = wilson(round(reason.probability_without * count), count, LEVEL)
    last = min(reason.last_safe_month, scenario.horizon_months - 1)
    matters = reason.probability_with - reason.probability_without > 0.5 / count
    accepted = fresh.deliveries.accepted_at[:, fresh.lot_of[s, reason.month]] >= 0
    return Order(
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
        cost_without=reason.cost_without,
        probability_with=reason.probability_with,
        accepted=float(accepted.mean()),
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
