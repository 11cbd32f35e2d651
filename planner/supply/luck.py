"""The luck of lots: how long each stage and each review takes, drawn before anything moves.

Domain "lot": entity (source, order month, lot), stage 0 the total, then the stages and the sides in the
route's order. Domain "quarter": entity (supplier, year, quarter), the factor that lots of one supplier
share. Domain "review": entity (source, order month, gate), stage = number of the application, draw 0 its
time, draw 1 its end: one licence for one source and month, whatever it is split into.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special

from planner.chance import Key, entity_id, uniform_stages
from planner.clock import MINUTES_PER_DAY, month_starts
from planner.supply.gate import Review
from planner.supply.route import Route
from planner.supply.spec import Allotment, Orders, Source, SupplySpec

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ReviewLuck:
    """One gate's review in one state, [replication, lot]: minutes to the last word, and whether it is yes."""

    minutes: Ints
    approved: NDArray[np.bool_]


@dataclass(frozen=True)
class SourceLuck:
    """What the lots of one source will meet.

    lots     places of the source's lots among the orders
    minutes  int64 [stage, replication, lot]: stages in the route's order, then its sides
    reviews  (place of the gate in the spec, state) -> its review
    """

    lots: Ints
    minutes: Ints
    reviews: dict[tuple[int, int], ReviewLuck]


def draw_luck(spec: SupplySpec, orders: Orders, key: Key, replications: Sequence[int]) -> list[SourceLuck]:
    """The luck of all lots in these replications, source by source."""
    reps = np.asarray(replications, dtype=np.int64)
    found = []
    for place, source in enumerate(spec.sources):
        lots = np.flatnonzero(orders.source == place)
        minutes = _stage_minutes(spec, source, orders, lots, key, reps)
        found.append(SourceLuck(lots, minutes, _reviews(spec, source, orders, lots, key, reps)))
    return found


def draw_backlog(spec: SupplySpec, key: Key, replications: Sequence[int]) -> dict[str, Ints]:
    """Minutes of service of the lots of others that stand in each line, [lot, replication], first come first.

    Domain "backlog": entity the line, stage the lot's place.
    """
    reps = np.asarray(replications, dtype=np.int64)
    found = {}
    for line in spec.lines:
        if isinstance(line, Allotment):
            continue
        u = uniform_stages(key.root, "backlog", reps, entity_id(line.name), line.backlog_lots)
        found[line.name] = _whole_minutes(line.backlog_law.quantile(u))
    return found


def _whole_minutes(days: Floats) -> Ints:
    """Days rounded once to minutes, at least one."""
    return np.maximum(np.rint(days * MINUTES_PER_DAY), 1).astype(np.int64)


def _stage_minutes(
    spec: SupplySpec, source: Source, orders: Orders, lots: Ints, key: Key, reps: Ints
) -> Ints:
    """Stage durations; lots of one entity (two pools' lines) are drawn once."""
    route = source.route
    names = np.stack([orders.month[lots], orders.lot[lots]], axis=1)
    unique, back = np.unique(names, axis=0, return_inverse=True)
    entities = np.array([entity_id(source.name, int(m), int(k)) for m, k in unique], dtype=np.int64)
    count = 1 + len(route.stages) + len(route.sides)
    u = uniform_stages(key.root, "lot", reps[:, None], entities[None, :], count)
    if route.shared > 0:
        shared = _shared(spec, route, unique[:, 0], key, reps)
        mixed = [0] if route.total else range(1, 1 + len(route.in_process))
        for k in mixed:
            u[k] = special.ndtr(
                np.sqrt(route.shared) * shared + np.sqrt(1 - route.shared) * special.ndtri(u[k])
            )
    return _whole_minutes(_days(route, u))[:, :, back.reshape(-1)]


def _shared(spec: SupplySpec, route: Route, months: Ints, key: Key, reps: Ints) -> Floats:
    """Standard normal factor of the supplier in the quarter of each order month, [replication, lot]."""
    firsts = month_starts(spec.start, int(months.max(initial=0)) + 1)
    quarters = [(firsts[m].year, (firsts[m].month - 1) // 3 + 1) for m in months.tolist()]
    entities = np.array([entity_id(route.supplier, *quarter) for quarter in quarters], dtype=np.int64)
    return np.asarray(special.ndtri(key.uniform("quarter", reps[:, None], entities[None, :])))


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
    """Time from the start to the release if nothing waits: stages in turn, each side joining where it
    must.
    """
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
) -> dict[tuple[int, int], ReviewLuck]:
    months, back = np.unique(orders.month[lots], return_inverse=True)
    found = {}
    for k in spec.gates_of(source):
        gate = spec.gates[k]
        entities = np.array([entity_id(source.name, int(m), gate.name) for m in months], dtype=np.int64)
        for state, effect in enumerate(gate.effects):
            if effect.review is not None:
                luck = _applications(effect.review, entities, key, reps)
                found[k, state] = ReviewLuck(luck.minutes[:, back], luck.approved[:, back])
    return found


def _applications(review: Review, entities: Ints, key: Key, reps: Ints) -> ReviewLuck:
    """Applications one after another until the first yes or the last no."""
    minutes = np.zeros((len(reps), len(entities)), dtype=np.int64)
    approved = np.zeros(minutes.shape, dtype=bool)
    for attempt in range(review.resubmissions + 1):
        u_time = key.uniform("review", reps[:, None], entities[None, :], attempt, 0)
        u_end = key.uniform("review", reps[:, None], entities[None, :], attempt, 1)
        takes = _whole_minutes(review.law.quantile(u_time))
        minutes += np.where(approved, 0, takes)
        approved |= u_end < review.approval
    return ReviewLuck(minutes, approved)
