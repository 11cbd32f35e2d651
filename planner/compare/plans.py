"""What changed between two plans of one schedule: in the answer, in the orders, and in what went in.

Facts alone, ids and figures; ``planner.report.change_sentences`` tells them in either language.
"""

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, model_validator

from planner.record.upgrade import upgraded_changes

if TYPE_CHECKING:  # a worker reads comparisons and loads nothing of what its runs need
    from planner.record.models import PlanRecord
    from planner.record.orders_as_arrays import Placed

SCHEMA_VERSION = 2

GROUPS = {
    "demand": "demand",
    "profile": "serving figures",
    "fleet": "the fleet in service",
    "gates": "gates",
    "prices": "prices",
    "supply": "supply",
    "goal": "the goal",
    "calendar": "the date",
    "sampling": "seed and replications",
    "version": "the version of Waferlag and its facts",
    "together": "several of these together",
}
"""Groups of inputs, and what each is called in a sentence."""

_TOP = {
    "start": "calendar",
    "horizon_months": "calendar",
    "seed": "sampling",
    "run": "sampling",
    "currency": "prices",
    "exchange": "prices",
    "costs": "prices",
    "fleet": "fleet",
    "gates": "gates",
    "lines": "supply",
    "goal": "goal",
}
_OF_POOL = {"model": "profile", "precision": "profile", "engine": "profile", "layouts": "profile"}
_PRICES = {
    "price",
    "price_change_per_month",
    "prepayment",
    "refund",
    "binding",
    "price_per_gpu_hour",
    "spot_price_per_gpu_hour",
}
_LISTS = {"pools": "demand", "sources": "supply"}
"""Lists of named entries, and the group to which adding or removing an entry belongs."""


Figure = Literal[
    "probability", "weakest-month", "next-order-by", "runs-out",
    "mean-cost", "cost-of-waiting", "at-risk", "gpus-ordered",
]  # fmt: skip
"""Figures of an answer that are compared."""


class Part(BaseModel):
    """A frozen, closed part of the comparison."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Move(Part):
    """One figure of the answer, before and after."""

    figure: Figure
    unit: str
    """share, date, GPUs, or a currency."""
    before: float | str | None
    after: float | str | None
    goal: float | None = None
    """The required probability, where a share is compared."""
    text: str = ""
    """The move in words: English, told from these figures."""


class OrderMove(Part):
    """GPUs ordered from one source for one pool in one month, before and after."""

    pool: str
    source: str
    sku: str
    month: str
    gpus_before: int
    gpus_after: int
    text: str = ""
    """The move in words: English, told from these figures."""


class InputMove(Part):
    """One field of the scenario, or the version, before and after. None: not there."""

    group: str
    """One of :data:`GROUPS`."""
    place: str
    """Path of the field; entries of lists go by their names."""
    before: Any
    after: Any


class Cause(Part):
    """What one group of inputs did by itself: the plan before with it swapped, less the plan before."""

    group: str
    """One of :data:`GROUPS`."""
    probability: float | None = None
    """Change of the probability in the weakest month; None: alone it makes no scenario that runs."""
    mean_cost: float | None = None
    """Change of the mean cost, in the currency of the plan before."""
    gpus_ordered: int | None = None
    """Change of the GPUs ordered."""
    problem: str = ""
    """Why it makes no scenario that runs, as the scenario's checks say it."""
    text: str = ""
    """In words: English, told from these figures."""


class Changes(Part):
    """The whole comparison."""

    schema_version: int = SCHEMA_VERSION
    currency: str
    """Of the plan before, in which the causes count money."""
    sentence: str = ""
    """What moved and mostly why: English, told from these figures."""
    moves: list[Move]
    orders: list[OrderMove]
    inputs: list[InputMove]
    causes: list[Cause]

    @model_validator(mode="before")
    @classmethod
    def _of_this_version(cls, document: Any) -> Any:
        return upgraded_changes(document) if isinstance(document, dict) else document


def compare(before: "PlanRecord", after: "PlanRecord", causes: list[Cause] | None = None) -> Changes:
    """What changed from one plan to the next; ``causes`` as far as they were computed."""
    return Changes(
        currency=before.scenario.currency,
        moves=[
            move for move in _moves(before, after) if _shown(move.before, move.unit) != _shown(move.after, move.unit)
        ],
        orders=_order_moves(before, after),
        inputs=input_moves(before, after),
        causes=causes or [],
    )


def _shown(value: float | str | None, unit: str) -> float | str | None:
    """The figure to the digit that is shown: what moves less has not moved."""
    return round(value, 3 if unit == "share" else 0) if isinstance(value, float) else value


