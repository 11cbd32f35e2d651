"""Checks that one field alone cannot make: names that must exist, figures that must agree."""

from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

from executor.errors import Problem, UnknownNameError, UserMistakeError, did_you_mean
from executor.model.spec import built_in, known_models, model_spec
from executor.reference.accelerators import accelerator
from executor.steptime.parameters import engine
from planner.clock import month_starts
from planner.reference.exchange import rate
from planner.reference.traces import trace_names
from planner.scenario.fleet import InService
from planner.scenario.gates import Gate
from planner.scenario.models import Scenario
from planner.scenario.sources import Purchase, Rental

DEAREST = 1e12
"""No price is higher, in the scenario's currency: the programme's figures must stand side by side."""
SPOT_MARKUP = 1.5
"""Spot over reserved price where the scenario names none; ours, an estimate."""


def problems_across_fields(scenario: Scenario) -> Iterator[Problem]:
    """Every contradiction in a scenario whose single fields are valid, in the file's order."""
    for check in (_pools, _fleet, _sources, _gates, _goal, _money, _dates):
        yield from check(scenario)


def _pools(scenario: Scenario) -> Iterator[Problem]:
    yield from _twice("pools", (pool.name for pool in scenario.pools))
    for at, pool in enumerate(scenario.pools):
        place = f"pools.{at}"
        yield from _looked_up(f"{place}.model", _model, pool.model)
        yield from _looked_up(f"{place}.engine", engine, pool.engine)
        for sku, layout in pool.layouts.items():
            yield from _gpu(f"{place}.layouts.{sku}", sku)
            if layout.engine is not None:
                yield from _looked_up(f"{place}.layouts.{sku}.engine", engine, layout.engine)
        trace = pool.load.trace
        if isinstance(trace, str) and not like_a_path(trace):
            yield from _known(f"{place}.load.trace", "trace", [trace], trace_names())


def _fleet(scenario: Scenario) -> Iterator[Problem]:
    pools = {pool.name: pool for pool in scenario.pools}
    for at, entry in enumerate(scenario.fleet):
        yield from _known(f"fleet.{at}.pool", "pool", [entry.pool], pools)
        if entry.pool in pools and entry.sku not in pools[entry.pool].layouts:
            said = f"pool {entry.pool} has no layout for this kind of GPU"
            yield Problem(f"fleet.{at}.sku", said, entry.sku, f"it has {', '.join(pools[entry.pool].layouts)}")
        yield from _replacement(f"fleet.{at}", entry, scenario)


def _replacement(place: str, entry: InService, scenario: Scenario) -> Iterator[Problem]:
    """Failures beyond repair are replaced by the same kind of GPU, from a source that sells."""
    sold = {source.name: source.sku for source in scenario.purchases}
    if entry.replacement is not None:
        yield from _known(f"{place}.replacement", "purchase", [entry.replacement], sold)
        if sold.get(entry.replacement, entry.sku) != entry.sku:
            yield Problem(f"{place}.replacement", f"sells {sold[entry.replacement]}", entry.replacement, entry.sku)
    if entry.retires is not None and entry.retires <= scenario.start:
        yield Problem(place, f"retires before the start, {scenario.start}", str(entry.retires), "leave it out")


def _sources(scenario: Scenario) -> Iterator[Problem]:
    pools = {pool.name: pool for pool in scenario.pools}
    gates, lines = [gate.name for gate in scenario.gates], [line.name for line in scenario.lines]
    yield from _twice("lines", lines)
    for at, line in enumerate(scenario.lines):
        yield from _known(f"lines.{at}.gate", "gate", () if line.gate is None else [line.gate], gates)
    yield from _twice("sources", (source.name for source in scenario.sources))
    for at, source in enumerate(scenario.sources):
        place = f"sources.{at}"
        yield from _gpu(f"{place}.sku", source.sku)
        yield from _known(f"{place}.pools", "pool", source.pools or (), pools)
        for name in source.pools or ():
            if name in pools and source.sku not in pools[name].layouts:
                yield Problem(f"{place}.pools", f"pool {name} has no layout for {source.sku}", name)
        if source.pools is None and not any(source.sku in pool.layouts for pool in scenario.pools):
            yield Problem(f"{place}.sku", "no pool has a layout for this kind of GPU", source.sku)
        if isinstance(source, Purchase):
            yield from _known(f"{place}.gates", "gate", source.gates, gates)
            for stage, name in source.lines.items():
                yield from _known(f"{place}.lines.{stage}", "line", [name], lines)
                yield from _gate_of_line(f"{place}.lines.{stage}", name, source, scenario)


def _gate_of_line(place: str, name: str, source: Purchase, scenario: Scenario) -> Iterator[Problem]:
    """A quantity that binds in states of a gate is for goods that pass this gate."""
    gate = next((line.gate for line in scenario.lines if line.name == name), None)
    if gate is not None and gate not in source.gates:
        yield Problem(place, f"binds in states of {gate}, which is not among this source's gates", name)


def _gates(scenario: Scenario) -> Iterator[Problem]:
    yield from _twice("gates", (gate.name for gate in scenario.gates))
    for at, gate in enumerate(scenario.gates):
        place = f"gates.{at}"
        if gate.product is None and gate.always is None and (gate.law is None or gate.state is None):
            yield Problem(place, "needs `product` (its history), or `always`, or both `state` and `law`", gate.name)
        yield from _own_law(place, gate)
        days = [event.date for event in gate.events]
        if days != sorted(set(days)):
            yield Problem(f"{place}.events", "dates must rise, one event a day", ", ".join(map(str, days)))
        if days and days[0] < scenario.start:
            said = "an event before the scenario's start"
            yield Problem(f"{place}.events", said, str(days[0]), "give `state` instead")
        if gate.as_of is not None and gate.as_of > scenario.start:
            yield Problem(f"{place}.as_of", "looks ahead of the scenario's start", str(gate.as_of))


