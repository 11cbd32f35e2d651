"""From names or a stored profile to the step times of one replica, with what is believed about them."""

from dataclasses import dataclass, replace

import numpy as np

from executor.estimate.calibration import Belief, belief, setup_of
from executor.estimate.measured_points import Case, case_of
from executor.model.cost import memory_fit
from executor.portable import normal
from executor.portable.elementary import exp, hypot
from executor.profile import Point, ServingProfile
from executor.steptime.batch import BatchTime, batch_time
from executor.steptime.parameters import FLOOR_LOG
from executor.steptime.workload import Setup


@dataclass(frozen=True)
class Replica:
    """One replica: its set-up and the belief about its step time."""

    setup: Setup
    belief: Belief

    @property
    def name(self) -> str:
        """Model, precision, GPUs, layout and engine in a line."""
        setup, drafting = self.setup, self.setup.drafting
        drafts = "" if drafting is None else f", {drafting.tokens} drafted, {drafting.acceptance:.0%} accepted"
        return (
            f"{setup.spec.name} in {setup.precision} on {setup.layout.gpus} x {setup.accelerator.name}"
            f" ({setup.layout}), {setup.engine.name}{drafts}"
        )

    def time(self, mean_tokens: float) -> BatchTime:
        """Step times at the heaviest mode of the belief."""
        return batch_time(self.setup, self.belief.calibration.theta, mean_tokens)

    def draws(self, count: int, mean_tokens: float) -> list[BatchTime]:
        """Step times at draws from the belief, the model's own error included."""
        calibration = self.belief.calibration
        theta = calibration.draws(count + 1, calibration.widen)[:, 1:, 0]
        spread = hypot(float(calibration.widen * FLOOR_LOG[1]), self.belief.extra_sd)
        noise = normal.stratified(np.random.default_rng(20251126), 1, count)[0]
        return [
            batch_time(self.setup, theta[:, draw], mean_tokens).scaled(exp(spread * float(noise[draw])))
            for draw in range(count)
        ]


def replica_of(setup: Setup, version: str = "", rows: tuple[Case, ...] = ()) -> Replica:
    """The replica of a set-up, believed from own rows where there are two or more, else from the shipped ones.

    Raises DoesNotFitError where its weights do not fit.
    """
    memory_fit(setup.spec, setup.layout, setup.precision, setup.accelerator, setup.kv_type).require(
        0.0, f"{setup.spec.name} {setup.precision} on {setup.layout.gpus} x {setup.accelerator.name}"
    )
    found = belief(setup, version, rows if len(rows) >= 2 else None)
    if 0 < len(rows) < 2:
        found = replace(found, reason=f"{found.reason}; the profile's one closed-loop point does not calibrate")
    return Replica(found.on(setup), found)


def replica_of_profile(profile: ServingProfile) -> Replica:
    """The replica of a stored profile; its measured closed-loop points calibrate the step time."""
    setup = setup_of(
        profile.model,
        profile.gpu,
        profile.precision,
        profile.engine,
        profile.layout,
        kv_precision=profile.kv_precision or None,
    )
    return replica_of(setup, profile.engine_version, measured_cases(profile))


def measured_cases(profile: ServingProfile) -> tuple[Case, ...]:
    """The profile's closed-loop points with a mean TTFT and TPOT, as rows that calibrate."""
    return tuple(
        case_of(at, _cells(profile, point), measured=True)
        for at, point in enumerate(profile.points, start=1)
        if point.concurrency is not None
        and point.output_tokens >= 2
        and point.metrics.get("mean_ttft_ms", 0) > 0
        and point.metrics.get("mean_tpot_ms", 0) > 0
    )


def _cells(profile: ServingProfile, point: Point) -> dict[str, str]:
    layout = profile.layout
    return {
        "gpu": profile.gpu,
        "engine": profile.engine,
        "engine_version": profile.engine_version,
        "model": profile.model,
        "precision": profile.precision,
        "kv_precision": profile.kv_precision,
        "input_tokens": repr(point.input_tokens),
        "output_tokens": repr(point.output_tokens),
        "concurrency": repr(point.concurrency),
        **{name: str(getattr(layout, name) or 1) for name in ("tp", "pp", "attention_dp", "moe_tp", "moe_ep")},
        "ttft_ms": repr(point.metrics["mean_ttft_ms"]),
        "tpot_ms": repr(point.metrics["mean_tpot_ms"]),
    }
