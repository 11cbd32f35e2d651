"""The months of a plan: their days, and the discount of money in each."""

import numpy as np

from executor.portable.elementary import exp, log
from planner.clock import month_starts
from planner.futures.arrays import Array
from planner.scenario.models import Scenario

HOURS_PER_DAY = 24.0


def month_days(scenario: Scenario) -> Array:
    """[T] days of each month that lie in the plan; the first month begins with the scenario."""
    starts = month_starts(scenario.start, scenario.horizon_months + 1)
    return np.diff([(day - scenario.start).days for day in starts]).astype(np.float64)


def month_discount(scenario: Scenario) -> Array:
    """[T] present value of one unit of money paid evenly over each month."""
    days = month_days(scenario)
    middle = np.cumsum(days) - days / 2.0
    return exp(-middle / 365.0 * log(1.0 + scenario.costs.discount_per_year))
