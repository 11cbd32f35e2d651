"""The specification: lots, gates and lines as SimPy processes, one replication at a time.

What happens at one instant happens in this order: servers become free, gates change, allotments are renewed,
goods arrive, new orders are placed; and among equals by source, month, lot and pool. So goods
that arrive as a gate closes find it closed, a lot that would leave the factory in the minute of a revocation is
revoked, and an order that is accepted in that minute is not. SimPy's heap orders events by (time, priority,
number); the priority carries both parts of the rule.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import simpy

from planner.supply.durations import SourceDurations
from planner.supply.gates.paths import GatePath, month_states
from planner.supply.network.gate import Effect, Passage, Point
from planner.supply.network.spec import Allotment, Capacity, Ints, Line, Orders, SupplySpec
from planner.supply.outcomes import EVENT, UNSEEN, Deliveries, Outcome, layout
from planner.supply.simpy_engine.itinerary import Halt, itinerary
from planner.supply.simpy_engine.resources import (
    ARRIVAL,
    GATE_CHANGE,
    NEW_ORDER,
    SERVER_FREE,
    Border,
    EndedError,
    Ending,
    Moment,
    NoRoomError,
    Quota,
    Remainder,
    Servers,
    Story,
)

Row = list[int]
AFTER_ALL = -1
"""In place of a stage's number: when the last stage is over."""
Reviewed = tuple[int, bool, float]
"""Minutes to the end of a review, whether it ends with a yes, and the share that comes back if not."""


