"""A gate: a licence, an import blessing or a production switch that moves between four named states.

What a state does to goods is its ``Effect``: at four points (order, release, transit, receipt) goods pass,
are held or are refused; orders may need a review that can end badly; goods released may owe a fee; and on
entering the state, goods in the factory and goods under way go on, stand still or are revoked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Literal

from planner.sampling import Law
from planner.supply.gates.posterior import SystemPosterior

Authority = Literal["us", "cn", "vendor"]
AUTHORITIES: tuple[Authority, ...] = ("us", "cn", "vendor")


class State(IntEnum):
    """The four states, the worst first."""

    CLOSED = 0
    PROMISED = 1
    CONDITIONAL = 2
    OPEN = 3

    @classmethod
    def named(cls, name: str) -> State:
        """The state under the word a scenario file uses."""
        return cls[name.upper()]


class Point(IntEnum):
    """Where goods meet the gates, in the order of their journey."""

    ORDER = 0
    RELEASE = 1
    TRANSIT = 2
    RECEIPT = 3


class Passage(IntEnum):
    """What happens at a point. The strictest of several gates decides."""

    PASS = 0
    HOLD = 1
    REFUSE = 2


class Fate(IntEnum):
    """What becomes of goods when a gate enters a state.

    CONTINUE: nothing. HOLD: work or travel stands still while the state lasts, and then goes on where it stopped.
    REVOKE: the order ends at once.
    """

    CONTINUE = 0
    HOLD = 1
    REVOKE = 2


@dataclass(frozen=True)
class Review:
    """A review that an order needs once: ``law`` in days, ``approval`` the probability of a good end.

    A refused application is put in again up to ``resubmissions`` times, each with a time and a chance of its
    own. The order ends with the last refusal.
    """

    law: Law
    approval: float = 1.0
    resubmissions: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.approval <= 1:
            raise ValueError(f"an approval probability lies between 0 and 1 (got {self.approval})")
        if self.resubmissions < 0:
            raise ValueError(f"resubmissions must not be negative (got {self.resubmissions})")


@dataclass(frozen=True)
class Effect:
    """What one state of a gate does to goods.

    review  applied for when an order is accepted in the state; an order that was accepted without it applies
            when it stands at the release in such a state. Work goes on meanwhile; release waits for the end.
    fee     share of the price owed on top when goods are released in the state
    refund  share of what was paid that comes back if this gate ends the order; None: the source's own
    """

    order: Passage = Passage.PASS
    release: Passage = Passage.PASS
    transit: Passage = Passage.PASS
    receipt: Passage = Passage.PASS
    review: Review | None = None
    fee: float = 0.0
    in_process: Fate = Fate.CONTINUE
    in_transit: Fate = Fate.CONTINUE
    refund: float | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.fee <= 1:
            raise ValueError(f"a fee is a share between 0 and 1 (got {self.fee})")
        if self.refund is not None and not 0 <= self.refund <= 1:
            raise ValueError(f"a refund is a share between 0 and 1 (got {self.refund})")

    def at(self, point: Point) -> Passage:
        """The passage at a point."""
        return (self.order, self.release, self.transit, self.receipt)[point]


@dataclass(frozen=True)
class Always:
    """The gate stays in one state for ever."""

    state: State


@dataclass(frozen=True)
class Dwell:
    """One state of an own law: its stay in days, and the probabilities of the next states (empty: no end)."""

    stay: Law
    following: Mapping[State, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.following and abs(sum(self.following.values()) - 1) > 1e-6:
            total = sum(self.following.values())
            raise ValueError(f"the probabilities of the next states must add to 1 (got {total:g})")
        object.__setattr__(self, "following", dict(self.following))


@dataclass(frozen=True)
class OwnLaw:
    """A semi-Markov law of the user's own: from ``state`` it follows ``dwell`` from state to state."""

    state: State
    dwell: Mapping[State, Dwell]

    def __post_init__(self) -> None:
        object.__setattr__(self, "dwell", dict(self.dwell))
        reachable = {self.state}.union(*(dwell.following for dwell in self.dwell.values()))
        missing = sorted(state.name.lower() for state in reachable if state not in self.dwell)
        if missing:
            raise ValueError(f"the law does not say how these states end: {', '.join(missing)}")


@dataclass(frozen=True)
class FromHistory:
    """The law learnt from the dated history (notes on it: ``planner/supply/gates/posterior.py``).

    system     what is shared by the gates of one product: rates, jumps, tempo, links, as known on a day
    product    gates with the same product and system are linked, and have one path per authority
    state      the gate's state on the day of ``as_of_minute``
    reading    which reading of the ambiguous entries the system was learnt from
    as_of_minute  the day up to which history was known, on the scenario's clock (0 or earlier)
    rule       the product after which the gate's own path is named: gates of products under one rule share it; empty:
               the product itself
    """

    system: SystemPosterior
    product: str
    state: State
    reading: str = "main"
    as_of_minute: int = 0
    rule: str = ""

    def __post_init__(self) -> None:
        if self.as_of_minute > 0:
            raise ValueError("history must end on or before the scenario's first day")


@dataclass(frozen=True)
class FirstDelivery:
    """Closed until the gates ``of`` these names have all let goods pass for long enough, then open for good.

    Passing gates are not goods: in 2026 both governments' gates stood ajar for 107 days and nothing moved. The days
    that all must pass, added up over interruptions, are exponential with a rate that is Gamma(shape, days) by
    replication; their law is Lomax(shape, days).
    """

    of: tuple[str, ...]
    shape: float = 1.0
    days: float = 60.0

    @property
    def state(self) -> State:
        """It starts closed."""
        return State.CLOSED


GateLaw = Always | OwnLaw | FromHistory | FirstDelivery


@dataclass(frozen=True)
class Scripted:
    """A change known or assumed: from ``minute`` on the gate is in ``state``; then its law goes on."""

    minute: int
    state: State


@dataclass(frozen=True)
class Gate:
    """A gate: whose it is, how it moves, what each of its four states does (``effects``)."""

    name: str
    authority: Authority
    law: GateLaw
    effects: tuple[Effect, Effect, Effect, Effect] = (Effect(), Effect(), Effect(), Effect())
    events: tuple[Scripted, ...] = ()

    def __post_init__(self) -> None:
        if self.authority not in AUTHORITIES:
            known = ", ".join(AUTHORITIES)
            raise ValueError(f"gate {self.name}: authority is one of {known} (got {self.authority!r})")
        if list(self.events) != sorted(self.events, key=lambda event: event.minute):
            raise ValueError(f"gate {self.name}: scripted events must come in order of time")
