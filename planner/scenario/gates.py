"""Gates of a scenario file: their states, what these do to goods, and the laws by which they change."""

import datetime as dt
from typing import Annotated, Literal

from pydantic import Field, model_validator

from planner.scenario.fields import Days, Model, Name, Positive, Share

GateState = Literal["closed", "promised", "conditional", "open"]
"""closed: stopped. promised: announced, nothing moves yet. conditional: case by case. open: free."""
Authority = Literal["us", "cn", "vendor"]
"""us: the export licence. cn: the import side. vendor: the maker's own production switch."""
Passage = Literal["pass", "hold", "refuse"]
"""pass: goes on. hold: waits until the gate lets it pass. refuse: turned away, and its order ends."""
Fate = Literal["continue", "hold", "revoke"]
"""What becomes of goods already on their way when a gate enters a state."""


class Effect(Model):
    """What a state of a gate does to goods. Each field left out keeps the default of the gate's authority."""

    order: Passage | None = None
    """At order acceptance."""
    release: Passage | None = None
    """At release from the factory."""
    transit: Passage | None = None
    """At the start of freight."""
    receipt: Passage | None = None
    """At customs."""
    review_days: Days | None = None
    """Mean review time of an order accepted in this state (exponential)."""
    approval: Share | None = None
    """Probability that the review ends well; else the order ends."""
    fee: Share | None = None
    """Share of the price paid on top when goods are released in this state."""
    in_process: Fate | None = None
    """On entering the state, goods still in the factory."""
    in_transit: Fate | None = None
    """On entering the state, goods under way."""
    resubmissions: Annotated[int, Field(ge=0, le=20)] | None = None
    """How often a refused application is put in again, each time with a review of its own."""
    refund: Share | None = None
    """Share of what was paid that comes back if this gate ends the order in this state. None: the source's."""


class Dwell(Model):
    """Law of one state of a gate: how long it lasts, and where it goes."""

    mean_days: Annotated[float, Field(gt=0, le=36500, allow_inf_nan=False)]
    """Mean stay (exponential)."""
    next: dict[GateState, Share] = {}
    """Probability of the states that may follow; they add to 1. Empty: the state never ends."""

    @model_validator(mode="after")
    def _adds_up(self) -> "Dwell":
        if self.next and abs(sum(self.next.values()) - 1) > 1e-6:
            raise ValueError(f"the probabilities of the next states must add to 1 (got {sum(self.next.values()):g})")
        return self


class GateEvent(Model):
    """A change of state that the user knows or assumes."""

    date: dt.date
    """The day it takes effect."""
    state: GateState
    """The state it brings."""
    note: str = ""
    """Why, or from where it is known."""


class Gate(Model):
    """A licence, an import blessing or a production switch: a process that moves between four states."""

    name: Name
    """The gate's name."""
    authority: Authority
    """Whose gate it is; it chooses the default effects."""
    product: Literal["H20", "H200", "RTX PRO 6000D"] | None = None
    """Product in the shipped gate history whose record gives today's state and the law of changes."""
    as_of: dt.date | None = None
    """Only what was public by this day counts. None: the scenario's start."""
    reading: Literal["main", "literal", "paper", "mild"] = "main"
    """Which reading of the ambiguous entries of the history."""
    state: GateState | None = None
    """State on the first day. None: from the history."""
    always: GateState | None = None
    """The gate stays in this state for ever."""
    prior_median_days: dict[GateState, Positive] = {}
    """Belief, before any event is counted, of the median stay in a state. Left out: closed 365, promised 90,
    conditional 270, open 730; each weighs two changes against those on record."""
    law: dict[GateState, Dwell] | None = None
    """A law of the user's own instead of the one learnt from the history."""
    events: Annotated[list[GateEvent], Field(max_length=1000)] = []
    """Dated changes known or assumed; between them the law goes on."""
    effects: dict[GateState, Effect] = {}
    """Changes to the default effects, by state."""
