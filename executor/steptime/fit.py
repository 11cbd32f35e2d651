"""The step-time model fitted to measured rows, predictions with their intervals, and which rows to measure next."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from executor.portable import linear, normal
from executor.portable.elementary import exp, log, square
from executor.steptime.model import StepTimes, step_times
from executor.steptime.parameters import (
    ENOUGH_ROWS,
    FLOOR_LOG,
    PARAMETERS,
    SIGMA_LOG,
    UNCALIBRATED_FACTOR,
    WIDEN_CALIBRATED,
    WIDEN_UNCALIBRATED,
    Z_80,
    Array,
    Prior,
    Reading,
)
from executor.steptime.workload import Work

DIFFERENCE = 1e-4
"""Step in a log parameter for slopes by central differences."""
ENOUGH_GAIN = 1e-5
"""A fit ends when a step lowers the sum of squares by less than this share of it."""


@dataclass(frozen=True)
class Mode:
    """One posterior mode: the parameters under one reading of how the benchmark was run."""

    theta: Array
    covariance: Array
    """Covariance of the logarithms, (16, 16)."""
    weight: float
    """Posterior probability of the reading; the weights of a calibration add up to 1."""


@dataclass(frozen=True)
class Calibration:
    """What is believed about the parameters: a mixture of normal laws in the logarithms, heaviest mode first."""

    modes: tuple[Mode, ...]
    rows: int
    """Measured rows that went in; 0 is the prior."""

    @property
    def theta(self) -> Array:
        """Parameters at the heaviest mode."""
        return self.modes[0].theta

    @property
    def widen(self) -> float:
        """Factor on the spread of a prediction."""
        return WIDEN_CALIBRATED if self.rows >= ENOUGH_ROWS else WIDEN_UNCALIBRATED

    def draws(self, count: int, widen: float = 1.0) -> Array:
        """Draws of theta, (16, count, 1), always the same; modes share them by weight, each mode first."""
        noise = normal.stratified(np.random.default_rng(20251124), len(PARAMETERS), count)
        edges = np.round(np.cumsum([0.0, *(mode.weight for mode in self.modes)]) * count).astype(int)
        drawn = np.empty_like(noise)
        for mode, first, last in zip(self.modes, edges[:-1], edges[1:], strict=True):
            scaled = widen * linear.product(linear.cholesky(mode.covariance), noise[:, first:last])
            drawn[:, first:last] = mode.theta[:, None] + scaled
            drawn[:, first : first + 1] = mode.theta[:, None] if last > first else drawn[:, first : first + 1]
        return drawn[:, :, None]

    def widened(self) -> Calibration:
        """The same belief as a prior for another GPU: spread times ``widen``, no row counted."""
        modes = tuple(replace(m, covariance=m.covariance * square(self.widen)) for m in self.modes)
        return Calibration(modes, 0)


def uncalibrated(prior: Prior, readings: Sequence[Reading] = ()) -> Calibration:
    """The prior itself, one mode for each reading, as what is believed with no row seen."""
    starts = [(reading.on(prior), reading.weight) for reading in readings] or [(prior, 1.0)]
    return _mixture([(p.log_median, p.covariance(), log(weight)) for p, weight in starts], rows=0)


def fit(work: Work, ttft: Array, tpot: Array, before: Calibration) -> Calibration:
    """Maximum a posteriori parameters for rows with measured mean TTFT and TPOT, seconds, and their Laplace covariance.

    minimise  sum rho((ln y - ln f) / sigma) + (t - t0)' Cov0^-1 (t - t0),  t the log parameters
    y         TTFT, TPOT and the cycle that follows from them, T = TTFT + TPOT (o - 1)
    rho       soft L1 beyond 2 sigma, so that one bad row does not carry the fit

    Each mode of ``before`` (mean t0, covariance Cov0) starts a fit of its own; its posterior weight is
    prior weight x exp(-misfit) x sqrt(det Cov / det Cov0), the Laplace evidence. Levenberg-Marquardt from
    the prior; about ten milliseconds each. With no row at all, ``before`` itself.
    """
    if len(work) == 0:
        return before
    found = []
    target = log(np.stack([ttft, tpot, ttft + tpot * (work.osl - 1.0)]))
    for mode in before.modes:
        theta, covariance, misfit = _fit_from(work, target, mode)
        log_volume = 0.5 * (_log_determinant(covariance) - _log_determinant(mode.covariance))
        found.append((theta, covariance, log(mode.weight) - misfit + log_volume))
    return _mixture(found, rows=len(work))


def _log_determinant(matrix: Array) -> float:
    return 2.0 * float(log(np.diag(linear.cholesky(matrix))).sum())


def _mixture(found: Sequence[tuple[Array, Array, float]], rows: int) -> Calibration:
    """Modes by weight; one that holds less than 1 % is dropped."""
    logs = np.array([log_weight for _, _, log_weight in found])
    weights = exp(logs - logs.max())
    weights = np.where(weights / weights.sum() < 0.01, 0.0, weights)
    weights = weights / weights.sum()
    modes = [Mode(theta, cov, float(w)) for (theta, cov, _), w in zip(found, weights, strict=True) if w > 0]
    return Calibration(tuple(sorted(modes, key=lambda mode: -mode.weight)), rows)


def _fit_from(work: Work, target: Array, before: Mode) -> tuple[Array, Array, float]:
    """Mode, covariance and half the sum of squares at the mode."""
    whiten = linear.forward(linear.cholesky(before.covariance), np.eye(len(PARAMETERS)))

    def residuals_and_slopes(theta: Array) -> tuple[Array, Array]:
        logs, slopes = _logs_and_slopes(work, theta)
        misfit = (logs - target) / SIGMA_LOG[:, None]
        inner = slopes / SIGMA_LOG[:, None, None] * _soft_slope(misfit)[:, :, None]
        residuals = np.concatenate([_soft(misfit).ravel(), linear.times(whiten, theta - before.theta)])
        return residuals, np.concatenate([inner.reshape(-1, len(PARAMETERS)), whiten])

    theta, precision, cost = _least_squares(residuals_and_slopes, before.theta)
    return theta, linear.inverse(precision), cost


def _least_squares(
    residuals_and_slopes: Callable[[Array], tuple[Array, Array]], start: Array
) -> tuple[Array, Array, float]:
    """Levenberg-Marquardt: the minimum of half the sum of squares, J'J there, and the value.

    step = -(J'J + m diag(J'J))^-1 J'r,   m / 5 after a step that lowers the sum, x 4 after one that does not

    Written out because SciPy's stands on LAPACK, whose last bits depend on the processor; the tests hold it against
    scipy's least_squares. The prior's rows keep J'J regular.
    """
    theta, damping = start, 1e-3
    r, j = residuals_and_slopes(theta)
    cost = 0.5 * linear.dot(r, r)
    for _ in range(100):
        curvature = linear.product(j.T, j)
        slope = linear.times(j.T, r)
        step = -linear.solve(curvature + damping * np.diag(np.diag(curvature)), slope[:, None])[:, 0]
        tried, slopes = residuals_and_slopes(theta + step)
        lowered = 0.5 * linear.dot(tried, tried)
        if not lowered < cost:
            damping *= 4.0
            if damping > 1e12:
                break
            continue
        gained = cost - lowered
        theta, r, j, cost, damping = theta + step, tried, slopes, lowered, damping / 5.0
        if gained <= ENOUGH_GAIN * cost:
            break
    return theta, linear.product(j.T, j), cost


def _soft(r: Array) -> Array:
    """Residual whose square is soft L1 with a knee at 2: 8 (sqrt(1 + (r/2)^2) - 1)."""
    return r * np.sqrt(2.0 / (np.sqrt(1.0 + square(r / 2.0)) + 1.0))


def _soft_slope(r: Array) -> Array:
    root = np.sqrt(1.0 + square(r / 2.0))
    outer = np.sqrt(2.0 / (root + 1.0))
    return outer * (1.0 - square(r / 2.0) / (2.0 * root * (root + 1.0)))


def jacobian(work: Work, theta: Array) -> Array:
    """Slopes of ln(TTFT), ln(TPOT), ln(T) in the log parameters, (3, rows, 16), by central differences."""
    return _logs_and_slopes(work, theta)[1]


def _logs_and_slopes(work: Work, theta: Array) -> tuple[Array, Array]:
    """ln(TTFT), ln(TPOT), ln(T) of each row, (3, rows), and their slopes, from one evaluation."""
    count = len(PARAMETERS)
    shifts = DIFFERENCE * np.concatenate([np.zeros((count, 1)), np.eye(count), -np.eye(count)], axis=1)
    logs = step_times(work, (theta[:, None] + shifts)[:, :, None]).logs()
    slopes = (logs[:, 1 : count + 1] - logs[:, count + 1 :]) / (2 * DIFFERENCE)
    return logs[:, 0], np.moveaxis(slopes, 1, 2)


@dataclass(frozen=True)
class Band:
    """Median prediction of each row with its central 80 % interval: TTFT, TPOT and throughput, (3, rows) each."""

    medians: Array
    """ms, ms, output tokens/s per GPU."""
    spread: Array
    """Standard deviation of the logarithm."""

    def interval(self, metric: int) -> tuple[Array, Array]:
        """Low and high of TTFT (0), TPOT (1) or throughput (2)."""
        factor = exp(Z_80 * self.spread[metric])
        return self.medians[metric] / factor, self.medians[metric] * factor


def predict(work: Work, calibration: Calibration, extra_sd: float = 0.0) -> tuple[StepTimes, Band]:
    """Times at the heaviest mode, and the median with its interval over all modes.

    sd_m^2 = widen^2 (J Cov J' + floor^2)     of mode m
    ln y   = sum w_m ln y_m,   sd^2 = c^2 sum w_m (sd_m^2 + (ln y_m - ln y)^2) + extra_sd^2
    interval = y x exp(-+ 1.2816 sd)

    c is UNCALIBRATED_FACTOR with no two rows, else 1. ``extra_sd``: spread that a transfer to other hardware
    adds, in the logarithm.
    """
    times = [step_times(work, mode.theta) for mode in calibration.modes]
    weights = np.array([mode.weight for mode in calibration.modes])
    logs = log(np.array([[t.ttft, t.tpot, t.throughput_per_gpu] for t in times]))
    spreads = []
    for mode in calibration.modes:
        slopes = jacobian(work, mode.theta)
        variance = (linear.product(slopes, mode.covariance) * slopes).sum(axis=2)
        spreads.append(square(calibration.widen) * (variance + square(FLOOR_LOG)[:, None]))
    weight = weights[:, None, None]
    mean = (weight * logs).sum(axis=0)
    squares = (weight * (np.array(spreads) + square(logs - mean))).sum(axis=0)
    if calibration.rows < ENOUGH_ROWS:
        squares = squares * square(UNCALIBRATED_FACTOR)[:, None]
    spread = np.sqrt(squares + square(extra_sd))
    return times[0], Band(exp(mean) * np.array([[1e3], [1e3], [1.0]]), spread)


def v_opt(work: Work, before: Calibration, count: int) -> list[int]:
    """The rows worth measuring, best first: each lowers the mean predictive variance over all rows the most.

    Greedy V-optimal design with the model's slopes at the heaviest mode; looks at no outcome.

        gain(c) = tr[ (I + J_c V J_c')^-1 J_c V (sum_r J_r' J_r) V J_c' ],   J in units of sigma
    """
    slopes = jacobian(work, before.theta) / SIGMA_LOG[:, None, None]
    by_row = np.moveaxis(slopes, 1, 0)
    stacked = by_row.reshape(-1, len(PARAMETERS))
    information = linear.product(stacked.T, stacked)
    covariance = before.modes[0].covariance
    chosen: list[int] = []
    for _ in range(min(count, len(work))):
        spread = linear.product(by_row, covariance)
        own = linear.product(spread, np.swapaxes(by_row, 1, 2)) + np.eye(3)
        lowered = linear.product(linear.product(spread, information), np.swapaxes(spread, 1, 2))
        gain = np.trace(linear.solve(own, lowered), axis1=1, axis2=2)
        gain[chosen] = -np.inf
        best = int(np.argmax(np.round(gain, 9)))
        chosen.append(best)
        covariance = covariance - linear.product(spread[best].T, linear.solve(own[best], spread[best]))
    return chosen
