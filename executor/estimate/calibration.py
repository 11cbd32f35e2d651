"""Which measured rows speak for a set-up, and what is believed about its step time after they were heard.

Nothing falls back silently: the label and the reason say whether a figure was calibrated on the spot,
carried over from another GPU, or stands on the engines' priors alone.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from executor.errors import BadInputError
from executor.estimate.fits import shipped_fit
from executor.estimate.measured_points import Case, by_group, precision_name, shipped_points
from executor.model.cost import Layout
from executor.model.spec import model_spec
from executor.profile import Label
from executor.reference.accelerators import accelerator
from executor.steptime.fit import Calibration, fit, uncalibrated
from executor.steptime.parameters import ENOUGH_ROWS, engine, prior_for
from executor.steptime.transfer import carry, reference_accelerator
from executor.steptime.workload import Drafting, Setup, work_of

PRIOR_GPUS = ("H100-SXM", "H200-SXM")
"""GPUs on which the engines' priors were fitted, so that they need no transfer there."""


@dataclass(frozen=True)
class Belief:
    """The calibration that speaks for a set-up, and how far it was carried."""

    calibration: Calibration
    kernel_factor: float | None
    extra_sd: float
    label: Label
    reason: str
    rows: tuple[Case, ...] = ()
    """Measured rows that went into it."""

    def on(self, setup: Setup) -> Setup:
        """The set-up with the kernel factor that this belief stands on."""
        return replace(setup, kernel_factor=self.kernel_factor)


def setup_of(
    model: str,
    gpu: str,
    precision: str,
    engine_name: str,
    layout: Layout,
    *,
    kv_precision: str | None = None,
    kv_tokens: float | None = None,
    drafting: Drafting | None = None,
    figures: Mapping[str, float] | None = None,
) -> Setup:
    """The set-up of those names; unknown ones are errors that list the nearest known.

    ``figures`` gives accelerator figures that nobody published, for example ``{"bandwidth_tb_s": 4.0}``.
    ``kv_tokens`` takes the KV cache size from the engine's start-up log.
    """
    spec = model_spec(model)
    card = accelerator(gpu)
    if figures:
        card = card.with_figures(**figures)
    if kv_tokens is not None and not (math.isfinite(kv_tokens) and kv_tokens > 0):
        raise BadInputError(f"kv_tokens must be a positive number (got {kv_tokens!r})")
    known = engine(engine_name)
    resolved = layout.resolved(spec)
    return Setup(spec, card, precision_name(precision), known, resolved, kv_precision, kv_tokens, drafting=drafting)


def belief(setup: Setup, version: str = "", rows: Sequence[Case] | None = None) -> Belief:
    """What is believed about the parameters on this set-up's GPU, from the rows that speak for it.

    In this order: two or more rows of this model, GPU, engine and precision (calibrated; of the version asked for, else
    of the version with most rows); rows of the same on another GPU, carried over (extrapolated); the engine's prior
    (estimated), carried over where the GPU is none of those it was fitted on. ``rows`` replaces the shipped ones.
    """
    asked = replace(setup, layout=Layout(), kv_precision=None, kv_tokens=None, drafting=None)
    return _belief(asked, version, None if rows is None else tuple(rows))


@lru_cache(maxsize=512)
def _belief(setup: Setup, version: str, rows: tuple[Case, ...] | None) -> Belief:
    speaking = [case for case in (shipped_points() if rows is None else rows) if _same_model(case, setup)]
    on_this_gpu = [
        case
        for case in speaking
        if case.setup.accelerator.name == setup.accelerator.name and case.setup.precision == setup.precision
    ]
    on_others = [case for case in speaking if case.setup.accelerator.name != setup.accelerator.name]
    here, other_here = _of_version(on_this_gpu, version)
    far, other_far = _of_version(on_others, version)
    before = _carried(setup, far, other_far) if len(far) >= ENOUGH_ROWS else prior_belief(setup)
    if not here:
        return before
    # Where the priors were fitted they are the better start; elsewhere what was carried over is.
    at_home = setup.accelerator.name in PRIOR_GPUS
    start = prior_belief(setup) if at_home else before
    calibration = from_prior(here) if at_home else calibrate(here, start)
    used = (*start.rows, *here)
    if len(here) < ENOUGH_ROWS:
        reason = f"{start.reason}; one measured row of {here[0].group}"
        return replace(start, calibration=calibration, reason=reason, rows=used)
    reason = f"calibrated on {len(here)} measured rows of {here[0].group}{other_here}"
    return Belief(calibration, start.kernel_factor, 0.0, "calibrated", reason, used)


