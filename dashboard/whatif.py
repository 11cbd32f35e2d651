"""What if: the plan's own scenario with a few inputs changed, answered on a small sample of the same luck."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dashboard.charts.figure import Row
from planner.clock import month_label, month_starts
from planner.optimise.calibrate import calibrate
from planner.optimise.evaluate import evaluate, paired, wilson
from planner.optimise.futures import Array, Flags, Orders
from planner.prospects import Prospects, draw_prospects
from planner.record import Interval, Order, PlanRecord
from planner.roots import root_of
from planner.scenario.models import Scenario
from planner.sizing import capacities

QUICK_SCENARIOS = 60
QUICK_REPLICATIONS = 300
"""Futures of a quick answer: the first ones of the same roots, so that two answers differ by the inputs alone."""


@dataclass(frozen=True)
class Changes:
    """What is changed; each field's default changes nothing."""

    demand: float = 1.0
    """Factor on every pool's arrival rate."""
    growth: float = 1.0
    """Factor on the monthly growth above 1: 1.12 a month at 0.5 is 1.06."""
    goal: float | None = None
    """Required probability."""
    price: float = 1.0
    """Factor on purchase prices."""
    rental_price: float = 1.0
    """Factor on rental prices, reserved and spot."""
    caps: float = 1.0
    """Factor on the sources' caps, rental included."""
    gates: Mapping[str, str] = field(default_factory=dict)
    """State that a gate keeps for ever, by its name."""

    def applied(self, scenario: Scenario) -> Scenario:
        """The scenario with the changes laid over it, checked like any other."""
        body = scenario.model_dump(mode="json")
        for pool in body["pools"]:
            pool["load"]["scale"] *= self.demand
            for name in ("low", "base", "high"):
                pool["growth"][name] = max(0.01, 1 + (pool["growth"][name] - 1) * self.growth)
        if self.goal is not None:
            body["goal"]["probability"] = self.goal
        for source in body["sources"]:
            self._on_source(source)
        for gate in body["gates"]:
            if gate["name"] in self.gates:
                gate["always"] = self.gates[gate["name"]]
        return Scenario.model_validate(body)

    def _on_source(self, source: dict[str, Any]) -> None:
        for name, factor in (
            ("price", self.price),
            ("price_per_gpu_hour", self.rental_price),
            ("spot_price_per_gpu_hour", self.rental_price),
        ):
            if source.get(name) is not None:
                source[name]["amount"] *= factor
        for name in ("max_gpus_per_month", "max_gpus_total", "max_gpus", "max_spot_gpus"):
            if source.get(name) is not None:
                source[name] = round(source[name] * self.caps)


def quick(scenario: Scenario) -> Scenario:
    """The scenario with fewer futures."""
    fewer = {
        "scenarios": min(scenario.run.scenarios, QUICK_SCENARIOS),
        "replications": min(scenario.run.replications, QUICK_REPLICATIONS),
        "engine": "fast",
    }
    return scenario.model_copy(update={"run": scenario.run.model_copy(update=fewer)})


@dataclass(frozen=True)
class QuickAnswer:
    """What a scenario's plan brings on the small sample."""

    scenario: Scenario
    months: tuple[str, ...]
    required: tuple[bool, ...]
    met: Flags
    """[future, month] whether all demand is met."""
    cost: Array
    """[future] discounted."""
    orders: tuple[Row, ...]
    """pool, source, month, gpus."""
    reserved_gpu_months: float

    @property
    def goal(self) -> float:
        """The required probability."""
        return self.scenario.goal.probability

    def probability(self, month: int) -> Interval:
        """Probability that demand is met in a month, with its 90 % Wilson interval."""
        hits, count = int(self.met[:, month].sum()), len(self.met)
        low, high = wilson(hits, count)
        return Interval(value=hits / count, low=float(low), high=float(high))

    @property
    def weakest(self) -> int:
        """The required month with the lowest probability."""
        odds = np.where(np.array(self.required), self.met.mean(axis=0), np.inf)
        return int(odds.argmin())

    @property
    def feasible(self) -> bool:
        """Whether every required month reaches the goal on this sample."""
        return self.probability(self.weakest).value >= self.goal


