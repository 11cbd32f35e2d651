"""Spot sharing: closed form and batched simplex against a linear programme of each month."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from planner.optimise.lp.formulation import Formulation
from planner.optimise.lp.recourse import Sharing, Spot, _Bases, least_unmet, share_one_rental


def cheapest_by_linprog(owed, carries, rent, unmet_price, cap):
    """One month's cover by SciPy: the independent answer."""
    P, R = carries.shape
    cost = np.r_[np.tile(rent, P), unmet_price]
    serves = np.zeros((P, P * R + P))
    for p in range(P):
        serves[p, p * R : (p + 1) * R] = carries[p]
        serves[p, P * R + p] = 1.0
    caps = np.hstack([np.tile(np.eye(R), (1, P)), np.zeros((R, P))])
    found = linprog(cost, A_ub=np.vstack([-serves, caps]), b_ub=np.r_[-owed, cap], method="highs")
    return found.fun


@given(seed=st.integers(0, 10**6), P=st.integers(1, 4), R=st.integers(1, 3))
@settings(max_examples=60, deadline=None)
def test_sharing_costs_what_a_linear_programme_says(seed, P, R):
    rng = np.random.default_rng(seed)
    B = 4
    owed = rng.uniform(0, 30, (B, P)) * (rng.random((B, P)) < 0.8)
    carries = rng.uniform(0.1, 2, (B, P, R)) * (rng.random((B, P, R)) < 0.9)
    rent = rng.uniform(0, 3, (B, R))
    unmet_price = rng.uniform(1, 50, (B, P))
    cap = rng.uniform(0, 20, (B, R)) * (rng.random((B, R)) < 0.9)
    programme = Sharing(owed, carries, rent, unmet_price, cap)
    gpus, unmet, price, cost = programme.solve(_Bases.none(B, P + R), np.arange(B))
    for b in range(B):
        expected = cheapest_by_linprog(owed[b], carries[b], rent[b], unmet_price[b], cap[b])
        assert cost[b] == pytest.approx(expected, rel=1e-7, abs=1e-7)
    assert np.all(gpus.sum(axis=1) <= cap + 1e-7)
    assert np.all((gpus * carries).sum(axis=2) + unmet >= owed - 1e-7)
    assert np.all(price >= 0)


@given(seed=st.integers(0, 10**6), R=st.integers(1, 2))
@settings(max_examples=40, deadline=None)
def test_price_is_a_subgradient_of_the_cost(synthetic, seed, R):
    """Q(d') >= Q(d) + λ(d' - d) for any other deficits, also when bases of the first question are reused."""
    futures = synthetic(20, P=3, R=R, T=6, seed=3)
    spot = Spot(futures)
    rng = np.random.default_rng(seed)
    here = futures.base_deficit * rng.uniform(0.2, 2, futures.need.shape)
    there = futures.base_deficit * rng.uniform(0.2, 2, futures.need.shape)
    first, second = spot.cover(here), spot.cover(there)
    plane = first.cost + (first.price * (there - here)).sum(axis=1)
    assert np.all(second.cost >= plane - 1e-6 * (1 + np.abs(plane)))


