"""An if-then rule orders what a buyer orders who looks at the gates month by month, and the lots fare as promised."""

from dataclasses import replace

import numpy as np
import pytest

from planner.futures.arrays import CLOSED, PASSING
from planner.futures.sample import draw_prospects
from planner.open_scenario import open_scenario
from planner.optimise.policies.if_then import placed, rules_of
from planner.sampling import Key
from planner.sizing import capacities
from planner.supply.gates.paths import draw_paths
from planner.supply.network.spec import Orders
from planner.supply.simulate import simulate

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


@pytest.fixture(name="bought", scope="module")
def bought_fixture(july, calendar):
    """[N, P, S, M] GPUs that a buyer orders who is asked on the first minute of each month and sees no further.

    The buyer sees the states of the gates in this month and in earlier ones; later months look closed.
    """
    futures, (rules, orders), spec = july.futures, calendar, july.spec
    paths = draw_paths(spec.gates, spec.horizon_minutes, Key(ROOT), range(COUNT))
    made = np.zeros((COUNT, len(futures.pools), len(futures.purchases), futures.months), dtype=np.int64)
    seen = np.full((COUNT, len(spec.sources), futures.months), CLOSED, dtype=np.int8)
    for month, minute in enumerate(spec.month_minutes[: futures.months]):
        states = [path.at(minute) for path in paths]
        for s, source in enumerate(spec.sources):
            least = np.min([states[k] for k in spec.gates_of(source)] or [np.full(COUNT, PASSING)], axis=0)
            seen[:, s, month] = np.minimum(least, PASSING)
        asked = replace(futures, regime=seen, passing=seen >= PASSING)
        made[..., month] = placed(asked, rules, orders)[..., month]
    return made


def test_a_buyer_who_sees_no_further_places_what_the_rules_place_in_every_future(july, calendar, bought):
    rules, orders = calendar
    assert bought.any()
    np.testing.assert_array_equal(bought, placed(july.futures, rules, orders))


def test_a_lot_that_the_buyer_places_fares_as_the_futures_say(july, bought):
    """The optimiser's futures hold one lot for each source and month; the buyer's first lot has the same random
    numbers."""
    spec, ordered = july.spec, bought.sum(axis=1)
    places = [(s, m) for s, m in np.argwhere(ordered.any(axis=0)).tolist()]
    gpus = [july.futures.purchases[s].lot_gpus for s, _ in places]
    rows = [(s, m, 0, 0, lot, spec.month_minutes[m]) for (s, m), lot in zip(places, gpus, strict=True)]
    lots = Orders.of(rows)
    seen = ordered[:, lots.source, lots.month] > 0
    lots = replace(lots, placed_at=np.where(seen, lots.placed_at, spec.horizon_minutes))
    made = simulate(spec, lots, Key(ROOT), range(COUNT), engine="simpy")
    theirs = july.deliveries.delivered_at[:, july.lot_of[lots.source, lots.month]]
    assert seen.any()
    assert not seen.all()
    np.testing.assert_array_equal(made.delivered_at[seen], theirs[seen])
    assert not made.delivered[~seen].any()
