"""A limit on what may be bought or rented, as a row of the linear programme."""

from __future__ import annotations

from dataclasses import dataclass

from planner.record.ids import LimitKind


@dataclass(frozen=True)
class Limit:
    """A limit that binds, and what one unit more of it would save."""

    kind: LimitKind
    names: tuple[str, ...]
    """The sources or the rental that it limits; none: the budget."""
    month: int | None
    price: float
    """Money saved per GPU (caps) or per unit of money (budget) of relaxation, at the margin, with the futures
    that the plan serves served all the same."""
