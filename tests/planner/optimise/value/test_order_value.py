"""Reasons are facts about the plan: each can be recomputed by taking the order away or moving it."""

from dataclasses import replace

import numpy as np
import pytest

from planner.futures.arrays import Orders
from planner.optimise.evaluate import evaluate
from planner.optimise.service_level.calibrate import calibrate
from planner.optimise.service_level.confirm import Samples, confirmation
from planner.optimise.value.order_value import budget_that_would_do, firm_orders, order_reasons, value_of_waiting

SHAPE = {"P": 2, "S": 4, "R": 1, "T": 12, "spot_cap": 100}


@pytest.fixture(name="study", scope="module")
def study_fixture(synthetic):
    train, validate = synthetic(300, seed=1, **SHAPE), synthetic(400, seed=2, **SHAPE)
    found = calibrate(train, validate, 0.85)
    return train, validate, found, order_reasons(validate, found)


def changed(plan, p, s, m, gpus):
    orders = plan.orders.copy()
    orders[p, s, m] += gpus
    return Orders(orders, plan.reserved)


def place(validate, reason):
    p = validate.pools.index(reason.pool)
    s = [source.name for source in validate.purchases].index(reason.source)
    return p, s


def test_there_is_one_reason_for_each_order(study):
    _, _, found, reasons = study
    assert len(reasons) == (found.plan.orders > 0).sum()
    assert sum(reason.gpus for reason in reasons) == found.plan.orders.sum()


def test_odds_and_cost_without_an_order_are_those_of_the_plan_without_it(study):
    _, validate, found, reasons = study
    for reason in reasons[:4]:
        p, s = place(validate, reason)
        without = evaluate(validate, changed(found.plan, p, s, reason.month, -reason.gpus))
        drop = found.outcome.probability - without.probability
        assert reason.protects_month == drop.argmax()
        assert reason.probability_without == without.probability[reason.protects_month]
        change = without.expected_cost - found.outcome.expected_cost
        assert reason.cost_without.value == pytest.approx(change, rel=1e-6, abs=1e-6)


def test_the_last_safe_month_is_safe_and_the_next_is_not(study):
    _, validate, found, reasons = study
    floor = np.minimum(0.85, found.outcome.probability) - 0.5 / 400
    moved_later = [reason for reason in reasons if reason.last_safe_month > reason.month]
    for reason in (moved_later or list(reasons))[:4]:
        p, s = place(validate, reason)
        gone = changed(found.plan, p, s, reason.month, -reason.gpus)
        at_last = evaluate(validate, changed(gone, p, s, reason.last_safe_month, reason.gpus))
        assert np.all(at_last.probability >= floor)
        after = reason.last_safe_month + 1
        if after < validate.months:
            too_late = changed(gone, p, s, after, reason.gpus)
            too_full = too_late.orders[:, s, after].sum() > validate.purchases[s].monthly_cap
            assert too_full or np.any(evaluate(validate, too_late).probability < floor)


def test_waiting_orders_nothing_before_its_month_and_has_a_price(synthetic):
    samples = Samples(*(synthetic(n, seed=n, **SHAPE) for n in (200, 300, 400)), 0.85)
    now = confirmation(samples).confirmed
    waiting = value_of_waiting(now, lambda: confirmation(samples.only(1)).confirmed)
    assert now.plan.orders[..., 0].any()
    assert not waiting.calibration.plan.orders[..., 0].any()
    later = waiting.calibration.outcome
    assert waiting.cost.value == pytest.approx(later.expected_cost - now.outcome.expected_cost, rel=1e-9)
    assert waiting.cost.low < waiting.cost.value < waiting.cost.high
    # Waiting costs money or probability; both on the same futures, lots and the third root move the cost by 1 %.
    assert waiting.cost.value > -0.01 * now.outcome.expected_cost or waiting.probability.value < 0


def test_waiting_costs_nothing_where_nothing_was_to_be_ordered(study):
    train, validate, *_ = study
    idle = calibrate(train.only([]), validate.only([]), 0.5)

    def never():
        raise AssertionError("nothing is to be made again")

    waiting = value_of_waiting(idle, never)
    assert waiting.cost.value == 0.0
    assert waiting.probability.value == 0.0


def test_only_what_every_future_orders_has_a_reason(study):
    """Of a policy the firm orders are explained, at their firm size, with all the rest in place."""
    _, validate, found, _ = study
    orders = np.tile(found.plan.orders, (validate.count, 1, 1, 1))
    p, s, m = np.argwhere(found.plan.orders > 0)[0]
    orders[::2, p, s, m] += 8
    orders[::2, p, s, m + 1 :] = 0
    orders[1::2, p, s, m + 1 :] = 0
    orders[0, p, s, m + 1] = 8
    plan = Orders(orders, found.plan.reserved)
    policy = replace(found, solution=replace(found.solution, plan=plan), outcome=evaluate(validate, plan))
    reasons = order_reasons(validate, policy)
    assert sum(reason.gpus for reason in reasons) == firm_orders(plan).sum() < orders[0].sum()
    first = next(r for r in reasons if place(validate, r) == (p, s) and r.month == m)
    assert first.gpus == found.plan.orders[p, s, m]
    without = evaluate(validate, changed_everywhere(plan, p, s, m, -first.gpus))
    change = without.expected_cost - policy.outcome.expected_cost
    assert first.cost_without.value == pytest.approx(change, rel=1e-6, abs=1e-6)


def changed_everywhere(plan, p, s, m, gpus):
    orders = plan.orders.copy()
    orders[:, p, s, m] += gpus
    return Orders(orders, plan.reserved)


def test_the_budget_that_would_do_does(synthetic):
    """A tenth of it does not, though every month is within reach."""
    shape = {"P": 1, "S": 4, "R": 1, "T": 12, "spot_cap": 110}
    train, validate = synthetic(300, seed=1, **shape), synthetic(400, seed=2, **shape)
    enough = budget_that_would_do(train, validate, 0.9)
    assert enough is not None

    def with_budget(budget):
        return calibrate(replace(train, budget=budget), replace(validate, budget=budget), 0.9)

    # The expectation is over the training futures here and over the validating ones there: 3 % apart.
    assert with_budget(enough * 1.03).meets_goal
    poor = with_budget(enough * 0.1)
    assert not poor.meets_goal
    assert not poor.out_of_reach


def test_no_budget_helps_where_nothing_can_arrive(synthetic):
    futures = synthetic(30, P=1, S=2, R=1, T=4)
    assert budget_that_would_do(futures, futures, 0.99) is None
