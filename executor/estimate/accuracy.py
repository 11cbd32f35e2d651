"""How well the step-time model predicts measured rows: error, bias and interval coverage per group and metric.

Calibration rows are chosen by a stated rule that looks at no outcome, and are never scored.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from executor.estimate.calibration import Belief, belief, calibrate, estimated, prior_belief
from executor.estimate.measured_points import PER_RANK_ENGINES, Case, Group, by_group, shipped_points
from executor.portable.elementary import log, square
from executor.steptime.fit import Calibration, predict, uncalibrated, v_opt
from executor.steptime.parameters import ENOUGH_ROWS, PARAMETERS, Engine, Prior, prior_for
from executor.steptime.workload import work_of

METRICS = ("ttft", "tpot", "throughput")
COUNTS = (0, 2, 4)
"""Calibration rows per group at most, one scoring each."""

HOST_PARAMETERS = ("t_fix", "tau_l", "h_seq", "h_req", "tau0", "phi", "q", "f_tok")
"""Parameters that belong to the engine's host code and to how it was benchmarked."""

RULE = (
    "V-optimal design: each row is the one that most lowers the mean predictive variance over the group's"
    " rows, computed from the model's slopes at the prior; it looks at no measurement. At most half of a"
    " group's rows calibrate, so that at least as many are scored."
)


@dataclass(frozen=True)
class MetricScore:
    """Mean absolute error and mean error of predicted against measured, and the share inside the 80 % interval."""

    error: float
    bias: float
    coverage: float
    half_width: float
    """Mean of (high/median - 1), the upper half-width of the interval."""


@dataclass(frozen=True)
class GroupScore:
    """One group under one number of calibration rows."""

    group: Group
    calibration_lines: tuple[int, ...]
    scored: int
    label: str
    ttft: MetricScore
    tpot: MetricScore
    throughput: MetricScore
    reason: str

    @property
    def counted(self) -> bool:
        """Whether it enters the mean over calibrated groups: two calibration rows or more."""
        return len(self.calibration_lines) >= ENOUGH_ROWS


@dataclass(frozen=True)
class Summary:
    """Means over groups of one setting; ``worst`` is the largest group mean. Coverage over groups and over rows."""

    groups: int
    calibration_rows: int
    scored_rows: int
    error: dict[str, float]
    bias: dict[str, float]
    worst: dict[str, float]
    coverage: dict[str, float]
    coverage_by_row: dict[str, float]


@dataclass(frozen=True)
class Setting:
    """The score with at most ``rows_at_most`` calibration rows per group."""

    rows_at_most: int
    held_out: bool
    """Whether each group's prior was made from the other groups of the file alone."""
    groups: tuple[GroupScore, ...]
    """Groups that count: all of them with no rows, those with two or more calibration rows otherwise."""
    uncalibrated: tuple[GroupScore, ...]
    """Groups too small to calibrate and still be scored; listed, not averaged."""

    @property
    def summary(self) -> Summary:
        """Means over the groups that count."""
        groups = self.groups
        if not groups:
            nothing = dict.fromkeys(METRICS, float("nan"))
            return Summary(0, 0, 0, nothing, nothing, nothing, nothing, nothing)
        weights = np.array([group.scored for group in groups], dtype=float)

        def over(figure: str, metric: str) -> np.ndarray:
            return np.array([getattr(getattr(group, metric), figure) for group in groups])

        return Summary(
            groups=len(groups),
            calibration_rows=sum(len(group.calibration_lines) for group in groups),
            scored_rows=int(weights.sum()),
            error={m: float(over("error", m).mean()) for m in METRICS},
            bias={m: float(over("bias", m).mean()) for m in METRICS},
            worst={m: float(over("error", m).max()) for m in METRICS},
            coverage={m: float(over("coverage", m).mean()) for m in METRICS},
            coverage_by_row={m: float(np.average(over("coverage", m), weights=weights)) for m in METRICS},
        )