class Journey:
    """One lot, from the order to the rack."""

    __slots__ = (
        "border", "column", "env", "lot", "minutes", "papers", "pieces", "process", "rank", "reviewed", "sides",
        "world",
    )  # fmt: skip

    def __init__(
        self, world: World, lot: int, border: Border, column: int, minutes: list[int], pieces: list[int] | None
    ) -> None:
        self.world, self.env, self.lot, self.border = world, world.env, lot, border
        self.rank = world.ranks[lot]
        self.minutes = minutes
        self.pieces = pieces
        self.column = column
        self.sides: dict[str, simpy.Event] = {}
        self.reviewed: set[int] = set()
        self.papers: simpy.Event | None = None
        self.process = self.env.process(self.story())

    def story(self) -> Story:
        """Order, stages and points in turn, delivery; or an end on the way."""
        env, arrival, minutes, border = self.env, ARRIVAL + self.rank, self.minutes, self.border
        try:
            yield Moment(env, self.world.placed_at[self.lot] - env.now, NEW_ORDER + self.rank)
            yield from self.order()
            for halt, only_time in self.world.itineraries[border]:
                if only_time:
                    yield Moment(env, minutes[halt.number], arrival)
                elif halt.point is None:
                    yield from self.stage(halt)
                elif halt.point is Point.RELEASE:
                    yield from self.release(halt)
                else:
                    yield from self.pass_point(halt.point, halt.visit)
                    if halt.point is Point.RECEIPT:
                        border.in_transit.pop(self.process, None)
            self.world.deliver(self)
        except EndedError as end:
            self.world.end(self, end.ending)
        except NoRoomError:
            self.world.end(self, Ending(Outcome.REFUSED, border.source.refund))
        except simpy.Interrupt as stop:
            self.world.end(self, stop.cause)

    def left(self, number: int) -> int:
        """GPUs left when the stage of this number is reached, or AFTER_ALL."""
        return self.world.gpus[self.lot] if self.pieces is None else self.pieces[number]

    def good(self, number: int) -> float:
        """The same as a share of those ordered."""
        if self.pieces is None or not self.world.gpus[self.lot]:
            return 1.0
        return self.pieces[number] / self.world.gpus[self.lot]

    def order(self) -> Story:
        """Wait until every gate lets the order be accepted, pay, apply for the reviews it needs."""
        row = self.world.enter(self, 0)
        if self.border.verdict(Point.ORDER) is not Passage.PASS:
            yield from self.be_let_through(Point.ORDER, self.border.source.valid_minutes)
        self.world.pass_by(row)
        self.world.accept(self)
        self.border.in_process[self.process] = None
        if not self.border.reviewing:
            return
        reviews = self.apply()
        if reviews:
            minutes, approved, refund = _last_word(reviews)
            self.papers = Moment(self.env, minutes, ARRIVAL + self.rank)
            if not approved:
                self.papers.callbacks.append(lambda _: self.turned_down(refund))
                self.papers = self.env.event()

    def turned_down(self, refund: float) -> None:
        """The review of an accepted order has ended badly; unless a gate has ended the order before."""
        if self.process.is_alive:
            self.process.interrupt(Ending(Outcome.REFUSED, refund))

    def apply(self) -> list[Reviewed]:
        """Start every review that the present gate states require and that has not run yet."""
        reviews = []
        for k in self.border.reviewing:
            state = self.border.state[k]
            effect = self.border.effects[k][state]
            if k not in self.reviewed and effect.review is not None:
                self.reviewed.add(k)
                durations, at = (self.world.durations[self.lot].reviews[k, state], (self.world.place, self.column))
                reviews.append(
                    (int(durations.minutes[at]), bool(durations.approved[at]), self.border.refund_of(effect))
                )
        return reviews

    def pass_point(self, point: Point, visit: int) -> Story:
        """Stand at a point until every gate lets the goods pass."""
        row = self.world.enter(self, visit)
        if self.border.verdict(point) is not Passage.PASS:
            yield from self.be_let_through(point)
        self.world.pass_by(row)

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

    def release(self, halt: Halt) -> Story:
        """Wait for the papers and for the gates; a gate that asks for a review only now gets its application."""
        row = self.world.enter(self, halt.visit)
        if self.papers is not None:
            yield self.papers
        if self.border.verdict(Point.RELEASE) is not Passage.PASS:
            yield from self.be_let_through(Point.RELEASE)
        while self.border.reviewing and (reviews := self.apply()):
            yield from self.be_reviewed(reviews)
            yield from self.be_let_through(Point.RELEASE)
        self.world.pass_by(row)
        self.world.release(self, self.good(halt.number))
        del self.border.in_process[self.process]
        self.border.in_transit[self.process] = None

    def be_reviewed(self, reviews: list[Reviewed]) -> Story:
        """Stand at the release until the last word."""
        minutes, approved, refund = _last_word(reviews)
        yield Moment(self.env, minutes, ARRIVAL + self.rank)
        if not approved:
            raise EndedError(Ending(Outcome.REFUSED, refund))

    def stage(self, halt: Halt) -> Story:
        """Wait for what joins here, for a server where the stage has a line, and pass the time."""
        row = self.world.enter(self, halt.visit)
        for side in halt.joins:
            yield self.sides[side]
        for side, place, visit in halt.starts:
            self.sides[side] = self.beside(self.minutes[place], visit)
        if halt.line is None:
            self.world.start(row)
            yield from self.border.clocks[halt.clock].work(self.minutes[halt.number], ARRIVAL + self.rank)
        else:
            yield from self.be_served(halt, self.world.lines[halt.line], row)
        self.world.leave(row)

    def be_served(self, halt: Halt, line: Servers | Quota | Remainder, row: Row | None) -> Story:
        """Wait for one's turn in the line and pass the time at a server."""
        clock, minutes = self.border.clocks[halt.clock], self.minutes[halt.number]
        gpus, started = self.left(halt.number), False
        turn = line.join(gpus)
        try:
            if turn is not None:
                yield turn
            started = True
            self.world.start(row)
            if clock.can_stop:
                yield from clock.work(minutes, SERVER_FREE + self.rank)
            else:
                yield Moment(self.env, minutes, SERVER_FREE + self.rank)
        finally:
            line.leave(turn, gpus, started)
        if halt.settles:
            yield Moment(self.env, 0, ARRIVAL + self.rank)

    def beside(self, minutes: int, visit: int) -> simpy.Event:
        """Work beside the route begins; the event of its end."""
        if self.border.clocks["in_process"].can_stop or self.world.book.rows is not None:
            return self.env.process(self.beside_story(minutes, visit))
        return Moment(self.env, minutes, ARRIVAL + self.rank)

    def beside_story(self, minutes: int, visit: int) -> Story:
        """Work beside the route where the clock can stop or a trace is kept."""
        row = self.world.enter(self, visit)
        self.world.start(row)
        yield from self.border.clocks["in_process"].work(minutes, ARRIVAL + self.rank)
        if self.process.is_alive:  # else the order has ended meanwhile, and nobody finishes its side
            self.world.leave(row)


def _last_word(reviews: Sequence[Reviewed]) -> Reviewed:
    """The first no; if there is none, the last yes."""
    refused = [review for review in reviews if not review[1]]
    return min(refused, key=_minutes) if refused else max(reviews, key=_minutes)


def _minutes(review: Reviewed) -> int:
    return review[0]


