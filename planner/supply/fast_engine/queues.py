"""A line of servers as a recursion: first come, first served, over many replications at once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from planner.supply.fast_engine.gate_arrays import Border, Ints

_GATE_CHANGE, _UNBOUND, _NEW_PERIOD, _ARRIVAL = 0, 1, 2, 3
"""Places in the order of an instant; the rank of a lot is added to the last, new orders follow all arrivals."""


_NEVER = np.iinfo(np.int64).max // 4
TURNED_AWAY = -1
"""Minute of the end of service of a lot that a cap has no room for."""


@dataclass(frozen=True)
class Arrivals:
    """Lots of one source that come to a line, arrays [replication, lot].

    minute      when they join the line; beyond the horizon: never
    first       whether they come as new orders: in one minute those join after goods that arrive
    rank        int64 [lot]: who goes first among equals
    needs       minutes of service, on the clock of the border and fate (None: it never stops)
    stops       minute in which the order ends at the latest: the lot then leaves the line or its server
    denied      whether that end is a review's no, which comes after a month begins, and not a gate's revocation
    gpus        what it takes of an allotment or a cap, [lot] or [replication, lot]
    uncounted   first minute, from joining on, in which the quantity does not bind, so that it may go on without it
    """

    line: str
    minute: Ints
    first: bool
    rank: Ints
    needs: Ints
    stops: Ints
    denied: NDArray[np.bool_]
    gpus: Ints
    border: Border
    fate: str | None
    uncounted: Ints | None = None

    @property
    def free(self) -> Ints:
        """``uncounted`` as an array; where the quantity always binds, a minute that never comes."""
        return np.full_like(self.minute, _NEVER) if self.uncounted is None else self.uncounted


def busy_servers(servers: int, backlog: Ints) -> Ints:
    """When each server becomes free once the backlog has been put on them, [replication, server].

    ``backlog``: minutes of service [lot, replication], in the order of the line, all there at minute 0.
    """
    rows = np.arange(backlog.shape[1])
    free = np.zeros((len(rows), servers), dtype=np.int64)
    for needs in backlog:
        first = free.argmin(axis=1)
        free[rows, first] += needs
    return free


@dataclass(frozen=True)
class _Queue:
    """All who come to a line, [place in the line, replication]."""

    arrived: Ints
    needs: Ints
    stops: Ints
    denied: NDArray[np.bool_]
    gpus: Ints
    free: Ints
    """First minute in which it may go on uncounted."""
    code: Ints
    """Place of the arrival in the order of an instant."""
    rank_code: Ints
    """Place of a review's no in the order of an instant."""
    group: Ints
    """Which of the groups of arrivals a lot belongs to."""


def serve(arrivals: Sequence[Arrivals], free: Ints, far: int) -> list[Ints]:
    """The minutes in which service ends, for each group of arrivals; ``far`` where it never begins.

    start_k = max(arrival_k, earliest free server);  finish_k on the lot's clock;  the server is free again at
    min(finish_k, stop_k).  A lot whose stop is not later than its start leaves the line unserved.
    """
    queue, put_back = _lined_up(arrivals)
    rows, free = np.arange(queue.arrived.shape[1]), free.copy()
    finished = np.full_like(queue.arrived, far)
    for k in range(len(queue.arrived)):
        server = free.argmin(axis=1)
        start = np.maximum(queue.arrived[k], free[rows, server])
        served = (start < queue.stops[k]) & (start < far)
        finish = _finish(arrivals, start, queue.needs[k], queue.group[k])
        leaves = np.minimum(finish, queue.stops[k])
        free[rows, server] = np.where(served, leaves, free[rows, server])
        finished[k] = np.where(served, np.minimum(finish, far), far)
    return put_back(finished)


