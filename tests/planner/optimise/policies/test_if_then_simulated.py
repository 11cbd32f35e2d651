"""What the optimiser promises of a policy is what the SimPy engine does when it is asked month by month."""

import numpy as np
import pytest

from planner.futures.sample import draw_prospects
from planner.open_scenario import open_scenario
from planner.optimise.policies.if_then import placed, rules_of
from planner.optimise.policies.if_then_simulated import IfThenPolicy, gates_of
from planner.sampling import Key
from planner.sizing import capacities
from planner.supply.network.spec import Orders
from planner.supply.simulate import simulate_policy

COUNT, ROOT = 24, 77


def prospects(name, count=COUNT):
    scenario = open_scenario(name).scenario
    return draw_prospects(scenario, capacities(scenario), ROOT, count)


@pytest.fixture(name="july", scope="module")
def july_fixture():
    return prospects("2-h20-july-2025")


@pytest.fixture(name="calendar", scope="module")
def calendar_fixture(july):
    """Every rule orders something somewhere, within the caps."""
    futures = july.futures
    rules = rules_of(futures)
    rng = np.random.default_rng(3)
    orders = np.zeros((len(futures.pools), len(rules), futures.months), dtype=np.int64)
    for i, rule in enumerate(rules):
        source = futures.purchases[rule.source]
        for m in np.flatnonzero(source.may_order[0])[:4]:
            orders[0, i, m] = source.lot_gpus * int(rng.integers(0, 2))
    return rules, orders


def candidates(futures, spec, most=20):
    """Lots enough for any month of any policy here."""
    rows = [
        (s, m, k + most * p, p, source.lot_gpus, at)
        for s, source in enumerate(futures.purchases)
        for p in range(len(futures.pools))
        for m, at in enumerate(spec.month_minutes)
        if source.may_order[p, m]
        for k in range(most)
    ]
    return Orders.of(sorted(rows))


@pytest.mark.slow
def test_simpy_places_what_the_rules_place_in_every_future(july, calendar):
    futures, (rules, orders) = july.futures, calendar
    policy = IfThenPolicy(futures, rules, orders, gates_of(july.spec))
    run = simulate_policy(july.spec, policy, candidates(futures, july.spec), Key(ROOT), range(COUNT))
    shape = (len(futures.purchases), len(futures.pools), futures.months)
    np.testing.assert_array_equal(run.ordered(*shape), placed(futures, rules, orders))


def test_a_lot_that_a_policy_places_fares_as_the_futures_say(july, calendar):
    """The optimiser's futures hold one lot for each source and month; the first lot of a policy has the same luck."""
    futures, (rules, orders) = july.futures, calendar
    policy = IfThenPolicy(futures, rules, orders, gates_of(july.spec))
    lots = candidates(futures, july.spec)
    run = simulate_policy(july.spec, policy, lots, Key(ROOT), range(COUNT))
    first = np.flatnonzero(lots.lot == 0)
    seen = run.placed[:, first]
    same = july.lot_of[lots.source[first], lots.month[first]]
    assert seen.any()
    ours = run.deliveries.delivered_at[:, first]
    theirs = july.deliveries.delivered_at[:, same]
    np.testing.assert_array_equal(ours[seen], theirs[seen])