class World:
    """One replication: the environment, the gates, the lines, the journeys and the book kept of them."""

    def __init__(
        self,
        spec: SupplySpec,
        plan: Plan,
        paths: Sequence[GatePath],
        durations: Sequence[SourceDurations],
        backlog: Mapping[str, Ints],
        place: int,
        book: Book,
    ) -> None:
        self.env = simpy.Environment()
        self.place, self.book = place, book
        self.accepted_at, self.released_at = book.accepted_at[place], book.released_at[place]
        self.delivered_at, self.ended_at = book.delivered_at[place], book.ended_at[place]
        self.outcome, self.paid_share = book.outcome[place], book.paid_share[place]
        self.refunded_share, self.fee_share = book.refunded_share[place], book.fee_share[place]
        self.good_gpus = book.good_gpus[place]
        self.placed_at, self.ranks, self.gpus = plan.placed_at(place), plan.ranks, plan.gpus
        self.lines = {line.name: _line(self.env, line) for line in spec.lines}
        self.binding = plan.binding
        borders = [Border(self.env, s, e) for s, e in zip(spec.sources, plan.effects, strict=True)]
        self.borders = borders
        self.itineraries = {
            border: [(halt, _only_time(halt, border, book)) for halt in halts]
            for border, halts in zip(borders, plan.itineraries, strict=True)
        }
        self.durations: dict[int, SourceDurations] = {}
        self.state: dict[int, int] = {}
        self.calendar = _calendar(paths, place)
        self.change(self.calendar.pop(0, {}))
        for border, source_durations in zip(borders, durations, strict=True):
            times = source_durations.minutes[:, place, :].T.tolist()
            pieces = None if source_durations.pieces is None else source_durations.pieces[:, place, :].T.tolist()
            for column, lot in enumerate(source_durations.lots.tolist()):
                self.durations[lot] = source_durations
                Journey(self, lot, border, column, times[column], None if pieces is None else pieces[column])
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
        turn = self.lines[line].join(0)
        if turn is not None:
            yield turn
        yield Moment(self.env, minutes, SERVER_FREE)
        self.lines[line].leave(turn, 0, started=True)

    def change(self, entered: dict[int, int]) -> None:
        """Tell every source."""
        self.state.update(entered)
        for border in self.borders:
            border.change(entered)
        for name, gate, states in self.binding:
            line = self.lines[name]
            if gate in entered and not isinstance(line, Servers):
                line.set(self.state[gate] in states)

    def accept(self, journey: Journey) -> None:
        """The order is accepted: the prepayment is due."""
        self.accepted_at[journey.lot] = self.env.now
        self.paid_share[journey.lot] += journey.border.source.prepayment

    def release(self, journey: Journey, good: float) -> None:
        """The goods leave the factory: fees are due on what is good of them."""
        self.released_at[journey.lot] = self.env.now
        self.fee_share[journey.lot] = journey.border.fee() * good

    def deliver(self, journey: Journey) -> None:
        """The GPUs can serve: the rest of the price of the good ones is due, or what was prepaid above it back."""
        journey.border.in_process.pop(journey.process, None)
        journey.border.in_transit.pop(journey.process, None)
        self.delivered_at[journey.lot] = self.env.now
        self.outcome[journey.lot] = Outcome.DELIVERED
        good, prepaid = journey.good(AFTER_ALL), journey.border.source.prepayment
        self.good_gpus[journey.lot] = journey.left(AFTER_ALL)
        self.paid_share[journey.lot] += max(good - prepaid, 0.0)
        self.refunded_share[journey.lot] = max(prepaid - good, 0.0)

    def end(self, journey: Journey, ending: Ending) -> None:
        """The order ends: of a binding one the rest is due; part of what was paid comes back."""
        journey.border.in_process.pop(journey.process, None)
        journey.border.in_transit.pop(journey.process, None)
        self.ended_at[journey.lot] = self.env.now
        self.outcome[journey.lot] = ending.outcome
        if self.accepted_at[journey.lot] != UNSEEN:
            self.paid_share[journey.lot] = journey.border.source.owed_at_end
        self.refunded_share[journey.lot] = ending.refund * self.paid_share[journey.lot]

    def enter(self, journey: Journey, visit: int) -> Row | None:
        """A row of the trace begins."""
        if self.book.rows is None:
            return None
        row = [self.book.replications[self.place], journey.lot, visit, int(self.env.now), UNSEEN, UNSEEN]
        self.book.rows.append(row)
        return row

    def start(self, row: Row | None) -> None:
        """The wait is over: work begins, or the goods may pass."""
        if row is not None:
            row[4] = int(self.env.now)

    def pass_by(self, row: Row | None) -> None:
        """A point lets the goods pass."""
        if row is not None:
            row[4] = row[5] = int(self.env.now)

    def leave(self, row: Row | None) -> None:
        """The visit is over."""
        if row is not None:
            row[5] = int(self.env.now)


