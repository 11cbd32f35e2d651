"""Sparse delivery events against the dense tensor they stand for."""

import numpy as np
import pytest

from planner.optimise.lp.delivered_capacity import Deliveries


@pytest.fixture(name="case")
def case_fixture(synthetic):
    futures = synthetic(40, T=10)
    arrived = futures.arrival_month[:, :, :, None] <= np.arange(10)
    rng = np.random.default_rng(5)
    return futures, arrived.astype(float), rng


def test_capacity_equals_the_dense_sum(case):
    futures, arrived, rng = case
    orders = rng.integers(0, 3, (2, 5, 10)) * 8
    dense = np.einsum("nps,psm,nsmt->npt", futures.per_gpu, orders, arrived)
    np.testing.assert_allclose(Deliveries(futures).capacity(orders), dense, rtol=1e-12, atol=1e-9)


def test_capacity_of_orders_that_differ_by_future(case):
    futures, arrived, rng = case
    orders = rng.integers(0, 3, (40, 2, 5, 10)) * 8
    dense = np.einsum("nps,npsm,nsmt->npt", futures.per_gpu, orders, arrived)
    np.testing.assert_allclose(Deliveries(futures).capacity(orders), dense, rtol=1e-12, atol=1e-9)


def test_gradients_are_the_transposed_map(case):
    futures, arrived, rng = case
    price = rng.random((40, 2, 10)) * (rng.random((40, 1, 10)) < 0.4)
    dense = np.einsum("npt,nps,nsmt->tpsm", price, futures.per_gpu, arrived)
    deliveries = Deliveries(futures)
    np.testing.assert_allclose(deliveries.gradient_by_month(price), dense, rtol=1e-12, atol=1e-9)
    np.testing.assert_allclose(deliveries.gradient(price), dense.sum(axis=0), rtol=1e-12, atol=1e-9)


def test_an_order_may_be_overtaken(synthetic):
    """No FIFO: an order of month 1 that arrives before one of month 0 serves before it."""
    futures = synthetic(1, P=1, S=1, R=0, T=4)
    futures.arrival_month[0, 0] = [3, 1, 4, 4]
    orders = np.array([[[8, 16, 0, 0]]])
    capacity = Deliveries(futures).capacity(orders)[0, 0] / futures.per_gpu[0, 0, 0]
    np.testing.assert_allclose(capacity, [0, 16, 16, 24])
