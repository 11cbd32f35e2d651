"""Capacity of a scenario file for which lots wait: servers, or a quantity in a period or in all."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from planner.scenario.fields import Count, Days, Model, Name, Share
from planner.scenario.gates import GateState


class Line(Model):
    """Capacity that stages share, first come, first served: servers, or a quantity that may start in a period or in
    all. Of a quantity, other customers may have their part.
    """

    name: Name
    """The line's name."""
    servers: Annotated[int, Field(ge=1, le=100_000)] | None = None
    """Lots worked on at a time: our part of a fab, of CoWoS or of a board line."""
    backlog_lots: Annotated[int, Field(ge=0, le=100_000)] = 0
    """Lots of others that already wait when the scenario starts."""
    backlog_days: Days = 0
    """Days of service that each of them needs."""
    gpus_per_period: Annotated[int, Field(ge=1, le=10_000_000)] | None = None
    """Instead of servers: GPUs that may start in a period; what a period leaves over lapses."""
    period_days: Annotated[float, Field(ge=1, le=3660, allow_inf_nan=False)] = 30
    """Length of a period; the first begins with the scenario."""
    gpus_total: Count | None = None
    """Instead of servers: GPUs in all, never renewed, as a licence rule caps one customer; a lot that no longer fits
    is turned away and its order ends."""
    share: Share = 1.0
    """Share of the quantity that all customers here may have: 0.5 where the quantity is the volume to US users and the
    rule lets half of it through."""
    others: Annotated[list[Count], Field(max_length=1000)] = []
    """GPUs that each other customer asks for, of the same quantity."""
    asked: Count | None = None
    """GPUs that we are known to ask for when it is divided. None: all there is."""
    gate: Name | None = None
    """Gate in some of whose `states` the quantity binds; in others everything passes and is not counted. None: it
    always binds."""
    states: Annotated[list[GateState], Field(max_length=10)] = []
    """Those states."""
    allocation: Literal["proportional", "uniform", "in-turn"] = "uniform"
    """How a quantity is divided that does not suffice. proportional: by what each asks for. uniform: in equal parts;
    what one does not need goes to the others. in-turn: the others first."""

    @model_validator(mode="after")
    def _one_kind(self) -> "Line":
        kinds = ("servers", "gpus_per_period", "gpus_total")
        if sum(getattr(self, kind) is not None for kind in kinds) != 1:
            raise ValueError("give one of `servers`, `gpus_per_period` and `gpus_total`")
        if self.servers is not None and (self.share < 1 or self.others or self.asked is not None):
            raise ValueError("`share`, `others` and `asked` divide a quantity, not servers")
        if (self.gate is None) != (not self.states):
            raise ValueError("`gate` and `states` go together: in which states of which gate")
        if self.servers is not None and self.gate is not None:
            raise ValueError("`gate` and `states` are for a quantity; servers always bind")
        return self