def _line(env: simpy.Environment, line: Capacity) -> Servers | Quota | Remainder:
    if isinstance(line, Line):
        return Servers(env, line.servers)
    if isinstance(line, Allotment):
        return Quota(env, line.gpus, line.period_minutes)
    return Remainder(line.gpus)


def _only_time(halt: Halt, border: Border, book: Book) -> bool:
    """Whether nothing but time passes here, so that the lot needs no more than one moment."""
    busy = halt.point is not None or halt.line is not None or halt.joins or halt.starts
    return not busy and book.rows is None and not border.clocks[halt.clock].can_stop


def _calendar(paths: Sequence[GatePath], place: int) -> dict[int, dict[int, int]]:
    """minute -> {gate: state entered}, in order of time; minute 0 holds the states at the start."""
    calendar: dict[int, dict[int, int]] = {0: {}}
    for k, path in enumerate(paths):
        for minute, state in path.changes(place):
            calendar.setdefault(minute, {})[k] = int(state)
    return dict(sorted(calendar.items()))


class Plan:
    """What all replications have in common."""

    def __init__(self, spec: SupplySpec, orders: Orders) -> None:
        self.minutes: Ints = orders.placed_at
        self.ranks: list[int] = orders.rank.tolist()
        self.gpus: list[int] = orders.gpus.tolist()
        self.itineraries = [itinerary(source.route) for source in spec.sources]
        gates = [gate.name for gate in spec.gates]
        self.binding = [
            (line.name, gates.index(binds.gate), binds.states)
            for line in spec.lines
            if (binds := spec.binds(line.name)) is not None
        ]
        self.effects: list[dict[int, Sequence[Effect]]] = [
            {k: spec.gates[k].effects for k in spec.gates_of(source)} for source in spec.sources
        ]

    def placed_at(self, place: int) -> list[int]:
        """Minute in which each lot is ordered in one replication."""
        minutes: list[int] = (self.minutes if self.minutes.ndim == 1 else self.minutes[place]).tolist()
        return minutes


class Book:
    """What a chunk of replications has come to, by replication and lot."""

    def __init__(self, orders: Orders, replications: Sequence[int], trace: bool) -> None:
        reps, lots = len(replications), len(orders)
        self.replications = list(replications)
        self.accepted_at, self.released_at, self.delivered_at, self.ended_at = (
            [[UNSEEN] * lots for _ in range(reps)] for _ in range(4)
        )
        self.outcome = [[int(Outcome.IN_PIPELINE)] * lots for _ in range(reps)]
        self.paid_share, self.refunded_share, self.fee_share = ([[0.0] * lots for _ in range(reps)] for _ in range(3))
        self.good_gpus = [[0] * lots for _ in range(reps)]
        self.rows: list[Row] | None = [] if trace else None
        self.orders = orders

    def closed(self, spec: SupplySpec, paths: Sequence[GatePath]) -> Deliveries:
        """The book as arrays."""
        written = {**vars(self), "gate_state": month_states(paths, spec.month_minutes, len(self.replications))}
        arrays: dict[str, Any] = {
            name: np.array(written[name], dtype).reshape(shape)
            for name, (shape, dtype) in layout(spec, len(self.replications), len(self.orders)).items()
        }
        events = None if self.rows is None else np.array([tuple(row) for row in self.rows], dtype=EVENT)
        return Deliveries(orders=self.orders, events=events, **arrays)


def run(
    spec: SupplySpec,
    orders: Orders,
    paths: Sequence[GatePath],
    durations: Sequence[SourceDurations],
    backlog: Mapping[str, Ints],
    replications: Sequence[int],
    trace: bool = False,
) -> Deliveries:
    """Simulate these replications; ``paths``, ``durations`` and ``backlog`` were drawn for the same ones."""
    plan, book = Plan(spec, orders), Book(orders, replications, trace)
    for place in range(len(replications)):
        World(spec, plan, paths, durations, backlog, place, book).env.run(until=spec.horizon_minutes)
    return book.closed(spec, paths)
