"""The fleet in service on the first day, month by month: failures, replacements through the gates, retirement."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from executor.errors import Problem
from planner.clock import MINUTES_PER_DAY, minutes
from planner.fleet.spares import NEVER, Bought, Buy, Ints, SparePool, base_stock, failure_minutes, replaced
from planner.futures.arrays import Array
from planner.sampling import Key, entity_id
from planner.sampling.seeds import root_of
from planner.scenario.errors import ScenarioError
from planner.scenario.fleet import InService
from planner.scenario.models import Scenario
from planner.supply.network.spec import Orders, SupplySpec
from planner.supply.outcomes import UNSEEN, Deliveries

Carry = Callable[[SupplySpec, Orders, Key, Sequence[int]], Deliveries]
"""Carries orders through the supply model under a key, in these replications."""
DAYS_PER_YEAR = 365.0
MOST_REPLACEMENTS = 10_000_000
"""Of one entry of the fleet, in all futures: half a gigabyte and ten seconds."""


def in_service(scenario: Scenario, spec: SupplySpec, key: Key, numbers: Sequence[int], carry: Carry) -> Array:
    """[N, F, T] GPUs of each entry of the fleet that stand in their places on the first minute of each month.

    A place is empty from a failure beyond repair until a spare or a replacement fills it. In the month of its
    retirement, and after, an entry counts for nothing: a month is promised as a whole.
    """
    starts = spec.month_minutes
    found = np.zeros((len(numbers), len(scenario.fleet), len(starts)))
    for place, entry in enumerate(scenario.fleet):
        pool = spare_pool(scenario, spec, place, key, numbers, carry)
        stays = minutes_to_retirement(scenario, spec, entry)
        for t, start in enumerate(starts):
            end = starts[t + 1] if t + 1 < len(starts) else spec.horizon_minutes
            if end <= stays:
                found[:, place, t] = entry.gpus - (0 if pool is None else np.minimum(pool.missing(start), entry.gpus))
    return found


def spare_pool(
    scenario: Scenario, spec: SupplySpec, place: int, key: Key, numbers: Sequence[int], carry: Carry
) -> SparePool | None:
    """The shelf of one entry of the fleet, its failures and their replacements; None: every failure is repaired."""
    entry = scenario.fleet[place]
    if entry.replacement is None:
        return None
    pool = _unsized(scenario, spec, place, key, numbers, carry)
    if entry.ready_rate is None:
        return pool
    # Sized once and for all, on the futures that orders are planned on.
    planned = Key(root_of(scenario.seed, "optimise")), range(scenario.run.training_futures)
    seen = _unsized(scenario, spec, place, *planned, carry)
    return replace(pool, spares=seen.sized(_in_service(scenario, spec, entry), entry.ready_rate))


def _unsized(
    scenario: Scenario, spec: SupplySpec, place: int, key: Key, numbers: Sequence[int], carry: Carry
) -> SparePool:
    """Failures and replacements of an entry, and the spares that the scenario names."""
    entry = scenario.fleet[place]
    assert entry.replacement is not None, "the callers have seen to it"
    end = min(minutes_to_retirement(scenario, spec, entry), spec.horizon_minutes)
    before = Counter((other.pool, other.sku) for other in scenario.fleet[:place])[entry.pool, entry.sku]
    _require_few(scenario, place, beyond_repair_per_day(entry) * end / MINUTES_PER_DAY, len(numbers))
    entity = entity_id("fleet", entry.pool, entry.sku, before)
    failed = failure_minutes(beyond_repair_per_day(entry), end, key, numbers, entity)
    name = f"{entry.replacement}, for {entry.sku} of {entry.pool} {before}"
    starts = np.append(spec.month_minutes, NEVER)

    def again(ended: Ints) -> Ints:
        """An order that a gate ended is placed anew when the next month begins."""
        return starts[np.searchsorted(starts, ended, side="right")]

    buy = through(spec, entry.replacement, name, key, numbers, carry)
    return SparePool(entry.spares, failed, replaced(failed, buy, again))


def _require_few(scenario: Scenario, place: int, expected: float, replications: int) -> None:
    """Every replacement is carried by itself, in every future: so many that they would fill the memory are refused."""
    if expected * replications > MOST_REPLACEMENTS:
        problem = Problem(
            f"fleet.{place}.replaced_share",
            f"means {expected:,.0f} replacements in each of {replications:,} futures,"
            f" more than {MOST_REPLACEMENTS:,} in all",
            scenario.fleet[place].replaced_share,
            f"at most {MOST_REPLACEMENTS / expected:,.0f} futures can be carried (`run`), or leave it out",
        )
        raise ScenarioError(scenario.name, [problem])


def _in_service(scenario: Scenario, spec: SupplySpec, entry: InService) -> list[int]:
    """First minutes of the months in which an entry still serves."""
    stays = minutes_to_retirement(scenario, spec, entry)
    return [start for start in spec.month_minutes if start < stays]


def through(spec: SupplySpec, source: str, name: str, key: Key, numbers: Sequence[int], carry: Carry) -> Buy:
    """Buy single GPUs of a source, under a name and so random numbers of their own; at the gates they meet what all
    meet."""
    alone = replace(spec, sources=(replace(spec.sources[spec.source_index(source)], name=name),))

    def buy(placed: Ints, orders: Ints, attempt: int) -> Bought:
        zeros = np.zeros(len(orders), dtype=np.int64)
        at = np.minimum(placed, spec.horizon_minutes)  # from there on nothing is seen
        made = carry(alone, Orders(zeros, zeros + attempt, orders, zeros, zeros + 1, at), key, numbers)
        scrapped = made.delivered & (made.brought == 0)
        delivered = np.where(scrapped, UNSEEN, made.delivered_at)
        return Bought(delivered, np.where(scrapped, made.delivered_at, made.ended_at))

    return buy


def beyond_repair_per_day(entry: InService) -> float:
    """Failures a day of an entry of the fleet that no repair mends."""
    return entry.gpus * entry.failures_per_year * entry.replaced_share / DAYS_PER_YEAR


def minutes_to_retirement(scenario: Scenario, spec: SupplySpec, entry: InService) -> int:
    """Minute on the scenario's clock in which an entry of the fleet is taken out of service; NEVER if it stays."""
    return NEVER if entry.retires is None else minutes(scenario.start, entry.retires)


