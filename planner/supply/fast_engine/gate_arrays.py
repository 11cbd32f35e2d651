"""The gates of a source as arrays over replications: what the recursion asks of them.

Columns are the changes of all gates of the source in time order, [replication, column]; column 0 starts at minute 0,
columns after the last change are padded beyond the horizon. Where several gates change in one minute, the last of
their columns holds the state of the instant; the earlier ones last no time and never count.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from planner.supply.gates.paths import GatePath
from planner.supply.network.gate import Effect, Fate, Gate, Passage, Point

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


class Border:
    """Answers, for minutes [replication, lot]: where goods pass, when work is done, when a revocation comes.

    ``end`` is the horizon; times at or after it are all the same to the caller and may come back as any of them.
    """

    def __init__(self, gates: Sequence[tuple[int, Gate]], paths: Sequence[GatePath], rows: int, end: int) -> None:
        self.places = [place for place, _ in gates]
        self.effects = [gate.effects for _, gate in gates]
        self.end, self.rows = end, rows
        self.offset = (np.arange(rows, dtype=np.int64) * (end + 2))[:, None]
        minutes, self.entering, self.states = _merged([paths[place] for place in self.places], rows)
        self.minutes = np.minimum(minutes, end + 1)
        self.flat = (self.minutes + self.offset).ravel()
        self.width = self.minutes.shape[1]
        lasts = np.ones(self.minutes.shape, dtype=bool)
        lasts[:, :-1] = self.minutes[:, 1:] > self.minutes[:, :-1]
        self.lasts = lasts
        self.passing = {point: self._passing(point) for point in Point}
        self.clocks = {name: self._clock(name) for name in ("in_process", "in_transit")}
        self.revoking = {name: self._revoking(name) for name in ("in_process", "in_transit")}

    def column(self, minute: Ints) -> Ints:
        """Flat place of the column in force at each minute."""
        asked = np.minimum(minute, self.end) + self.offset
        return np.searchsorted(self.flat, asked.ravel(), side="right").reshape(asked.shape) - 1

    def passes(self, point: Point, minute: Ints) -> tuple[Ints, Mask, Floats]:
        """When goods that stand at a point from ``minute`` on get their verdict, whether it is no, and its refund.

        A refund of NaN is the source's own.
        """
        found = self.passing[point]
        if found is None:
            return minute, np.zeros(minute.shape, dtype=bool), np.full(minute.shape, np.nan)
        following, refused, refund = found
        place = following[self.column(minute)]
        return np.maximum(minute, self.flat_minutes[place]), refused[place], refund[place]

    def state(self, gate: int, minute: Ints) -> NDArray[np.int8]:
        """The state of the gate of this number among the source's gates."""
        return self.states[gate].ravel()[self.column(minute)]

    def revoked(self, fate: str, minute: Ints) -> tuple[Ints, Floats]:
        """The first revocation after a minute (beyond the horizon: none) and its refund."""
        found = self.revoking[fate]
        if found is None:
            return np.full(minute.shape, self.end + 1), np.full(minute.shape, np.nan)
        following, refund = found
        place = following[self.column(minute)]
        return self.flat_minutes[place], refund[place]

    def leaves(self, gate: int, states: Sequence[int], minute: Ints) -> Ints:
        """The first minute from ``minute`` on in which a gate, by its place in the spec, is in none of some states."""
        inside = np.isin(self.states[self.places.index(gate)], states)
        following = self._next(~inside & self.lasts, include_own=True)
        return np.maximum(minute, self.flat_minutes[following[self.column(minute)]])

    def stops(self, fate: str) -> bool:
        """Whether the clock of these goods can stand still."""
        return self.clocks[fate] is not None

    def worked(self, fate: str, minute: Ints) -> Ints:
        """W(t): how long the clock has run by a minute."""
        found = self.clocks[fate]
        if found is None:
            return minute
        run, _, still = found
        place = self.column(minute)
        asked = np.minimum(minute, self.end + 1)
        return np.where(still[place], run[place], run[place] + asked - self.flat_minutes[place])

    def done(self, fate: str, work: Ints, before_gates: bool = False) -> Ints:
        """The last minute t with W(t) <= work: work that ends as the clock stops ends when it runs again.

        ``before_gates``: the first such minute; for work that ends before gates change, as a server's does.
        """
        found = self.clocks[fate]
        if found is None:
            return work
        run, flat, still = found
        asked = np.minimum(work, self.end) + self.offset
        side: Literal["left", "right"] = "left" if before_gates else "right"
        place = np.searchsorted(flat, asked.ravel(), side=side).reshape(asked.shape) - 1
        minute = self.flat_minutes[place] + np.minimum(work, self.end) - run[place]
        return np.where(still[place] | (work > self.end), self.end + 1, minute)

    @property
    def flat_minutes(self) -> Ints:
        """``minutes`` without its shape."""
        return self.minutes.reshape(-1)

    def _passing(self, point: Point) -> tuple[Ints, Mask, Floats] | None:
        """Flat: the next column with a verdict, whether it refuses, its refund. None: goods always pass."""
        if all(effect.at(point) is Passage.PASS for four in self.effects for effect in four):
            return None
        verdict = np.zeros(self.minutes.shape, dtype=np.int8)
        refund = np.full(self.minutes.shape, np.nan)
        for four, states in zip(reversed(self.effects), reversed(self.states), strict=True):
            mine = np.array([int(effect.at(point)) for effect in four], dtype=np.int8)[states]
            refund = np.where(mine == Passage.REFUSE, _refunds(four)[states], refund)
            verdict = np.maximum(verdict, mine)
        verdict[~self.lasts] = Passage.HOLD
        following = self._next(verdict != Passage.HOLD, include_own=True)
        return following, (verdict == Passage.REFUSE).ravel(), refund.ravel()

    def _clock(self, fate: str) -> tuple[Ints, Ints, Mask] | None:
        """Flat: run of the clock at each column's start, the same for searching, whether it stands still."""
        holds = [[getattr(effect, fate) is Fate.HOLD for effect in four] for four in self.effects]
        if not any(hold for four in holds for hold in four):
            return None
        still = np.zeros(self.minutes.shape, dtype=bool)
        for hold, states in zip(holds, self.states, strict=True):
            still |= np.array(hold)[states]
        passed = np.diff(self.minutes, axis=1)
        run = np.zeros(self.minutes.shape, dtype=np.int64)
        np.cumsum(np.where(still[:, :-1], 0, passed), axis=1, out=run[:, 1:])
        return run.ravel(), (run + self.offset).ravel(), still.ravel()

    def _revoking(self, fate: str) -> tuple[Ints, Floats] | None:
        """Flat: the next column, after this one, in which a gate enters a state that revokes; its refund."""
        revokes = [[getattr(effect, fate) is Fate.REVOKE for effect in four] for four in self.effects]
        if not any(revoke for four in revokes for revoke in four):
            return None
        hits = np.zeros(self.minutes.shape, dtype=bool)
        refund = np.full(self.minutes.shape, np.nan)
        for k, (revoke, states) in enumerate(zip(revokes, self.states, strict=True)):
            mine = (self.entering == k) & np.array(revoke)[states] & (self.minutes > 0)
            refund = np.where(mine, _refunds(self.effects[k])[states], refund)
            hits |= mine
        return self._next(hits, include_own=False), refund.ravel()

    def _next(self, hits: Mask, include_own: bool) -> Ints:
        """Flat place of the next column that hits; the last column, which is beyond the horizon, if none does."""
        columns = np.where(hits, np.arange(self.width), self.width - 1)
        following = np.minimum.accumulate(columns[:, ::-1], axis=1)[:, ::-1]
        if not include_own:
            following = np.concatenate([following[:, 1:], np.full((self.rows, 1), self.width - 1)], axis=1)
        return (following + (np.arange(self.rows) * self.width)[:, None]).ravel()


def _merged(paths: Sequence[GatePath], rows: int) -> tuple[Ints, Ints, list[NDArray[np.int8]]]:
    """Minutes of all changes in order, the number of the gate that changes, and the state of every gate.

    A last column that no replication reaches is always there.
    """
    far = np.full((rows, 1), np.iinfo(np.int64).max // 4)
    if not paths:
        start = np.zeros((rows, 1), dtype=np.int64)
        return np.concatenate([start, far], axis=1), np.zeros((rows, 2), dtype=np.int64), []
    minutes = np.concatenate([*(path.minutes for path in paths), far], axis=1)
    widths = [path.minutes.shape[1] for path in paths]
    owner = np.repeat(np.arange(len(paths) + 1), [*widths, 1])
    order = np.argsort(minutes, axis=1, kind="stable")
    entering = owner[order]
    states = []
    for k, path in enumerate(paths):
        seen = np.clip(np.cumsum(entering == k, axis=1) - 1, 0, widths[k] - 1)
        states.append(np.take_along_axis(path.states, seen, axis=1))
    return np.take_along_axis(minutes, order, axis=1), entering, states


def _refunds(four: Sequence[Effect]) -> Floats:
    return np.array([np.nan if effect.refund is None else effect.refund for effect in four])
