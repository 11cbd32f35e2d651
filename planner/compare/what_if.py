"""What if: the plan's own scenario with a few inputs changed, answered at once on a small sample of the same random
numbers.

Both sides of a comparison are searched alike, from the plan's own orders and with the same number of turns, so that
the difference is of the inputs and not of the search.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from executor.estimate.replayed_goodput import Memory
from planner.futures.arrays import Array, Flags, Orders
from planner.futures.sample import draw_prospects
from planner.optimise.intervals import probability
from planner.optimise.lots.rounding import round_to_lots
from planner.optimise.lp.formulation import Formulation
from planner.optimise.service_level.calibrate import Effort, calibrate
from planner.record.models import ConditionalOrder, Interval, Order, PlanRecord
from planner.record.orders_as_arrays import Axes, Line
from planner.sampling.seeds import root_of
from planner.scenario.models import Scenario
from planner.sizing import Capacity, capacities

QUICK_SCENARIOS = 120
QUICK_REPLICATIONS = 300
"""Futures of a quick answer: the first ones of the same roots, so that two answers differ by the inputs alone. A plan
searched on fewer falls short on fresh ones and is searched again: 60 take longer (2-h20-july-2025 with demand half as
much again: 2.2 s of computing, 1.4 s on 120, 2.4 s on 200; Intel Xeon, one core)."""
_EFFORT = Effort(turns=2, polished=1)
"""One turn leaves that example 0.7 of probability short, summed over its months, where two leave
0.1; the plan's own orders as the start make up for what is spared."""


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
    lead: float = 1.0
    """Factor on the lead times of purchases, waits at gates and in lines apart."""
    events: Mapping[str, tuple[dt.date, str]] = field(default_factory=dict)
    """A day and the state that a gate enters on it, by its name; its law goes on from there."""

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
            if gate["name"] in self.events:
                day, state = self.events[gate["name"]]
                gate["events"].append({"date": day.isoformat(), "state": state, "note": "what-if"})
        return Scenario.model_validate(body)

    def _on_source(self, source: dict[str, Any]) -> None:
        for name, factor in (
            ("price", self.price),
            ("price_per_gpu_hour", self.rental_price),
            ("spot_price_per_gpu_hour", self.rental_price),
        ):
            if source.get(name) is not None:
                source[name]["amount"] *= factor
        if "lead_time_factor" in source:
            source["lead_time_factor"] *= self.lead
        for name in ("max_gpus_per_month", "max_gpus_total", "max_gpus", "max_spot_gpus"):
            if source.get(name) is not None:
                source[name] = round(source[name] * self.caps)


def quick(scenario: Scenario) -> Scenario:
    """The scenario with fewer futures."""
    fewer = {
        "training_futures": min(scenario.run.training_futures, QUICK_SCENARIOS),
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
    orders: tuple[Line, ...]

    @property
    def goal(self) -> float:
        """The required probability."""
        return self.scenario.goal.probability

    def probability(self, month: int) -> Interval:
        """Probability that demand is met in a month, with its 90 % Wilson interval."""
        return probability(self.met[:, month])

    @property
    def futures(self) -> int:
        """How many it was judged on."""
        return len(self.cost)

    @property
    def weakest(self) -> int:
        """The required month with the lowest probability."""
        odds = np.where(np.array(self.required), self.met.mean(axis=0), np.inf)
        return int(odds.argmin())

    @property
    def feasible(self) -> bool:
        """Whether every required month reaches the goal on this sample."""
        return self.probability(self.weakest).value >= self.goal


def quick_answer(record: PlanRecord, changes: Changes | None = None, *, memory: Memory | None = None) -> QuickAnswer:
    """What a plan's scenario, with changes, would be answered on the small sample, without benchmarks and reasons.

    ``changes`` None: the baseline, as the same search finds it. ``memory``: where replayed goodputs are kept.
    """
    scenario = (changes or Changes()).applied(record.scenario)
    small, goal = quick(scenario), scenario.goal
    serving = _capacities(record.scenario.model_dump_json(), memory)
    train = draw_prospects(small, serving, root_of(small.seed, "optimise"), small.run.training_futures)
    fresh = draw_prospects(small, serving, record.judging_root, small.run.replications)
    seen = Formulation(train.futures)
    chosen = calibrate(
        seen,
        fresh.futures,
        goal.probability,
        cvar_level=goal.cvar_level,
        effort=_EFFORT,
        start=round_to_lots(seen, _start(record)),
    )
    axes = Axes.of(small)
    return QuickAnswer(
        scenario=scenario,
        months=tuple(axes.months),
        required=tuple(at + 1 >= goal.from_month for at in axes.months.values()),
        met=chosen.outcome.met_jointly,
        cost=chosen.outcome.cost.total,
        orders=tuple(axes.lines(chosen.plan.orders)),
    )


@lru_cache(maxsize=16)
def _capacities(scenario: str, memory: Any) -> tuple[Capacity, ...]:
    """Serving figures of a scenario (JSON): no change of a what-if touches them, so they are found once."""
    return capacities(Scenario.model_validate_json(scenario), memory)


def warm_up() -> bool:
    """Import what an answer needs, before anybody waits for it."""

    return True


def _start(record: PlanRecord) -> Orders:
    """Where the search begins, [pool, source, month] and [pool, rental, month]: the plan's calendar settled beforehand.

    A line on a condition counts where most futures place it. A plan of an older version has its orders alone.
    """
    lines: Sequence[Order | ConditionalOrder] = record.orders
    if record.calendar is not None:
        lines = [line for line in record.calendar.lines if line.placed > 0.5]
    axes = Axes.of(record.scenario)
    return Orders(axes.orders(lines), axes.reserved(record.reservations))