@dataclass(frozen=True)
class Comparison:
    """How a changed scenario's answer differs from the baseline's, on the same futures."""

    cost: Interval
    """Mean difference of the cost, changed minus baseline."""
    probability: Interval
    """Mean difference of meeting all demand in the baseline's weakest month."""
    gpus_ordered: int
    """Difference of the GPUs ordered."""


def quick_answer(scenario: Scenario) -> QuickAnswer:
    """The plan of a scenario on the small sample, without rivals and reasons."""
    small = quick(scenario)
    serving = capacities(small)
    train = draw_prospects(small, serving, root_of(small.seed, "optimise"), small.run.scenarios)
    fresh = draw_prospects(small, serving, root_of(small.seed, "validate"), small.run.replications)
    goal = small.goal
    chosen = calibrate(train.futures, fresh.futures, goal.probability, cvar_level=goal.cvar_level)
    days = month_starts(small.start, small.horizon_months)
    months = tuple(month_label(day) for day in days)
    return QuickAnswer(
        scenario=scenario,
        months=months,
        required=tuple(at + 1 >= goal.from_month for at in range(len(days))),
        met=chosen.outcome.met_jointly,
        cost=chosen.outcome.cost.total,
        orders=_rows(scenario, months, chosen.plan),
        reserved_gpu_months=float(chosen.plan.reserved.sum()),
    )


def _rows(scenario: Scenario, months: tuple[str, ...], plan: Orders) -> tuple[Row, ...]:
    """What a plan orders, a row for each pool, source and month."""
    return tuple(
        {
            "pool": scenario.pools[p].name,
            "source": scenario.purchases[s].name,
            "month": months[m],
            "gpus": int(plan.orders[p, s, m]),
        }
        for p, s, m in np.argwhere(plan.orders > 0)
    )


def without_order(record: PlanRecord, at: int) -> tuple[QuickAnswer, QuickAnswer]:
    """The plan's own orders and reservations, and the same without order ``at``, on the small sample.

    Nothing is planned anew: spot rental takes up what it can, the rest is unmet.
    """
    small = quick(record.scenario)
    serving = capacities(small)
    fresh = draw_prospects(small, serving, root_of(small.seed, "validate"), small.run.replications)
    orders = _orders_of(record)
    left_out = record.orders[at]
    fewer = Orders(orders.orders.copy(), orders.reserved)
    fewer.orders[_place(record, left_out)] -= left_out.gpus
    return _carried_out(record, fresh, orders), _carried_out(record, fresh, fewer)


def _carried_out(record: PlanRecord, fresh: Prospects, orders: Orders) -> QuickAnswer:
    outcome = evaluate(fresh.futures, orders)
    return QuickAnswer(
        scenario=record.scenario,
        months=tuple(month.month for month in record.months),
        required=tuple(month.required for month in record.months),
        met=outcome.met_jointly,
        cost=outcome.cost.total,
        orders=_rows(record.scenario, tuple(month.month for month in record.months), orders),
        reserved_gpu_months=float(orders.reserved.sum()),
    )


def _orders_of(record: PlanRecord) -> Orders:
    """The plan's orders [pool, source, month] and reservations [pool, rental, month]."""
    scenario, months = record.scenario, [month.month for month in record.months]
    pools = [pool.name for pool in scenario.pools]
    rentals = [source.name for source in scenario.rentals]
    orders = np.zeros((len(pools), len(scenario.purchases), len(months)), dtype=np.int64)
    reserved = np.zeros((len(pools), len(rentals), len(months)), dtype=np.int64)
    for order in record.orders:
        orders[_place(record, order)] += order.gpus
    for item in record.reservations:
        reserved[pools.index(item.pool), rentals.index(item.source), months.index(item.month)] += item.gpus
    return Orders(orders, reserved)


def _place(record: PlanRecord, order: Order) -> tuple[int, int, int]:
    scenario = record.scenario
    return (
        [pool.name for pool in scenario.pools].index(order.pool),
        [source.name for source in scenario.purchases].index(order.source),
        [month.month for month in record.months].index(order.month),
    )


