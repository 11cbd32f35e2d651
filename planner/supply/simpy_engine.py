"""The specification: lots, gates and lines as SimPy processes, one replication at a time.

What happens at one instant happens in this order: servers become free, gates change, goods arrive, new
orders are placed; and among equals by source, month, lot and pool. So goods that arrive as a gate closes
find it closed, a lot that would leave the factory in the minute of a revocation is revoked, and an order
that is accepted in that minute is not. SimPy's heap orders events by (time, priority, number); the
priority carries both parts of the rule.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import simpy
from numpy.typing import NDArray

from planner.supply.deliveries import EVENT, UNSEEN, Deliveries, Outcome
from planner.supply.gate import Effect, Fate, Passage, Point
from planner.supply.luck import SourceLuck
from planner.supply.paths import GatePath, month_states
from planner.supply.route import Side, Stage
from planner.supply.spec import Orders, Source, SupplySpec

Story = Generator[simpy.Event, Any, None]
Ints = NDArray[np.int64]

SERVER_FREE, GATE_CHANGE, ARRIVAL, NEW_ORDER = (k << 40 for k in (1, 2, 3, 4))
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
        if not self.can_stop:
            yield Moment(self.env, minutes, order)
            return
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
    """The gates of one source, as its lots meet them."""

    def __init__(self, env: simpy.Environment, source: Source, effects: dict[int, Sequence[Effect]]) -> None:
        self.source, self.effects = source, effects
        fates = [effect for four in effects.values() for effect in four]
        self.in_process: dict[Journey, None] = {}
        self.in_transit: dict[Journey, None] = {}
        self.process_clock = Clock(env, any(effect.in_process is Fate.HOLD for effect in fates))
        self.transit_clock = Clock(env, any(effect.in_transit is Fate.HOLD for effect in fates))
        self.waiting: dict[Point, list[simpy.Event]] = {point: [] for point in Point}
        self.state: dict[int, int] = {}

    def verdict(self, point: Point) -> Passage:
        """The strictest of the gates decides."""
        return max((four[self.state[k]].at(point) for k, four in self.effects.items()), default=Passage.PASS)

    def refund_of(self, effect: Effect) -> float:
        """What comes back when this effect ends an order."""
        return self.source.refund if effect.refund is None else effect.refund

    def refusal(self, point: Point) -> Ending:
        """The ending at a point where some gate refuses; the first such gate sets the refund."""
        refusing = (four[self.state[k]] for k, four in self.effects.items())
        first = next(effect for effect in refusing if effect.at(point) is Passage.REFUSE)
        return Ending(Outcome.REFUSED, self.refund_of(first))

    def fee(self) -> float:
        """Share of the price owed for a release now."""
        return sum(four[self.state[k]].fee for k, four in self.effects.items())

    def change(self, entered: dict[int, int]) -> None:
        """Gates have entered states: revocations first, then standstills, then those who wait at a point."""
        mine = {k: state for k, state in entered.items() if k in self.effects}
        if not mine:
            return
        self.state.update(mine)
        for goods, name in ((self.in_process, "in_process"), (self.in_transit, "in_transit")):
            new = [self.effects[k][state] for k, state in mine.items()]
            revoking = [effect for effect in new if getattr(effect, name) is Fate.REVOKE]
            if revoking:
                for journey in list(goods):
                    journey.process.interrupt(Ending(Outcome.CANCELLED, self.refund_of(revoking[0])))
        now = [four[self.state[k]] for k, four in self.effects.items()]
        self.process_clock.set(any(effect.in_process is Fate.HOLD for effect in now))
        self.transit_clock.set(any(effect.in_transit is Fate.HOLD for effect in now))
        for point, waiting in self.waiting.items():
            if waiting and (verdict := self.verdict(point)) is not Passage.HOLD:
                self.waiting[point] = []
                for turn in waiting:
                    if not turn.triggered:
                        turn.succeed(verdict)


class Journey:
    """One lot, from the order to the rack."""

    def __init__(self, world: World, lot: int, border: Border, column: int) -> None:
        self.world, self.env, self.lot, self.border = world, world.env, lot, border
        self.route, self.source = border.source.route, border.source
        self.rank = int(world.ranks[lot])
        self.minutes = world.minutes[lot]
        self.column = column
        self.sides: dict[str, simpy.Process] = {}
        self.reviewed: set[int] = set()
        self.papers: simpy.Event | None = None
        self.process = self.env.process(self.story())

    def story(self) -> Story:
        """Order, stages and points in turn, delivery; or an end on the way."""
        try:
            yield from self.order()
            k = 0
            for step in self.route.steps:
                if isinstance(step, Stage):
                    yield from self.stage(k, step)
                    k += 1
                elif step is Point.RELEASE:
                    yield from self.release()
                else:
                    yield from self.pass_point(step)
                    if step is Point.RECEIPT:
                        self.border.in_transit.pop(self, None)
            self.world.deliver(self)
        except EndedError as end:
            self.world.end(self, end.ending)
        except simpy.Interrupt as stop:
            self.world.end(self, stop.cause)

    def order(self) -> Story:
        """Place the order, wait until every gate lets it be accepted, pay, apply for the reviews it needs."""
        yield Moment(self.env, self.world.placed_at[self.lot], NEW_ORDER + self.rank)
        yield from self.pass_point(Point.ORDER, self.source.valid_minutes)
        self.world.accept(self)
        self.border.in_process[self] = None
        reviews = self.apply()
        refused = [review for review in reviews if not review[1]]
        if refused:
            minutes, _, refund = min(refused, key=lambda review: review[0])
            decision = Moment(self.env, minutes, ARRIVAL + self.rank)
            decision.callbacks.append(lambda _: self.turned_down(refund))
            self.papers = self.env.event()
        elif reviews:
            self.papers = Moment(self.env, max(review[0] for review in reviews), ARRIVAL + self.rank)

    def turned_down(self, refund: float) -> None:
        """The review of an accepted order has ended badly; unless a gate has ended the order before."""
        if self.process.is_alive:
            self.process.interrupt(Ending(Outcome.REFUSED, refund))

    def apply(self) -> list[tuple[int, bool, float]]:
        """(minutes, approved, refund) of each review that a gate asks for now and that was not yet had."""
        reviews = []
        for k, four in self.border.effects.items():
            state = self.border.state[k]
            if k not in self.reviewed and four[state].review is not None:
                self.reviewed.add(k)
                luck = self.world.luck[self.lot].reviews[k, state]
                at = self.world.place, self.column
                refund = self.border.refund_of(four[state])
                reviews.append((int(luck.minutes[at]), bool(luck.approved[at]), refund))
        return reviews

    def pass_point(self, point: Point, valid: int | None = None) -> Story:
        """Stand at a point until every gate lets the goods, or the order, pass."""
        row = self.world.enter(self, self.visit_of(point))
        yield from self.be_let_through(point, valid)
        self.world.start(row)
        self.world.leave(row)

    def visit_of(self, step: Stage | Point) -> int:
        """Place of a stage or point among the route's visits."""
        return 0 if step is Point.ORDER else 1 + self.route.steps.index(step)

    def be_let_through(self, point: Point, valid: int | None = None) -> Story:
        """Wait while a gate holds; an order that is valid only so long may lapse meanwhile."""
        verdict: Passage | None = self.border.verdict(point)
        if verdict is Passage.HOLD:
            turn = self.env.event()
            self.border.waiting[point].append(turn)
            if valid is not None:
                lapse = Moment(self.env, valid, NEW_ORDER + self.rank)
                lapse.callbacks.append(lambda _: None if turn.triggered else turn.succeed(None))
            verdict = yield turn
            if verdict is None:
                raise EndedError(Ending(Outcome.CANCELLED, 0.0))
            yield Moment(self.env, 0, (NEW_ORDER if point is Point.ORDER else ARRIVAL) + self.rank)
        if verdict is Passage.REFUSE:
            raise EndedError(self.border.refusal(point))

    def release(self) -> Story:
        """Wait for the papers and for the gates; a gate that asks for a review only now gets its application."""
        row = self.world.enter(self, self.visit_of(Point.RELEASE))
        if self.papers is not None:
            yield self.papers
        yield from self.be_let_through(Point.RELEASE)
        while reviews := self.apply():
            yield from self.be_reviewed(reviews)
            yield from self.be_let_through(Point.RELEASE)
        self.world.start(row)
        self.world.leave(row)
        self.world.release(self, self.border.fee())
        del self.border.in_process[self]
        self.border.in_transit[self] = None

    def be_reviewed(self, reviews: list[tuple[int, bool, float]]) -> Story:
        """Stand at the release until the last yes, or the first no."""
        refused = [review for review in reviews if not review[1]]
        minutes = min(review[0] for review in refused) if refused else max(review[0] for review in reviews)
        yield Moment(self.env, minutes, ARRIVAL + self.rank)
        if refused:
            raise EndedError(Ending(Outcome.REFUSED, min(refused, key=lambda review: review[0])[2]))

    def stage(self, k: int, stage: Stage) -> Story:
        """Wait for what joins here, for a server where the stage has a line, and pass the time."""
        row = self.world.enter(self, self.visit_of(stage))
        for side in self.route.sides:
            if side.joins_at == stage.name:
                yield self.sides[side.stage.name]
        for j, side in enumerate(self.route.sides):
            if side.starts_with == stage.name:
                self.sides[side.stage.name] = self.env.process(self.beside(j, side))
        if stage.line is None:
            self.world.start(row)
            yield from self.pass_time(k, ARRIVAL)
        else:
            with self.world.lines[stage.line].request() as turn:
                yield turn
                self.world.start(row)
                yield from self.pass_time(k, SERVER_FREE)
            yield Moment(self.env, 0, ARRIVAL + self.rank)
        self.world.leave(row)

    def pass_time(self, k: int, place: int) -> Story:
        """The time of stage k, on the clock of where the goods are."""
        order = place + self.rank
        if self in self.border.in_process:
            yield from self.border.process_clock.work(self.minutes[k], order)
        elif self in self.border.in_transit:
            yield from self.border.transit_clock.work(self.minutes[k], order)
        else:
            yield Moment(self.env, self.minutes[k], order)

    def beside(self, j: int, side: Side) -> Story:
        """Work beside the route."""
        row = self.world.enter(self, 1 + len(self.route.steps) + j)
        self.world.start(row)
        minutes = self.minutes[len(self.route.stages) + j]
        yield from self.border.process_clock.work(minutes, ARRIVAL + self.rank)
        self.world.leave(row)