@given(seed=st.integers(0, 10**6), P=st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_one_rental_shared_in_closed_form_costs_what_a_linear_programme_says(seed, P):
    rng = np.random.default_rng(seed)
    owed = rng.uniform(0, 30, (4, P)) * (rng.random((4, P)) < 0.8)
    carries = rng.uniform(0.1, 2, (4, P)) * (rng.random((4, P)) < 0.9)
    rent = rng.uniform(0, 0.1, 4)
    unmet_price = rng.uniform(2, 50, (4, P))
    wanted = np.divide(owed, carries, out=np.zeros_like(owed), where=carries > 0).sum(axis=1)
    cap = wanted * rng.uniform(0, 1, 4)  # the pools want more than there is
    gpus, unmet, _, cost = share_one_rental(owed, carries, rent, unmet_price, cap)
    for b in range(4):
        expected = cheapest_by_linprog(owed[b], carries[b, :, None], rent[b : b + 1], unmet_price[b], cap[b : b + 1])
        assert cost[b] == pytest.approx(expected, rel=1e-7, abs=1e-7)
    assert np.all(gpus.sum(axis=1) <= cap + 1e-9)
    np.testing.assert_allclose(gpus * carries + unmet, owed, atol=1e-9)


def test_a_remembered_basis_gives_the_answer_of_a_fresh_one(synthetic):
    futures = synthetic(50)
    used = Spot(futures)
    for factor in (1.0, 0.7, 1.3, 0.9):
        used.cover(futures.base_deficit * factor)
    again, fresh = used.cover(futures.base_deficit), Spot(futures).cover(futures.base_deficit)
    np.testing.assert_allclose(again.cost, fresh.cost, rtol=1e-9)
    np.testing.assert_allclose(again.unmet, fresh.unmet, atol=1e-7)


def test_spot_keeps_to_its_caps_and_serves_what_it_says(synthetic):
    futures = synthetic(200)
    cover = Spot(futures).cover(futures.base_deficit, with_rented=True)
    caps = np.array([rental.spot_cap for rental in futures.rentals])
    assert np.all(cover.rented.sum(axis=1) <= caps + 1e-7)
    served = np.einsum("nprt,npr->npt", cover.rented, futures.rental_per_gpu)
    owed = np.maximum(futures.base_deficit, 0)
    np.testing.assert_allclose(served + cover.unmet, owed, atol=1e-7)


def test_rent_first_leaves_nothing_unmet_while_spot_is_left(synthetic):
    """With one pool: unmet need only where every rental is at its cap."""
    futures = synthetic(300, P=1)
    cover = Spot(futures).cover(futures.base_deficit, with_rented=True)
    caps = np.array([rental.spot_cap for rental in futures.rentals])
    left = (caps - cover.rented[:, 0]).max(axis=1)
    assert np.all(left[cover.unmet[:, 0] > 1e-9] < 1e-9)


def test_free_gpus_leave_the_least_unmet(synthetic):
    futures = synthetic(100)
    formulation = Formulation(futures)
    owed = np.maximum(futures.base_deficit, 0.0)[:, :, 5]
    prices = np.broadcast_to(futures.unmet_price[:, 5], owed.shape)
    caps = np.broadcast_to([rental.spot_cap[5] for rental in futures.rentals], (100, 2))
    unmet = least_unmet(owed, futures.rental_per_gpu, prices, caps)
    expected = formulation.least.cover(futures.base_deficit).cost[:, 5]
    np.testing.assert_allclose((unmet * prices).sum(axis=1), expected, rtol=1e-9, atol=1e-7)


def test_without_rentals_every_deficit_is_unmet(synthetic):
    futures = synthetic(10, R=0)
    cover = Spot(futures).cover(futures.base_deficit, with_rented=True)
    np.testing.assert_array_equal(cover.unmet, np.maximum(futures.base_deficit, 0))


def test_spot_is_rented_first_even_where_it_costs_more_than_unmet_demand(synthetic):
    """A future whose rented GPUs are weak: the price of unmet demand is raised to that of spot."""
    futures = synthetic(20, P=1, S=1, R=1, T=4)
    futures.rental_per_gpu[0] *= 1e-3
    formulation = Formulation(futures)
    assert np.all(formulation.spot.unmet_price >= futures.unmet_price)
    assert formulation.spot.unmet_price[0, 0, 0] == pytest.approx(
        futures.rentals[0].spot_price[0] / futures.rental_per_gpu[0, 0, 0]
    )
    cover = formulation.spot.cover(futures.base_deficit, with_rented=True)
    assert cover.rented[0, 0, 0, 0] == pytest.approx(futures.rentals[0].spot_cap[0])
