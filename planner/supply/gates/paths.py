"""Paths of the gates: for every replication, when each gate changes and to which state.

The paths are drawn before any goods move and do not depend on orders: a buyer does not move a government.
All numbers come from the keyed streams, domain "gate":

    parameters of an authority   entity (authority, "parameters"): shared by all products
    visits of a gate             entity (authority or gate, product, "visits"): stage = number of the visit,
                                 draw 0 its stay, draw 1 the state after it; where one rule covers several products,
                                 all go by the name of the first, so that it moves for all of them at once
    triggers of a link           entity (link, product, "link"): stage = number of the trigger,
                                 draw 0 whether it reacts, draw 1 the lag, draw 2 which reaction

Days count as real numbers while a path is drawn; a change is rounded once, to the minute. Changes of one gate
within one minute leave only the last; so a gate changes at most once a minute, and always to another state.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from executor.portable import normal
from executor.portable.elementary import exp, log1p
from executor.portable.gamma import gamma_quantile
from planner.clock import MINUTES_PER_DAY
from planner.sampling import Key, Lomax, entity_id
from planner.supply.gates.posterior import CLOSED, CONDITIONAL, LAGS, LINKS, PROMISED, SHARES, Floats, SystemPosterior
from planner.supply.network.gate import Always, FirstDelivery, FromHistory, Gate, OwnLaw, State

Ints = NDArray[np.int64]
Codes = NDArray[np.int8]

NEVER = np.iinfo(np.int64).max // 4
"""A minute that no horizon reaches; leaves room to add to it."""
_DOMAIN = "gate"
_AHEAD = 16
"""Draws of a stream made at once."""


@dataclass(frozen=True)
class GatePath:
    """One gate in many replications.

    minutes  int64 [replication, k]: the k-th change; the first is minute 0; padded with NEVER
    states   int8 [replication, k]: the state from then on; padded with the last state
    """

    minutes: Ints
    states: Codes

    def at(self, minute: int) -> Codes:
        """The state of every replication at a minute, after the changes of that minute."""
        last = (self.minutes <= minute).sum(axis=1) - 1
        return self.states[np.arange(len(last)), last]

    def changes(self, replication: int) -> list[tuple[int, State]]:
        """(minute, state) of one replication, the first at minute 0."""
        count = int((self.minutes[replication] < NEVER).sum())
        times, states = self.minutes[replication, :count].tolist(), self.states[replication, :count].tolist()
        return [(minute, State(state)) for minute, state in zip(times, states, strict=True)]


def draw_paths(gates: Sequence[Gate], horizon_minutes: int, key: Key, replications: Sequence[int]) -> list[GatePath]:
    """The path of every gate, in the gates' order, for these replications, up to the horizon."""
    reps = np.asarray(replications, dtype=np.int64)
    drawn: dict[int, GatePath] = {}
    twins = [_twin(gates, k) for k in range(len(gates))]
    for members in _systems(gates, twins):
        system = [gates[k] for k in members]
        drawn.update(zip(members, _draw_system(system, horizon_minutes, key, reps), strict=True))
    for k, gate in enumerate(gates):
        if isinstance(gate.law, FirstDelivery):
            followed = [drawn[twins[j]] for j, other in enumerate(gates) if other.name in gate.law.of]
            drawn[k] = _first_delivery(gate.law, followed, horizon_minutes, key, reps)
    return [drawn[twin] for twin in twins]


