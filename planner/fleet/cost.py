"""What a bought GPU costs over the horizon, future by future."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from executor.portable.elementary import exp, log
from planner.clock import MINUTES_PER_DAY

Array = NDArray[np.float64]
MONTHS_PER_YEAR = 12.0
DAYS_PER_YEAR = 365.0


@dataclass(frozen=True)
class Terms:
    """Money terms of one source, scenario currency."""

    price: Array
    """[M] price per GPU by order month."""
    prepayment: float
    """Share of the price paid when the order is accepted."""
    running_per_day: float
    """Hosting and power per GPU and day in service."""
    useful_life_days: float
    """Days in which the value falls to nothing, in a straight line."""
    discount_per_year: float


@dataclass(frozen=True)
class Fate:
    """What became of one GPU of each order, [N, M]; minutes, -1 where not within the horizon."""

    accepted: Array
    released: Array
    delivered: Array
    ended: Array
    fee_share: Array
    """Share of the price owed on top at release."""
    refunded_share: Array
    """Share of the price that came back when the order ended, less what then fell due of a binding one."""
    good: Array | float = 1.0
    """Share of the GPU that comes out good: what is scrapped is not paid for and never serves."""


@dataclass(frozen=True)
class Purchased:
    """Payments of one GPU per order, [N, M] each: undiscounted by kind, then discounted to the first day."""

    prepaid: Array
    balance: Array
    fee: Array
    refund: Array
    running: Array
    goods_today: Array
    """Discounted prepayment, balance and fee, less refund."""
    running_today: Array
    """Discounted hosting and power."""
    residual_today: Array
    """Discounted value left at the horizon, and prepayment for goods still under way."""

    @property
    def outlay(self) -> Array:
        """Discounted cost of one GPU: goods and running, less what is left."""
        return self.goods_today + self.running_today - self.residual_today


def running_cost_per_day(
    tdp_w: float, server_factor: float, pue: float, hosting_per_kw_month: float, power_per_kwh: float
) -> float:
    r"""Hosting and power of one GPU with its share of the server, per day.

    c = K (12 h / 365 + 24 U e),    K = P f / 1000

    P ``tdp_w``                 board power, W
    f ``server_factor``         server power over the board power of its GPUs
    U ``pue``                   site power over IT power
    h ``hosting_per_kw_month``  space, cooling and staff per kW of IT power and month
    e ``power_per_kwh``         price of electricity

    >>> round(running_cost_per_day(400, 1.6, 1.25, 900, 0.6), 2)
    30.46
    """
    kw = tdp_w * server_factor / 1000.0
    return kw * (hosting_per_kw_month * MONTHS_PER_YEAR / DAYS_PER_YEAR + 24.0 * pue * power_per_kwh)


def discount(minutes: Array, per_year: float) -> Array:
    """Present value of one unit of money paid after so many minutes."""
    return exp(-minutes / (MINUTES_PER_DAY * DAYS_PER_YEAR) * log(1.0 + per_year))


def purchased(terms: Terms, fate: Fate, horizon: float) -> Purchased:
    """Payments for one GPU of each order, [N, M].

    Prepayment falls due on acceptance, the fee on release, the rest on delivery (what was prepaid on scrapped goods
    comes back with it), the refund when the order ends. Running cost is discounted at the middle of the days in
    service. At the horizon counts what is left of the goods, and what was paid for goods still under way: else the
    horizon would punish late orders.
    """
    was_accepted, was_released, was_delivered = fate.accepted >= 0, fate.released >= 0, fate.delivered >= 0
    prepaid = np.where(was_accepted, terms.prepayment * terms.price, 0.0)
    balance = np.where(was_delivered, (fate.good - terms.prepayment) * terms.price, 0.0)
    fee = np.where(was_released, fate.fee_share * terms.price, 0.0)
    refund = fate.refunded_share * terms.price
    minutes = np.where(was_delivered, np.maximum(horizon - fate.delivered, 0.0), 0.0)
    days = minutes / MINUTES_PER_DAY
    running = terms.running_per_day * days * fate.good
    value_left = np.maximum(0.0, 1.0 - days / terms.useful_life_days)
    under_way = was_accepted & ~was_delivered & (fate.ended < 0)
    residual = np.where(was_delivered, terms.price * value_left * fate.good, np.where(under_way, prepaid, 0.0))

    def today(minute: Array) -> Array:
        return discount(np.maximum(minute, 0.0), terms.discount_per_year)

    return Purchased(
        prepaid=prepaid,
        balance=balance,
        fee=fee,
        refund=refund,
        running=running,
        goods_today=prepaid * today(fate.accepted)
        + fee * today(fate.released)
        + balance * today(fate.delivered)
        - refund * today(fate.ended),
        running_today=running * today(horizon - minutes / 2.0),
        residual_today=residual * today(np.full_like(minutes, horizon)),
    )
