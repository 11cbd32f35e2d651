"""A route: the stages between an order and a GPU that serves, and the points where goods meet the gates."""

from dataclasses import dataclass

import numpy as np

from planner.sampling import Law
from planner.supply.network.gate import Point


@dataclass(frozen=True)
class Stage:
    """One stage: ``law`` in days; ``line`` the name of the line or allotment it waits for (None: no limit).

    A duration is drawn once, rounded to whole minutes, and is at least one minute. ``yields`` is the law of the
    share of the pieces started that come out good; None: all do. What a process yields is one draw for each
    replication: it is our ignorance of the process, common to all its lots.
    """

    name: str
    law: Law
    line: str | None = None
    yields: Law | None = None

    def __post_init__(self) -> None:
        if self.yields is not None:
            least, most = self.yields.quantile(np.array([1e-12, 1 - 1e-12])).tolist()
            if not 0 <= least <= most <= 1:
                raise ValueError(f"{self.name}: a yield lies between 0 and 1 (got {least:g} to {most:g})")


@dataclass(frozen=True)
class Side:
    """Work beside the route: begins with stage ``starts_with``; stage ``joins_at`` waits for its end.

    HBM stacks are one: ordered with the wafers, needed at CoWoS assembly. A side has no capacity limit.
    """

    stage: Stage
    starts_with: str
    joins_at: str

    def __post_init__(self) -> None:
        if self.stage.line is not None:
            raise ValueError(f"{self.stage.name} runs beside the route and cannot stand in a line")
        if self.stage.yields is not None:
            raise ValueError(f"{self.stage.name} runs beside the route and has no pieces of its own to yield")


@dataclass(frozen=True)
class Route:
    """Ordered stages and points.

    steps     stages, with Point.RELEASE, Point.TRANSIT and Point.RECEIPT between them; Point.ORDER comes
              first and is not written. Goods are in process until RELEASE, under way until RECEIPT.
    sides     work that runs beside; only in process
    total     law, in days, of the longest chain of stages from order to release when nothing holds it: the
              parts drawn are scaled to it. None: the parts stand as drawn
    supplier  whose random numbers are shared: sources of one supplier are slow together
    shared    correlation, on the normal scale, of the totals (without a total: of each stage in process)
              of all lots of one supplier that are ordered in one quarter of a year
    """

    steps: tuple[Stage | Point, ...]
    sides: tuple[Side, ...] = ()
    total: Law | None = None
    supplier: str = ""
    shared: float = 0.0

    def __post_init__(self) -> None:
        points = [step for step in self.steps if isinstance(step, Point)]
        if Point.ORDER in points or points != sorted(set(points)):
            raise ValueError("points of a route are release, transit, receipt, in this order, each at most once")
        if self.steps and isinstance(self.steps[0], Point):
            raise ValueError("a route begins with a stage")
        names = [stage.name for stage in self.stages] + [side.stage.name for side in self.sides]
        if not self.stages or len(set(names)) != len(names):
            raise ValueError(f"a route has stages, each with its own name (got {', '.join(names) or 'none'})")
        if not 0 <= self.shared <= 1:
            raise ValueError(f"a correlation of a shared random number lies between 0 and 1 (got {self.shared})")
        inside = [stage.name for stage in self.in_process]
        for side in self.sides:
            ends = (side.starts_with, side.joins_at)
            if not all(end in inside for end in ends) or inside.index(ends[0]) >= inside.index(ends[1]):
                raise ValueError(f"{side.stage.name} must run beside stages before the release (got {ends})")

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stages alone, in order."""
        return tuple(step for step in self.steps if isinstance(step, Stage))

    @property
    def in_process(self) -> tuple[Stage, ...]:
        """The stages before the release (all, where the route has no release)."""
        if Point.RELEASE not in self.steps:
            return self.stages
        return tuple(s for s in self.steps[: self.steps.index(Point.RELEASE)] if isinstance(s, Stage))

    @property
    def scraps(self) -> bool:
        """Whether pieces can be lost on the way."""
        return any(stage.yields is not None for stage in self.stages)

    @property
    def visits(self) -> tuple[str, ...]:
        """Names of everything a lot can be seen at: points and stages in order, then the sides."""
        steps = [step.name if isinstance(step, Stage) else f"[{step.name.lower()}]" for step in self.steps]
        return ("[order]", *steps, *(side.stage.name for side in self.sides))