def _first_delivery(
    law: FirstDelivery, followed: Sequence[GatePath], horizon_minutes: int, key: Key, reps: Ints
) -> GatePath:
    """Opens in the minute in which the followed gates have passed for as long as was drawn.

    Domain "gate": entity ("first delivery", names of the gates).
    """
    u = key.uniform(_DOMAIN, reps, entity_id("first delivery", *law.of))
    days = np.minimum(Lomax(law.shape, law.days).quantile(u), horizon_minutes)
    needed = np.maximum(np.rint(days * MINUTES_PER_DAY).astype(np.int64), 1)[:, None]
    begins = np.sort(np.concatenate([path.minutes for path in followed], axis=1), axis=1)
    begins = np.minimum(begins, horizon_minutes)
    ends = np.concatenate([begins[:, 1:], np.full((len(reps), 1), horizon_minutes)], axis=1)
    passing = np.ones(begins.shape, dtype=np.bool_)
    for path in followed:
        last = (path.minutes[:, None, :] <= begins[:, :, None]).sum(axis=2) - 1
        passing = passing & (np.take_along_axis(path.states, last, axis=1) >= State.CONDITIONAL)
    passed = np.cumsum(np.where(passing, ends - begins, 0), axis=1)
    reached = passed >= needed
    at = reached.argmax(axis=1)[:, None]
    opens = np.take_along_axis(ends - passed, at, axis=1) + needed
    opens = np.where(reached.any(axis=1)[:, None], opens, NEVER)
    opened = np.where(opens < NEVER, int(State.OPEN), int(State.CLOSED))
    minutes = np.concatenate([np.zeros_like(opens), opens], axis=1)
    return GatePath(minutes, np.concatenate([np.zeros_like(opened), opened], axis=1).astype(np.int8))


def month_states(paths: Sequence[GatePath], months: Sequence[int], replications: int) -> Codes:
    """int8 [replication, gate, month]: the states at the first minute of each reported month."""
    states = np.zeros((replications, len(paths), len(months)), dtype=np.int8)
    for k, path in enumerate(paths):
        for m, minute in enumerate(months):
            states[:, k, m] = path.at(minute)
    return states


def _twin(gates: Sequence[Gate], k: int) -> int:
    """The first gate with the same learnt law, authority and script: the same gate under another name."""
    mine = gates[k]
    for j, other in enumerate(gates[:k]):
        if isinstance(mine.law, FromHistory) and isinstance(other.law, FromHistory):
            same_law = _system_name(mine.law) == _system_name(other.law) and mine.law.state == other.law.state
            if same_law and (mine.authority, mine.events) == (other.authority, other.events):
                return j
    return k


def _system_name(law: FromHistory) -> tuple[str, str, int]:
    return law.product, law.reading, law.as_of_minute


def _systems(gates: Sequence[Gate], twins: Sequence[int]) -> list[list[int]]:
    """Gates of one product move together, one for each authority; every other gate moves alone."""
    systems: dict[tuple[object, int], list[int]] = {}
    for k, gate in enumerate(gates):
        if twins[k] != k or isinstance(gate.law, FirstDelivery):
            continue
        name: object = _system_name(gate.law) if isinstance(gate.law, FromHistory) else k
        copy = 0
        while any(gates[j].authority == gate.authority for j in systems.get((name, copy), [])):
            copy += 1
        systems.setdefault((name, copy), []).append(k)
    return list(systems.values())


def _draw_system(gates: list[Gate], horizon_minutes: int, key: Key, reps: Ints) -> list[GatePath]:
    laws = [gate.law for gate in gates]
    if all(isinstance(law, FromHistory) for law in laws):
        motion: _Motion = _History(gates, key, reps)
    else:
        motion = _Alone(gates[0], key, reps)
    events = ((event.minute, k, int(event.state)) for k, gate in enumerate(gates) for event in gate.events)
    everyone = np.arange(len(reps))
    for minute, k, state in sorted(events, key=lambda event: event[:2]):
        if minute >= horizon_minutes:
            break
        motion.run_until(minute / MINUTES_PER_DAY)
        day = np.full(len(reps), minute / MINUTES_PER_DAY)
        motion.enter(everyone, day, k, np.full(len(reps), state))
    motion.run_until(horizon_minutes / MINUTES_PER_DAY)
    return [record.path() for record in motion.records]


