"""The highest rate that one replica serves within an SLO under open Poisson arrivals, by formula."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from executor.estimate.calibration import Belief, belief
from executor.estimate.closed_loop import DRAWS, _memory, limits_of
from executor.estimate.lengths import Lengths
from executor.estimate.slo import Goodput, Slo
from executor.model.cost import MemoryFit, decode_step_bytes, request_flops
from executor.model.roofline import mbu, mfu
from executor.portable import normal
from executor.portable.elementary import exp, hypot, log, square
from executor.steptime.model import parameters, step_times
from executor.steptime.parameters import FLOOR_LOG, PARAMETERS, Z_80, Array
from executor.steptime.workload import CHUNK_TOKENS, Load, Setup, Work, work_of

LEAST_CONCURRENCY = 0.02
MOST_CONCURRENCY = 1e5
LIFETIME_FACTOR = 0.858
"""Spread of the occupancy averaged over a request's life / spread at an instant.

For M/M/inf the autocorrelation is exp(-t/life), and the mean over one life has variance 2/e = 0.736 of it."""


def goodput(setup: Setup, lengths: Lengths, slo: Slo, prefix_reuse: float = 0.0, version: str = "") -> Goodput:
    """The highest rate of requests that one replica serves within the SLO, under open Poisson arrivals.

    Every posterior draw is bisected at once. Raises as ``estimate`` does. An SLO that cannot be met at any rate is
    an answer: 0 requests/s and the reason.
    """
    believed = belief(setup, version)
    memory, kv_tokens = _memory(setup, lengths.input_mean + lengths.output_mean, believed)
    replica = _open_replica(setup, believed, lengths, slo, prefix_reuse)
    occupancy = _highest(replica)
    state = _state(replica, occupancy)
    rates = np.where(occupancy[:, 0] > 0, state.rate[:, 0] * replica.scale[:, 0], 0.0)
    median = float(np.median(rates))
    if median <= 0 or occupancy[0, 0] <= 0:
        return _unreachable(setup, memory, kv_tokens, believed, replica)
    spread = _log_spread(rates)
    gpus = setup.layout.gpus
    tpot = float(state.tpot[0, 0])
    read = float(decode_step_bytes(setup.cost, occupancy[0, 0], float(replica.work.context[0])))
    flops = request_flops(setup.spec, lengths.input_mean, lengths.output_mean, prefix_reuse) * median / gpus
    return Goodput(
        requests_per_s=median,
        sigma_log=spread,
        low=median * exp(-Z_80 * spread),
        high=median * exp(Z_80 * spread),
        concurrency=float(occupancy[0, 0]),
        gpus=gpus,
        output_tokens_per_s_per_gpu=median * lengths.output_mean / gpus,
        ttft_ms=1e3 * float(state.ttft[0, 0]),
        tpot_ms=1e3 * tpot,
        mfu=mfu(flops, setup.accelerator, setup.precision),
        mbu=mbu(read / (tpot * float(replica.work.emitted[0])), setup.accelerator),
        kv_tokens=kv_tokens,
        memory=memory,
        label=believed.label,
        limits=_binding(replica, occupancy),
        reason=believed.reason,
        calibration_rows=believed.calibration.rows,
    )


@dataclass(frozen=True)
class _OpenReplica:
    """One replica under open arrivals, for every posterior draw (rows of the arrays; the first is the mode)."""

    work: Work
    parameters: Mapping[str, Array]
    """By name in SI units, (draws, 1) each."""
    prompts: Array
    """Equally likely prompt lengths, tokens."""
    computed_share: float
    slots: Array
    """Requests that the KV cache holds, (draws, 1)."""
    scale: Array
    """Factor on the rate, (draws, 1): the model's own error; TPOT carries its inverse."""
    ttft_scale: Array
    slo: Slo


@dataclass(frozen=True)
class _State:
    """What an open load of that mean occupancy looks like; arrays of (draws, 1)."""

    rate: Array
    ttft: Array
    tpot: Array
    attained: Array
    """Share of requests that meet the TTFT bound."""
    tpot_at_percentile: Array
    occupancy_at_percentile: Array


