"""Would the law of growth have held? Published series, cut at a day, against what they showed later."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from executor.portable.elementary import exp, interpolated, log, power
from planner.demand.forecast import DAYS_PER_MONTH, grown
from planner.reference.demand_series import DAYS, Observation, demand_series, series_names
from planner.scenario.pools import Growth

SHORTEST_MONTHS = 1.0
"""Steps shorter than this say more about rounding than about growth."""
STALEST_MONTHS = 6.0
"""A series whose last figure before the cut is older than this is not forecast."""


@dataclass(frozen=True)
class Trial:
    """One published figure against its forecast; ratios are to the last figure before the cut."""

    series: str
    known: dt.date
    target: dt.date
    months: float
    low: float
    base: float
    high: float
    actual: float

    @property
    def inside(self) -> bool:
        """Whether the 80 per cent band held it."""
        return self.low <= self.actual <= self.high

    @property
    def log_error(self) -> float:
        """ln(base / actual): below zero, growth was under-stated."""
        return log(self.base / self.actual)


def backtest(cut: dt.date, growth: Growth, horizon_months: float = 12.0) -> tuple[Trial, ...]:
    """Every later figure of every series within the horizon, forecast from the last one known at the cut.

    The path is monotone in its one draw, so the band's ends are the paths at the 10th and 90th percentile.
    """
    trials: list[Trial] = []
    for name, observed in _tokens().items():
        known = [each for each in observed if each.date <= cut]
        if not known or _months(known[-1].date, cut) > STALEST_MONTHS:
            continue
        last = known[-1]
        later = [each for each in observed if each.date > cut and _months(cut, each.date) <= horizon_months]
        trials += [_trial(name, last, each, growth) for each in later]
    return tuple(trials)


def growth_before(cut: dt.date, half_life_months: float) -> Growth:
    """Low, base and high as the spread of monthly growth seen in the series up to a day, weighted by months.

    ValueError where no series has two figures by then.
    """
    steps = [
        (log(after.tokens_per_day / before.tokens_per_day) / span, span)
        for observed in _tokens().values()
        for before, after in pairwise(each for each in observed if each.date <= cut)
        if (span := _months(before.date, after.date)) >= SHORTEST_MONTHS
    ]
    if not steps:
        raise ValueError(f"no series has two figures by {cut}")
    rates, spans = (np.array(side) for side in zip(*sorted(steps), strict=True))
    middle = (np.cumsum(spans) - spans / 2) / spans.sum()
    low, base, high = exp(interpolated([0.1, 0.5, 0.9], middle, rates))
    return Growth(low=float(low), base=float(base), high=float(high), half_life_months=half_life_months)


def coverage(trials: Sequence[Trial]) -> float:
    """Share of the trials inside the 80 per cent band."""
    return sum(trial.inside for trial in trials) / len(trials)


def _trial(name: str, last: Observation, target: Observation, growth: Growth) -> Trial:
    months = _months(last.date, target.date)
    factor = float(grown(np.array([months]), growth.half_life_months)[0])
    low, base, high = (power(each, factor) for each in (growth.low, growth.base, growth.high))
    actual = target.tokens_per_day / last.tokens_per_day
    return Trial(name, last.date, target.date, months, low, base, high, actual)


def _tokens() -> dict[str, tuple[Observation, ...]]:
    """Series of tokens with at least two figures in one unit, figures of low confidence left out."""
    found: dict[str, tuple[Observation, ...]] = {}
    for name in series_names():
        observed = [
            each
            for each in demand_series(name)
            if each.unit in DAYS and each.unit != "tokens_per_quarter" and each.confidence != "low"
        ]
        if len({each.date for each in observed}) >= 2:
            found[name] = tuple(observed)
    return found


def _months(since: dt.date, until: dt.date) -> float:
    return (until - since).days / DAYS_PER_MONTH
