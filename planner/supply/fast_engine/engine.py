"""The recursion: the same sample paths as the SimPy engine, computed for many replications at once.

Without an event list, a lot's journey is arithmetic on its own times. With W the time that a clock has run:

    accepted    first minute from placement on in which every gate passes orders
    stage k     W(f_k) = W(f_{k-1}) + d_k        so the last minute f with W(f) <= W(f_{k-1}) + d_k
    side        f_k waits for the minute f with W(f) = W(start of the side) + d
    point       first minute from arrival on in which every gate passes goods
    line        start = max(arrival, earliest free server), lots in order of (arrival, source, month, lot, pool)

and an order ends at the earliest of a revocation that its goods meet, a refusal at a point, a review's no, and the
end of its validity. Times are whole minutes, so both engines agree in every number.
"""

from collections.abc import Generator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from executor.errors import UserMistakeError
from planner.supply.durations import SourceDurations
from planner.supply.fast_engine.gate_arrays import Border, Floats, Ints, Mask
from planner.supply.fast_engine.queues import TURNED_AWAY, Arrivals, admit, allot, busy_servers, serve
from planner.supply.gates.paths import NEVER, GatePath, month_states
from planner.supply.network.gate import Point
from planner.supply.network.route import Stage
from planner.supply.network.spec import Allotment, Cap, Orders, Source, SupplySpec
from planner.supply.outcomes import UNSEEN, Deliveries, Outcome, layout

PROCESS, TRANSIT = "in_process", "in_transit"


class CannotExpressError(UserMistakeError):
    """The recursion cannot compute this; the SimPy engine can."""


Steps = Generator[Arrivals, Ints, None]
"""A source's lots on their way: gives each arrival at a line, takes the minutes in which service ends."""