def score(cases: Sequence[Case], counts: Iterable[int] = COUNTS) -> tuple[Setting, ...]:
    """Score cleaned measured rows once for each number of calibration rows per group."""
    groups = by_group(cases)
    return tuple(
        _setting(count, False, [_score_group(group, rows, count) for group, rows in groups.items()]) for count in counts
    )


def score_held_out(cases: Sequence[Case], counts: Iterable[int] = COUNTS) -> tuple[Setting, ...]:
    """The same where each group's prior is made from fits to the other groups of the file alone.

    mean = (sum w t + 0.5 t0) / (sum w + 0.5),   sd^2 = (sum w (t - mean)^2 + 0.5 sd0^2) / (sum w + 0.5)

    t the log parameters of another group's fit, w = n/(n+10) with n its rows, four times that for host and
    protocol parameters of the same engine; t0 and sd0 the shipped prior that engines have in common. Readings
    of the benchmark count the other series of the engine that ran so, plus one each.
    """
    believed = list(held_out_beliefs(by_group(cases)))
    return tuple(_setting(count, True, [_score_held_out(*each, count) for each in believed]) for count in counts)


def _setting(count: int, held_out: bool, scored: Sequence[GroupScore]) -> Setting:
    counted = tuple(s for s in scored if count == 0 or s.counted)
    return Setting(count, held_out, counted, tuple(s for s in scored if s not in counted))


def _score_held_out(group: Group, rows: Sequence[Case], before: Belief, count: int) -> GroupScore:
    chosen, left = _split(rows, choose_rows(rows, count, before))
    if chosen:
        label = "calibrated" if len(chosen) >= ENOUGH_ROWS else before.label
        before = replace(before, calibration=calibrate(chosen, before), label=label)
    return _score_rows(group, chosen, left, before)


def held_out_beliefs(groups: Mapping[Group, list[Case]]) -> Iterator[tuple[Group, list[Case], Belief]]:
    """Each group with its rows and what the other groups alone make one believe of it."""
    fits = {group: _full_fit(rows) for group, rows in groups.items()}
    for group, rows in groups.items():
        setup = rows[0].setup
        calibration = _left_out_prior(setup.engine, [found for other, found in fits.items() if other != group])
        reason = "prior of the other groups"
        yield group, rows, estimated(calibration, setup, reason)


@dataclass(frozen=True)
class _FullFit:
    """A fit to every row of one group."""

    engine: str
    theta: np.ndarray
    rows: int
    reading: int
    """Place of the reading, in the engine's list, whose phi and q the fit came nearest to."""


def _full_fit(rows: Sequence[Case]) -> _FullFit:
    setup = rows[0].setup
    theta = calibrate(rows, prior_belief(setup)).theta
    names = ("phi", "q")
    here = np.array([theta[PARAMETERS.index(name)] for name in names])
    away = [np.abs(here - log(np.array([reading.phi, reading.q]))).sum() for reading in setup.engine.readings]
    return _FullFit(setup.engine.name, theta, len(rows), int(np.argmin(away)))


def _left_out_prior(engine: Engine, others: Sequence[_FullFit]) -> Calibration:
    common = prior_for("generic")
    host = np.isin(PARAMETERS, HOST_PARAMETERS)
    thetas = np.array([found.theta for found in others]).reshape(-1, len(PARAMETERS))
    trust = np.array([found.rows / (found.rows + 10) for found in others])
    same = np.array([found.engine == engine.name for found in others], dtype=bool)
    weights = trust[:, None] * np.where(same[:, None] & host, 4.0, 1.0)
    total = weights.sum(axis=0) + 0.5
    mean = ((weights * thetas).sum(axis=0) + 0.5 * common.log_median) / total
    variance = ((weights * square(thetas - mean)).sum(axis=0) + 0.5 * square(common.sd)) / total
    counts = np.ones(len(engine.readings))
    for found in others:
        if found.engine == engine.name:
            counts[found.reading] += 1
    # phi and q are a reading's, and keep the spread that readings have.
    sd = np.where(np.isin(PARAMETERS, ("phi", "q")), common.sd, np.sqrt(variance))
    readings = [
        replace(reading, weight=float(count / counts.sum()))
        for reading, count in zip(engine.readings, counts, strict=True)
    ]
    return uncalibrated(Prior(mean, sd), readings)


