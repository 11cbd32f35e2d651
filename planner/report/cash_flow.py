"""Money of a plan over time: spend by month and quarter, money at risk behind the gates, cost by kind."""

import numpy as np
from numpy.typing import NDArray

from planner.clock import MINUTES_PER_DAY, minutes, month_starts
from planner.futures.arrays import Array
from planner.futures.months import HOURS_PER_DAY, month_days
from planner.futures.prices import order_prices, price_path
from planner.futures.sample import Prospects
from planner.optimise.service_level.calibrate import Calibration
from planner.scenario.checks import spot_price
from planner.scenario.models import Scenario

KINDS = ("prepayments", "balances", "licence fees", "refunds", "hosting and power", "rental")


def monthly_spend(scenario: Scenario, fresh: Prospects, chosen: Calibration) -> dict[str, Array]:
    """[N, T] undiscounted payments of each month, by kind; refunds count against."""
    starts = _starts(scenario)
    shape = (chosen.outcome.count, scenario.horizon_months)
    spend = {kind: np.zeros(shape) for kind in KINDS}
    spend["rental"] = _rent(scenario, chosen)
    for s, m, gpus in _lines(chosen):
        lot = fresh.lot_of[s, m]
        paid = fresh.payments[s]
        made = fresh.deliveries
        for kind, minute, amount in (
            ("prepayments", made.accepted_at[:, lot], paid.prepaid[:, m]),
            ("licence fees", made.released_at[:, lot], paid.fee[:, m]),
            ("balances", made.delivered_at[:, lot], paid.balance[:, m]),
            ("refunds", made.ended_at[:, lot], -paid.refund[:, m]),
        ):
            _book(spend[kind], starts, minute, gpus * amount)
        spend["hosting and power"] += gpus[:, None] * _running(scenario, fresh, s, m)
    return spend


def _rent(scenario: Scenario, chosen: Calibration) -> Array:
    """[N, T] reserved and spot rental, undiscounted."""
    hours = month_days(scenario) * HOURS_PER_DAY
    rent = np.zeros((chosen.outcome.count, scenario.horizon_months))
    for r, source in enumerate(scenario.rentals):
        path = price_path(source, scenario.horizon_months) * hours
        reserved = chosen.plan.reserved[:, r].sum(axis=0) * scenario.in_currency(source.price_per_gpu_hour)
        spot = chosen.outcome.spot_gpus[:, :, r].sum(axis=1) * spot_price(scenario, source)
        rent += (reserved + spot) * path
    return rent


def _book(spend: Array, starts: NDArray[np.int64], minute: NDArray[np.int64], amount: Array) -> None:
    """Add each future's payment to the month in which it falls; -1 is a payment that never fell due."""
    due = np.flatnonzero(minute >= 0)
    month = np.searchsorted(starts, minute[due], side="right") - 1
    np.add.at(spend, (due, month), amount[due])


def _running(scenario: Scenario, fresh: Prospects, s: int, m: int) -> Array:
    """[N, T] hosting and power of one GPU of an order, by month of service."""
    starts = np.append(_starts(scenario), fresh.spec.horizon_minutes)
    delivered = fresh.deliveries.delivered_at[:, fresh.lot_of[s, m]][:, None]
    days = (starts[1:] - np.maximum(delivered, starts[:-1])) / MINUTES_PER_DAY
    days = np.where(delivered >= 0, np.maximum(days, 0.0), 0.0)
    total = np.maximum(days.sum(axis=1, keepdims=True), 1e-12)
    return np.asarray(days / total * fresh.payments[s].running[:, m][:, None])


def committed(scenario: Scenario, chosen: Calibration) -> float:
    """Mean prepayments of all orders of the plan, undiscounted."""
    return float(
        sum(
            gpus.mean() * order_prices(scenario, scenario.purchases[s])[m] * scenario.purchases[s].prepayment
            for s, m, gpus in _lines(chosen)
        )
    )


def monthly_commitments(scenario: Scenario, chosen: Calibration) -> Array:
    """[T] mean of what is ordered in the month at its purchase price, undiscounted."""
    ordered = np.zeros(scenario.horizon_months)
    for s, m, gpus in _lines(chosen):
        ordered[m] += gpus.mean() * order_prices(scenario, scenario.purchases[s])[m]
    return ordered


def monthly_risk(scenario: Scenario, fresh: Prospects, chosen: Calibration) -> Array:
    """[T] mean money paid, or bound to be, not refundable and not yet delivered, on the first day of each month.

    It is what would be lost if every gate closed for good on that day.
    """
    risk = np.zeros((chosen.outcome.count, scenario.horizon_months))
    starts = _starts(scenario)[None, :]
    for s, m, gpus in _lines(chosen):
        source = scenario.purchases[s]
        if not source.gates:
            continue
        lot = fresh.lot_of[s, m]
        accepted = fresh.deliveries.accepted_at[:, lot][:, None]
        through = np.maximum(fresh.deliveries.delivered_at[:, lot], fresh.deliveries.ended_at[:, lot])[:, None]
        waiting = (accepted >= 0) & (accepted <= starts) & ((through < 0) | (through > starts))
        owed = order_prices(scenario, source)[m] if source.binding else fresh.payments[s].prepaid[:, m]
        lost = gpus * (1.0 - source.refund) * owed
        risk += waiting * lost[:, None]
    mean: Array = risk.mean(axis=0)
    return mean


def cost_parts(fresh: Prospects, chosen: Calibration) -> dict[str, float]:
    """Mean discounted cost by kind; the parts add up to the expected cost."""
    goods = running = residual = 0.0
    for s, m, gpus in _lines(chosen):
        paid = fresh.payments[s]
        goods += float((gpus * paid.goods_today[:, m]).mean())
        running += float((gpus * paid.running_today[:, m]).mean())
        residual += float((gpus * paid.residual_today[:, m]).mean())
    cost = chosen.outcome.cost
    return {
        "goods": goods,
        "hosting and power": running,
        "value left at the horizon": -residual,
        "reserved rental": float(cost.reserved.mean()),
        "spot rental": float(cost.spot.mean()),
        "unmet demand": float(cost.unmet.mean()),
    }


def _lines(chosen: Calibration) -> list[tuple[int, int, Array]]:
    """(source, month, [N] GPUs) of the plan, all pools together; futures may order differently."""
    orders = chosen.outcome.ordered
    placed = orders.any(axis=0)
    return [(int(s), int(m), orders[:, s, m]) for s, m in np.argwhere(placed)]


def _starts(scenario: Scenario) -> NDArray[np.int64]:
    """[T] first minute of each month."""
    days = month_starts(scenario.start, scenario.horizon_months)
    return np.array([minutes(scenario.start, day) for day in days], dtype=np.int64)