class Convoy:
    """All lots of one source in all replications of the chunk; arrays are [replication, lot]."""

    def __init__(
        self, spec: SupplySpec, source: Source, border: Border, orders: Orders, durations: SourceDurations, rows: int
    ) -> None:
        self.source, self.route, self.border, self.durations = source, source.route, border, durations
        gates = [gate.name for gate in spec.gates]
        self.binds = {
            line.name: (gates.index(binds.gate), binds.states)
            for line in spec.lines
            if (binds := spec.binds(line.name)) is not None
        }
        self.lines = [stage.line for stage in source.route.stages if stage.line is not None]
        self.rank, placed = orders.rank[durations.lots], orders.placed_at[..., durations.lots]
        self.gpus = orders.gpus[durations.lots]
        self.far = spec.horizon_minutes + 1
        shape = rows, len(durations.lots)
        self.at_stage = 0
        self.now = np.broadcast_to(placed, shape)
        self.accepted, self.released = np.full(shape, self.far), np.full(shape, self.far)
        self.ended = np.full(shape, self.far)
        self.outcome = np.full(shape, int(Outcome.IN_PIPELINE), dtype=np.int8)
        self.refund = np.zeros(shape)
        self.fee = np.zeros(shape)
        self.papers = np.zeros(shape, dtype=np.int64)
        self.reviewed = [np.zeros(shape, dtype=bool) for _ in border.places]
        self.stops = np.full(shape, self.far)
        self.stop_outcome = np.full(shape, int(Outcome.CANCELLED), dtype=np.int8)
        self.stop_refund = np.zeros(shape)
        self.fate: str | None = PROCESS

    def journey(self) -> Steps:
        """Order, stages and points in turn, delivery."""
        self._order()
        work, worked, stage = self.now, False, 0
        sides: dict[str, Ints] = {}
        for at, step in enumerate(self.route.steps):
            self.at_stage = stage
            if isinstance(step, Point):
                self.now = self._real(work) if worked else self.now
                self._point(step)
                worked = False
                continue
            work = work if worked else self._run(self.now)
            joined = self._joined(step, sides)
            if step.line is None:
                began = work if joined is None else np.maximum(work, joined)
                work, worked = began + self.durations.minutes[stage], True
            else:
                arrived = self._real(work) if worked else self.now
                arrived = arrived if joined is None else np.maximum(arrived, self._real(joined))
                began = self._run(arrived)
                self._take(arrived, (yield self._arrival(step, stage, arrived, first=at == 0)))
                worked = False
            sides.update({s.stage.name: began for s in self.route.sides if s.starts_with == step.name})
            stage += 1
        self.at_stage = stage
        self.now = self._real(work) if worked else self.now
        self._stop_before(self.now)

    def _take(self, arrived: Ints, ends: Ints) -> None:
        """When the line has served each lot; one that a cap turned away ends on arrival, at the source's terms."""
        away = ends == TURNED_AWAY
        self._turned_away(away, arrived, np.full(arrived.shape, np.nan))
        self.now = np.where(away, self.far, ends)

    def pieces(self) -> Ints:
        """GPUs that are left where the lots stand now, [lot] or [replication, lot]."""
        return self.gpus if self.durations.pieces is None else self.durations.pieces[self.at_stage]

    def good(self) -> Floats | float:
        """Share of each lot's GPUs that are good where the lots stand now; 1.0: all of all."""
        if self.durations.pieces is None:
            return 1.0
        return np.where(self.gpus > 0, self.pieces() / np.maximum(self.gpus, 1), 1.0)

    def _joined(self, stage: Stage, began: Mapping[str, Ints]) -> Ints | None:
        """When the work beside the route that this stage waits for is done, on the clock; None: it waits for none."""
        ends = [
            began[side.stage.name] + self.durations.minutes[len(self.route.stages) + j]
            for j, side in enumerate(self.route.sides)
            if side.joins_at == stage.name
        ]
        return np.maximum.reduce(ends) if ends else None

    def _order(self) -> None:
        """Acceptance, or a refusal, or the end of validity; then the reviews asked for and what may end the order."""
        deadline = self.now + self.source.valid_minutes
        minute, refused, refund = self.border.passes(Point.ORDER, self.now)
        lapsed = minute > deadline
        self._end(lapsed, deadline, Outcome.CANCELLED, np.zeros(minute.shape))
        self._end(refused & ~lapsed, minute, Outcome.REFUSED, refund)
        self.now = self.accepted = np.where(lapsed | refused, self.far, minute)
        said_no, no_refund, longest = self._apply(self.now)
        self.papers = np.where(said_no < NEVER, self.far, self.now + longest)
        revoked, refund = self.border.revoked(PROCESS, self.now)
        self._set_stop(revoked, refund, self.now + said_no, no_refund)

    def _apply(self, minute: Ints) -> tuple[Ints, Floats, Ints]:
        """Reviews that gates ask for at a minute and that were not yet had.

        Minutes to the first no (NEVER: none) with its refund, and to the last yes (0: no review).
        """
        said_no, refund = np.full(minute.shape, NEVER), np.full(minute.shape, np.nan)
        longest = np.zeros(minute.shape, dtype=np.int64)
        for k, (place, four) in enumerate(zip(self.border.places, self.border.effects, strict=True)):
            if not any(effect.review for effect in four):
                continue
            state = self.border.state(k, minute)
            for code, effect in enumerate(four):
                if effect.review is None:
                    continue
                asks = (state == code) & ~self.reviewed[k] & (minute < self.far)
                review = self.durations.reviews[place, code]
                no = asks & ~review.approved
                sooner = no & (review.minutes < said_no)
                said_no = np.where(sooner, review.minutes, said_no)
                refund = np.where(sooner, np.nan if effect.refund is None else effect.refund, refund)
                longest = np.maximum(longest, np.where(asks & review.approved, review.minutes, 0))
                self.reviewed[k] = self.reviewed[k] | asks
        return said_no, refund, longest

    def _point(self, point: Point) -> None:
        """Wait for the verdict; at the release for papers as well, and for reviews asked for only there."""
        if point is Point.RELEASE:
            self._release()
            return
        minute, refused, refund = self.border.passes(point, self.now)
        self._turned_away(refused, minute, refund)
        self.now = np.where(refused, self.far, minute)
        if point is Point.RECEIPT and self.fate == TRANSIT:
            self._stop_before(self.now)
            self.fate, self.stops = None, np.full(self.now.shape, self.far)

    def _release(self) -> None:
        minute, refused, refund = self.border.passes(Point.RELEASE, np.maximum(self.now, self.papers))
        while True:
            self._turned_away(refused, minute, refund)
            minute = np.where(refused, self.far, minute)
            said_no, no_refund, longest = self._apply(minute)
            late = (said_no < NEVER) | (longest > 0)
            if not late.any():
                break
            denied = said_no < NEVER
            self._turned_away(denied, minute + said_no, no_refund)
            again, refused, refund = self.border.passes(Point.RELEASE, minute + longest)
            refused = refused & late & ~denied
            minute = np.where(denied, self.far, np.where(late, again, minute))
        self.now = minute
        self._stop_before(minute)
        self.now = np.where(self.ended < self.far, self.far, self.now)
        self.released = self.now
        self.fee = self._fees(self.now) * self.good()
        self.fate = TRANSIT
        revoked, refund = self.border.revoked(TRANSIT, self.now)
        self._set_stop(revoked, refund, np.full(self.now.shape, self.far), refund)

    def _fees(self, minute: Ints) -> Floats:
        total = np.zeros(minute.shape)
        for k, four in enumerate(self.border.effects):
            fees = np.array([effect.fee for effect in four])
            if fees.any():
                total = total + fees[self.border.state(k, minute)]
        return total

    def _set_stop(self, revoked: Ints, refund: Floats, denied: Ints, no_refund: Floats) -> None:
        """What will end the order at the latest: in one minute, a gate's revocation comes before a review's no."""
        first = revoked <= denied
        self.stops = np.where(first, revoked, denied)
        self.stop_outcome = np.where(first, int(Outcome.CANCELLED), int(Outcome.REFUSED)).astype(np.int8)
        self.stop_refund = np.where(first, refund, no_refund)

    def _turned_away(self, who: Mask, minute: Ints, refund: Floats) -> None:
        """A refusal at a point or by a late review, unless a revocation came first (or in the same minute)."""
        if who.any():
            self._end(who & (minute < self.stops), minute, Outcome.REFUSED, refund)

    def _stop_before(self, minute: Ints) -> None:
        """Orders whose goods are still here when the stop comes end with it."""
        self._end(self.stops <= minute, self.stops, self.stop_outcome, self.stop_refund)

    def _end(self, who: Mask, minute: Ints, outcome: Outcome | NDArray[np.int8], refund: Floats) -> None:
        """The order ends; the first end stands."""
        who = who & (minute < self.ended)
        self.ended = np.where(who, minute, self.ended)
        self.outcome = np.where(who, np.int8(outcome) if isinstance(outcome, Outcome) else outcome, self.outcome)
        self.refund = np.where(who, np.where(np.isnan(refund), self.source.refund, refund), self.refund)

    def _run(self, minute: Ints) -> Ints:
        return minute if self.fate is None else self.border.worked(self.fate, minute)

    def _real(self, work: Ints) -> Ints:
        return work if self.fate is None else self.border.done(self.fate, work)

    def _arrival(self, stage: Stage, k: int, minute: Ints, first: bool) -> Arrivals:
        assert stage.line is not None
        stops = np.minimum(self.stops, self.ended)
        binds = self.binds.get(stage.line)
        return Arrivals(
            line=stage.line,
            minute=minute,
            first=first,
            rank=self.rank,
            needs=self.durations.minutes[k],
            stops=stops,
            denied=self.stop_outcome == int(Outcome.REFUSED),
            gpus=self.pieces(),
            uncounted=None if binds is None else self.border.leaves(*binds, minute),
            border=self.border,
            fate=self.fate,
        )