def compare(base: QuickAnswer, changed: QuickAnswer) -> Comparison:
    """Differences on the same futures, with their intervals."""
    at = base.weakest
    cost = paired(base.cost, changed.cost)
    odds = paired(base.met[:, at].astype(float), changed.met[:, at].astype(float))
    return Comparison(
        cost=Interval(value=cost.mean, low=cost.low, high=cost.high),
        probability=Interval(value=odds.mean, low=odds.low, high=odds.high),
        gpus_ordered=sum(order["gpus"] for order in changed.orders)
        - sum(order["gpus"] for order in base.orders),
    )


def order_differences(base: QuickAnswer, changed: QuickAnswer) -> list[Row]:
    """Orders that were added, dropped or resized."""
    keys = ("pool", "source", "month")
    was = {tuple(order[key] for key in keys): order["gpus"] for order in base.orders}
    now = {tuple(order[key] for key in keys): order["gpus"] for order in changed.orders}
    rows = []
    for place in sorted({*was, *now}, key=lambda place: (place[2], place[1], place[0])):
        before, after = was.get(place, 0), now.get(place, 0)
        if before != after:
            kind = "added" if not before else "dropped" if not after else "resized"
            rows.append(
                {**dict(zip(keys, place, strict=True)), "before": before, "after": after, "change": kind}
            )
    return rows


def tornado(scenario: Scenario) -> list[Row]:
    """Mean cost and weakest month when one input at a time is low or high; the widest first."""
    base = quick_answer(scenario)
    rows: list[Row] = []
    for name, low, high in _swings(scenario):
        row: Row = {**name, "cost_base": float(base.cost.mean())}
        row["probability_base"] = base.probability(base.weakest).value
        for side, changes in (("low", low), ("high", high)):
            found = quick_answer(changes.applied(scenario))
            row[f"cost_{side}"] = float(found.cost.mean())
            row[f"probability_{side}"] = found.probability(found.weakest).value
        rows.append(row)
    return sorted(rows, key=lambda row: -_reach(row))


def _reach(row: Row) -> float:
    costs = (row["cost_low"], row["cost_high"], row["cost_base"])
    return float(max(costs) - min(costs))


def _swings(scenario: Scenario) -> list[tuple[dict[str, str], Changes, Changes]]:
    """Each input (a wording's text, and the gate it names) with a low and a high value of it."""
    swings = [
        ("demand, 20 % less or more", Changes(demand=0.8), Changes(demand=1.2)),
        ("growth, halved or half as much again", Changes(growth=0.5), Changes(growth=1.5)),
        ("purchase price, 20 % less or more", Changes(price=0.8), Changes(price=1.2)),
        ("rental price, 20 % less or more", Changes(rental_price=0.8), Changes(rental_price=1.2)),
        ("caps, halved or doubled", Changes(caps=0.5), Changes(caps=2.0)),
    ]
    plain = [({"input": name, "gate": ""}, low, high) for name, low, high in swings]
    return plain + [
        (
            {"input": "{gate}, closed or open", "gate": gate.name},
            Changes(gates={gate.name: "closed"}),
            Changes(gates={gate.name: "open"}),
        )
        for gate in scenario.gates
    ]


def input_differences(before: Scenario, after: Scenario) -> list[dict[str, Any]]:
    """Every field that differs, with its path and both values."""
    return [
        {"input": path, "before": was, "after": now}
        for path, was, now in _differences(before.model_dump(mode="json"), after.model_dump(mode="json"), "")
        if not path.startswith("run.")
    ]


def _differences(was: Any, now: Any, path: str) -> list[tuple[str, Any, Any]]:
    if isinstance(was, dict) and isinstance(now, dict):
        found = []
        for key in dict.fromkeys([*was, *now]):
            found += _differences(was.get(key), now.get(key), f"{path}.{key}".lstrip("."))
        return found
    if isinstance(was, list) and isinstance(now, list) and len(was) == len(now):
        found = []
        for at, (one, other) in enumerate(zip(was, now, strict=True)):
            name = one.get("name", at) if isinstance(one, dict) else at
            found += _differences(one, other, f"{path}.{name}".lstrip("."))
        return found
    return [] if was == now else [(path, was, now)]
