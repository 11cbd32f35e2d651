"""Planning anew sees no further than its month, keeps the caps, and is not told what it could not know."""

from dataclasses import replace

import numpy as np
import pytest

from planner.optimise.evaluate import evaluate
from planner.optimise.policies.rolling_horizon import Beliefs, replanned, replanned_confirmation
from planner.optimise.service_level.confirm import Samples

SHAPE = {"P": 2, "S": 4, "R": 1, "T": 12, "spot_cap": 110}


@pytest.fixture(name="futures", scope="module")
def futures_fixture(synthetic):
    return synthetic(150, seed=5, **SHAPE)


@pytest.fixture(name="beliefs", scope="module")
def beliefs_fixture(synthetic):
    return Beliefs(synthetic(300, seed=4, **SHAPE), 0.8)


def test_orders_depend_on_nothing_that_lies_ahead(futures, beliefs):
    """Need, capacity and gates of later months, and arrivals not yet seen, are shuffled: earlier orders stand."""
    month = 1
    swap = np.random.default_rng(1).permutation(futures.count)
    need, passing = futures.need.copy(), futures.passing.copy()
    need[:, :, month + 1 :] = need[swap][:, :, month + 1 :]
    passing[:, :, month + 1 :] = passing[swap][:, :, month + 1 :]
    unseen = futures.arrival_month > month
    later = np.where(unseen, np.maximum(futures.arrival_month[swap], month + 1), futures.arrival_month)
    other = replace(futures, need=need, passing=passing, arrival_month=later)
    here, there = replanned(futures, beliefs), replanned(other, beliefs)
    np.testing.assert_array_equal(here[..., : month + 1], there[..., : month + 1])
    assert np.any(here[..., month + 1 :] != there[..., month + 1 :])


def test_what_to_order_today_is_certain(futures, beliefs):
    """All futures begin alike, and what distinguishes them has not been seen."""
    alike = replace(futures, passing=np.broadcast_to(futures.passing[:1], futures.passing.shape).copy())
    first = replanned(alike, beliefs)[..., 0]
    assert np.all(first == first[0])


def test_caps_and_lots_are_kept(futures, beliefs):
    capped = replace(
        futures, purchases=tuple(replace(s, monthly_cap=32.0, total_cap=72.0, lot_gpus=8) for s in futures.purchases)
    )
    orders = replanned(capped, beliefs)
    assert np.all(orders % 8 == 0)
    assert orders.sum(axis=1).max() <= 32
    assert orders.sum(axis=(1, 3)).max() <= 72
    assert orders.any()


def test_sources_of_one_allotment_share_its_caps(futures, beliefs):
    shared = replace(futures, purchases=tuple(replace(s, monthly_cap=16.0, allotment="one") for s in futures.purchases))
    assert replanned(shared, beliefs).sum(axis=(1, 2)).max() == 16


def test_need_that_grows_faster_is_met_with_more(futures, beliefs):
    free = replace(futures, purchases=tuple(replace(source, monthly_cap=np.inf) for source in futures.purchases))
    more = replace(free, need=futures.need * np.linspace(1, 1.5, 12))
    assert replanned(more, beliefs).sum() > replanned(free, beliefs).sum()


def test_patience_and_haste_leave_out_what_they_say(futures, beliefs):
    assert not replanned(futures, replace(beliefs, first_month=2))[..., :2].any()
    hasty = replace(beliefs, longest_lead=4)
    for s, m in np.argwhere(replanned(futures, hasty).any(axis=(0, 1))):
        assert beliefs.serves[s, m].min() - m <= 4


def test_the_promise_is_that_of_rule_and_rental_together(synthetic):
    samples = Samples(*(synthetic(n, seed=n, **SHAPE) for n in (150, 200, 250)), 0.85)
    found = replanned_confirmation(samples, (0.6, 0.8))
    plan = found.confirmation.confirmed.plan
    assert plan.orders.shape == (250, 2, 4, 12)
    again = evaluate(samples.confirm, plan)
    assert found.confirmation.confirmed.outcome.expected_cost == pytest.approx(again.expected_cost)
    assert found.beliefs.caution in (0.6, 0.8)


def test_beliefs_are_quantiles_of_what_was_learnt(beliefs):
    train = beliefs.train
    seen = train.need[:, 0, 7] / train.need[:, 0, 3]
    assert beliefs.growth[0, 3, 7] == pytest.approx(np.quantile(seen, 0.8))
    late = train.arrival_month[:, 2, 0]
    still_out = late[late > 4]
    assert (still_out <= beliefs.due[2, 0, 4]).mean() >= 0.8
    assert np.all(beliefs.serves >= np.arange(12)[None, :, None])
