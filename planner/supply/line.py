"""A line of servers as a recursion: first come, first served, over many replications at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from planner.supply.border import Border

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Arrivals:
    """Lots of one source that come to a line, arrays [replication, lot].

    minute      when they join the line; beyond the horizon: never
    first       whether they come as new orders: in one minute those join after goods that arrive
    rank        int64 [lot]: who goes first among equals
    needs       minutes of service, on the clock of the border and fate (None: it never stops)
    stops       minute in which the order ends at the latest: the lot then leaves the line or its server
    """

    line: str
    minute: Ints
    first: bool
    rank: Ints
    needs: Ints
    stops: Ints
    border: Border
    fate: str | None


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


def serve(arrivals: Sequence[Arrivals], free: Ints, far: int) -> list[Ints]:
    """The minutes in which service ends, for each group of arrivals; ``far`` where it never begins.

    start_k = max(arrival_k, earliest free server);  finish_k on the lot's clock;  the server is free again at
    min(finish_k, stop_k).  A lot whose stop is not later than its start leaves the line unserved.
    """
    column = np.concatenate([np.full(len(a.rank), int(a.first)) for a in arrivals])
    rank = np.concatenate([a.rank for a in arrivals])
    still = np.lexsort((rank, column))
    minute = np.concatenate([a.minute for a in arrivals], axis=1)[:, still]
    order = np.argsort(minute, axis=1, kind="stable")
    arrived = np.take_along_axis(minute, order, axis=1)
    needs = np.take_along_axis(np.concatenate([a.needs for a in arrivals], axis=1)[:, still], order, axis=1)
    stops = np.take_along_axis(np.concatenate([a.stops for a in arrivals], axis=1)[:, still], order, axis=1)
    group = np.concatenate([np.full(len(a.rank), k) for k, a in enumerate(arrivals)])[still][order]
    finished = _pass(arrivals, arrived, needs, stops, group, free.copy(), far)
    back = np.empty_like(minute)
    np.put_along_axis(back, order, finished, axis=1)
    ends = np.empty_like(back)
    ends[:, still] = back
    return np.split(ends, np.cumsum([len(a.rank) for a in arrivals])[:-1], axis=1)


def _pass(
    arrivals: Sequence[Arrivals], arrived: Ints, needs: Ints, stops: Ints, group: Ints, free: Ints, far: int
) -> Ints:
    """The recursion itself, lot after lot in the order of the line."""
    rows = np.arange(len(arrived))
    finished = np.empty_like(arrived)
    for k in range(arrived.shape[1]):
        server = free.argmin(axis=1)
        start = np.maximum(arrived[:, k], free[rows, server])
        served = (start < stops[:, k]) & (start < far)
        finish = _finish(arrivals, start, needs[:, k], group[:, k])
        leaves = np.minimum(finish, stops[:, k])
        free[rows, server] = np.where(served, leaves, free[rows, server])
        finished[:, k] = np.where(served, np.minimum(finish, far), far)
    return finished


def _finish(arrivals: Sequence[Arrivals], start: Ints, needs: Ints, group: Ints) -> Ints:
    finish = start + needs
    for k, arrival in enumerate(arrivals):
        if arrival.fate is not None and arrival.border.stops(arrival.fate):
            work = arrival.border.worked(arrival.fate, start[:, None]) + needs[:, None]
            finish = np.where(
                group == k, arrival.border.done(arrival.fate, work, before_gates=True)[:, 0], finish
            )
    return finish
