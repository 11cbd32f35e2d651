"""Parts of the SimPy engine: the order of an instant, lines of servers, clocks that stop, borders of gates."""

from collections import deque
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import simpy

from planner.supply.network.gate import Effect, Fate, Passage, Point
from planner.supply.network.spec import Source
from planner.supply.outcomes import Outcome

Story = Generator[simpy.Event, Any, None]

SERVER_FREE, GATE_CHANGE, NEW_PERIOD, ARRIVAL, NEW_ORDER = (k << 40 for k in range(1, 6))
"""Ranks of what happens at one instant; a lot's own rank is added."""


class Moment(simpy.Event):
    """Something that happens ``delay`` minutes from now, at its place in the order of the instant."""

    def __init__(self, env: simpy.Environment, delay: int, order: int) -> None:
        self.env = env
        self.callbacks: list[Any] = []
        self._value, self._ok = None, True
        env.schedule(self, order, delay)


@dataclass(frozen=True)
class Ending:
    """Why an order ends: the outcome and the share of what was paid that comes back."""

    outcome: Outcome
    refund: float


class EndedError(Exception):
    """The order ended at a point or after a review."""

    def __init__(self, ending: Ending) -> None:
        self.ending = ending


class Servers:
    """A line: first come, first served. A lot that need not wait starts without a further event."""

    def __init__(self, env: simpy.Environment, count: int) -> None:
        self.env, self.free = env, count
        self.queue: deque[simpy.Event] = deque()

    def join(self, gpus: int) -> simpy.Event | None:
        """Take a free server (None), or a place in the line: the event of one's turn."""
        if self.free:
            self.free -= 1
            return None
        turn = self.env.event()
        self.queue.append(turn)
        return turn

    def leave(self, turn: simpy.Event | None, gpus: int, started: bool) -> None:
        """Give the server to the next in line; one whose turn has not come leaves the line."""
        if turn is not None and not turn.triggered:
            self.queue.remove(turn)
        elif self.queue:
            self.queue.popleft().succeed()
        else:
            self.free += 1


class NoRoomError(Exception):
    """What is left of a cap is too small for a lot."""


class Remainder:
    """What is left of a cap: a lot takes of it and starts, or there is no room for it."""

    def __init__(self, gpus: int) -> None:
        self.left, self.binds = gpus, True

    def join(self, gpus: int) -> None:
        """Take so many and start at once; NoRoomError where that is more than is left."""
        if not self.binds:
            return
        if gpus > self.left:
            raise NoRoomError
        self.left -= gpus

    def set(self, binds: bool) -> None:
        """The gate has changed on which it depends whether the cap binds."""
        self.binds = binds

    def leave(self, turn: simpy.Event | None, gpus: int, started: bool) -> None:
        """What was taken is never given back."""


class Quota:
    """What an allotment leaves of the period, and those who wait for the next: first come, first served."""

    def __init__(self, env: simpy.Environment, gpus: int, period_minutes: int) -> None:
        self.env, self.cap, self.left = env, gpus, gpus
        env.process(self.periods(period_minutes))
        self.queue: deque[tuple[simpy.Event, int]] = deque()
        self.binds = True
        self.uncounted: set[simpy.Event] = set()

    def join(self, gpus: int) -> simpy.Event | None:
        """Take a part of the period (None), or a place in the line: the event of one's turn."""
        if not self.binds:
            return None
        if not self.queue and gpus <= self.left:
            self.left -= gpus
            return None
        turn = self.env.event()
        self.queue.append((turn, gpus))
        return turn

    def leave(self, turn: simpy.Event | None, gpus: int, started: bool) -> None:
        """Work that has started has used its part; who ends before gives it back or leaves the line."""
        if started:
            return
        if turn is not None and not turn.triggered:
            self.queue.remove((turn, gpus))
        elif turn not in self.uncounted:
            self.left += gpus
        self.admit()

    def set(self, binds: bool) -> None:
        """The gate has changed on which it depends whether the allotment binds: if not, all who wait go on."""
        self.binds = binds
        if not binds:
            waiting = [turn for turn, _ in self.queue]
            self.queue.clear()
            self.uncounted = set(waiting)
            for turn in waiting:
                turn.succeed()

    def periods(self, minutes: int) -> Story:
        """Period after period begins, each with the whole allotment."""
        while True:
            yield Moment(self.env, minutes, NEW_PERIOD)
            self.left = self.cap
            self.admit()

    def admit(self) -> None:
        """Let in who fits, in the order of the line."""
        while self.queue and self.queue[0][1] <= self.left:
            turn, gpus = self.queue.popleft()
            self.left -= gpus
            turn.succeed()


