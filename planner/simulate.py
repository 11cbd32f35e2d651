"""Given orders carried through the supply model: when each line arrives, and what becomes of every GPU."""

from dataclasses import dataclass
from typing import Any

from planner.clock import month_label, month_starts
from planner.parallel.backends import Spread
from planner.record.models import Dates
from planner.record.provenance import inputs
from planner.report.orders import arrival
from planner.sampling import Key
from planner.sampling.seeds import root_of
from planner.scenario.models import Scenario
from planner.supply.network.from_scenario import supply_spec
from planner.supply.network.spec import SupplySpec
from planner.supply.order_lines import OrderLine, orders_of
from planner.supply.outcomes import Deliveries, Outcome
from planner.supply.simulate import Engine, simulate


@dataclass(frozen=True)
class Trial:
    """Orders, and what became of them in every replication."""

    scenario: Scenario
    overrides: tuple[str, ...]
    lines: tuple[OrderLine, ...]
    root: int
    engine: Engine
    spec: SupplySpec
    deliveries: Deliveries

    def arrives(self, at: int) -> Dates:
        """Quantiles of the day on which a line serves, over all replications."""
        return arrival(self.scenario.start, self.deliveries.delivered_at[:, at])

    def shares(self, at: int) -> dict[str, float]:
        """Share of replications by outcome of one line."""
        found = self.deliveries.outcome[:, at]
        return {outcome.name.lower(): float((found == outcome).mean()) for outcome in Outcome}

    def gpus(self) -> dict[str, float]:
        """Mean GPUs by outcome; they add to what was ordered."""
        found = {outcome.name.lower(): float(self.deliveries.gpus(outcome).mean()) for outcome in Outcome}
        if self.deliveries.good_gpus is not None:
            found["scrapped"] = float(self.deliveries.scrapped().mean())
        return found

    def as_json(self) -> dict[str, Any]:
        """Everything that is needed to read the result and to get it again."""
        months = [month_label(day) for day in month_starts(self.scenario.start, self.scenario.horizon_months)]
        return {
            **inputs(self.scenario, self.overrides, {"validate": self.root}),
            "engine": self.engine,
            "replications": len(self.deliveries.replications),
            "orders": [
                {
                    "pool": line.pool,
                    "source": line.source,
                    "month": months[line.month],
                    "gpus": line.gpus,
                    "arrives": self.arrives(at).model_dump(mode="json"),
                    "outcomes": self.shares(at),
                }
                for at, line in enumerate(self.lines)
            ],
            "gpus": {"ordered": sum(line.gpus for line in self.lines), **self.gpus()},
        }


def try_orders(
    scenario: Scenario,
    lines: tuple[OrderLine, ...],
    overrides: tuple[str, ...] = (),
    engine: Engine | None = None,
    processes: int | Spread = 1,
    trace: bool = False,
) -> Trial:
    """Carry the lines through every replication of the scenario, under the root that validates plans."""
    chosen: Engine = engine or scenario.run.engine
    root = root_of(scenario.seed, "validate")
    spec = supply_spec(scenario)
    made = simulate(
        spec,
        orders_of(lines, scenario),
        Key(root),
        range(scenario.run.replications),
        engine=chosen,
        trace=trace,
        processes=processes,
    )
    return Trial(scenario, overrides, lines, root, chosen, spec, made)
