"""How long each stage and each review takes, drawn before anything moves.

Domain "lot": entity (source, order month, lot), stage 0 the total, then the stages and the sides in the route's order.
Domain "quarter": entity (supplier, year, quarter), the factor that lots of one supplier share. Domain "review": entity
(source, order month, gate), stage = number of the application, draw 0 its time, draw 1 its end: one licence for one
source and month, whatever it is split into. Domain "yield": entity (source, stage), what the process yields. Domain
"piece": entity (source, order month, lot), stage its place in the route, whether a part of a piece counts as one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from executor.portable import normal
from planner.clock import MINUTES_PER_DAY, month_starts
from planner.sampling import Key, entity_id
from planner.supply.network.gate import Review
from planner.supply.network.route import Route
from planner.supply.network.spec import Ints, Line, Orders, Source, SupplySpec

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ReviewDurations:
    """One gate's review in one state, [replication, lot]: minutes to the last word, and whether it is yes."""

    minutes: Ints
    approved: NDArray[np.bool_]


@dataclass(frozen=True)
class SourceDurations:
    """What the lots of one source will meet.

    lots     places of the source's lots among the orders
    minutes  int64 [stage, replication, lot]: stages in the route's order, then its sides
    reviews  (place of the gate in the spec, state) -> its review
    pieces   int64 [stage + 1, replication, lot]: GPUs that start each stage, last those that are good in the end;
             None: nothing is ever scrapped
    """

    lots: Ints
    minutes: Ints
    reviews: dict[tuple[int, int], ReviewDurations]
    pieces: Ints | None = None


def draw_durations(spec: SupplySpec, orders: Orders, key: Key, replications: Sequence[int]) -> list[SourceDurations]:
    """Durations of all lots in these replications, source by source."""
    reps = np.asarray(replications, dtype=np.int64)
    found = []
    for place, source in enumerate(spec.sources):
        lots = np.flatnonzero(orders.source == place)
        minutes = _stage_minutes(spec, source, orders, lots, key, reps)
        reviews = _reviews(spec, source, orders, lots, key, reps)
        found.append(SourceDurations(lots, minutes, reviews, _pieces(source, orders, lots, key, reps)))
    return found


def process_yields(source: Source, key: Key, replications: Sequence[int] | Ints) -> Floats:
    """Share of the pieces started that each stage's process yields, [stage, replication]."""
    reps = np.asarray(replications, dtype=np.int64)
    shares = np.ones((len(source.route.stages), len(reps)))
    for k, stage in enumerate(source.route.stages):
        if stage.yields is not None:
            shares[k] = stage.yields.quantile(key.uniform("yield", reps, entity_id(source.name, stage.name)))
    return shares


def _pieces(source: Source, orders: Orders, lots: Ints, key: Key, reps: Ints) -> Ints | None:
    r"""GPUs of each lot that start each stage, and the good ones in the end.

    n_{k+1} = \lfloor n_k y_k + u_k \rfloor

    y_k  what the process of stage k yields in the replication
    u_k  uniform: a part of a piece counts as one with a probability of that part, so that E n_{k+1} = n_k y_k
    """
    if not source.route.scraps:
        return None
    stages = len(source.route.stages)
    months, numbers = orders.month[lots].tolist(), orders.lot[lots].tolist()
    entities = np.array([entity_id(source.name, m, k) for m, k in zip(months, numbers, strict=True)], dtype=np.int64)
    part = key.stages("piece", reps[:, None], entities[None, :], stages)
    shares = process_yields(source, key, reps)
    pieces = np.empty((1 + stages, len(reps), len(lots)), dtype=np.int64)
    pieces[0] = orders.gpus[lots]
    for k in range(stages):
        good = np.floor(pieces[k] * shares[k, :, None] + part[k]).astype(np.int64)
        pieces[k + 1] = np.minimum(good, pieces[k])
    return pieces


def draw_backlog(spec: SupplySpec, key: Key, replications: Sequence[int]) -> dict[str, Ints]:
    """Minutes of service of the lots of others that stand in each line, [lot, replication], first come first.

    Domain "backlog": entity the line, stage the lot's place.
    """
    reps = np.asarray(replications, dtype=np.int64)
    found = {}
    for line in spec.lines:
        if not isinstance(line, Line):
            continue
        u = key.stages("backlog", reps, entity_id(line.name), line.backlog_lots)
        found[line.name] = _whole_minutes(line.backlog_law.quantile(u))
    return found


def _whole_minutes(days: Floats) -> Ints:
    """Days rounded once to minutes, at least one."""
    minutes = days * MINUTES_PER_DAY
    np.rint(minutes, out=minutes)
    np.maximum(minutes, 1, out=minutes)
    return minutes.astype(np.int64)


