"""What futures refuse, and their restrictions."""

from dataclasses import replace

import numpy as np
import pytest

from executor.errors import UserMistakeError
from planner.futures.arrays import Purchase, Rental


def everything(**changed):
    fields = {"name": "A", "sku": "GPU", "lot_gpus": 8, "monthly_cap": 8.0, "total_cap": 8.0}
    return Purchase(**{**fields, "may_order": np.ones((1, 2), dtype=bool), **changed})


def test_a_lot_of_no_gpus_is_refused():
    with pytest.raises(UserMistakeError, match=r"A: lot_gpus must be 1 or more GPUs \(got 0\)"):
        everything(lot_gpus=0)


@pytest.mark.parametrize("cap", [-1.0, float("nan")])
def test_a_cap_below_nothing_is_refused(cap):
    with pytest.raises(UserMistakeError, match="monthly_cap must be 0 or more"):
        everything(monthly_cap=cap)


def test_a_negative_rent_is_refused():
    flat = np.ones(2)
    with pytest.raises(UserMistakeError, match="cloud: spot_price must be 0 or more"):
        Rental("cloud", "GPU", flat, flat, flat, -flat, 0, 8)


def test_a_negative_budget_is_refused(synthetic):
    with pytest.raises(UserMistakeError, match="budget must be 0 or more"):
        synthetic(2, budget=-1.0)


@pytest.mark.parametrize("name", ["need", "owned", "per_gpu", "outlay", "unmet_price"])
def test_values_that_are_not_finite_are_refused(synthetic, name):
    futures = synthetic(2, T=4)
    broken = getattr(futures, name).copy()
    broken.flat[0] = np.nan
    with pytest.raises(ValueError, match=f"{name} holds a value that is not finite"):
        replace(futures, **{name: broken})


def test_an_array_of_the_wrong_shape_is_refused(synthetic):
    futures = synthetic(3, T=4)
    with pytest.raises(ValueError, match="need has shape"):
        replace(futures, need=futures.need[:, :, :3])


def test_only_keeps_the_named_sources_in_their_places(synthetic):
    futures = synthetic(5).only(["source-3"], first_order_month=2)
    assert [s.name for s in futures.purchases] == [f"source-{s}" for s in range(5)]
    assert not futures.may_order[:, [0, 1, 2, 4]].any()
    assert not futures.may_order[:, 3, :2].any()
    assert futures.may_order[:, 3, 2:].any()


def test_taking_futures_takes_all_arrays_alike(synthetic):
    futures = synthetic(6)
    part = futures.take([4, 1])
    np.testing.assert_array_equal(part.need, futures.need[[4, 1]])
    np.testing.assert_array_equal(part.arrival_month, futures.arrival_month[[4, 1]])
    np.testing.assert_array_equal(part.passing, futures.passing[[4, 1]])


def test_an_order_that_can_never_arrive_is_no_choice(synthetic):
    futures = synthetic(5)
    never = futures.arrival_month.copy()
    never[:, 2] = futures.months
    assert not replace(futures, arrival_month=never).may_order[:, 2].any()
