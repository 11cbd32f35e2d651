"""GPUs that each pool needs by month on each kind of GPU: load, serving and headroom, without money. And the spares
that a fleet needs whose failures are replaced."""

from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np

from executor.estimate.replayed_goodput import Memory
from planner.clock import month_label, month_starts
from planner.demand.forecast import draw_load
from planner.futures.deliveries import carried_out
from planner.futures.installed_fleet import SpareNeed, spare_needs
from planner.record.models import Quantiles, Serving
from planner.record.provenance import inputs
from planner.report.serving_rows import serving_row
from planner.sampling import Key
from planner.sampling.seeds import root_of
from planner.scenario.models import Scenario
from planner.sizing import capacities, draw_per_gpu
from planner.supply.network.from_scenario import supply_spec


@dataclass(frozen=True)
class PoolNeed:
    """One pool: what a replica carries, and GPUs by month."""

    name: str
    model: str
    serving: tuple[Serving, ...]
    gpus: dict[str, tuple[Quantiles, ...]]
    """By kind of GPU: quantiles of each month."""


@dataclass(frozen=True)
class Needs:
    """Every pool's need."""

    scenario: Scenario
    overrides: tuple[str, ...]
    root: int
    months: tuple[str, ...]
    pools: tuple[PoolNeed, ...]
    spares: tuple[SpareNeed, ...]

    def as_json(self) -> dict[str, Any]:
        """Everything that is needed to read the result and to get it again."""
        return {
            **inputs(self.scenario, self.overrides, {"validate": self.root}),
            "months": list(self.months),
            "pools": [
                {
                    "pool": pool.name,
                    "model": pool.model,
                    "serving": [item.model_dump(mode="json") for item in pool.serving],
                    "gpus_needed": {sku: [q.model_dump() for q in found] for sku, found in pool.gpus.items()},
                }
                for pool in self.pools
            ],
            "spares": [asdict(need) for need in self.spares],
        }


def needs_of(scenario: Scenario, overrides: tuple[str, ...] = (), memory: Memory | None = None) -> Needs:
    """GPUs by month over the scenario's replications, under the root that validates plans.

    ``memory``: where goodputs that were replayed before are found again.
    """
    root = root_of(scenario.seed, "validate")
    key, count = Key(root), scenario.run.replications
    serving = capacities(scenario, memory)
    load = draw_load(scenario.pools, scenario.start, scenario.horizon_months, key, count)
    per_gpu = draw_per_gpu(serving, key, count)
    pools = []
    for p, pool in enumerate(scenario.pools):
        places = [c for c, each in enumerate(serving) if each.pool == pool.name]
        need = load.peak_rps[:, p] * (1.0 + pool.headroom)
        gpus = {serving[c].sku: _by_month(need / per_gpu[:, c, None]) for c in places}
        pools.append(PoolNeed(pool.name, pool.model, tuple(serving_row(serving[c]) for c in places), gpus))
    months = tuple(month_label(day) for day in month_starts(scenario.start, scenario.horizon_months))
    spares: tuple[SpareNeed, ...] = ()
    if any(entry.replacement is not None for entry in scenario.fleet):
        spec, carry = supply_spec(scenario), partial(carried_out, engine="fast")
        spares = spare_needs(scenario, spec, key, range(count), carry)
    return Needs(scenario, overrides, root, months, tuple(pools), spares)


def _by_month(gpus: np.ndarray[Any, np.dtype[np.float64]]) -> tuple[Quantiles, ...]:
    found = np.quantile(gpus, (0.1, 0.5, 0.9), axis=0)
    return tuple(Quantiles(p10=float(a), p50=float(b), p90=float(c)) for a, b, c in found.T)