def _stage_minutes(spec: SupplySpec, source: Source, orders: Orders, lots: Ints, key: Key, reps: Ints) -> Ints:
    """Stage durations; lots of one entity (two pools' lines) are drawn once."""
    route = source.route
    names = np.stack([orders.month[lots], orders.lot[lots]], axis=1)
    unique, back = np.unique(names, axis=0, return_inverse=True)
    if orders.placed_at.ndim == 2:  # lots of one name may be placed at different times
        unique, back = names, np.arange(len(lots))
    entities = np.array([entity_id(source.name, int(m), int(k)) for m, k in unique], dtype=np.int64)
    count = 1 + len(route.stages) + len(route.sides)
    u = key.stages("lot", reps[:, None], entities[None, :], count)
    if route.shared > 0:
        months = unique[:, 0] if orders.placed_at.ndim == 1 else _months(spec, orders.placed_at[:, lots])
        shared = _shared(spec, route, months, key, reps)
        mixed = [0] if route.total else range(1, 1 + len(route.in_process))
        for k in mixed:
            own = normal.quantile(u[k])
            u[k] = normal.distribution(np.sqrt(route.shared) * shared + np.sqrt(1 - route.shared) * own)
    minutes, back = _whole_minutes(_days(route, u)), back.reshape(-1)
    return minutes if np.array_equal(back, np.arange(len(names))) else minutes[:, :, back]


def _shared(spec: SupplySpec, route: Route, months: Ints, key: Key, reps: Ints) -> Floats:
    """Standard normal factor of the supplier in the quarter of each order month, [replication, lot].

    months  [lot], or [replication, lot] where every replication has order minutes of its own
    """
    firsts = month_starts(spec.start, int(months.max(initial=0)) + 1)
    quarters = [(day.year, (day.month - 1) // 3 + 1) for day in firsts]
    entities = np.array([entity_id(route.supplier, *quarter) for quarter in quarters], dtype=np.int64)
    return normal.quantile(key.uniform("quarter", reps[:, None], entities[months]))


def _months(spec: SupplySpec, minutes: Ints) -> Ints:
    """Reported month in which each minute lies; the last one for what lies beyond the horizon."""
    return np.searchsorted(np.array(spec.month_minutes), minutes, side="right") - 1


def _days(route: Route, u: Floats) -> Floats:
    """Days of each stage and side; with a total, all that is in process is scaled to it.

    d_i = p_i T / P,    p_i the parts as drawn, P the longest chain through them, T the total drawn
    """
    laws = [stage.law for stage in route.stages] + [side.stage.law for side in route.sides]
    parts = np.stack([law.quantile(u[1 + k]) for k, law in enumerate(laws)])
    if route.total is not None:
        stages, inside = len(route.stages), len(route.in_process)
        factor = route.total.quantile(u[0]) / longest_chain(route, parts)
        parts[:inside] *= factor
        parts[stages:] *= factor
    return parts


def longest_chain(route: Route, parts: NDArray[np.float64] | Ints) -> NDArray[np.float64] | Ints:
    """Time from the start to the release if nothing waits: stages in turn, each side joining where it must."""
    stages = route.stages
    began: dict[str, NDArray[np.float64] | Ints] = {}
    now = np.zeros_like(parts[0])
    for k, stage in enumerate(route.in_process):
        for j, side in enumerate(route.sides):
            if side.joins_at == stage.name:
                now = np.maximum(now, began[side.starts_with] + parts[len(stages) + j])
        began[stage.name] = now
        now = now + parts[k]
    return now


def _reviews(
    spec: SupplySpec, source: Source, orders: Orders, lots: Ints, key: Key, reps: Ints
) -> dict[tuple[int, int], ReviewDurations]:
    in_month = orders.month[lots] if orders.placed_at.ndim == 1 else _months(spec, orders.placed_at[:, lots])
    months, back = np.unique(in_month, return_inverse=True)
    at = (np.arange(len(reps))[:, None], back.reshape(in_month.shape))
    found = {}
    for k in spec.gates_of(source):
        gate = spec.gates[k]
        entities = np.array([entity_id(source.name, int(m), gate.name) for m in months], dtype=np.int64)
        for state, effect in enumerate(gate.effects):
            if effect.review is not None:
                durations = _applications(effect.review, entities, key, reps)
                found[k, state] = ReviewDurations(durations.minutes[at], durations.approved[at])
    return found


def _applications(review: Review, entities: Ints, key: Key, reps: Ints) -> ReviewDurations:
    """Applications one after another until the first yes or the last no."""
    minutes = np.zeros((len(reps), len(entities)), dtype=np.int64)
    approved = np.zeros(minutes.shape, dtype=bool)
    for attempt in range(review.resubmissions + 1):
        u_time = key.uniform("review", reps[:, None], entities[None, :], attempt, 0)
        u_end = key.uniform("review", reps[:, None], entities[None, :], attempt, 1)
        takes = _whole_minutes(review.law.quantile(u_time))
        minutes += np.where(approved, 0, takes)
        approved |= u_end < review.approval
    return ReviewDurations(minutes, approved)