class World:
    """One replication: the environment, the gates, the lines, the journeys and the book that is kept of
    them.
    """

    def __init__(
        self,
        spec: SupplySpec,
        orders: Orders,
        paths: Sequence[GatePath],
        luck: Sequence[SourceLuck],
        backlog: Mapping[str, Ints],
        place: int,
        book: Book,
    ) -> None:
        self.env = simpy.Environment()
        self.place, self.book = place, book
        self.placed_at = orders.placed_at.tolist()
        self.ranks = book.ranks
        self.lines = {line.name: simpy.Resource(self.env, line.servers) for line in spec.lines}
        self.borders = [_border(self.env, spec, source) for source in spec.sources]
        self.minutes: dict[int, list[int]] = {}
        self.luck: dict[int, SourceLuck] = {}
        self.calendar = _calendar(paths, place)
        self.change(self.calendar.pop(0, {}))
        for source_luck in luck:
            times = source_luck.minutes[:, place, :].T.tolist()
            for column, lot in enumerate(source_luck.lots.tolist()):
                self.minutes[lot], self.luck[lot] = times[column], source_luck
                Journey(self, lot, self.borders[orders.source[lot]], column)
        for name, minutes in backlog.items():
            for needs in minutes[:, place].tolist():
                self.env.process(self.work_for_others(name, needs))
        self.env.process(self.gates())

    def gates(self) -> Story:
        """All gates that change in one minute change together."""
        for minute, entered in self.calendar.items():
            yield Moment(self.env, minute - self.env.now, GATE_CHANGE)
            self.change(entered)

    def work_for_others(self, line: str, minutes: int) -> Story:
        """A lot of somebody else's that stood in the line when the scenario started."""
        with self.lines[line].request() as turn:
            yield turn
            yield Moment(self.env, minutes, SERVER_FREE)

    def change(self, entered: dict[int, int]) -> None:
        """Tell every source."""
        for border in self.borders:
            border.change(entered)

    def accept(self, journey: Journey) -> None:
        """The order is accepted: the prepayment is due."""
        self.book.accepted_at[self.place, journey.lot] = self.env.now
        self.book.paid_share[self.place, journey.lot] += journey.source.prepayment

    def release(self, journey: Journey, fee: float) -> None:
        """The goods leave the factory: fees are due."""
        self.book.released_at[self.place, journey.lot] = self.env.now
        self.book.fee_share[self.place, journey.lot] = fee

    def deliver(self, journey: Journey) -> None:
        """The GPUs can serve: the rest of the price is due."""
        journey.border.in_process.pop(journey, None)
        journey.border.in_transit.pop(journey, None)
        self.book.delivered_at[self.place, journey.lot] = self.env.now
        self.book.outcome[self.place, journey.lot] = Outcome.DELIVERED
        self.book.paid_share[self.place, journey.lot] += 1.0 - journey.source.prepayment

    def end(self, journey: Journey, ending: Ending) -> None:
        """The order ends: part of what was paid comes back."""
        journey.border.in_process.pop(journey, None)
        journey.border.in_transit.pop(journey, None)
        at = self.place, journey.lot
        self.book.ended_at[at] = self.env.now
        self.book.outcome[at] = ending.outcome
        self.book.refunded_share[at] = ending.refund * self.book.paid_share[at]

    def enter(self, journey: Journey, visit: int) -> list[int] | None:
        """A row of the trace begins."""
        if self.book.rows is None:
            return None
        now = int(self.env.now)
        row = [int(self.book.replications[self.place]), journey.lot, visit, now, UNSEEN, UNSEEN]
        self.book.rows.append(row)
        return row

    def start(self, row: list[int] | None) -> None:
        """The wait is over: work begins, or the goods may pass."""
        if row is not None:
            row[4] = int(self.env.now)

    def leave(self, row: list[int] | None) -> None:
        """The visit is over."""
        if row is not None:
            row[5] = int(self.env.now)


