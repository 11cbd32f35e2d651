"""A plan that stands at its own volume, or word that none was found."""

from dataclasses import replace

import numpy as np

from planner.futures.arrays import Orders
from planner.optimise.congestion import moved, settle
from planner.optimise.evaluate import evaluate
from planner.optimise.service_level.confirm import Samples

SHAPE = {"P": 1, "S": 4, "R": 1, "T": 12, "spot_cap": 110}


def later(futures, months):
    """Every order arrives so many months later."""
    arrival = np.minimum(futures.arrival_month + months, futures.months)
    return replace(futures, arrival_month=arrival)


def study(synthetic, delay):
    """Futures drawn at a plan's volume: its arrivals are later by ``delay(GPUs ordered)`` months."""

    def draw(orders):
        months = 0 if orders is None else delay(int(orders.orders.sum()))
        made = [later(synthetic(n, seed=n, **SHAPE), months) for n in (120, 150, 180)]
        return Samples(*made, 0.85)

    return draw


def test_where_own_orders_lengthen_nothing_the_second_plan_is_the_first(synthetic):
    found = settle(study(synthetic, lambda gpus: 0))
    assert found.settled
    assert found.moves == (0.0,)
    assert found.confirmation.confirmed.outcome.expected_cost == found.cost_alone


def test_a_plan_that_settles_is_judged_at_its_own_volume(synthetic):
    draw = study(synthetic, lambda gpus: 1)
    found = settle(draw)
    assert found.settled
    plan = found.confirmation.confirmed.plan
    outcome = evaluate(draw(plan).confirm, plan)
    assert found.confirmation.confirmed.outcome.expected_cost == outcome.expected_cost
    assert found.confirmation.confirmed.outcome.expected_cost > found.cost_alone


def test_a_plan_that_goes_round_in_circles_is_said_not_to_settle(synthetic):
    """Each volume meets the delay that the other one should have: more orders hasten, fewer delay."""
    seen = []

    def delay(gpus):
        seen.append(gpus)
        return 3 * (len(seen) % 2)

    found = settle(study(synthetic, delay), rounds=4)
    assert not found.settled
    assert len(found.moves) == 3
    assert min(found.moves) > 0.02


def test_moved_is_the_share_ordered_elsewhere():
    def plan(*gpus):
        return Orders(np.array([[gpus]]), np.zeros((1, 0, 3)))

    assert moved(plan(8, 0, 8), plan(8, 8, 0)) == 0.5
    assert moved(plan(8, 0, 0), plan(8, 8, 0)) == 0.5
    assert moved(plan(0, 0, 0), plan(0, 0, 0)) == 0.0


def test_a_plan_that_meets_the_goal_is_not_dropped_for_one_that_does_not(synthetic):
    """Whatever volume the search ends at, no plan of its rounds lacks less of the goal at its own volume."""
    drawn = []

    def draw(orders):
        drawn.append((orders, study(synthetic, lambda gpus: min(3, gpus // 200))(orders)))
        return drawn[-1][1]

    def lacks(plan, samples):
        return np.maximum(0.85 - evaluate(samples.confirm, plan).probability, 0.0).sum()

    found = settle(draw, rounds=4)
    chosen = lacks(found.confirmation.confirmed.plan, found.samples)
    goals = [lacks(plan, samples) for plan, samples in drawn if plan is not None]
    assert chosen == min(goals) or found.confirmation.confirmed.out_of_reach
