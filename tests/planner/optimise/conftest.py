"""Synthetic futures of a realistic shape, for the tests of the optimiser. Nothing here is data."""

import numpy as np
import pytest

from planner.futures.arrays import Futures, Purchase, Rental


def synthetic(
    N: int,
    *,
    P: int = 2,
    S: int = 5,
    R: int = 2,
    T: int = 18,
    seed: int = 1,
    spot_cap: float = 24.0,
    budget: float | None = None,
) -> Futures:
    """Growing need, gated imports with long and overtaking lead times, a domestic source, clouds."""
    rng = np.random.default_rng(seed)
    month = np.arange(T)
    scale = np.array([100.0, 40.0, 70.0, 20.0])[:P]
    growth = np.exp(np.clip(rng.normal(0.04, 0.02, (N, 1, 1)), -0.02, 0.1) * month)
    noise = np.exp(rng.normal(0, 0.06, (N, P, T)))
    need = scale[None, :, None] * 1.1 * growth * noise
    owned = np.broadcast_to((scale * 0.7)[None, :, None], (N, P, T)) * rng.uniform(0.97, 1.0, (N, P, 1))

    # Sources: finished stock, part-finished, new wafers (all gated), then domestic ones.
    lead = np.array([1.0, 3.0, 9.0, 4.0, 6.0, 2.0])[:S]
    gated = np.array([True, True, True, False, False, False])[:S]
    price = np.array([14.0, 13.0, 12.0, 19.0, 17.0, 21.0])[:S]
    cap = np.array([40.0, 60.0, np.inf, 32.0, 24.0, 16.0])[:S]
    opens = rng.exponential(5.0, (N, 2)).round().astype(int) + (rng.random((N, 2)) < 0.12) * 100
    passing = month[None, :] >= opens.max(axis=1)[:, None]
    lateness = rng.lognormal(0.0, 0.25, (N, S, 1)) * rng.lognormal(0.0, 0.1, (N, S, T))
    arrival = np.ceil(month + lead[None, :, None] * lateness)
    released = np.maximum(arrival, opens.max(axis=1)[:, None, None] + 1)
    arrival = np.where(gated[None, :, None], released, arrival)
    arrival = np.minimum(arrival, T).astype(int)

    base = np.array([0.9, 0.25, 0.5, 0.2])[:P]
    kind = np.array([1.0, 1.0, 1.0, 0.7, 0.6, 0.5])[:S]
    per_gpu = base[None, :, None] * kind * np.exp(rng.normal(0, 0.05, (N, 1, S)))
    rental_kind = np.array([1.2, 0.9, 1.0])[:R]
    tilt = 1 + 0.1 * np.outer(np.arange(P), np.arange(R))
    rental_per_gpu = base[None, :, None] * rental_kind * tilt * np.exp(rng.normal(0, 0.03, (N, 1, R)))

    serves = (T - arrival).clip(0)
    outlay = price[None, :, None] * (0.35 + 0.65 * (arrival < T)) * (0.99**month) + 0.15 * serves
    outlay = outlay - price[None, :, None] * 0.5 * (arrival < T) * np.clip(1 - (serves / 36), 0, 1) * 0.8
    rent = np.array([2.2, 1.8, 2.0])[:R]
    rentals = tuple(
        Rental(
            name=f"cloud-{r}",
            sku="H100",
            reserved_cap=np.full(T, 40.0),
            spot_cap=np.full(T, spot_cap),
            reserved_price=rent[r] * 0.99**month,
            spot_price=1.6 * rent[r] * 0.99**month,
            notice_months=1,
            lot_gpus=8,
        )
        for r in range(R)
    )
    unmet = np.broadcast_to((12.0 / base)[:, None] * 0.99**month, (P, T)).copy()
    every = np.ones((P, T), dtype=bool)
    return Futures(
        months=T,
        pools=tuple(f"pool-{p}" for p in range(P)),
        need=need,
        owned=owned,
        purchases=tuple(Purchase(f"source-{s}", "GPU", 8, float(cap[s]), float("inf"), every) for s in range(S)),
        rentals=rentals,
        per_gpu=per_gpu,
        rental_per_gpu=rental_per_gpu,
        arrival_month=arrival,
        outlay=outlay,
        unmet_price=unmet,
        budget=budget,
        passing=np.where(gated[None, :, None], passing[:, None, :], True),
    )


@pytest.fixture(name="synthetic", scope="session")
def synthetic_fixture():
    return synthetic
