r"""Convex programmes by cutting planes: a small linear master and an oracle.

    minimise    c·x + Σ_j v_j f_j(x)
    subject to  lo <= A x <= hi                       hard, linear
                Σ_j B_ij f_j(x) + D_i·x <= h_i        soft: excess costs ρ_i a unit
                l <= x <= u

    f_j  convex, known only through an oracle that returns value and subgradient at a point

Each f_j is replaced by a column θ_j and every answer of the oracle adds the cut
θ_j >= f_j(x_k) + g_j·(x - x_k), one per function (multi-cut). The point asked next lies between the master's
optimum and the best point known (in-out stabilisation), without which a cutting-plane method zigzags. The
master's value is a lower bound, the best point's true value an upper bound; both are reported.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

import highspy
import numpy as np
from numpy.typing import NDArray

from executor.portable import linear
from planner.futures.arrays import Array
from planner.optimise.lp.highs import quiet_highs

Oracle = Callable[[Array], tuple[Array, Array]]
"""From a point [n] to the values [J] and subgradients [J, n] of the convex functions."""

_PULL = 0.5
"""How far towards the best known point the next question is asked: half-way, as measured best of 0.2..0.8."""

_IDLE_ROUNDS = 25
"""A cut that has not been tight for so many rounds is dropped from the master; it can be found again."""


@dataclass(frozen=True)
class Programme:
    """The parts of the head of this file that are not behind the oracle."""

    cost: Array
    """[n] c"""
    lower: Array
    upper: Array
    """[n] bounds of x; finite, so that the first master is bounded."""
    weight: Array
    """[J] v, how much each convex function counts in the objective."""
    floor: Array
    """[J] a lower bound of each convex function."""
    hard: Array
    """[H, n] A"""
    hard_lower: Array
    hard_upper: Array
    soft_functions: Array = field(default_factory=lambda: np.zeros((0, 0)))
    """[K, J] B, 0 or more"""
    soft_columns: Array = field(default_factory=lambda: np.zeros((0, 0)))
    """[K, n] D"""
    soft_limit: Array = field(default_factory=lambda: np.zeros(0))
    """[K] h"""
    soft_price: Array = field(default_factory=lambda: np.zeros(0))
    """[K] ρ"""

    def value(self, point: Array, functions: Array) -> float:
        """The objective at a point whose function values are known, excess over soft limits included."""
        excess = linear.dot(self.soft_price, self.excess(point, functions))
        return linear.dot(self.cost, point) + linear.dot(self.weight, functions) + excess

    def excess(self, point: Array, functions: Array) -> Array:
        """[K] by how much each soft limit is exceeded."""
        if len(self.soft_limit) == 0:
            return np.zeros(0)
        held = linear.times(self.soft_functions, functions) + linear.times(self.soft_columns, point)
        return np.maximum(held - self.soft_limit, 0.0)


@dataclass(frozen=True)
class Cuts:
    """Supporting planes found so far: θ_function >= offset + slope·x."""

    function: np.ndarray
    offset: Array
    slope: Array

    def __len__(self) -> int:
        return len(self.offset)


@dataclass(frozen=True)
class Optimum:
    """Where the search ended."""

    point: Array
    functions: Array
    """[J] true function values at the point."""
    upper: float
    """True objective at the point."""
    lower: float
    """No point is better than this."""
    rounds: int
    cuts: Cuts
    hard_price: Array
    """[H] shadow prices of the hard rows in the last master."""

    @property
    def gap(self) -> float:
        """Relative distance between the bounds."""
        return (self.upper - self.lower) / max(abs(self.upper), 1e-12)


def minimise(
    programme: Programme, oracle: Oracle, start: Array, *, gap: float = 1e-4, max_rounds: int = 500
) -> Optimum:
    """Solve ``programme`` from a ``start`` that meets its bounds and hard rows."""
    master = Master(programme)
    best = np.asarray(start, dtype=float)
    functions, slopes = oracle(best)
    master.cut(best, functions, slopes)
    best_functions, upper = functions, programme.value(best, functions)
    lower, pull, rounds = -np.inf, _PULL, 0
    for _ in range(max_rounds):
        point, bound = master.solve()
        # The bound may fall where idle cuts were dropped; what was once proved stays proved.
        risen = bound > lower + 1e-3 * gap * max(abs(upper), 1e-12)
        lower = max(lower, bound)
        if upper - lower <= gap * max(abs(upper), 1e-12):
            break
        trial = point + pull * (best - point)
        functions, slopes = oracle(trial)
        rounds += 1
        master.cut(trial, functions, slopes)
        value = programme.value(trial, functions)
        fallen = value < upper - 1e-3 * gap * max(abs(upper), 1e-12)
        if value < upper:
            best, best_functions, upper = trial, functions, value
        pull = _PULL if (risen or fallen) else 0.5 * pull if pull > 0.1 else 0.0
    return Optimum(
        point=best,
        functions=best_functions,
        upper=upper,
        lower=min(lower, upper),
        rounds=rounds,
        cuts=master.cuts(),
        hard_price=master.hard_price(),
    )


class Master:
    """The linear programme on HiGHS: columns x, θ, and one excess per soft row."""

    def __init__(self, programme: Programme, known: Cuts | None = None) -> None:
        self.n, self.J = len(programme.cost), len(programme.weight)
        self.H, self.K = len(programme.hard_lower), len(programme.soft_limit)
        self._functions: list[np.ndarray] = []
        self._offsets: list[Array] = []
        self._slopes: list[Array] = []
        self._idle = np.zeros(0, dtype=int)
        self.highs = quiet_highs()
        self.highs.setOptionValue("presolve", "off")
        self._load(programme)
        if known is not None and len(known):
            self._add(known.function, known.offset, known.slope)

    def _load(self, programme: Programme) -> None:
        infinity = self.highs.getInfinity()
        total = self.n + self.J + self.K
        cost = np.r_[programme.cost, programme.weight, programme.soft_price]
        lower = np.r_[programme.lower, programme.floor, np.zeros(self.K)]
        upper = np.r_[programme.upper, np.full(self.J + self.K, infinity)]
        empty_index, empty_value = np.zeros(0, dtype=np.int32), np.zeros(0)
        starts = np.zeros(total, dtype=np.int32)
        self.highs.addCols(total, cost, lower, upper, 0, starts, empty_index, empty_value)
        hard = np.hstack([programme.hard, np.zeros((self.H, self.J + self.K))])
        self._rows(programme.hard_lower, programme.hard_upper, hard)
        if self.K:
            soft = np.hstack([programme.soft_columns, programme.soft_functions, -np.eye(self.K)])
            self._rows(np.full(self.K, -infinity), programme.soft_limit, soft)

    def _rows(self, lower: Array, upper: Array, matrix: Array) -> None:
        if len(matrix) == 0:
            return
        row, column = np.nonzero(matrix)
        starts = np.searchsorted(row, np.arange(len(matrix))).astype(np.int32)
        infinity = self.highs.getInfinity()
        self.highs.addRows(
            len(matrix),
            np.clip(lower, -infinity, infinity),
            np.clip(upper, -infinity, infinity),
            len(row),
            starts,
            column.astype(np.int32),
            matrix[row, column],
        )

    def cut(self, point: Array, functions: Array, slopes: Array) -> None:
        """Add the supporting planes at ``point``, one per function."""
        self._add(np.arange(self.J), functions - linear.times(slopes, point), slopes)

    def _add(self, function: np.ndarray, offset: Array, slope: Array) -> None:
        theta = np.zeros((len(offset), self.J + self.K))
        theta[np.arange(len(offset)), function] = 1.0
        self._rows(offset, np.full(len(offset), np.inf), np.hstack([-slope, theta]))
        self._functions.append(function)
        self._offsets.append(offset)
        self._slopes.append(slope)
        self._idle = np.r_[self._idle, np.zeros(len(offset), dtype=int)]

    def fix(self, columns: NDArray[np.intp], values: Array) -> None:
        """Hold columns at given values in every later solve."""
        for column, value in zip(columns, values, strict=True):
            self.highs.changeColBounds(int(column), float(value), float(value))

    def solve(self) -> tuple[Array, float]:
        """The master's optimum and its value."""
        self.highs.run()
        status = self.highs.getModelStatus()
        if status != highspy.HighsModelStatus.kOptimal:
            # A warm basis can fail on badly scaled cuts; a cold start settles whether the master itself does.
            self.highs.clearSolver()
            self.highs.run()
            status = self.highs.getModelStatus()
        assert status == highspy.HighsModelStatus.kOptimal, self.highs.modelStatusToString(status)
        solution = self.highs.getSolution()
        self._duals = np.array(solution.row_dual)
        self._drop_idle()
        return np.array(solution.col_value)[: self.n], float(self.highs.getInfo().objective_function_value)

    def _drop_idle(self) -> None:
        duals = self._duals[self.H + self.K :]
        self._idle = np.where(np.abs(duals) > 1e-12, 0, self._idle + 1)
        idle = np.flatnonzero(self._idle > _IDLE_ROUNDS)
        if len(idle) < 64:
            return
        self.highs.deleteRows(len(idle), (idle + self.H + self.K).astype(np.int32))
        kept = self._idle <= _IDLE_ROUNDS
        self._functions = [np.concatenate(self._functions)[kept]]
        self._offsets = [np.concatenate(self._offsets)[kept]]
        self._slopes = [np.concatenate(self._slopes)[kept]]
        self._idle = self._idle[kept]

    def cuts(self) -> Cuts:
        """All cuts now in the master."""
        return Cuts(np.concatenate(self._functions), np.concatenate(self._offsets), np.concatenate(self._slopes))

    def hard_price(self) -> Array:
        """[H] change of the optimum per unit of right-hand side of the hard rows."""
        return self._duals[: self.H]
