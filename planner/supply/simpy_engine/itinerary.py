"""A route as a lot of the SimPy engine meets it: halt by halt, with all that can happen there."""

from dataclasses import dataclass

from planner.supply.network.gate import Point
from planner.supply.network.route import Route


@dataclass(frozen=True, slots=True)
class Halt:
    """One step of a route as a lot meets it.

    point    a point, or None for a stage
    visit    place among the route's visits
    number   place of the stage among the route's stages; at a point, of the next one
    line     where it needs a server
    joins    sides that must have ended before it starts
    starts   (side, place among the minutes, visit) of the sides that start with it
    clock    name of the border's clock that runs here
    settles  whether, after a server, the lot's next step depends on its place in the order of the instant
    """

    point: Point | None
    visit: int
    number: int
    line: str | None
    joins: tuple[str, ...]
    starts: tuple[tuple[str, int, int], ...]
    clock: str
    settles: bool


def itinerary(route: Route) -> list[Halt]:
    """The route as a lot meets it, step by step."""
    halts: list[Halt] = []
    clock, number, stages = "in_process", 0, len(route.stages)
    for at, step in enumerate(route.steps):
        if isinstance(step, Point):
            halts.append(Halt(step, 1 + at, number, None, (), (), clock, False))
            if step is Point.RELEASE:
                clock = "in_transit"
            elif step is Point.RECEIPT and clock == "in_transit":
                clock = "at_site"
            continue
        joins = tuple(side.stage.name for side in route.sides if side.joins_at == step.name)
        starts = tuple(
            (side.stage.name, stages + j, 1 + len(route.steps) + j)
            for j, side in enumerate(route.sides)
            if side.starts_with == step.name
        )
        following = route.steps[at + 1] if at + 1 < len(route.steps) else None
        settles = following is None or isinstance(following, Point) or following.line is not None
        halts.append(Halt(None, 1 + at, number, step.line, joins, starts, clock, settles))
        number += 1
    return halts