def _open_replica(setup: Setup, believed: Belief, lengths: Lengths, slo: Slo, prefix_reuse: float) -> _OpenReplica:
    """Mean work of a request from its length distribution, and the draws of parameters and of the model's error."""
    timed = believed.on(setup)
    work = work_of([(timed, Load(lengths.input_mean, lengths.output_mean, 1.0, prefix_reuse))])
    prompts, outputs = lengths.grid("input"), lengths.grid("output")
    # A long answer stays longer: its mean context, weighted by time, is E[o^2] / (2 E[o]) beyond the prompt.
    context = lengths.input_mean + float(np.mean(square(outputs)) / (2 * np.mean(outputs)))
    squares = float(np.mean(square(prompts))) * (1 - square(prefix_reuse))
    work = replace(work, context=np.array([context]), square=np.array([squares]))
    calibration = believed.calibration
    theta = calibration.draws(DRAWS, calibration.widen)
    theta[PARAMETERS.index("q")] = log(1e-9)
    drawn = parameters(theta)
    slots = step_times(work, drawn).slots
    noise = normal.stratified(np.random.default_rng(20251125), 2, DRAWS)[:, :, None]
    noise[:, 0] = 0.0
    ttft_floor, tpot_floor, _ = hypot(calibration.widen * FLOOR_LOG, np.full(3, believed.extra_sd))
    return _OpenReplica(
        work=replace(work, kv_tokens=np.array([np.inf])),
        parameters=drawn,
        prompts=prompts,
        computed_share=1 - prefix_reuse,
        slots=slots,
        scale=exp(tpot_floor * noise[0]),
        ttft_scale=exp(ttft_floor * noise[1]),
        slo=slo,
    )


def _state(replica: _OpenReplica, occupancy: Array) -> _State:
    r"""Rate, TTFT and TPOT of an open load whose mean number of requests in service is ``occupancy`` S.

    rate      lambda = S / T(S)                     Little's law, T the cycle at phi = 0
    TPOT_p    = t_dec(S + 0.858 z sqrt(S)) / (1 - lambda t_pre)     S is Poisson-like; averaged over a life
    W         = lambda E[s^2] / (2 (1 - r)),  r = lambda E[s]       M/G/1 wait for prefill
    P(wait > t) = r exp(-r t / W)                                   exponential tail; exact for M/M/1
    attained  = mean over prompts of 1 - r exp(-r (bound - own) / W), own = tau0 + 1.5 t_dec + t_pre(prompt)

    s is what one prompt takes from the prefill server: t_pre alone where prefill runs first, with the decode steps that
    it rides on where steps are mixed. Holds for Poisson arrivals and an M/G/1 wait that is not much longer than its
    mean, so for r below about 0.9; bursts beyond Poisson need a replay of the trace.
    """
    z = float(normal.quantile(replica.slo.percentile / 100))
    work = replica.work
    occupancy = np.maximum(occupancy, LEAST_CONCURRENCY)
    seen = np.maximum(1.0, occupancy + LIFETIME_FACTOR * z * np.sqrt(occupancy))
    loads = replace(work, concurrency=np.concatenate([occupancy, seen], axis=1))
    times = step_times(loads, replica.parameters, burst_share=0.0)
    rate = occupancy / times.cycle[:, :1]
    decode, prefill = times.decode_step[:, :1], times.prefill[:, :1]
    lone = replica.parameters["h_req"] / work.cost.attention_dp
    ratio = replica.prompts / replica.prompts.mean()
    attention = times.prefill_attention[:, :1]
    squares = square(ratio)
    each = lone + (prefill - lone - attention) * ratio + attention * squares / np.mean(squares)
    chunks = replica.prompts * replica.computed_share / CHUNK_TOKENS / work.cost.attention_dp
    service = each + np.where(work.mixed, decode * chunks, 0.0)
    stage_rate = rate / work.cost.pp
    load = stage_rate * service.mean(axis=1, keepdims=True)
    spare = np.maximum(1e-9, 1.0 - load)
    wait = stage_rate * np.mean(square(service), axis=1, keepdims=True) / (2 * spare)
    own = replica.parameters["tau0"] + 1.5 * decode + each
    slack = replica.slo.ttft_ms / 1e3 / replica.ttft_scale - own
    late = load * exp(-load * np.maximum(slack, 0.0) / np.maximum(wait, 1e-12))
    attained = np.mean(np.where((slack >= 0) & (load < 1), 1.0 - late, 0.0), axis=1, keepdims=True)
    busy = np.minimum(stage_rate * prefill, 0.999)
    tpot = np.maximum(times.tpot[:, :1], times.decode_step[:, 1:] / work.emitted / (1.0 - busy))
    return _State(
        rate=rate,
        ttft=own.mean(axis=1, keepdims=True) + wait,
        tpot=times.tpot[:, :1],
        attained=attained,
        tpot_at_percentile=tpot / replica.scale,
        occupancy_at_percentile=occupancy + z * np.sqrt(occupancy),
    )


