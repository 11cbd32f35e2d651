"""A limit on what may be bought or rented, as a row of the linear programme."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limit:
    """A limit that binds, and what one unit more of it would save."""

    kind: str
    """``monthly cap``, ``total cap``, ``joint cap``, ``reserved cap`` or ``budget``."""
    name: str
    """The source's or the rental's name; empty for the budget."""
    month: int | None
    price: float
    """Money saved per GPU (caps) or per unit of money (budget) of relaxation, at the margin, with the futures
    that the plan serves served all the same."""

    def words(self, currency: str, month: str | None = None) -> str:
        """The shadow price as a sentence; ``month`` is how the reader calls the limit's month.

        >>> Limit("monthly cap", "ascend", 3, 1234.5).words("CNY", "2025-10")
        'One GPU more in the monthly cap of ascend in 2025-10 would save 1,234 CNY.'
        >>> Limit("budget", "", None, 0.25).words("CNY")
        'One CNY more in the budget would lower the expected cost by 0.25 CNY.'
        """
        if self.kind == "budget":
            return f"One {currency} more in the budget would lower the expected cost by {self.price:,.2f} {currency}."
        when = "" if self.month is None else f" in {month or f'month {self.month}'}"
        return (
            f"One GPU more in the {self.kind} of {self.name}{when} would save {self.price:,.0f} {currency}."
        )