class _Stream:
    """Uniforms of one entity, by replication, stage and draw, made a block of stages at a time."""

    def __init__(self, key: Key, reps: Ints, *entity: str) -> None:
        self.key, self.reps, self.entity = key, reps, entity_id(*entity)
        self.blocks: dict[tuple[int, int], Floats] = {}

    def take(self, rows: Ints, stage: Ints, draw: int) -> Floats:
        """One uniform for each of ``rows`` (places in the replications), at its own stage."""
        out = np.empty(len(rows))
        for block in np.unique(stage // _AHEAD).tolist():
            mine = stage // _AHEAD == block
            out[mine] = self._block(block, draw)[stage[mine] % _AHEAD, rows[mine]]
        return out

    def _block(self, block: int, draw: int) -> Floats:
        if (block, draw) not in self.blocks:
            stages = np.arange(block * _AHEAD, (block + 1) * _AHEAD)[:, None]
            self.blocks[block, draw] = self.key.uniform(_DOMAIN, self.reps[None, :], self.entity, stages, draw)
        return self.blocks[block, draw]


class _Record:
    """Changes of one gate as they are drawn."""

    def __init__(self, replications: int) -> None:
        self.minutes = np.full((replications, 8), NEVER, dtype=np.int64)
        self.states = np.zeros((replications, 8), dtype=np.int8)
        self.count = np.zeros(replications, dtype=np.int64)

    def add(self, rows: Ints, days: Floats, state: Ints) -> None:
        minute = np.maximum(np.rint(days * MINUTES_PER_DAY).astype(np.int64), 0)
        if self.count[rows].max(initial=0) == self.minutes.shape[1]:
            self.minutes = np.pad(self.minutes, ((0, 0), (0, 8)), constant_values=NEVER)
            self.states = np.pad(self.states, ((0, 0), (0, 8)))
        at = self.count[rows]
        again = (at > 0) & (self.minutes[rows, np.maximum(at - 1, 0)] == minute)
        at = np.where(again, at - 1, at)
        self.minutes[rows, at] = minute
        self.states[rows, at] = state
        unchanged = (at > 0) & (self.states[rows, np.maximum(at - 1, 0)] == state)
        self.minutes[rows[unchanged], at[unchanged]] = NEVER
        self.count[rows] = np.where(unchanged, at, at + 1)

    def path(self) -> GatePath:
        """The record, cut to its longest replication and padded with the last state."""
        width = int(self.count.max(initial=1))
        place = np.minimum(np.arange(width)[None, :], self.count[:, None] - 1)
        return GatePath(self.minutes[:, :width].copy(), np.take_along_axis(self.states, place, axis=1))


class _Motion:
    """What the two kinds of moving systems have in common: gates, states and their records."""

    def __init__(self, gates: list[Gate], initial: list[int], key: Key, reps: Ints, start: float) -> None:
        self.key, self.reps = key, reps
        count = len(reps)
        self.state = np.repeat(np.array(initial, dtype=np.int64)[:, None], count, axis=1)
        self.leave = np.full((len(gates), count), np.inf)
        self.visit = np.zeros((len(gates), count), dtype=np.int64)
        self.records = [_Record(count) for _ in gates]
        everyone = np.arange(count)
        for k in range(len(gates)):
            self.records[k].add(everyone, np.zeros(count), self.state[k])
            self.leave[k] = start + self.stay(k, everyone)

    def stay(self, k: int, rows: Ints) -> Floats:
        """Days that gate k stays from now in its present state."""
        raise TypeError("a kind of motion says how long a gate stays")

    def following(self, k: int, rows: Ints) -> Ints:
        """The state that gate k enters at the end of its stay."""
        raise TypeError("a kind of motion says what follows")

    def enter(self, rows: Ints, day: Floats, k: int, state: Ints) -> None:
        """Gate k enters a state now; its next stay is drawn."""
        self.visit[k, rows] += 1
        self.state[k, rows] = state
        self.records[k].add(rows, day, state)
        self.leave[k, rows] = day + self.stay(k, rows)

    def run_until(self, end: float) -> None:
        """All changes before ``end``, each replication's earliest first; among equals the first gate."""
        while True:
            which = self.leave.argmin(axis=0)
            day = self.leave[which, np.arange(len(self.reps))]
            due = np.flatnonzero(day < end)
            if not due.size:
                return
            for k in range(len(self.leave)):
                rows = due[which[due] == k]
                if rows.size:
                    self.happen(k, rows, day[rows])

    def happen(self, k: int, rows: Ints, day: Floats) -> None:
        """The stay of gate k ends."""
        self.enter(rows, day, k, self.following(k, rows))


class _Alone(_Motion):
    """A gate that never moves, or that follows a law of its own."""

    def __init__(self, gate: Gate, key: Key, reps: Ints) -> None:
        self.law = gate.law
        self.stream = _Stream(key, reps, gate.authority, gate.name, "visits")
        assert isinstance(self.law, Always | OwnLaw)
        super().__init__([gate], [int(self.law.state)], key, reps, 0.0)

    def stay(self, k: int, rows: Ints) -> Floats:
        if isinstance(self.law, Always):
            return np.full(len(rows), np.inf)
        assert isinstance(self.law, OwnLaw)
        days = np.full(len(rows), np.inf)
        for state, dwell in self.law.dwell.items():
            mine = self.state[k, rows] == state
            if dwell.following and mine.any():
                u = self.stream.take(rows[mine], self.visit[k, rows[mine]], 0)
                days[mine] = np.maximum(dwell.stay.quantile(u), 0.0)
        return days

    def following(self, k: int, rows: Ints) -> Ints:
        assert isinstance(self.law, OwnLaw)
        u = self.stream.take(rows, self.visit[k, rows], 1)
        after = np.zeros(len(rows), dtype=np.int64)
        for state, dwell in self.law.dwell.items():
            mine = self.state[k, rows] == state
            if dwell.following and mine.any():
                names = np.array([int(s) for s in dwell.following])
                edges = np.cumsum(list(dwell.following.values()))
                after[mine] = names[np.minimum(np.searchsorted(edges, u[mine], side="right"), len(names) - 1)]
        return after


class _History(_Motion):
    """Gates of one product under the law learnt from the record, with links between them.

    Rows 0 .. n - 1 of ``leave`` are the gates, the last three the pending links cn, vd and vu.
    """

    def __init__(self, gates: list[Gate], key: Key, reps: Ints) -> None:
        laws = [gate.law for gate in gates]
        assert all(isinstance(law, FromHistory) for law in laws)
        first = laws[0]
        assert isinstance(first, FromHistory)
        self.system, self.product = first.system, first.product
        self.authority = [gate.authority for gate in gates]
        self.parameters = [_Parameters(self.system, a, key, reps) for a in self.authority]
        self.streams = [
            _Stream(key, reps, gate.authority, law.rule or self.product, "visits")
            for gate, law in zip(gates, laws, strict=True)
            if isinstance(law, FromHistory)
        ]
        start = first.as_of_minute / MINUTES_PER_DAY
        states = [int(law.state) for law in laws if isinstance(law, FromHistory)]
        super().__init__(gates, states, key, reps, start)
        self.links = [_LinkDraw(self.system, link, self.product, key, reps) for link in LINKS]
        pending = np.stack([link.left_over(start) for link in self.links])
        self.leave = np.concatenate([self.leave, pending])

    def stay(self, k: int, rows: Ints) -> Floats:
        """-ln(1 - u) / (W lambda)."""
        u = self.streams[k].take(rows, self.visit[k, rows], 0)
        return -log1p(-u) / self.parameters[k].rate[self.state[k, rows], rows]

    def following(self, k: int, rows: Ints) -> Ints:
        u = self.streams[k].take(rows, self.visit[k, rows], 1)
        edges = self.parameters[k].edges[self.state[k, rows], :, rows]
        return (u[:, None] >= edges).sum(axis=1)

    def enter(self, rows: Ints, day: Floats, k: int, state: Ints) -> None:
        before = self.state[k, rows].copy()
        super().enter(rows, day, k, state)
        authority = self.authority[k]
        if authority == "vendor":
            return
        looser, closed = state > before, (state == CLOSED) & (before != CLOSED)
        vendor, china = self._state_of("vendor", rows), self._state_of("cn", rows)
        if authority == "us":
            self._trigger("cn", rows, day, looser & (china > CLOSED))
        self._trigger("vd", rows, day, closed & (vendor > CLOSED))
        self._trigger("vu", rows, day, looser & (vendor == CLOSED))
        self.leave[len(self.authority) + LINKS.index("vu"), rows[closed]] = np.inf

    def happen(self, k: int, rows: Ints, day: Floats) -> None:
        if k < len(self.authority):
            super().happen(k, rows, day)
            return
        link = self.links[k - len(self.authority)]
        self.leave[k, rows] = np.inf
        for gate, authority in enumerate(self.authority):
            if authority == link.target:
                reacts, state = link.reaction(self.state[gate, rows], rows)
                self.enter(rows[reacts], day[reacts], gate, state[reacts])

    def _state_of(self, authority: str, rows: Ints) -> Ints:
        """The state of the product's gate under an authority; -1 where the system has none."""
        if authority not in self.authority:
            return np.full(len(rows), -1)
        return self.state[self.authority.index(authority), rows]

    def _trigger(self, name: str, rows: Ints, day: Floats, meets: NDArray[np.bool_]) -> None:
        """Where two triggers are pending, the earlier reaction comes."""
        link, place = self.links[LINKS.index(name)], len(self.authority) + LINKS.index(name)
        rows, reacts = rows[meets], day[meets] + link.lag(rows[meets])
        self.leave[place, rows] = np.minimum(self.leave[place, rows], reacts)


class _Parameters:
    """An authority's own rates and jump rows in each replication."""

    def __init__(self, system: SystemPosterior, authority: str, key: Key, reps: Ints) -> None:
        tempo_u = key.uniform(_DOMAIN, reps, entity_id("tempo", "parameters"))
        tempo = exp(system.priors.tempo_sigma * normal.quantile(tempo_u))
        u = key.uniform(_DOMAIN, reps[None, :], entity_id(authority, "parameters"), np.arange(20)[:, None])
        self.rate = np.empty((4, len(reps)))
        self.edges = np.empty((4, 4, len(reps)))
        for state in range(4):
            posterior = system.rates[authority, state]
            self.rate[state] = tempo * gamma_quantile(posterior.shape, u[state]) / posterior.rate
            weights = system.jumps[authority, state]
            parts = np.stack([
                gamma_quantile(weight, u[4 + 4 * state + k]) if weight > 0 else np.zeros(len(reps))
                for k, weight in enumerate(weights)
            ])  # fmt: skip
            edges = np.cumsum(parts, axis=0) / parts.sum(axis=0)
            edges[max(k for k in range(4) if weights[k] > 0) :] = 1.0
            self.edges[state] = edges


class _LinkDraw:
    """One link's probability and lag in each replication, and its triggers."""

    def __init__(self, system: SystemPosterior, name: str, product: str, key: Key, reps: Ints) -> None:
        self.name, self.target = name, "cn" if name == "cn" else "vendor"
        cell = np.cumsum(system.links[name].weights.ravel())
        u = key.uniform(_DOMAIN, reps, entity_id(name, "parameters"))
        pick = np.minimum(np.searchsorted(cell, u, side="right"), cell.size - 1)
        self.share, self.mean_lag = SHARES[pick // LAGS.size], LAGS[pick % LAGS.size]
        self.stream = _Stream(key, reps, name, product, "link")
        self.triggers = np.zeros(len(reps), dtype=np.int64)
        self.waiting = system.pending.get((product, name))

    def left_over(self, start: float) -> Floats:
        """Day on which a trigger from before the as-of date still reacts.

        Unanswered for e days, it is pending with probability q S / (1 - q + q S), S = exp(-e / L).
        """
        everyone = np.arange(len(self.triggers))
        if self.waiting is None:
            return np.full(len(everyone), np.inf)
        alive = self.share * exp(-self.waiting / self.mean_lag)
        return start + self._drawn(everyone, alive / (1 - self.share + alive))

    def lag(self, rows: Ints) -> Floats:
        """Days from a trigger to the reaction; infinite where there is none."""
        return self._drawn(rows, self.share[rows])

    def _drawn(self, rows: Ints, probability: Floats) -> Floats:
        fires = self.stream.take(rows, self.triggers[rows], 0) < probability
        days = -self.mean_lag[rows] * log1p(-self.stream.take(rows, self.triggers[rows], 1))
        self.triggers[rows] += 1
        return np.where(fires, days, np.inf)

    def reaction(self, state: Ints, rows: Ints) -> tuple[NDArray[np.bool_], Ints]:
        """Where the target reacts, and the state it enters.

        cn: open -> conditional or closed, even odds; otherwise -> closed. vd: -> closed.
        vu: closed -> promised (0.6) or conditional (0.4).
        """
        u = self.stream.take(rows, self.triggers[rows] - 1, 2)
        if self.name == "cn":
            return state > CLOSED, np.where((state == int(State.OPEN)) & (u < 0.5), CONDITIONAL, CLOSED)
        if self.name == "vd":
            return state > CLOSED, np.full(len(rows), CLOSED)
        return state == CLOSED, np.where(u < 0.6, PROMISED, CONDITIONAL)