def _moves(before: "PlanRecord", after: "PlanRecord") -> Iterator[Move]:
    old, new = before.answer, after.answer
    odds = (old.probability.value, new.probability.value)
    yield Move(figure="probability", unit="share", before=odds[0], after=odds[1], goal=new.goal)
    yield Move(figure="weakest-month", unit="date", before=old.weakest_month, after=new.weakest_month)
    yield Move(figure="next-order-by", unit="date", before=_day(old.next_order_by), after=_day(new.next_order_by))
    yield Move(figure="runs-out", unit="date", before=_day(old.runs_out.p50), after=_day(new.runs_out.p50))
    was, now, currency = before.kpis, after.kpis, after.scenario.currency
    if currency == before.scenario.currency:
        waits = (old.cost_of_waiting.value, new.cost_of_waiting.value)
        yield Move(figure="mean-cost", unit=currency, before=was.mean_cost.value, after=now.mean_cost.value)
        yield Move(figure="cost-of-waiting", unit=currency, before=waits[0], after=waits[1])
        yield Move(figure="at-risk", unit=currency, before=was.at_risk, after=now.at_risk)
    yield Move(figure="gpus-ordered", unit="GPUs", before=was.gpus_ordered, after=now.gpus_ordered)


def _day(day: dt.date | None) -> str | None:
    return None if day is None else day.isoformat()


def _order_moves(before: "PlanRecord", after: "PlanRecord") -> list[OrderMove]:
    skus = {order.source: order.sku for order in (*before.orders, *after.orders)}
    return [
        OrderMove(pool=pool, source=source, sku=skus[source], month=month, gpus_before=was, gpus_after=now)
        for (month, source, pool), was, now in order_changes(before.orders, after.orders)
    ]


def order_changes(before: "Iterable[Placed]", after: "Iterable[Placed]") -> list[tuple[tuple[str, str, str], int, int]]:
    """(month, source, pool), GPUs before and GPUs after, where they differ, by month."""
    old, new = _ordered(before), _ordered(after)
    return [(key, old[key], new[key]) for key in sorted({*old, *new}) if old[key] != new[key]]


def _ordered(lines: "Iterable[Placed]") -> Counter[tuple[str, str, str]]:
    totals = Counter[tuple[str, str, str]]()
    for line in lines:
        totals[line.month, line.source, line.pool] += line.gpus
    return totals


def input_moves(before: "PlanRecord", after: "PlanRecord") -> list[InputMove]:
    """Every field of the scenario that changed, and the version."""
    old, new = (record.scenario.model_dump(mode="json") for record in (before, after))
    moves = [
        InputMove(group=group, place=place, before=was, after=now)
        for place, was, now in differing("", old, new)
        if (group := group_of(place)) is not None
    ]
    versions = (before.versions.waferlag, after.versions.waferlag)
    if versions[0] != versions[1]:
        moves.append(InputMove(group="version", place="waferlag", before=versions[0], after=versions[1]))
    return moves


def group_of(place: str) -> str | None:
    """The group of a path such as ``pools.chat.load.requests_per_second``; None: it moves no figure."""
    top, _, rest = place.partition(".")
    if top not in _LISTS:
        return _TOP.get(top)
    _, _, field = rest.partition(".")
    field = field.split(".")[0]
    if top == "pools":
        return _OF_POOL.get(field, "demand")
    return "prices" if field in _PRICES else "supply"


def differing(place: str, old: Any, new: Any) -> Iterator[tuple[str, Any, Any]]:
    """Paths below ``place`` at which two JSON values differ, as deep as both go; lists of named entries go by name."""
    if old == new:
        return
    old_map, new_map = _by_name(old), _by_name(new)
    if old_map is None or new_map is None:
        yield place, old, new
        return
    for key in [*old_map, *(key for key in new_map if key not in old_map)]:
        yield from differing(f"{place}.{key}" if place else key, old_map.get(key), new_map.get(key))


def _by_name(value: Any) -> dict[str, Any] | None:
    if isinstance(value, dict):
        return value
    if isinstance(value, list) and value and all(isinstance(item, dict) and "name" in item for item in value):
        return {item["name"]: item for item in value}
    return None


def swap(before: dict[str, Any], after: dict[str, Any], group: str) -> dict[str, Any]:
    """The scenario before, with the inputs of one group taken from the one after."""
    plain = [key for key in before if key not in _LISTS]
    mixed = {key: after[key] if group_of(key) == group else before[key] for key in plain}
    for key, owner in _LISTS.items():
        mixed[key] = _swap_entries(key, before[key], after[key], group, owner)
    return mixed


def _swap_entries(
    section: str, before: list[dict[str, Any]], after: list[dict[str, Any]], group: str, owner: str
) -> list[dict[str, Any]]:
    """Entries come and go with the group that owns the list; fields of those in both with their own group."""
    old, new = ({entry["name"]: entry for entry in entries} for entries in (before, after))
    names = new if group == owner else old
    return [
        {
            field: new[name][field] if group_of(f"{section}.{name}.{field}") == group else value
            for field, value in old[name].items()
        }
        if name in old and name in new and old[name].keys() == new[name].keys()
        else dict(new[name] if group == owner else old[name])
        for name in names
    ]