@dataclass(frozen=True)
class SpareNeed:
    """How many spares an entry of the fleet needs."""

    pool: str
    sku: str
    source: str
    failures_per_year: float
    """Beyond repair, of the whole entry."""
    lead_days: float | None
    """Mean days from a failure to a replacement that serves, of those that come within the horizon; None: none does."""
    held: int
    """Spares that the scenario names or asks for by their ready rate."""
    spares: dict[str, int]
    """Ready rate -> fewest spares that keep it in every month, in simulated futures."""
    by_palm: dict[str, int] | None
    """The same were lead times independent of each other with that mean."""


READY_RATES = (0.9, 0.95, 0.99)


def spare_needs(
    scenario: Scenario, spec: SupplySpec, key: Key, numbers: Sequence[int], carry: Carry
) -> tuple[SpareNeed, ...]:
    """Spares by ready rate of each entry of the fleet whose failures are replaced."""
    found = []
    for place, entry in enumerate(scenario.fleet):
        pool = spare_pool(scenario, spec, place, key, numbers, carry)
        if pool is None or entry.replacement is None:
            continue
        came = pool.back_at < NEVER
        lead = float((pool.back_at - pool.failed_at)[came].mean()) / MINUTES_PER_DAY if came.any() else None
        per_day = beyond_repair_per_day(entry)
        found.append(
            SpareNeed(
                pool=entry.pool,
                sku=entry.sku,
                source=entry.replacement,
                failures_per_year=per_day * DAYS_PER_YEAR,
                lead_days=lead,
                held=pool.spares,
                spares={f"{rate:g}": pool.sized(_in_service(scenario, spec, entry), rate) for rate in READY_RATES},
                by_palm=None
                if lead is None
                else {f"{rate:g}": base_stock(per_day * lead, rate) for rate in READY_RATES},
            )
        )
    return tuple(found)