def from_prior(rows: Sequence[Case]) -> Calibration:
    """The step-time model through measured rows of one group, from the prior of their engine."""
    shipped = shipped_fit(rows)
    return calibrate(rows, prior_belief(rows[0].setup)) if shipped is None else shipped


def calibrate(rows: Sequence[Case], before: Belief) -> Calibration:
    """The step-time model through measured rows of one group, starting from what was believed before."""
    timed = [(replace(case.setup, kernel_factor=before.kernel_factor), case.load) for case in rows]
    start = before.calibration if before.calibration.rows == 0 else before.calibration.widened()
    ttft, tpot = np.array([(case.ttft_ms, case.tpot_ms) for case in rows], dtype=float).T / 1e3
    return fit(work_of(timed), ttft, tpot, start)


def prior_belief(setup: Setup) -> Belief:
    """The engine's prior, carried over where the GPU is none of those on which it was fitted."""
    calibration = uncalibrated(prior_for(setup.engine.name), setup.engine.readings)
    reason = (
        f"uncalibrated: the prior of engine {setup.engine.name}, with no two measured rows of"
        f" {setup.spec.name.split('/')[-1]} in {setup.precision}"
    )
    return estimated(calibration, setup, reason)


def estimated(calibration: Calibration, setup: Setup, reason: str) -> Belief:
    """What a prior says of a set-up: itself where it was fitted, else carried over."""
    if setup.accelerator.name in PRIOR_GPUS:
        return Belief(calibration, setup.kernel_factor, 0.0, "estimated", reason)
    moved = carry(calibration, reference_accelerator(), setup)
    return Belief(moved.calibration, moved.kernel_factor, moved.extra_sd, "estimated", f"{reason}; {moved.reason}")


def _carried(setup: Setup, rows: Sequence[Case], remark: str) -> Belief:
    """A calibration on another GPU as it is believed to hold here."""
    there = rows[0].setup
    moved = carry(from_prior(rows), there.accelerator, setup)
    reason = f"{len(rows)} measured rows of {rows[0].group}{remark}; {moved.reason}"
    return Belief(moved.calibration, moved.kernel_factor, moved.extra_sd, "extrapolated", reason, tuple(rows))


def _same_model(case: Case, setup: Setup) -> bool:
    """Same engine, weights of the same width, and one architecture: DeepSeek-V3 and R1 share a calibration.

    Eight-bit integers stand for eight-bit floats on a card without FP8 units: bytes and kernels are alike.
    """
    theirs = replace(case.setup.spec, name="")
    ours = replace(setup.spec, name="")
    widths = {_width(case.setup.precision), _width(setup.precision)}
    return theirs == ours and case.setup.engine == setup.engine and len(widths) == 1


def _width(precision: str) -> str:
    return "8 bit" if precision in ("fp8", "int8") else precision


def _of_version(cases: Iterable[Case], version: str) -> tuple[list[Case], str]:
    """The group of the version asked for, else the one with most rows; and a remark where it is another."""
    groups = by_group(cases)
    if not groups:
        return [], ""
    group = max(groups, key=lambda g: (bool(version) and g.version == version, len(groups[g]), g.version))
    other = f" (version {version} has none)" if version and group.version != version else ""
    return groups[group], other
