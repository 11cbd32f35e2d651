"""What the optimiser is told: sampled futures as arrays, and what may be bought and rented in them.

A *future* is one replication of the whole story: demand, fleet, gates and deliveries drawn together under
one root. Everything here is an array over the futures; nothing knows scenarios, gates or requests. Indices:
n future, p pool, s purchase source, r rental, m order month, t month of service. A month counts from 0.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from executor.errors import UserMistakeError

Array = NDArray[np.float64]
Whole = NDArray[np.int64]
Flags = NDArray[np.bool_]

CLOSED, PROMISED, PASSING = 0, 1, 2
"""States of the least open gate of a source, as `Futures.regime` counts them."""


@dataclass(frozen=True)
class Purchase:
    """A source that sells GPUs."""

    name: str
    sku: str
    lot_gpus: int
    """Orders are whole multiples of this many GPUs (a server holds 8)."""
    monthly_cap: float
    """The most GPUs all pools together may order in one month; inf: no limit."""
    total_cap: float
    """The most GPUs all pools together may order over the horizon; inf: no limit."""
    may_order: Flags
    """[P, M] whether the pool may order from this source in the month."""
    allotment: str | None = None
    """Sources of the same allotment share their caps, which must be equal; None: the source has its own."""

    def __post_init__(self) -> None:
        _require_lot(self.name, self.lot_gpus)
        for what, cap in (("monthly_cap", self.monthly_cap), ("total_cap", self.total_cap)):
            if not cap >= 0:
                raise UserMistakeError(f"source {self.name}: {what} must be 0 or more, or inf (got {cap})")


@dataclass(frozen=True)
class Rental:
    """A cloud that rents GPUs: reserved by plan, spot by the month as need shows."""

    name: str
    sku: str
    reserved_cap: Array
    """[T] the most GPUs all pools together may reserve."""
    spot_cap: Array
    """[T] the most GPUs all pools together may rent at spot."""
    reserved_price: Array
    """[T] discounted money per GPU-month, paid whether used or not."""
    spot_price: Array
    """[T] discounted money per GPU-month, paid as used."""
    notice_months: int
    """Reserved capacity serves from this month on."""
    lot_gpus: int

    def __post_init__(self) -> None:
        _require_lot(self.name, self.lot_gpus)
        for what in ("reserved_cap", "spot_cap", "reserved_price", "spot_price"):
            values = getattr(self, what)
            if not np.all(values >= 0):
                raise UserMistakeError(f"rental {self.name}: {what} must be 0 or more (got {np.min(values)})")
        if self.notice_months < 0:
            raise UserMistakeError(f"rental {self.name}: notice_months must be 0 or more (got {self.notice_months})")


@dataclass(frozen=True)
class Futures:
    """N sampled futures under one root. See the head of this file for the indices."""

    months: int
    pools: tuple[str, ...]
    need: Array
    """[N, P, T] requests/s at the busy hour, headroom included."""
    owned: Array
    """[N, P, T] requests/s that the GPUs already in service can carry."""
    purchases: tuple[Purchase, ...]
    rentals: tuple[Rental, ...]
    per_gpu: Array
    """[N, P, S] requests/s one GPU of the source carries in the pool."""
    rental_per_gpu: Array
    """[N, P, R] requests/s one rented GPU carries in the pool."""
    arrival_month: Whole
    """[N, S, M] first month in which an order placed in month m serves; T: not within the horizon."""
    outlay: Array
    """[N, S, M] discounted money per GPU ordered: paid net of refund, fees, hosting and power from arrival
    to the horizon, less the residual value at the horizon."""
    unmet_price: Array
    """[P, T] discounted money per request/s that a month does not serve; at least the dearest spot rental's
    price is charged (recourse.py)."""
    budget: float | None = None
    """The most that purchases and reserved rental may cost, in expectation over the futures; None: no limit."""
    required: Flags | None = None
    """[T] months in which the goal must hold; None: all."""
    passing: Flags | None = None
    """[N, S, M] whether the source's gates were all seen passing in the month; needed by the policy that
    orders nothing until cleared."""
    joint_caps: tuple[tuple[tuple[int, ...], float], ...] = ()
    """(places of sources, the most GPUs that all of them together may order over the horizon)."""
    regime: NDArray[np.int8] | None = None
    """[N, S, M] state that the least open of the source's gates was seen in; None: known only as far as ``passing``."""

    def __post_init__(self) -> None:
        P, T, S, R = len(self.pools), self.months, len(self.purchases), len(self.rentals)
        N = len(self.need)
        if N < 1 or T < 1 or P < 1:
            raise ValueError("a study needs at least one future, one month and one pool")
        shapes = {
            "need": (N, P, T),
            "owned": (N, P, T),
            "per_gpu": (N, P, S),
            "rental_per_gpu": (N, P, R),
            "arrival_month": (N, S, T),
            "outlay": (N, S, T),
            "unmet_price": (P, T),
        }
        for name, shape in shapes.items():
            values = getattr(self, name)
            if values.shape != shape:
                raise ValueError(f"{name} has shape {values.shape}, expected {shape}")
            if not np.all(np.isfinite(values)):
                raise ValueError(f"{name} holds a value that is not finite")
            if name != "outlay" and np.any(values < 0):
                raise ValueError(f"{name} holds a negative value")
        for purchase in self.purchases:
            if purchase.may_order.shape != (P, T):
                raise ValueError(f"{purchase.name}: may_order has shape {purchase.may_order.shape}")
        for rental in self.rentals:
            if any(len(row) != T for row in (rental.reserved_cap, rental.spot_cap, rental.spot_price)):
                raise ValueError(f"{rental.name}: caps and prices need one value per month")
        if self.passing is not None and self.passing.shape != (N, S, T):
            raise ValueError(f"passing has shape {self.passing.shape}, expected {(N, S, T)}")
        if self.budget is not None and not self.budget >= 0:
            raise UserMistakeError(f"budget must be 0 or more (got {self.budget})")

    @cached_property
    def allotments(self) -> tuple[tuple[int, ...], ...]:
        """Places of the sources that share caps; every source is in one allotment."""
        members: dict[str, list[int]] = {}
        for s, source in enumerate(self.purchases):
            members.setdefault(source.allotment or f"source {s}", []).append(s)
        return tuple(tuple(places) for places in members.values())

    @property
    def count(self) -> int:
        """N, how many futures there are."""
        return len(self.need)

    @cached_property
    def base_deficit(self) -> Array:
        """[N, P, T] requests/s that today's fleet leaves to be bought or rented; negative: spare."""
        return self.need - self.owned

    @cached_property
    def must_meet(self) -> Flags:
        """[T] months in which the goal must hold."""
        return np.ones(self.months, dtype=bool) if self.required is None else self.required

    @cached_property
    def mean_outlay(self) -> Array:
        """[S, M] expected outlay per GPU ordered."""
        return self.outlay.mean(axis=0)

    @cached_property
    def may_order(self) -> Flags:
        """[P, S, M] months and pools in which an order is allowed and can serve in some future."""
        P, T = len(self.pools), self.months
        if not self.purchases:
            return np.zeros((P, 0, T), dtype=bool)
        allowed = np.stack([purchase.may_order for purchase in self.purchases], axis=1)
        arrives = self.arrival_month.min(axis=0) < T
        carries = self.per_gpu.max(axis=0) > 0
        sells = np.array([min(p.monthly_cap, p.total_cap) > 0 for p in self.purchases])
        return allowed & arrives[None] & carries[:, :, None] & sells[None, :, None]

    @cached_property
    def may_reserve(self) -> Flags:
        """[P, R, T] months and pools in which reserved rental is allowed and of use."""
        P, T = len(self.pools), self.months
        if not self.rentals:
            return np.zeros((P, 0, T), dtype=bool)
        month = np.arange(T)
        open_ = np.stack([(r.reserved_cap > 0) & (month >= r.notice_months) for r in self.rentals])
        carries = self.rental_per_gpu.max(axis=0) > 0
        return carries[:, :, None] & open_[None]

    def only(self, purchases: Collection[str] | None = None, first_order_month: int = 0) -> Futures:
        """The same futures with only the named sources to order from, and no order before a month.

        Sources keep their place, so that plans of different choices can be compared. None: all of them.
        """
        late = np.arange(self.months) >= first_order_month
        kept = tuple(
            replace(source, may_order=source.may_order & late & (purchases is None or source.name in purchases))
            for source in self.purchases
        )
        return replace(self, purchases=kept)

    def take(self, futures: Sequence[int] | slice | NDArray[np.intp]) -> Futures:
        """Some of the futures, in the given order."""
        part = {
            name: getattr(self, name)[futures]
            for name in ("need", "owned", "per_gpu", "rental_per_gpu", "arrival_month", "outlay")
        }
        passing = None if self.passing is None else self.passing[futures]
        regime = None if self.regime is None else self.regime[futures]
        return replace(self, **part, passing=passing, regime=regime)


@dataclass(frozen=True)
class Orders:
    """What a plan decides: GPUs to order and to reserve.

    ``orders`` is [P, S, M]; a policy that watches the futures unfold gives [N, P, S, M] instead.
    """

    orders: NDArray[np.int64] | Array
    reserved: NDArray[np.int64] | Array
    """[P, R, T]"""


def no_orders(futures: Futures) -> Orders:
    """The empty plan."""
    P, S, R, T = len(futures.pools), len(futures.purchases), len(futures.rentals), futures.months
    return Orders(np.zeros((P, S, T), dtype=np.int64), np.zeros((P, R, T), dtype=np.int64))


def _require_lot(name: str, lot_gpus: int) -> None:
    if lot_gpus < 1:
        raise UserMistakeError(f"{name}: lot_gpus must be 1 or more GPUs (got {lot_gpus})")