def run(
    spec: SupplySpec,
    orders: Orders,
    paths: Sequence[GatePath],
    durations: Sequence[SourceDurations],
    backlog: Mapping[str, Ints],
    replications: Sequence[int],
) -> Deliveries:
    """Simulate these replications; ``paths``, ``durations`` and ``backlog`` were drawn for the same ones."""
    rows = len(replications)
    borders: dict[tuple[int, ...], Border] = {}
    convoys = []
    for source, source_durations in zip(spec.sources, durations, strict=True):
        places = spec.gates_of(source)
        if places not in borders:
            borders[places] = Border([(k, spec.gates[k]) for k in places], paths, rows, spec.horizon_minutes)
        convoys.append(Convoy(spec, source, borders[places], orders, source_durations, rows))
    _advance(spec, convoys, backlog)
    return _deliveries(spec, orders, paths, convoys, replications)


def _served(spec: SupplySpec, name: str, arrivals: list[Arrivals], backlog: Mapping[str, Ints]) -> list[Ints]:
    """The line or allotment of this name does its work."""
    (line,) = (line for line in spec.lines if line.name == name)
    if isinstance(line, Cap):
        return admit(arrivals, line.gpus, spec.horizon_minutes + 1)
    if isinstance(line, Allotment):
        return allot(arrivals, line.gpus, line.period_minutes, spec.horizon_minutes + 1)
    return serve(arrivals, busy_servers(line.servers, backlog[name]), spec.horizon_minutes + 1)


