"""What became of the orders, in every replication, and the laws of conservation it must obey."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from planner.supply.network.spec import Ints, Orders, SupplySpec

Floats = NDArray[np.float64]
Codes = NDArray[np.int8]

UNSEEN = -1
"""Minute of what did not happen before the horizon."""


class Outcome(IntEnum):
    """How a lot stands when the horizon ends.

    IN_PIPELINE: not placed yet, waiting, in process or under way. DELIVERED: able to serve. CANCELLED:
    revoked by a gate, or lapsed before anyone accepted it. REFUSED: turned away at a point or by a review.
    """

    IN_PIPELINE = 0
    DELIVERED = 1
    CANCELLED = 2
    REFUSED = 3


EVENT = np.dtype([
    ("replication", np.int64), ("lot", np.int64), ("visit", np.int16),
    ("enter", np.int64), ("start", np.int64), ("leave", np.int64),
])  # fmt: skip
"""One row of the trace: a lot's visit to a stage, side or point. ``visit`` counts through ``Route.visits`` of the lot's
source; minutes of entering, of beginning (after any wait) and of leaving, UNSEEN where not before the end."""


@dataclass(frozen=True, eq=False)
class Deliveries:
    """The fate of every lot, in arrays [replication, lot] unless said; minutes may be UNSEEN.

    accepted_at     the order passed its gates, or UNSEEN
    released_at     the goods left the factory
    delivered_at    the GPUs can serve
    ended_at        the order ended otherwise
    outcome         int8, see ``Outcome``
    paid_share      share of the price paid before the horizon
    refunded_share  share of the price that came back
    fee_share       share of the price owed on top, from the state of the gates at release
    good_gpus       GPUs that a delivered lot brings, 0 for one that was not delivered; the rest was scrapped on
                    the way. None: nothing is ever scrapped
    gate_state      int8 [replication, gate, month] at the first minute of each reported month
    events          the trace, or None
    """

    orders: Orders
    replications: Ints
    accepted_at: Ints
    released_at: Ints
    delivered_at: Ints
    ended_at: Ints
    outcome: Codes
    paid_share: Floats
    refunded_share: Floats
    fee_share: Floats
    gate_state: Codes
    good_gpus: Ints | None = None
    events: NDArray[np.void] | None = None

    @property
    def delivered(self) -> NDArray[np.bool_]:
        """Which lots arrived, [replication, lot]."""
        return self.outcome == Outcome.DELIVERED

    @property
    def brought(self) -> Ints:
        """GPUs that each lot brought into service, [replication, lot]."""
        return self.delivered * self.orders.gpus if self.good_gpus is None else self.good_gpus

    def gpus(self, outcome: Outcome) -> Ints:
        """GPUs with this outcome, by replication; of those delivered the good ones."""
        if outcome is Outcome.DELIVERED:
            return self.brought.sum(axis=1)
        return np.where(self.outcome == outcome, self.orders.gpus, 0).sum(axis=-1)

    def scrapped(self) -> Ints:
        """GPUs of delivered lots that did not come out good, by replication."""
        return np.where(self.delivered, self.orders.gpus, 0).sum(axis=-1) - self.brought.sum(axis=1)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Every array but the trace, by its name; the first axis of each is the replication."""
        named = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: array for name, array in named.items() if name not in ("orders", "events") and array is not None}

    @classmethod
    def joined(cls, parts: Sequence[Deliveries]) -> Deliveries:
        """Chunks of replications put together in their order."""
        arrays = {name: np.concatenate([getattr(part, name) for part in parts]) for name in parts[0].arrays()}
        traces = [part.events for part in parts if part.events is not None]
        return cls(orders=parts[0].orders, events=np.concatenate(traces) if traces else None, **arrays)


def layout(spec: SupplySpec, rows: int, lots: int) -> dict[str, tuple[tuple[int, ...], type]]:
    """Shape and type of each of the arrays of ``Deliveries.arrays``, for so many replications and lots."""
    found: dict[str, tuple[tuple[int, ...], type]] = {
        "replications": ((rows,), np.int64),
        **dict.fromkeys(("accepted_at", "released_at", "delivered_at", "ended_at"), ((rows, lots), np.int64)),
        "outcome": ((rows, lots), np.int8),
        **dict.fromkeys(("paid_share", "refunded_share", "fee_share"), ((rows, lots), np.float64)),
        "gate_state": ((rows, len(spec.gates), len(spec.month_minutes)), np.int8),
    }
    if any(source.route.scraps for source in spec.sources):
        found["good_gpus"] = ((rows, lots), np.int64)
    return found


def check_conservation(spec: SupplySpec, made: Deliveries) -> None:
    """GPUs: ordered = delivered + scrapped + in pipeline + cancelled + refused. Money: what was paid is what is due
    by the outcome: the prepayment, and in the end the price of what is good.

    Raises AssertionError, for a breach is our mistake and never the user's.
    """
    orders = made.orders
    assert (made.brought <= made.delivered * orders.gpus).all(), "no lot brings more than was started"
    parts = sum((made.gpus(outcome) for outcome in Outcome), made.scrapped())
    assert np.array_equal(parts, np.full(len(made.replications), orders.gpus.sum())), "GPUs are conserved"
    ended = (made.outcome == Outcome.CANCELLED) | (made.outcome == Outcome.REFUSED)
    accepted = made.accepted_at != UNSEEN
    assert np.array_equal(made.delivered_at != UNSEEN, made.delivered), "delivered means with a date"
    assert np.array_equal(made.ended_at != UNSEEN, ended), "ended means with a date"
    assert not (made.delivered & ~accepted).any(), "nothing is delivered that nobody accepted"
    assert not ((made.released_at != UNSEEN) & ~accepted).any(), "nothing is released that nobody accepted"
    prepaid = np.array([source.prepayment for source in spec.sources])[orders.source]
    good = made.brought / np.maximum(orders.gpus, 1)
    good = np.where(orders.gpus == 0, 1.0, good)
    lost = np.array([source.owed_at_end for source in spec.sources])[orders.source]
    due = np.where(made.delivered, np.maximum(good, prepaid), np.where(accepted, np.where(ended, lost, prepaid), 0.0))
    assert np.allclose(made.paid_share, due, rtol=0, atol=1e-12), "money paid is the money due"
    kept = made.paid_share - made.refunded_share
    assert (kept >= -1e-12).all(), "no more comes back than was paid"
    back = np.where(made.delivered, np.maximum(prepaid - good, 0.0), made.refunded_share * ended)
    assert np.allclose(made.refunded_share, back, rtol=0, atol=1e-12), "what ended or was scrapped is refunded"
    assert not ((made.fee_share != 0) & (made.released_at == UNSEEN)).any(), "fees are owed at release"
