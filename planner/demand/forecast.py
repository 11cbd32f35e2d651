"""How the load of the pools may grow: one path a replication, month by month."""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from executor.portable import normal
from executor.portable.elementary import LN2, exp, expm1, log
from planner.clock import month_starts
from planner.demand.traffic import Traffic, traffic
from planner.sampling import Key, entity_id
from planner.scenario.pools import Growth, Pool

Floats = NDArray[np.float64]

DOMAIN = "demand"
MARKET = entity_id("market")
"""The growth that all pools share."""

DAYS_PER_MONTH = 365.25 / 12
Z90 = float(normal.quantile(0.9))
"""Standard normal quantile of 0.9."""


@dataclass(frozen=True)
class Load:
    """Drawn load. Arrays are read-only.

    months    first day of each reported month
    traffic   what the requests of each pool look like, in the order of the scenario
    mean_rps  [replication, pool, month] requests/s, mean of the month
    peak_rps  [replication, pool, month] requests/s in the busiest hour of the week
    ratio     [replication, pool] growth of the first month as a ratio: the draw behind the path
    """

    months: tuple[dt.date, ...]
    traffic: tuple[Traffic, ...]
    mean_rps: Floats
    peak_rps: Floats
    ratio: Floats


def draw_load(pools: Sequence[Pool], start: dt.date, horizon_months: int, key: Key, replications: int | range) -> Load:
    """The load of each pool in each month under each replication: so many from 0 on, or those of a range.

    A replication's path depends on the root, the pool's name and the market alone: further months, pools or
    replications change nothing that was drawn before.
    """
    streams = tuple(traffic(pool) for pool in pools)
    numbers = np.arange(replications) if isinstance(replications, int) else np.asarray(replications)
    z = growth_normals([pool.name for pool in pools], [pool.growth.shared for pool in pools], key, numbers)
    logs = np.stack([log_ratio(pool.growth, z[:, at]) for at, pool in enumerate(pools)], axis=1)  # [replication, pool]
    months = month_starts(start, horizon_months)
    passed = months_passed(months)
    slowed = np.stack([grown(passed, pool.growth.half_life_months) for pool in pools])  # [pool, month]
    first = np.array([stream.mean_rps for stream in streams])
    busy = np.array([stream.busy_hour.value for stream in streams])
    mean = first[:, None] * exp(logs[:, :, None] * slowed)
    return Load(months, streams, *map(_frozen, (mean, mean * busy[:, None], exp(logs))))


def growth_normals(names: Sequence[str], shared: Sequence[float], key: Key, replications: NDArray[np.int64]) -> Floats:
    r"""Standard normal draws of each pool's growth, [replication, pool].

    z_p = s_p z_{market} + \sqrt{1 - s_p^2} z_{own}

    s_p  correlation of the pool's growth with the market's; two pools are correlated by s_p s_q
    """
    loading = np.asarray(shared, dtype=np.float64)
    entities = np.array([entity_id("pool", name) for name in names])
    market = normal.quantile(key.uniform(DOMAIN, replications, MARKET))
    own = normal.quantile(key.uniform(DOMAIN, replications[:, None], entities[None, :]))
    return np.asarray(loading * market[:, None] + np.sqrt(1.0 - loading * loading) * own)


def log_ratio(growth: Growth, z: Floats) -> Floats:
    r"""Logarithm of the first month's ratio at a standard normal draw z.

    g = \ln base + z (\ln high - \ln base) / z_{0.9}     z >= 0
    g = \ln base + z (\ln base - \ln low) / z_{0.9}      z < 0

    So low, base and high are the 10th, 50th and 90th percentile, and the two sides may differ in width.
    """
    low, base, high = (log(float(side)) for side in (growth.low, growth.base, growth.high))
    return np.asarray(base + z / Z90 * np.where(z >= 0, high - base, base - low))


def grown(passed: Floats, half_life_months: float) -> Floats:
    r"""Months' worth of first-month growth after t months, when growth slows.

    S(t) = (1 - r^t) / (1 - r),    r = 2^{-1 / h},    load(t) = load(0) e^{g S(t)}

    h ``half_life_months``    the log ratio of a month halves every h months

    After any number of months the load stays below load(0) e^{g / (1 - r)}.

    >>> grown(np.array([0.0, 1.0, 12.0]), half_life_months=12).round(3).tolist()
    [0.0, 1.0, 8.909]
    """
    slowing = -LN2 / half_life_months
    return np.asarray(expm1(slowing * passed) / expm1(slowing))


def months_passed(months: Sequence[dt.date]) -> Floats:
    """Months from the middle of the first reported month, which may be cut short, to the middle of each."""
    ends = [*months[1:], month_starts(months[-1], 2)[-1]]
    middle = np.array([(month.toordinal() + end.toordinal()) / 2 for month, end in zip(months, ends, strict=True)])
    return (middle - middle[0]) / DAYS_PER_MONTH


def _frozen(values: Floats) -> Floats:
    values.setflags(write=False)
    return values
