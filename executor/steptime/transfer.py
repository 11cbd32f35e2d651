"""Carry a calibration to a GPU that nobody measured: additive, term by term, with its cost in certainty.

One share of the peak does not travel: an operator that reaches 84 % of one GPU's bandwidth spends the other
16 % of its time on something that a faster memory does not shorten. So only the part that the data sheet
explains is scaled, the rest stays, and compute is held to what the target's own matrix units were seen to
reach. The result is labelled extrapolated, and its interval says so.
"""

import json
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from executor.model.roofline import Accelerator
from executor.portable.elementary import exp, log, square
from executor.reference import SHIPPED
from executor.steptime.fit import Calibration, Mode
from executor.steptime.parameters import PARAMETERS
from executor.steptime.workload import Setup


@dataclass(frozen=True)
class Family:
    """How GPUs of one architecture differ from those that were measured; pairs are (median, sd of the log)."""

    name: str
    members: tuple[str, ...]
    own_efficiency: dict[str, tuple[float, float]]
    """Share of the dense peak that this family's matrix units reach in large operators."""
    excess: tuple[float, float]
    """Growth of the time that bandwidth does not explain."""
    latency: tuple[float, float]
    """Growth of launch and collective latency."""
    extra_sd: float
    """Spread added to every predicted logarithm."""


@dataclass(frozen=True)
class Carried:
    """A calibration moved to another GPU."""

    calibration: Calibration
    kernel_factor: float
    """On the target, as its own efficiency implies."""
    extra_sd: float
    reason: str


def reference_accelerator() -> Accelerator:
    """The GPU that the engines' priors describe: the geometric mean of H100 and H200."""
    stored = _stored()["reference"]
    return Accelerator(
        stored["name"],
        bandwidth_tb_s=stored["bandwidth_tb_s"],
        bf16_tflops=stored["bf16_tflops"],
        fp8_tflops=stored["fp8_tflops"],
        int8_tops=stored["fp8_tflops"],
        interconnect_gb_s=900,
        source=stored["source"],
    )


def family_of(accelerator: Accelerator) -> Family:
    """The family that an accelerator belongs to; the last one is for every other architecture."""
    families = _families()
    return next((f for f in families if accelerator.name in f.members), families[-1])


def memory_efficiency(source: float, ratio: float, excess: float = 1.0) -> float:
    """Share of the target's bandwidth reached, from the share reached on the source.

    t_target = bytes/BW_target + x (t_source - bytes/BW_source)
    1/e_t    = 1 + x (BW_target/BW_source) (1/e_s - 1)

    ``ratio`` is BW_target / BW_source, ``excess`` x how much the unexplained time grows. A share of 1 or
    more has nothing unexplained and stays 1.

    >>> round(memory_efficiency(0.84, ratio=4.0 / 3.35), 3)
    0.815
    """
    return 1.0 / (1.0 + excess * ratio * max(0.0, 1.0 / source - 1.0))


def compute_efficiency(source: float, ratio: float, own: float, excess: float = 1.0) -> float:
    """Share of the target's dense peak reached, from the share reached on the source.

    t_target = flops/(peak_target own) + x (t_source - flops/(peak_source own))
    1/e_t    = 1/own + x (peak_target/peak_source) (1/e_s - 1/own)

    ``ratio`` is peak_target / peak_source, ``own`` the share that the target's matrix units reach by themselves. With
    equal peaks and x = 1 nothing changes; a GPU with a small peak comes near its own share.

    >>> round(compute_efficiency(0.68, ratio=148 / 989, own=0.85), 3)
    0.819
    """
    unexplained = 1.0 / source - 1.0 / own
    growth = excess if unexplained > 0 else 1.0
    return 1.0 / (1.0 / own + growth * ratio * unexplained)