def _border(env: simpy.Environment, spec: SupplySpec, source: Source) -> Border:
    return Border(env, source, {k: spec.gates[k].effects for k in spec.gates_of(source)})


def _calendar(paths: Sequence[GatePath], place: int) -> dict[int, dict[int, int]]:
    """minute -> {gate: state entered}, in order of time; minute 0 holds the states at the start."""
    calendar: dict[int, dict[int, int]] = {0: {}}
    for k, path in enumerate(paths):
        for minute, state in path.changes(place):
            calendar.setdefault(minute, {})[k] = int(state)
    return dict(sorted(calendar.items()))


class Book:
    """The arrays that a chunk of replications fills."""

    def __init__(self, spec: SupplySpec, orders: Orders, replications: Sequence[int], trace: bool) -> None:
        shape = len(replications), len(orders)
        self.replications = np.asarray(replications, dtype=np.int64)
        self.ranks = orders.rank
        self.accepted_at, self.released_at, self.delivered_at, self.ended_at = (
            np.full(shape, UNSEEN, dtype=np.int64) for _ in range(4)
        )
        self.outcome = np.full(shape, Outcome.IN_PIPELINE, dtype=np.int8)
        self.paid_share, self.refunded_share, self.fee_share = (np.zeros(shape) for _ in range(3))
        self.rows: list[list[int]] | None = [] if trace else None


def run(
    spec: SupplySpec,
    orders: Orders,
    paths: Sequence[GatePath],
    luck: Sequence[SourceLuck],
    backlog: Mapping[str, Ints],
    replications: Sequence[int],
    trace: bool = False,
) -> Deliveries:
    """Simulate these replications; ``paths``, ``luck`` and ``backlog`` were drawn for the same ones."""
    book = Book(spec, orders, replications, trace)
    for place in range(len(replications)):
        World(spec, orders, paths, luck, backlog, place, book).env.run(until=spec.horizon_minutes)
    return Deliveries(
        orders=orders,
        replications=book.replications,
        accepted_at=book.accepted_at,
        released_at=book.released_at,
        delivered_at=book.delivered_at,
        ended_at=book.ended_at,
        outcome=book.outcome,
        paid_share=book.paid_share,
        refunded_share=book.refunded_share,
        fee_share=book.fee_share,
        gate_state=month_states(paths, spec.month_minutes, len(replications)),
        events=None if book.rows is None else np.array([tuple(row) for row in book.rows], dtype=EVENT),
    )