def choose_rows(rows: Sequence[Case], count: int, before: Belief | None = None) -> list[int]:
    """Places of the calibration rows of one group, by RULE; ``before`` replaces the prior of its engine."""
    take = min(count, len(rows) // 2)
    if take == 0:
        return []
    prior = before or prior_belief(rows[0].setup)
    return v_opt(work_of([(case.setup, case.load) for case in rows]), prior.calibration, take)


def _split(rows: Sequence[Case], places: Sequence[int]) -> tuple[list[Case], list[Case]]:
    """The rows at these places, and the others."""
    return [rows[place] for place in places], [case for place, case in enumerate(rows) if place not in places]


def _score_group(group: Group, rows: Sequence[Case], count: int) -> GroupScore:
    chosen, left = _split(rows, choose_rows(rows, count))
    # Rows of the same GPU that ship with the product stay out: some of them may be the rows that are scored.
    here = rows[0].setup.accelerator.name
    elsewhere = [case for case in shipped_points() if case.setup.accelerator.name != here]
    believed = belief(rows[0].setup, group.version, (*chosen, *elsewhere))
    return _score_rows(group, chosen, left, believed)


def _score_rows(group: Group, chosen: Sequence[Case], left: Sequence[Case], believed: Belief) -> GroupScore:
    """Predict the rows that are left and compare; ``chosen`` calibrated the belief."""
    work = work_of([(believed.on(case.setup), case.load) for case in left])
    _, band = predict(work, believed.calibration, extra_sd=believed.extra_sd)
    found = {
        "ttft": np.array([case.ttft_ms for case in left], dtype=float),
        "tpot": np.array([case.tpot_ms for case in left], dtype=float),
        "throughput": np.array([case.throughput_per_gpu for case in left]),
    }
    metrics = {}
    for place, name in enumerate(METRICS):
        low, high = band.interval(place)
        ratio = band.medians[place] / found[name]
        metrics[name] = MetricScore(
            error=float(np.mean(np.abs(ratio - 1))),
            bias=float(np.mean(ratio - 1)),
            coverage=float(np.mean((low <= found[name]) & (found[name] <= high))),
            half_width=float(np.mean(high / band.medians[place] - 1)),
        )
    lines = tuple(sorted(case.line for case in chosen))
    return GroupScore(group, lines, len(left), believed.label, reason=believed.reason, **metrics)


CALIBRATION_COLUMNS = (
    *("gpu", "engine", "engine_version", "model", "precision", "input_tokens", "output_tokens", "concurrency"),
    *("tp", "pp", "attention_dp", "moe_tp", "moe_ep", "ttft_ms", "tpot_ms", "repeats", "note"),
)


def calibration_table(cases: Sequence[Case], count: int) -> list[dict[str, object]]:
    """The rows that RULE picks, at most ``count`` per group, in the columns of a measured file."""
    rows: list[dict[str, object]] = []
    for members in by_group(cases).values():
        rows += [_cells(members[place]) for place in choose_rows(members, count)]
    return rows


def _cells(case: Case) -> dict[str, object]:
    layout = case.setup.layout
    ranks = layout.attention_dp if case.setup.engine.name in PER_RANK_ENGINES else 1
    values = (
        *(case.group.gpu, case.group.engine, case.group.version, case.group.model, case.group.precision),
        *(f"{case.load.isl:g}", f"{case.load.osl:g}", f"{case.load.concurrency / ranks:g}"),
        *(layout.tp, layout.pp, layout.attention_dp, layout.moe_tp, layout.moe_ep),
        *(case.ttft_ms, case.tpot_ms, case.repeats, "; ".join(case.notes)),
    )
    return dict(zip(CALIBRATION_COLUMNS, values, strict=True))
