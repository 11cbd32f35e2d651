"""The whole programme as one linear programme, every future written out: the test oracle of the cuts.

Rows and columns grow with futures x pools x months, so it is for a few hundred futures; formulation.py says
what is solved, and `Formulation.solve` solves it for any number.
"""

from dataclasses import dataclass

import highspy
import numpy as np

from planner.futures.arrays import Array, Futures, Orders
from planner.optimise.lp.formulation import Formulation
from planner.optimise.lp.highs import quiet_highs

MOST_FUTURES = 2_000
"""Beyond this the programme takes gigabytes; ask `Formulation.solve`."""


@dataclass(frozen=True)
class WholeProgramme:
    """The optimum of the written-out programme."""

    plan: Orders
    expected_cost: float
    rows: int
    feasible: bool


def monolithic(futures: Futures, cvar_level: float = 0.9, cvar_bound: float = np.inf) -> WholeProgramme:
    """Solve by HiGHS in one piece; the bound is hard here, and ``feasible`` says whether it can be kept."""
    assert futures.count <= MOST_FUTURES, "the written-out programme is a test oracle"
    formulation = Formulation(futures)
    writer = _Writer(formulation)
    writer.recourse(rent=True)
    if np.isfinite(cvar_bound):
        writer.tail(writer.recourse(rent=False), cvar_level, cvar_bound)
    return writer.solve()


class _Writer:
    """Columns and rows of the programme, block by block."""

    def __init__(self, formulation: Formulation) -> None:
        self.formulation = formulation
        self.futures = formulation.futures
        # Costs in units of money / N, so that the cost of one future stands clear of HiGHS's tolerances.
        self.unit = formulation.money / formulation.futures.count
        self.cost = [formulation.outlay / self.unit]
        self.upper = [formulation.upper]
        self.columns = len(formulation.outlay)
        self.free: list[int] = []
        self.blocks: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self.row_lower: list[Array] = []
        self.row_upper: list[Array] = []
        self.rows = 0
        row, column = np.nonzero(formulation.hard)
        self._entries(row, column, formulation.hard[row, column])
        self._close(np.full(len(formulation.hard_upper), -np.inf), formulation.hard_upper)

    def _entries(self, row: np.ndarray, column: np.ndarray, value: Array) -> None:
        self.blocks.append((row + self.rows, column, value))

    def _close(self, lower: Array, upper: Array) -> None:
        self.row_lower.append(lower)
        self.row_upper.append(upper)
        self.rows += len(lower)

    def _column(self, cost: Array, upper: float = np.inf) -> int:
        first = self.columns
        self.cost.append(cost)
        self.upper.append(np.full(len(cost), upper))
        self.columns += len(cost)
        return first

    def recourse(self, rent: bool) -> np.ndarray:
        """Spot and unmet of every future and month, with or without their costs; the columns of unmet."""
        futures, money = self.futures, self.formulation.money
        N, P, T = futures.need.shape
        R = len(futures.rentals)
        spot_price = np.array([rental.spot_price for rental in futures.rentals]).reshape(R, T)
        spot_cap = np.array([rental.spot_cap for rental in futures.rentals]).reshape(R, T)
        charged = 1.0 / money if rent else 0.0
        z_cost = np.broadcast_to(spot_price * charged, (N, P, R, T))
        z = self._column(z_cost.ravel()) + np.arange(N * P * R * T).reshape(N, P, R, T)
        w_cost = self.formulation.spot.unmet_price * charged
        w = self._column(w_cost.ravel()) + np.arange(N * P * T).reshape(N, P, T)
        self._cover_rows(z, w)
        row = np.broadcast_to(np.arange(N * R * T).reshape(N, 1, R, T), (N, P, R, T))
        self._entries(row.ravel(), z.ravel(), np.ones(z.size))
        self._close(np.full(N * R * T, -np.inf), np.broadcast_to(spot_cap, (N, R, T)).ravel())
        return w

    def _cover_rows(self, z: np.ndarray, w: np.ndarray) -> None:
        """delivered + reserved + spot + unmet >= need - owned."""
        futures, formulation = self.futures, self.formulation
        N, P, T = futures.need.shape
        row = np.arange(N * P * T).reshape(N, P, T)
        orders = len(formulation.order_columns)
        for index, (p, s, m) in enumerate(formulation.order_columns):
            n, t = np.nonzero(futures.arrival_month[:, s, m, None] <= np.arange(T))
            self._entries(row[n, p, t], np.full(len(n), index), futures.per_gpu[n, p, s])
        for index, (p, r, t) in enumerate(formulation.reserve_columns):
            self._entries(row[:, p, t], np.full(N, orders + index), futures.rental_per_gpu[:, p, r])
        per_gpu = np.broadcast_to(futures.rental_per_gpu[..., None], z.shape)
        self._entries(np.broadcast_to(row[:, :, None], z.shape).ravel(), z.ravel(), per_gpu.ravel())
        self._entries(row.ravel(), w.ravel(), np.ones(w.size))
        self._close(futures.base_deficit.ravel(), np.full(N * P * T, np.inf))

    def tail(self, w: np.ndarray, level: float, bound: float) -> None:
        """η + Σ v_n / ((1-α) N) <= b,  v_n >= L_n - η,  v_n >= 0."""
        futures = self.futures
        N = futures.count
        eta = self._column(np.zeros(1))
        self.free.append(eta)
        v = self._column(np.zeros(N)) + np.arange(N)
        share = futures.unmet_price / self.formulation.valued_need[:, None, None]
        row = np.broadcast_to(np.arange(N)[:, None, None], w.shape)
        self._entries(row.ravel(), w.ravel(), -share.ravel())
        self._entries(np.arange(N), np.full(N, eta), np.ones(N))
        self._entries(np.arange(N), v, np.ones(N))
        self._close(np.zeros(N), np.full(N, np.inf))
        mass = max((1.0 - level) * N, 1.0)
        self._entries(np.zeros(N + 1, dtype=int), np.r_[eta, v], np.r_[1.0, np.full(N, 1.0 / mass)])
        self._close(np.array([-np.inf]), np.array([bound]))

    def solve(self) -> WholeProgramme:
        highs = quiet_highs()
        highs.setOptionValue("solver", "simplex")
        row, column, value = (np.concatenate(part) for part in zip(*self.blocks, strict=True))
        lower = np.zeros(self.columns)
        lower[self.free] = -np.inf
        nothing = np.zeros(self.columns, dtype=np.int32)
        none_index, none_value = np.zeros(0, dtype=np.int32), np.zeros(0)
        cost, upper = np.concatenate(self.cost), np.concatenate(self.upper)
        highs.addCols(self.columns, cost, lower, upper, 0, nothing, none_index, none_value)
        order = np.argsort(row, kind="stable")
        starts = np.searchsorted(row[order], np.arange(self.rows)).astype(np.int32)
        row_lower, row_upper = np.concatenate(self.row_lower), np.concatenate(self.row_upper)
        highs.addRows(self.rows, row_lower, row_upper, len(row), starts, column[order].astype(np.int32), value[order])
        highs.run()
        feasible = highs.getModelStatus() == highspy.HighsModelStatus.kOptimal
        point = np.array(highs.getSolution().col_value)[: len(self.formulation.outlay)]
        optimum = highs.getInfo().objective_function_value * self.unit if feasible else np.inf
        plan = self.formulation.plan(point if feasible else np.zeros_like(self.formulation.outlay))
        return WholeProgramme(plan, optimum, self.rows, feasible)
