"""What has been delivered by each month, in every future."""

from collections.abc import Sequence

from planner.parallel.backends import Spread
from planner.sampling import Key
from planner.supply.fast_engine.engine import CannotExpressError
from planner.supply.network.spec import Orders, SupplySpec
from planner.supply.outcomes import Deliveries
from planner.supply.simulate import Engine, simulate

_WORTH_A_PROCESS = 600_000
"""Lots times replications, some two seconds of the fast engine."""


def carried_out(
    spec: SupplySpec, orders: Orders, key: Key, numbers: Sequence[int], engine: Engine, processes: int | Spread = 1
) -> Deliveries:
    """The deliveries of some orders, by SimPy where the fast engine cannot express the spec."""
    if engine == "fast":
        # A little takes less time here than processes take to start; who names a cluster has more to compute.
        little = len(numbers) * len(orders) < _WORTH_A_PROCESS
        where = 1 if little and isinstance(processes, int) else processes
        try:
            return simulate(spec, orders, key, numbers, engine="fast", processes=where)
        except CannotExpressError:
            pass
    return simulate(spec, orders, key, numbers, engine="simpy", processes=processes)
