"""Seeds of the samples, derived from a scenario's seed: one for each use, so that no use sees another's futures."""

from typing import Literal

from planner.sampling import entity_id

Use = Literal["optimise", "validate", "confirm", "audit"]
"""optimise: a plan is made on these. validate: its kept shares are found on these. confirm: it is judged on these.
audit: a plan that is done is judged once more on these."""

PLANNED: tuple[Use, ...] = ("optimise", "validate", "confirm")
"""Roots that a plan is made and judged under."""


def root_of(seed: int, use: Use) -> int:
    """A 32-bit root for one use under a seed.

    >>> root_of(1, "optimise") != root_of(1, "validate")
    True
    """
    return entity_id("root", use, seed)