def allot(arrivals: Sequence[Arrivals], cap: int, period: int, far: int) -> list[Ints]:
    """The same for an allotment: a lot starts once those before it have and the period has room for it.

    start_k = max(arrival_k, start_{k-1}), or the beginning of the next period where the rest is too small; or,
    uncounted, the minute in which the allotment no longer binds, if that comes first. One who leaves the line at its
    stop has held up those behind it until then. Here the order within an instant counts, for who starts uses up what
    is left; so moments are compared as minute x scale + place in the instant.
    """
    queue, put_back = _lined_up(arrivals)
    scale = int(queue.code.max(initial=0)) + 1
    never = far * scale
    come = np.minimum(queue.arrived, far) * scale + queue.code
    gone = queue.stops * scale + np.where(queue.denied, queue.rank_code, _GATE_CHANGE)
    unbound = np.where(queue.free > queue.arrived, np.minimum(queue.free, far) * scale + _UNBOUND, come)
    head = np.full(come.shape[1], _NEW_PERIOD, dtype=np.int64)
    current, left = np.zeros_like(head), np.full_like(head, cap)
    finished = np.full_like(queue.arrived, far)
    for k in range(len(queue.arrived)):
        ready = np.maximum(come[k], head)
        now = (ready - _NEW_PERIOD) // (period * scale)
        room = np.where(now > current, cap, left)
        fits = queue.gpus[k] <= room
        moment = np.where(fits, ready, (now + 1) * period * scale + _NEW_PERIOD)
        uncounted = unbound[k] <= moment
        moment = np.where(uncounted, np.maximum(unbound[k], ready), moment)
        joined = come[k] < gone[k]
        started = joined & (moment < gone[k]) & (moment < never)
        counted = started & ~uncounted
        current = np.where(counted, np.where(fits, now, now + 1), current)
        left = np.where(counted, np.where(fits, room, cap) - queue.gpus[k], left)
        head = np.where(started, moment, np.where(joined, np.maximum(head, gone[k]), head))
        finish = _finish(arrivals, moment // scale, queue.needs[k], queue.group[k])
        finished[k] = np.where(started, np.minimum(finish, far), far)
    return put_back(finished)


def admit(arrivals: Sequence[Arrivals], most: int, far: int) -> list[Ints]:
    """The same for a cap: a lot starts when it comes, or is turned away (TURNED_AWAY) if what is left is too small.

    left_k = left_{k-1} - n_k where n_k <= left_{k-1}.  One that its stop has reached before it comes is not there.
    """
    queue, put_back = _lined_up(arrivals)
    scale = int(queue.code.max(initial=0)) + 1
    gone = queue.stops * scale + np.where(queue.denied, queue.rank_code, _GATE_CHANGE)
    comes = (queue.arrived < far) & (np.minimum(queue.arrived, far) * scale + queue.code < gone)
    left = np.full(queue.arrived.shape[1], most, dtype=np.int64)
    finished = np.full_like(queue.arrived, far)
    for k in range(len(queue.arrived)):
        binds = queue.free[k] > queue.arrived[k]
        fits = comes[k] & (~binds | (queue.gpus[k] <= left))
        left = left - np.where(fits & binds, queue.gpus[k], 0)
        finish = _finish(arrivals, queue.arrived[k], queue.needs[k], queue.group[k])
        ends = np.where(fits, np.minimum(finish, far), TURNED_AWAY)
        finished[k] = np.where(comes[k], ends, far)
    return put_back(finished)


def _lined_up(arrivals: Sequence[Arrivals]) -> tuple[_Queue, Callable[[Ints], list[Ints]]]:
    """Everybody in the order of the line, and the way back to the groups and their lots."""
    first = np.concatenate([np.full(len(a.rank), int(a.first)) for a in arrivals])
    rank = np.concatenate([a.rank for a in arrivals])
    still = np.lexsort((rank, first))
    minute = np.concatenate([a.minute for a in arrivals], axis=1)[:, still]
    order = np.argsort(minute, axis=1, kind="stable")

    def in_turn(columns: NDArray[Any]) -> NDArray[Any]:
        """[place in the line, replication], laid out so that those of one place lie side by side."""
        return np.ascontiguousarray(columns.T)

    def lined(name: str) -> NDArray[Any]:
        parts = [np.broadcast_to(getattr(a, name), a.minute.shape) for a in arrivals]
        return in_turn(np.take_along_axis(np.concatenate(parts, axis=1)[:, still], order, axis=1))

    def put_back(ends: Ints) -> list[Ints]:
        sorted_back, found = np.empty_like(minute), np.empty_like(minute)
        np.put_along_axis(sorted_back, order, ends.T, axis=1)
        found[:, still] = sorted_back
        return np.split(found, np.cumsum([len(a.rank) for a in arrivals])[:-1], axis=1)

    group = in_turn(np.concatenate([np.full(len(a.rank), k) for k, a in enumerate(arrivals)])[still][order])
    rank_code = _ARRIVAL + rank
    code = rank_code + first * (int(rank.max(initial=0)) + 1)
    arrived = in_turn(np.take_along_axis(minute, order, axis=1))
    columns = {name: lined(name) for name in ("needs", "stops", "denied", "gpus", "free")}
    codes = {"code": in_turn(code[still][order]), "rank_code": in_turn(rank_code[still][order])}
    return _Queue(arrived=arrived, group=group, **codes, **columns), put_back


def _finish(arrivals: Sequence[Arrivals], start: Ints, needs: Ints, group: Ints) -> Ints:
    finish = start + needs
    for k, arrival in enumerate(arrivals):
        if arrival.fate is not None and arrival.border.stops(arrival.fate):
            work = arrival.border.worked(arrival.fate, start[:, None]) + needs[:, None]
            finish = np.where(group == k, arrival.border.done(arrival.fate, work, before_gates=True)[:, 0], finish)
    return finish
