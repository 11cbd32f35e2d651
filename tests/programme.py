"""The programme over futures, solved in one call."""

import numpy as np

from planner.futures.arrays import Futures
from planner.optimise.lp.formulation import GAP, Formulation, Solution


def optimise(futures: Futures, cvar_level: float = 0.9, cvar_bound: float = np.inf, *, gap: float = GAP) -> Solution:
    """The cheapest plan over ``futures``, in parts of GPUs, with CVaR of the shortfall share within a bound."""
    return Formulation(futures).solve(cvar_level, cvar_bound, gap=gap)
