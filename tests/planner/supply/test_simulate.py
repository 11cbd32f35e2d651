"""One function, one result: alone or in a batch, in one process or two, whatever else is ordered."""

import numpy as np
import pytest

from benchmarks.supply import same
from planner.sampling import Key
from planner.scenario.load import load
from planner.supply.network.from_scenario import candidate_orders, supply_spec
from planner.supply.network.spec import Orders, SupplySpec
from planner.supply.outcomes import Outcome
from planner.supply.simulate import simulate

SCENARIO = "2-h20-july-2025"


@pytest.fixture(scope="module")
def july():
    scenario = load(SCENARIO).scenario
    return supply_spec(scenario), candidate_orders(scenario)


def columns(made, name, keep):
    return getattr(made, name)[:, keep]


ARRAYS = ("accepted_at", "released_at", "delivered_at", "ended_at", "outcome", "paid_share", "fee_share")


def test_every_shipped_scenario_becomes_a_spec_and_candidates():
    for name in ("1-quickstart", "2-h20-july-2025", "3-h200-2026", "4-domestic-first", "5-two-pools"):
        scenario = load(name).scenario
        spec, orders = supply_spec(scenario), candidate_orders(scenario)
        assert [source.name for source in spec.sources] == [p.name for p in scenario.purchases]
        assert len(orders) > 0
        assert simulate(spec, orders, Key(1), range(3)).outcome.shape == (3, len(orders))


def test_one_replication_alone_equals_itself_in_a_batch(july):
    spec, orders = july
    batch = simulate(spec, orders, Key(3), range(30))
    for r in (0, 13, 29):
        alone = simulate(spec, orders, Key(3), [r])
        for name in ARRAYS:
            assert np.array_equal(getattr(batch, name)[r], getattr(alone, name)[0])
        assert np.array_equal(batch.gate_state[r], alone.gate_state[0])


@pytest.mark.slow
def test_two_processes_give_every_number_of_one(july):
    spec, orders = july
    some = orders.select(orders.month < 3)
    one, two = (simulate(spec, some, Key(3), range(300), processes=n) for n in (1, 2))
    assert same(one, two)


def test_replications_differ(july):
    spec, orders = july
    made = simulate(spec, orders, Key(3), range(20))
    assert len({tuple(row) for row in made.delivered_at.tolist()}) == 20


def test_a_further_lot_or_source_changes_nothing_for_the_others(july):
    spec, orders = july
    full = simulate(spec, orders, Key(3), range(20))
    keep = (orders.source != 1) & (orders.month % 2 == 0)
    fewer = simulate(spec, orders.select(keep), Key(3), range(20))
    for name in ARRAYS:
        assert np.array_equal(columns(full, name, keep), getattr(fewer, name))
    smaller = SupplySpec(spec.start, spec.horizon_minutes, spec.sources[:1], spec.gates)
    only = simulate(smaller, orders.select(orders.source == 0), Key(3), range(20))
    assert np.array_equal(columns(full, "delivered_at", orders.source == 0), only.delivered_at)


def test_a_longer_horizon_changes_nothing_that_was_seen(july):
    spec, orders = july
    short = simulate(spec, orders, Key(3), range(20))
    longer = SupplySpec(spec.start, spec.horizon_minutes * 2, spec.sources, spec.gates)
    more = simulate(longer, orders, Key(3), range(20))
    seen = short.delivered_at >= 0
    assert np.array_equal(short.delivered_at[seen], more.delivered_at[seen])
    assert (more.delivered_at[~seen & more.delivered] >= spec.horizon_minutes).all()


def test_lines_of_two_pools_share_the_shipments_luck(july):
    spec, _ = july
    orders = Orders.of([(2, 0, 0, 0, 8, 0), (2, 0, 0, 1, 16, 0), (2, 0, 1, 1, 8, 0)])
    made = simulate(spec, orders, Key(3), range(50))
    assert np.array_equal(made.delivered_at[:, 0], made.delivered_at[:, 1])


def test_gpus_are_conserved_and_counted_by_outcome(july):
    spec, orders = july
    made = simulate(spec, orders, Key(3), range(50))
    counts = np.array([made.gpus(outcome) for outcome in Outcome])
    assert (counts.sum(axis=0) == orders.gpus.sum()).all()
    assert (counts.sum(axis=1) > 0).all()


def test_nobody_is_accepted_while_a_gate_is_promised(july):
    """On 16 July 2025 licences were promised and nobody could order."""
    spec, orders = july
    first = (orders.month == 0) & (orders.source <= 2)
    made = simulate(spec, orders, Key(3), range(200))
    assert (made.gate_state[:, 0, 0] == 1).all()
    assert not (made.accepted_at[:, first] == 0).any()


def test_an_open_china_gate_lets_more_lots_in_with_common_random_numbers(july):
    scenario = load(SCENARIO).scenario
    raw = scenario.model_dump(mode="json")
    raw["gates"][1]["always"] = "open"
    opened = type(scenario).model_validate(raw)
    orders = candidate_orders(scenario)
    now, then = (simulate(supply_spec(s), orders, Key(3), range(200)) for s in (scenario, opened))
    assert then.gpus(Outcome.DELIVERED).mean() > now.gpus(Outcome.DELIVERED).mean()
    assert np.array_equal(now.gate_state[:, 0], then.gate_state[:, 0])  # the US gate has its path


def test_no_orders_and_no_replications_are_fine(july):
    spec, orders = july
    assert simulate(spec, Orders.of([]), Key(1), range(2)).delivered_at.shape == (2, 0)
    assert simulate(spec, orders, Key(1), []).delivered_at.shape == (0, len(orders))
