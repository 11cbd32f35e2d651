"""Roots of luck, derived from a scenario's seed: one for each use, so that no use sees another's futures."""

from typing import Literal, get_args

from planner.chance import entity_id

Use = Literal["optimise", "validate", "confirm"]
"""optimise: a plan is made on these. validate: its dial is turned on these. confirm: it is judged on these."""

USES: tuple[Use, ...] = get_args(Use)


def root_of(seed: int, use: Use) -> int:
    """A 32-bit root for one use under a seed.

    >>> root_of(1, "optimise") != root_of(1, "validate")
    True
    """
    return entity_id("root", use, seed)