def _own_law(place: str, gate: Gate) -> Iterator[Problem]:
    """A law of the user's own must say how every state ends that it can reach."""
    for state, dwell in (gate.law or {}).items():
        for follower in dwell.next:
            if follower == state:
                yield Problem(f"{place}.law.{state}.next", "a state cannot follow itself", follower)
            elif follower not in (gate.law or {}):
                yield Problem(f"{place}.law.{state}.next", "names a state that the law does not have", follower)
    if gate.law is not None and gate.state is not None and gate.state not in gate.law:
        yield Problem(f"{place}.state", "is not a state of the law", gate.state)


def _goal(scenario: Scenario) -> Iterator[Problem]:
    month, horizon = scenario.goal.from_month, scenario.horizon_months
    if month > horizon:
        yield Problem("goal.from_month", f"lies beyond the horizon of {horizon} months", month)


def _money(scenario: Scenario) -> Iterator[Problem]:
    broken = False
    for place, money in _amounts(scenario):
        factor = rate(money.currency or scenario.currency, scenario.currency, scenario.exchange)
        if factor is None:
            broken = True
            said = f"no exchange rate from {money.currency} to {scenario.currency}"
            yield Problem(place, said, mend="add it to `exchange`")
        elif place != "goal.budget" and money.amount * factor > DEAREST:
            yield Problem(place, f"is above {DEAREST:g} {scenario.currency}", money.amount * factor)
    if not broken:
        yield from _unmet_above_spot(scenario)


def _unmet_above_spot(scenario: Scenario) -> Iterator[Problem]:
    """Renting first is the best recourse, hence a rule to carry out, only if unmet demand costs more."""
    unmet = scenario.in_currency(scenario.goal.unmet_price_per_gpu_hour)
    for source in scenario.rentals:
        spot = spot_price(scenario, source)
        if source.max_spot_gpus and unmet <= spot:
            said = f"must exceed the spot price of {source.name}, {spot:g} {scenario.currency} per GPU-hour"
            yield Problem("goal.unmet_price_per_gpu_hour", said, unmet)


def spot_price(scenario: Scenario, source: Rental) -> float:
    """Spot price of a rental source in the first month, scenario currency per GPU-hour."""
    if source.spot_price_per_gpu_hour is None:
        return SPOT_MARKUP * scenario.in_currency(source.price_per_gpu_hour)
    return scenario.in_currency(source.spot_price_per_gpu_hour)


def _amounts(scenario: Scenario) -> Iterator[tuple[str, Any]]:
    """Every amount of money in a scenario, with its place."""
    for at, source in enumerate(scenario.sources):
        for field in ("price", "price_per_gpu_hour", "spot_price_per_gpu_hour"):
            money = getattr(source, field, None)
            if money is not None:
                yield f"sources.{at}.{field}", money
    yield "goal.unmet_price_per_gpu_hour", scenario.goal.unmet_price_per_gpu_hour
    if scenario.goal.budget is not None:
        yield "goal.budget", scenario.goal.budget
    yield "costs.hosting_per_kw_month", scenario.costs.hosting_per_kw_month
    yield "costs.power_per_kwh", scenario.costs.power_per_kwh


def _dates(scenario: Scenario) -> Iterator[Problem]:
    end = month_starts(scenario.start, scenario.horizon_months + 1)[-1]
    for at, source in enumerate(scenario.sources):
        first, last = getattr(source, "earliest_order", None), getattr(source, "latest_order", None)
        if first is not None and last is not None and first > last:
            yield Problem(f"sources.{at}.latest_order", f"comes before earliest_order, {first}", str(last))
        if first is not None and first >= end:
            yield Problem(f"sources.{at}.earliest_order", f"lies beyond the horizon, which ends {end}", str(first))
        if last is not None and last < scenario.start:
            yield Problem(f"sources.{at}.latest_order", f"lies before the start, {scenario.start}", str(last))


def _gpu(place: str, name: str) -> Iterator[Problem]:
    """The GPU must be known, and be called by its full name so that joins by name hold."""
    unknown = list(_looked_up(place, accelerator, name))
    if not unknown and (full := accelerator(name).name) != name:
        yield Problem(place, f"write the full name {full}")
    yield from unknown


def _model(name: str) -> None:
    """A model that is shipped, or a file that was found in the scenario's folder; no other file is looked at."""
    if Path(name).is_absolute():
        model_spec(name)
    elif built_in(name) is None:
        raise UnknownNameError("model", name, known_models(), "a config.json in the scenario's folder works too")


def _looked_up(place: str, look_up: Callable[[str], object], name: str) -> Iterator[Problem]:
    """What the reference data say against a name."""
    try:
        look_up(name)
    except UserMistakeError as error:
        yield Problem(place, str(error))


def _known(place: str, kind: str, found: Iterable[str], known: Collection[str]) -> Iterator[Problem]:
    """Names that nothing in the file, or among what is shipped, goes by."""
    for name in found:
        if name not in known:
            near = did_you_mean(name, known)
            mend = f"did you mean {near}?" if near else f"known: {', '.join(known)}" if known else "there are none"
            yield Problem(place, f"no such {kind}", name, mend)


def _twice(place: str, names: Iterable[str]) -> Iterator[Problem]:
    seen: set[str] = set()
    for at, name in enumerate(names):
        if name in seen:
            yield Problem(f"{place}.{at}.name", "is used twice", name)
        seen.add(name)


def like_a_path(text: str) -> bool:
    """Whether a name is meant as that of a file: it has a slash or a suffix."""
    return bool(Path(text).suffix) or "/" in text
