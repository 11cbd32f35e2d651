"""One function for both engines: orders in, deliveries out, the same numbers however the work is cut."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from executor.errors import UnknownNameError, UserMistakeError
from planner.parallel.backends import Processes, Spread
from planner.parallel.shared_memory import room, written
from planner.sampling import Key
from planner.supply.durations import draw_backlog, draw_durations
from planner.supply.fast_engine import engine as fast_engine
from planner.supply.fast_engine.engine import CannotExpressError
from planner.supply.gates.paths import draw_paths
from planner.supply.network.spec import Allotment, Orders, SupplySpec
from planner.supply.outcomes import Deliveries, check_conservation, layout
from planner.supply.simpy_engine import engine as simpy_engine

Engine = Literal["simpy", "fast"]
ENGINES = ("simpy", "fast")

Job = tuple[SupplySpec, Orders, Key, list[int], Engine, bool]

_CHUNK = 256
"""Replications drawn at once: wide enough for arrays to pay, small enough for the cache and the memory."""


def simulate(
    spec: SupplySpec,
    orders: Orders,
    key: Key,
    replications: Sequence[int],
    engine: Engine = "simpy",
    trace: bool = False,
    processes: int | Spread = 1,
) -> Deliveries:
    """What becomes of the orders in each replication.

    spec, orders   what is simulated
    key            seed of all random numbers; the same seed gives the same ones to every set of orders
    replications   their numbers; replication r alone equals r among others
    engine         "simpy" is the specification; "fast" gives the same integers
    trace          also return one row for each visit to a stage or point (SimPy engine)
    processes      contiguous parts run side by side, or wherever a ``Spread`` puts them; the result does not
                   depend on it

    Conservation of lots and money is asserted for every replication.
    """
    if engine not in ENGINES:
        raise UnknownNameError("engine", engine, ENGINES)
    if engine == "fast" and trace:
        raise CannotExpressError("the fast engine keeps no trace: ask the SimPy engine for it")
    _check_allotments(spec, orders)
    numbers = list(replications)
    if orders.placed_at.ndim == 2 and len(orders.placed_at) != len(numbers):
        raise ValueError(f"orders are placed in {len(orders.placed_at)} replications of {len(numbers)}")
    parts = [slice(k, k + _CHUNK) for k in range(0, len(numbers), _CHUNK)] or [slice(0, 0)]
    jobs = [(spec, orders.of_replications(part), key, numbers[part], engine, trace) for part in parts]
    spread = Processes(processes) if isinstance(processes, int) else processes
    if isinstance(spread, Processes) and spread.count > 1 and len(jobs) > 1 and not trace:
        return _side_by_side(spec, orders, numbers, spread, jobs)
    return replace(Deliveries.joined(spread.map(_run_chunk, jobs)), orders=orders)


def _side_by_side(
    spec: SupplySpec, orders: Orders, numbers: list[int], spread: Processes, jobs: list[Job]
) -> Deliveries:
    """Processes of this machine write into memory that they share with this one, where they can."""
    with room(layout(spec, len(numbers), len(orders))) as (number, arrays):
        firsts = np.cumsum([0, *(len(job[3]) for job in jobs)])[:-1].tolist()
        made = spread.map(_run_chunk_into, [(number, at, *job) for at, job in zip(firsts, jobs, strict=True)])
        parts = [part for part in made if part is not None]
        if parts:  # new processes, which do not see the room: then all of them are new
            return replace(Deliveries.joined(parts), orders=orders)
        return Deliveries(orders=orders, **arrays)  # type: ignore[arg-type]


def _run_chunk_into(number: int, first: int, *job: Any) -> Deliveries | None:
    """Simulate a chunk and put it into a room; a process that sees none gives it back."""
    made = _run_chunk(*job)
    return None if written(number, first, made.arrays()) else made


def _check_allotments(spec: SupplySpec, orders: Orders) -> None:
    """A lot that no period has room for would wait for ever; UserMistakeError says which."""
    caps = {line.name: line.gpus for line in spec.lines if isinstance(line, Allotment) and line.binds is None}
    for place, source in enumerate(spec.sources):
        largest = int(orders.gpus[orders.source == place].max(initial=0))
        for stage in source.route.stages:
            cap = caps.get(stage.line or "")
            if cap is not None and largest > cap:
                raise UserMistakeError(
                    f"source {source.name}: a lot of {largest} GPUs never fits the allotment {stage.line}"
                    f" of {cap} a period (order smaller lots)"
                )


def _run_chunk(
    spec: SupplySpec, orders: Orders, key: Key, replications: list[int], engine: Engine, trace: bool
) -> Deliveries:
    paths = draw_paths(spec.gates, spec.horizon_minutes, key, replications)
    durations = draw_durations(spec, orders, key, replications)
    backlog = draw_backlog(spec, key, replications)
    if engine == "fast":
        made = fast_engine.run(spec, orders, paths, durations, backlog, replications)
    else:
        made = simpy_engine.run(spec, orders, paths, durations, backlog, replications, trace)
    check_conservation(spec, made)
    return made
