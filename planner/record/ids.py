"""Names that a record uses for ways to act, verdicts, gates and limits; sentences are told from them."""

from typing import Literal

PolicyId = Literal[
    "fixed-calendar", "if-then-calendar", "monthly-re-planning", "base-stock", "nothing-until-cleared",
    "everything-now", "nine-month-mrp", "domestic-only", "rent-only",
]  # fmt: skip
"""A way to act: the first three are the plan's own, the others benchmarks."""

Verdict = Literal["dearer", "ties", "cheaper", "misses-goal", "over-budget"]
"""A benchmark policy beside the plan; ties: the interval of the difference holds nothing."""

LimitKind = Literal["monthly-cap", "total-cap", "joint-cap", "reserved-cap", "spot-cap", "notice", "budget"]
"""What bounds the orders and the rental."""

GateLevel = Literal["closed", "promised", "passing"]
"""State of the least open gate of a source, as an order sees it."""
