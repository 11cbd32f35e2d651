"""The if-then calendar as a policy that the SimPy engine carries out: it is asked each month and sees no further."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from planner.futures.arrays import Futures, Whole
from planner.futures.gate_states import CLOSED, PASSING
from planner.optimise.policies.if_then import Rule, placed
from planner.supply.network.spec import SupplySpec
from planner.supply.simpy_engine.policy import Seen, SourceAndPool


@dataclass(frozen=True, eq=False)
class IfThenPolicy:
    """Conditional orders, decided on the first day of each month from the states of the gates so far.

    futures  any futures of the scenario: sources, caps and months are read off them, nothing else
    rules    as in calendar.py; orders [P, rules, M] GPUs
    gates    places of the gates of each source among the spec's
    """

    futures: Futures
    rules: tuple[Rule, ...]
    orders: Whole
    gates: Sequence[Sequence[int]]

    def lots(self, seen: Seen) -> Mapping[SourceAndPool, int]:
        """Lots of the month, by source and pool."""
        one = self.futures.take([0])
        regime = np.full((1, len(self.gates), one.months), CLOSED, dtype=np.int8)
        for month, states in enumerate((*seen.past, seen.states)):
            for source, gates in enumerate(self.gates):
                regime[0, source, month] = min((int(states[gate]) for gate in gates), default=PASSING)
        regime = np.minimum(regime, PASSING)
        ordered = placed(replace(one, regime=regime, passing=regime >= PASSING), self.rules, self.orders)[0]
        return {
            (source, pool): int(ordered[pool, source, seen.month]) // one.purchases[source].lot_gpus
            for pool, source in np.argwhere(ordered[:, :, seen.month] > 0).tolist()
        }


def gates_of(spec: SupplySpec) -> list[Sequence[int]]:
    """Places of the gates of each source."""
    return [tuple(spec.gates_of(source)) for source in spec.sources]
