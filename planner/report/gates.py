"""Gates in the record: their states by month, and how far a plan rests on each."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from planner.clock import month_label, month_starts
from planner.futures.deliveries import carried_out
from planner.futures.sample import Prospects
from planner.optimise.intervals import probability
from planner.record.models import GateOdds
from planner.sampling import Key
from planner.sampling.seeds import root_of
from planner.scenario.models import Scenario
from planner.supply.network.gate import Always, State

CLOSED, CONDITIONAL = int(State.CLOSED), int(State.CONDITIONAL)


def gate_odds(scenario: Scenario, fresh: Prospects) -> list[GateOdds]:
    """What each gate does to orders of the first day, by opening it with common random numbers."""
    gated = [s for s, source in enumerate(scenario.purchases) if source.gates and fresh.lot_of[s, 0] >= 0]
    if not gated:
        return []
    as_drawn = _any_delivered(fresh.deliveries.delivered_at[:, fresh.lot_of[gated, 0]])
    return [
        _odds_of(scenario, fresh, g, as_drawn, _with_gate_open(scenario, fresh, g, gated))
        for g in range(len(fresh.spec.gates))
    ]


def _with_gate_open(scenario: Scenario, fresh: Prospects, g: int, gated: Sequence[int]) -> NDArray[np.bool_]:
    """[N] whether any first-day order from a gated source serves if gate ``g`` had always been open."""
    opened = replace(fresh.spec.gates[g], law=Always(State.OPEN), events=())
    gates = tuple(opened if at == g else gate for at, gate in enumerate(fresh.spec.gates))
    orders = fresh.deliveries.orders.select(fresh.lot_of[gated, 0])
    key = Key(root_of(scenario.seed, "confirm"))
    numbers = range(len(fresh.futures.need))
    made = carried_out(replace(fresh.spec, gates=gates), orders, key, numbers, "fast")
    return _any_delivered(made.delivered_at)


def _any_delivered(delivered_at: NDArray[np.int64]) -> NDArray[np.bool_]:
    """[N] whether any of the lots serves within the horizon."""
    return np.asarray(np.any(delivered_at >= 0, axis=1))


def _odds_of(
    scenario: Scenario, fresh: Prospects, g: int, drawn: NDArray[np.bool_], opened: NDArray[np.bool_]
) -> GateOdds:
    gate = fresh.spec.gates[g]
    states = fresh.deliveries.gate_state[:, g]
    starts = month_starts(scenario.start, scenario.horizon_months)
    passed = np.maximum.accumulate(states >= CONDITIONAL, axis=1).mean(axis=0)
    soon = [t for t, day in enumerate(starts) if 0 < (day - scenario.start).days <= 90]
    return GateOdds(
        gate=gate.name,
        authority=gate.authority,
        state=State(int(states[0, 0])).name.lower(),
        passes_within_months={month_label(day): float(passed[t]) for t, day in enumerate(starts)},
        closes_within_90_days=float((states[:, soon] == CLOSED).any(axis=1).mean()),
        arrives=probability(drawn),
        arrives_if_open=probability(opened),
    )