STANDSTILL = object()
"""Cause of an interruption: work stops where it is."""


class Clock:
    """The time in which goods of one source move on: it stands while any gate holds them."""

    def __init__(self, env: simpy.Environment, can_stop: bool) -> None:
        self.env, self.can_stop, self.stopped = env, can_stop, False
        self.restarted = env.event()
        self.working: dict[simpy.Process, None] = {}

    def work(self, minutes: int, order: int) -> Story:
        """Pass so many minutes of this clock."""
        me = self.env.active_process
        while True:
            while self.stopped:
                yield self.restarted
            began = self.env.now
            self.working[me] = None
            try:
                yield Moment(self.env, minutes, order)
                return
            except simpy.Interrupt as stop:
                if stop.cause is not STANDSTILL:
                    raise
                minutes -= self.env.now - began
            finally:
                del self.working[me]

    def set(self, stopped: bool) -> None:
        """The gates have changed."""
        if stopped and not self.stopped:
            self.stopped = True
            for process in list(self.working):
                process.interrupt(STANDSTILL)
        elif self.stopped and not stopped:
            self.stopped = False
            self.restarted.succeed()
            self.restarted = self.env.event()


class Border:
    """The gates of one source, as its lots meet them.

    in_process, in_transit  the journeys of lots that a revocation would find
    clocks                  of the two, and of what no gate can reach
    """

    def __init__(self, env: simpy.Environment, source: Source, effects: Mapping[int, Sequence[Effect]]) -> None:
        self.source, self.effects = source, effects
        fates = [effect for four in effects.values() for effect in four]
        self.in_process: dict[simpy.Process, None] = {}
        self.in_transit: dict[simpy.Process, None] = {}
        self.clocks = {
            "in_process": Clock(env, any(effect.in_process is Fate.HOLD for effect in fates)),
            "in_transit": Clock(env, any(effect.in_transit is Fate.HOLD for effect in fates)),
            "at_site": Clock(env, False),
        }
        self.reviewing = [k for k, four in effects.items() if any(effect.review for effect in four)]
        self.waiting: dict[Point, list[simpy.Event]] = {point: [] for point in Point}
        self.verdicts: dict[Point, Passage] = {}
        self.owed: float | None = None
        self.state: dict[int, int] = {}

    def now(self) -> list[Effect]:
        """What each gate does in its present state."""
        return [four[self.state[k]] for k, four in self.effects.items()]

    def verdict(self, point: Point) -> Passage:
        """The strictest of the gates decides; kept until a gate changes."""
        known = self.verdicts.get(point)
        if known is None:
            known = max((effect.at(point) for effect in self.now()), default=Passage.PASS)
            self.verdicts[point] = known
        return known

    def refund_of(self, effect: Effect) -> float:
        """What comes back when this effect ends an order."""
        return self.source.refund if effect.refund is None else effect.refund

    def refusal(self, point: Point) -> Ending:
        """The ending at a point where some gate refuses; the first such gate sets the refund."""
        first = next(effect for effect in self.now() if effect.at(point) is Passage.REFUSE)
        return Ending(Outcome.REFUSED, self.refund_of(first))

    def fee(self) -> float:
        """Share of the price owed for a release now; kept until a gate changes."""
        if self.owed is None:
            self.owed = sum((effect.fee for effect in self.now()), 0.0)
        return self.owed

    def change(self, entered: Mapping[int, int]) -> None:
        """Gates have entered states: revocations first, then standstills, then those who wait at a point."""
        mine = {k: state for k, state in entered.items() if k in self.effects}
        if not mine:
            return
        self.state.update(mine)
        self.verdicts.clear()
        self.owed = None
        new, now = [self.effects[k][state] for k, state in mine.items()], self.now()
        for goods, name in ((self.in_process, "in_process"), (self.in_transit, "in_transit")):
            self._revoke(goods, [effect for effect in new if getattr(effect, name) is Fate.REVOKE])
            if self.clocks[name].can_stop:
                self.clocks[name].set(any(getattr(effect, name) is Fate.HOLD for effect in now))
        for point, waiting in self.waiting.items():
            if waiting and (verdict := self.verdict(point)) is not Passage.HOLD:
                self.waiting[point] = []
                for turn in waiting:
                    if not turn.triggered:
                        turn.succeed(verdict)

    def _revoke(self, goods: Mapping[simpy.Process, None], revoking: Sequence[Effect]) -> None:
        """Orders end; among gates that revoke in one minute the first sets the refund."""
        if revoking:
            for journey in list(goods):
                journey.interrupt(Ending(Outcome.CANCELLED, self.refund_of(revoking[0])))