def carry(calibration: Calibration, source: Accelerator, target: Setup) -> Carried:
    """The calibration of ``source`` as it is believed to hold on the target's accelerator.

    Raises MissingFigureError where the target's bandwidth or peak is not published and not given by the caller.
    """
    family = family_of(target.accelerator)
    moves = [_moved(mode, source, target, family) for mode in calibration.modes]
    same_die = family.name == family_of(source).name
    extra = family.extra_sd
    return Carried(
        calibration=replace(calibration, modes=tuple(mode for mode, _ in moves)),
        kernel_factor=moves[0][1],
        extra_sd=extra,
        reason=(
            f"carried over from {source.name} to {target.accelerator.name}, never measured"
            f" ({'same die' if same_die else family.name}; additive, spread +{extra:.0%})"
        ),
    )


def _moved(mode: Mode, source: Accelerator, target: Setup, family: Family) -> tuple[Mode, float]:
    """One mode on the target, and the kernel factor there."""
    accelerator = target.accelerator
    bandwidth = accelerator.bandwidth_bytes_s / source.bandwidth_bytes_s
    peak = accelerator.peak_flops("bf16") / source.peak_flops("bf16")
    linear_peak = accelerator.peak_flops(target.precision) / _source_peak(source, target.precision)
    own = family.own_efficiency
    narrow = "fp8" if target.precision in ("fp8", "int8", "fp4") else "bf16"
    kernel = target.kernel_factor or target.default_kernel_factor()

    here = dict(zip(PARAMETERS, exp(mode.theta).tolist(), strict=True))
    theta = mode.theta.copy()
    slope = np.ones(len(PARAMETERS))
    added = np.zeros(len(PARAMETERS))

    def move(name: str, value: float, sensitivity: float, variance: float) -> None:
        at = PARAMETERS.index(name)
        theta[at], slope[at], added[at] = log(float(value)), sensitivity, variance

    for name in ("e_w", "e_kv"):
        before = here[name]
        after = memory_efficiency(before, bandwidth, family.excess[0])
        # d ln e_t / d ln e_s and d ln e_t / d ln x of the formula in memory_efficiency
        sensitivity = after * family.excess[0] * bandwidth / before if before < 1.0 else 1.0
        move(name, after, sensitivity, square((1.0 - after) * family.excess[1]))
    for name, floor in (("e_p", "bf16"), ("e_pa", "prefill_attention")):
        before = here[name]
        after = compute_efficiency(min(before, 0.95), peak, own[floor][0], family.excess[0])
        move(name, after, min(1.0, after * peak / before), square(own[floor][1]))
    gemm_after = compute_efficiency(min(here["e_p"] * kernel, 0.95), linear_peak, own[narrow][0], family.excess[0])
    for name in ("tau_l", "a_ar"):
        move(name, here[name] * family.latency[0], 1.0, square(family.latency[1]))
    covariance = mode.covariance * np.outer(slope, slope) + np.diag(added)
    factor = gemm_after / exp(float(theta[PARAMETERS.index("e_p")]))
    return Mode(theta, covariance, mode.weight), factor


def _source_peak(source: Accelerator, precision: str) -> float:
    """Peak on the source of that data type; of BF16 where the source has no units for it."""
    has = {"fp8": source.fp8_tflops, "int8": source.int8_tops, "fp4": source.fp4_tflops}.get(precision, 1.0)
    return source.peak_flops(precision if has else "bf16")


@cache
def _stored() -> dict:
    return json.loads((SHIPPED / "transfer.json").read_text(encoding="utf-8"))


@cache
def _families() -> tuple[Family, ...]:
    return tuple(
        Family(
            name=entry["name"],
            members=tuple(entry["members"]),
            own_efficiency={key: (pair[0], pair[1]) for key, pair in entry["own_efficiency"].items()},
            excess=(entry["excess"][0], entry["excess"][1]),
            latency=(entry["latency"][0], entry["latency"][1]),
            extra_sd=entry["extra_sd"],
        )
        for entry in _stored()["families"]
    )
