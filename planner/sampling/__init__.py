"""Chance: laws with an inverse, and keyed random streams that do not depend on who draws first."""

from planner.sampling.distributions import Constant, Exponential, Law, Lomax, Triangular
from planner.sampling.streams import Key, entity_id

__all__ = ["Constant", "Exponential", "Key", "Law", "Lomax", "Triangular", "entity_id"]
