"""From load, serving figures and an SLO to GPUs: what one replica of each pool carries on each kind of GPU.

    GPUs = peak load x (1 + headroom) / goodput of a replica x GPUs of a replica / availability

The goodput's level is found by replaying the pool's own trace on the engine's scheduler; the figure is drawn once per
replication from its own interval, so that ignorance about serving shows in every count.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from executor.errors import Problem, UserMistakeError
from executor.estimate.calibration import setup_of
from executor.estimate.lengths import Lengths
from executor.estimate.replayed_goodput import Memory, Question, replayed_goodput
from executor.estimate.slo import Goodput, Slo
from executor.model.cost import Layout
from executor.portable import normal
from executor.portable.elementary import exp
from planner.demand.summary import Margin
from planner.demand.traffic import Traffic, traffic
from planner.sampling import Key, entity_id
from planner.scenario.errors import ScenarioError
from planner.scenario.models import Scenario
from planner.scenario.pools import Layout as LayoutModel
from planner.scenario.pools import Pool

Array = NDArray[np.float64]
DOMAIN = "serving"
QUANTILES = (("p10", 0.10), ("p25", 0.25), ("p50", 0.50), ("p75", 0.75), ("p90", 0.90), ("p95", 0.95), ("p99", 0.99))


@dataclass(frozen=True)
class Capacity:
    """What a pool's replica carries on one kind of GPU."""

    pool: str
    sku: str
    model: str
    precision: str
    engine: str
    layout: Layout
    goodput: Goodput

    @property
    def per_gpu(self) -> float:
        """Requests/s per GPU at the SLO, median."""
        return self.goodput.requests_per_s / self.layout.gpus


def capacities(scenario: Scenario, memory: Memory | None = None) -> tuple[Capacity, ...]:
    """The capacity of each pool on each kind of GPU it has a layout for; the unit of account comes first.

    ``memory``: where goodputs that were replayed before are found again.

    :raises ScenarioError: a model that does not fit (and by how much), a missing figure, an SLO out of reach.
    """
    found: list[Capacity] = []
    problems: list[Problem] = []
    for at, pool in enumerate(scenario.pools):
        stream = traffic(pool)
        for sku, layout in pool.layouts.items():
            place = f"pools.{at}.layouts.{sku}"
            try:
                capacity = _capacity(pool, sku, layout, stream, memory)
            except UserMistakeError as error:
                problems.append(Problem(place, str(error)))
                continue
            if capacity.per_gpu <= 0:
                problems.append(Problem(place, f"no rate meets the SLO: {capacity.goodput.reason}"))
            found.append(capacity)
    if problems:
        raise ScenarioError(scenario.name, problems)
    return tuple(found)


def capacity_of(capacities: Sequence[Capacity], pool: str, sku: str) -> int:
    """Place of the capacity of a pool on a kind of GPU."""
    return next(at for at, each in enumerate(capacities) if (each.pool, each.sku) == (pool, sku))


def draw_per_gpu(capacities: Sequence[Capacity], key: Key, replications: int) -> Array:
    r"""[N, C] requests/s per GPU, log-normal about the median with the goodput's own spread.

    k = k_{50} e^{\sigma z},    z ~ N(0, 1), one for each replication, pool and kind of GPU
    """
    entities = np.array([entity_id("capacity", each.pool, each.sku) for each in capacities])
    z = normal.quantile(key.uniform(DOMAIN, np.arange(replications)[:, None], entities[None, :]))
    median = np.array([each.per_gpu for each in capacities])
    sigma = np.array([each.goodput.sigma_log for each in capacities])
    return np.asarray(median * exp(sigma * z), dtype=np.float64)


def asked_of(pool: Pool, sku: str, layout: LayoutModel, stream: Traffic) -> Question:
    """What a pool asks of a replica on one kind of GPU: the set-up, the lengths and the SLO."""
    spread = Layout(layout.tp, layout.pp, layout.attention_dp, layout.moe_tp, layout.moe_ep)
    return Question(
        setup=setup_of(pool.model, sku, layout.precision or pool.precision, layout.engine or pool.engine, spread),
        lengths=Lengths(stream.input.mean, stream.output.mean, _quantiles(stream.input), _quantiles(stream.output)),
        cells=stream.cells,
        slo=Slo(pool.slo.ttft_ms, pool.slo.tpot_ms, 100.0 * pool.slo.percentile),
        prefix_reuse=stream.prefix_reuse.value,
    )


def _capacity(pool: Pool, sku: str, layout: LayoutModel, stream: Traffic, memory: Memory | None) -> Capacity:
    asked = asked_of(pool, sku, layout, stream)
    setup = asked.setup
    return Capacity(
        pool.name,
        sku,
        pool.model,
        layout.precision or pool.precision,
        layout.engine or pool.engine,
        setup.layout,
        replayed_goodput(asked, memory),
    )


def _quantiles(margin: Margin) -> tuple[tuple[float, float], ...]:
    """(share, tokens) pairs of the quantiles that the trace has."""
    pairs = ((share, getattr(margin, name)) for name, share in QUANTILES)
    return tuple((share, float(tokens)) for share, tokens in pairs if tokens is not None)