def _advance(spec: SupplySpec, convoys: list[Convoy], backlog: Mapping[str, Ints]) -> None:
    """Run every convoy to its end; a line serves when all who will ever come to it have come."""
    journeys = [convoy.journey() for convoy in convoys]
    waiting = {k: first for k, journey in enumerate(journeys) if (first := next(journey, None)) is not None}
    visitors = {line.name: [k for k, convoy in enumerate(convoys) if line.name in convoy.lines] for line in spec.lines}
    while waiting:
        ready = [
            name for name, who in visitors.items() if who and all(k in waiting and waiting[k].line == name for k in who)
        ]
        if not ready:
            stuck = sorted({arrival.line for arrival in waiting.values()})
            raise CannotExpressError(f"routes visit these lines in different orders, or twice: {', '.join(stuck)}")
        name = ready[0]
        who = visitors.pop(name)
        ends = _served(spec, name, [waiting.pop(k) for k in who], backlog)
        for k, end in zip(who, ends, strict=True):
            try:
                waiting[k] = journeys[k].send(end)
            except StopIteration:
                continue


def _deliveries(
    spec: SupplySpec, orders: Orders, paths: Sequence[GatePath], convoys: list[Convoy], replications: Sequence[int]
) -> Deliveries:
    """Put the convoys' lots back in the orders' places; what the horizon hides is UNSEEN."""
    shape = len(replications), len(orders)
    made: dict[str, Any] = {name: np.zeros(size, dtype) for name, (size, dtype) in layout(spec, *shape).items()}
    made["replications"][:] = replications
    made["gate_state"][:] = month_states(paths, spec.month_minutes, len(replications))
    end = spec.horizon_minutes
    for convoy in convoys:
        lots, source = convoy.durations.lots, convoy.source
        ended, delivered = convoy.ended < end, (convoy.now < end) & (convoy.ended >= convoy.far)
        accepted, released = convoy.accepted < end, convoy.released < end
        for name, seen, minute in (
            ("accepted_at", accepted, convoy.accepted),
            ("released_at", released, convoy.released),
            ("delivered_at", delivered, convoy.now),
            ("ended_at", ended, convoy.ended),
        ):
            made[name][:, lots] = np.where(seen, minute, UNSEEN)
        made["outcome"][:, lots] = np.where(delivered, int(Outcome.DELIVERED), np.where(ended, convoy.outcome, 0))
        prepaid, good = np.where(accepted, source.prepayment, 0.0), convoy.good()
        in_full = source.prepayment + np.maximum(good - source.prepayment, 0.0)
        lost = np.where(accepted, source.owed_at_end, 0.0)
        made["paid_share"][:, lots] = np.where(delivered, in_full, np.where(ended, lost, prepaid))
        scrap = np.where(delivered, np.maximum(source.prepayment - good, 0.0), 0.0)
        made["refunded_share"][:, lots] = np.where(ended, convoy.refund * lost, scrap)
        if "good_gpus" in made:
            made["good_gpus"][:, lots] = np.where(delivered, convoy.pieces(), 0)
        made["fee_share"][:, lots] = np.where(released, convoy.fee, 0.0)
    return Deliveries(orders=orders, **made)
