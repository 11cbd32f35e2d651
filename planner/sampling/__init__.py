"""Chance: laws with an inverse, and keyed random streams that do not depend on who draws first."""

from planner.sampling.distributions import (
    Beta,
    Constant,
    Empirical,
    Exponential,
    Gamma,
    Law,
    LogNormal,
    Lomax,
    Normal,
    Triangular,
    Uniform,
    law_from_dict,
)
from planner.sampling.streams import Key, entity_id, philox4x32, uniform, uniform_stages

__all__ = [
    "Beta",
    "Constant",
    "Empirical",
    "Exponential",
    "Gamma",
    "Key",
    "Law",
    "LogNormal",
    "Lomax",
    "Normal",
    "Triangular",
    "Uniform",
    "entity_id",
    "law_from_dict",
    "philox4x32",
    "uniform",
    "uniform_stages",
]
