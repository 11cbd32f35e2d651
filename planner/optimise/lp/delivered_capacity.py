"""Capacity that ordered and rented GPUs bring, month by month and future by future, and its derivative.

    capacity[n,p,t] = Σ_s k[n,p,s] Σ_{m : a[n,s,m] ≤ t} x[p,s,m]

    k  requests/s one GPU of source s carries in pool p
    a  month in which an order of month m arrives
    x  GPUs ordered

Every order is its own lot: nothing assumes that an earlier order arrives earlier. Only delivery events are
kept (one integer per future, source and order month), never the dense N x S x M x T tensor.
"""

import numpy as np
from numpy.typing import NDArray

from planner.futures.arrays import Array, Futures


class Deliveries:
    """The linear map from orders to capacity, forwards and transposed."""

    def __init__(self, futures: Futures) -> None:
        self.N, self.P, self.T = futures.need.shape
        self.S = len(futures.purchases)
        self.per_gpu = futures.per_gpu
        self.arrival = np.minimum(futures.arrival_month, self.T).astype(np.int16)
        # One bin per future and month, and one more per future for what never arrives.
        self.bins = np.arange(self.N)[:, None, None] * (self.T + 1) + self.arrival

    def capacity(self, orders: NDArray[np.generic]) -> Array:
        """[N, P, T] requests/s delivered, for orders [P, S, M] or [N, P, S, M]."""
        landed = np.zeros((self.N, self.P, self.T + 1))
        shared = orders.ndim == 3
        for p in range(self.P):
            for s in range(self.S):
                placed = orders[p, s] if shared else orders[:, p, s]
                months = np.flatnonzero(placed if shared else placed.any(axis=0))
                if len(months) == 0:
                    continue
                bins = self.bins[:, s, months]
                gpus = np.broadcast_to(placed[..., months].astype(float), bins.shape)
                counted = np.bincount(bins.ravel(), gpus.ravel(), minlength=self.N * (self.T + 1))
                landed[:, p] += self.per_gpu[:, p, s, None] * counted.reshape(self.N, self.T + 1)
        return np.cumsum(landed[:, :, : self.T], axis=2)

    def gradient_by_month(self, price: Array) -> Array:
        """[T, P, S, M] derivative of Σ_n price[n,p,t] capacity[n,p,t], one row for each month t."""
        gradient = np.zeros((self.T, self.P, self.S, self.T))
        if self.S == 0:
            return gradient
        for t in range(self.T):
            short = np.flatnonzero(price[:, :, t].any(axis=1))
            if len(short) == 0:
                continue
            # Orders of later months have not arrived by t: the slice halves the work.
            arrived = (self.arrival[short, :, : t + 1] <= t).astype(float)
            worth = price[short, :, t, None] * self.per_gpu[short]
            for p in range(self.P):
                gradient[t, p, :, : t + 1] = (worth[:, p, :, None] * arrived).sum(axis=0)
        return gradient

    def gradient(self, price: Array) -> Array:
        """[P, S, M] derivative of Σ_{n,t} price[n,p,t] capacity[n,p,t]."""
        short = np.flatnonzero(price.any(axis=(1, 2)))
        total = np.zeros((self.P, self.S, self.T))
        # Worth of one unit of capacity from month a to the horizon; nothing for what never arrives.
        tail = np.zeros((len(short), self.P, self.T + 1))
        tail[:, :, : self.T] = np.cumsum(price[short, :, ::-1], axis=2)[:, :, ::-1]
        row = np.arange(len(short))[:, None]
        for s in range(self.S):
            arrival = self.arrival[short, s]
            for p in range(self.P):
                total[p, s] = (self.per_gpu[short, p, s, None] * tail[:, p][row, arrival]).sum(axis=0)
        return total


def carried(per_gpu: Array, gpus: NDArray[np.generic]) -> Array:
    """[N, P, T] requests/s of GPUs [P, R, T] that each carry ``per_gpu`` [N, P, R], rental by rental."""
    total = np.zeros((len(per_gpu), gpus.shape[0], gpus.shape[2]))
    for r in range(gpus.shape[1]):
        if gpus[:, r].any():
            total += per_gpu[:, :, r, None] * gpus[:, r].astype(float)
    return total


def carried_slope(price: Array, per_gpu: Array) -> Array:
    """[P, R, T] derivative of Σ_n price[n,p,t] × ``carried``."""
    _, pools, rentals = per_gpu.shape
    slope = np.zeros((pools, rentals, price.shape[2]))
    for r in range(rentals):
        slope[:, r] = (price * per_gpu[:, :, r, None]).sum(axis=0)
    return slope