def _kept(replica: _OpenReplica, state: _State) -> dict[str, Array]:
    """Which of the conditions hold, (draws, 1) each."""
    slo = replica.slo
    return {
        "TPOT": state.tpot_at_percentile <= slo.tpot_ms / 1e3,
        "TTFT": state.attained >= slo.percentile / 100,
        "KV cache": state.occupancy_at_percentile <= np.maximum(replica.slots, 1.0),
    }


def _holds(replica: _OpenReplica, occupancy: Array) -> Array:
    return np.logical_and.reduce(list(_kept(replica, _state(replica, occupancy)).values()))


def _highest(replica: _OpenReplica) -> Array:
    """Highest mean occupancy that keeps every condition, by bisection in its logarithm; 0 where none does."""
    low = np.full(replica.slots.shape, log(LEAST_CONCURRENCY))
    high = log(np.clip(replica.slots, 2.0, MOST_CONCURRENCY))
    possible = _holds(replica, exp(low))
    whole = _holds(replica, exp(high))
    for _ in range(18):
        middle = (low + high) / 2
        good = _holds(replica, exp(middle))
        low, high = np.where(good, middle, low), np.where(good, high, middle)
    return np.where(possible, exp(np.where(whole, high, low)), 0.0)


def _log_spread(rates: Array) -> float:
    """Standard deviation of ln(rate) from the middle 68 % of the draws that have one."""
    logs = log(rates[rates > 0])
    if len(logs) < 2:
        return 0.0
    lower, upper = np.quantile(logs, [0.16, 0.84])
    return float(upper - lower) / 2


def _binding(replica: _OpenReplica, occupancy: Array) -> str:
    """Which condition ends at the goodput, at the mode, and what the time goes into there."""
    above = _kept(replica, _state(replica, occupancy * 1.02 + 1e-6))
    broken = [name for name, good in above.items() if not good[0, 0]] or ["the largest batch considered"]
    work = replace(replica.work, concurrency=np.array([max(1.0, float(occupancy[0, 0]))]))
    mode = {name: values[0] for name, values in replica.parameters.items()}
    spent = limits_of(step_times(work, mode, burst_share=0.0), float(occupancy[0, 0]), float(work.context[0]))
    return f"{' and '.join(broken)} at the percentile; most of a token's time: {spent}"


def _unreachable(setup: Setup, memory: MemoryFit, kv_tokens: float, believed: Belief, replica: _OpenReplica) -> Goodput:
    """The answer where no rate meets the SLO: 0, and which bound a lone request already breaks."""
    state = _state(replica, np.full(replica.slots.shape, LEAST_CONCURRENCY))
    ttft, tpot = 1e3 * float(state.ttft[0, 0]), 1e3 * float(state.tpot_at_percentile[0, 0])
    slo = replica.slo
    broken = [name for name, good in _kept(replica, state).items() if not good[0, 0]]
    alone = (
        f"a lone request has TTFT {ttft:.0f} ms on average (bound {slo.ttft_ms:g} ms, met by"
        f" {float(state.attained[0, 0]):.1%}) and TPOT {tpot:.1f} ms (bound {slo.tpot_ms:g} ms)"
    )
    named = " and ".join(broken) or "half of the posterior draws"
    return Goodput(
        gpus=setup.layout.gpus,
        ttft_ms=ttft,
        tpot_ms=tpot,
        kv_tokens=kv_tokens,
        memory=memory,
        label=believed.label,
        limits=f"{named}: the SLO cannot be met at any rate",
        reason=f"{named}: the SLO cannot be met at any rate; {alone}; {believed.reason}",
        calibration_rows=believed.calibration.rows,
    )
