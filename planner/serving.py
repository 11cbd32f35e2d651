"""What one replica serves: an estimate with label and interval under a closed loop, and goodput at an SLO."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal, Protocol

import numpy as np

from executor.cost import Layout, MemoryFit, decode_step_bytes, memory_fit, request_flops
from executor.errors import BadInputError
from executor.portable import normal
from executor.portable.elementary import exp, hypot, interpolated, log, square, whole_power
from executor.profile import Figure, Label, Point, Provenance, ServingProfile
from executor.roofline import mbu, mfu
from executor.steptime import (
    CHUNK_TOKENS,
    FLOOR_LOG,
    PARAMETERS,
    Z_80,
    Array,
    Band,
    Load,
    Setup,
    StepTimes,
    Work,
    kv_room,
    parameters,
    predict,
    step_times,
    with_load,
    work_of,
)
from planner.belief import Belief, belief
from planner.measured import Case

DRAWS = 96
"""Posterior draws behind the spread of a goodput."""
LEAST_CONCURRENCY = 0.02
MOST_CONCURRENCY = 1e5
LIFETIME_FACTOR = 0.858
"""Spread of the occupancy averaged over a request's life / spread at an instant.

For M/M/inf the autocorrelation is exp(-t/life), and the mean over one life has variance 2/e = 0.736 of it.
"""


@dataclass(frozen=True)
class Estimate:
    """TTFT, TPOT and throughput of one replica under a closed loop; intervals hold 80 %."""

    model: str
    gpu: str
    precision: str
    kv_precision: str
    engine: str
    layout: Layout
    load: Load
    ttft_ms: Figure
    tpot_ms: Figure
    output_tokens_per_s_per_gpu: Figure
    label: Label
    memory: MemoryFit
    kv_tokens: float
    """Tokens of KV cache of the replica: stated, or what memory leaves."""
    in_service: float
    """Requests in service at once; less than the concurrency where the KV cache is full."""
    mfu: float
    mbu: float
    limits: str
    parts_ms: Mapping[str, float]
    """What a token's time goes into; the parts add up to TPOT at the heaviest mode."""
    reason: str
    calibration_rows: int

    def profile(self, date: str, command: str = "") -> ServingProfile:
        """This estimate as a record that a plan can cite. Rates are of the whole replica."""
        gpus = self.layout.gpus
        throughput = self.output_tokens_per_s_per_gpu
        figures = {
            "mean_ttft_ms": self.ttft_ms,
            "mean_tpot_ms": self.tpot_ms,
            "output_throughput": Figure(
                *(gpus * v for v in (throughput.value, throughput.low, throughput.high))
            ),
        }
        point = Point(self.load.isl, self.load.osl, concurrency=self.load.concurrency, estimates=figures)
        return ServingProfile(
            model=self.model,
            gpu=self.gpu,
            precision=self.precision,
            engine=self.engine,
            engine_version="",
            layout=self.layout,
            kv_precision=self.kv_precision,
            label=self.label,
            points=(point,),
            provenance=Provenance(source=self.reason, date=date, command=command),
        )


class LengthCell(Protocol):
    """One cell of a joint law of lengths: its share of requests and its mean lengths, tokens."""

    @property
    def weight(self) -> float:
        """Share of the requests; the weights of a law add to 1."""

    @property
    def input(self) -> float:
        """Mean prompt length, tokens."""

    @property
    def output(self) -> float:
        """Mean output length, tokens."""


@dataclass(frozen=True)
class Lengths:
    """Prompt and output lengths in tokens: means, and quantiles as (share, tokens) where they are known."""

    input_mean: float
    output_mean: float
    input_quantiles: tuple[tuple[float, float], ...] = ()
    output_quantiles: tuple[tuple[float, float], ...] = ()

    def __post_init__(self) -> None:
        for name in ("input_mean", "output_mean"):
            value = getattr(self, name)
            if not (math.isfinite(value) and 1 <= value <= 1e8):
                raise BadInputError(f"lengths: {name} must be from 1 to 1e8 tokens (got {value!r})")
        for name in ("input_quantiles", "output_quantiles"):
            pairs = getattr(self, name)
            if any(
                not (0 <= share <= 1 and math.isfinite(tokens) and tokens >= 0) for share, tokens in pairs
            ):
                raise BadInputError(
                    f"lengths: {name} must be pairs of a share in 0..1 and tokens of 0 or more"
                )
            if list(pairs) != sorted(pairs) or any(a[1] > b[1] for a, b in pairwise(pairs)):
                raise BadInputError(f"lengths: {name} must grow in share and in tokens")

    def grid(self, which: str, points: int = 64) -> Array:
        """Equally likely lengths that stand for the distribution, scaled to its mean."""
        mean = self.input_mean if which == "input" else self.output_mean
        pairs = self.input_quantiles if which == "input" else self.output_quantiles
        if not pairs:
            return np.full(points, mean)
        shares, tokens = np.array(pairs, dtype=float).T
        found = interpolated((np.arange(points) + 0.5) / points, shares, tokens)
        found = np.maximum(found, 1.0)
        return found * (mean / found.mean())


@dataclass(frozen=True)
class Slo:
    """Bounds on TTFT and TPOT that the given share of requests must meet."""

    ttft_ms: float
    tpot_ms: float
    percentile: float = 90.0

    def __post_init__(self) -> None:
        for name in ("ttft_ms", "tpot_ms"):
            value = getattr(self, name)
            if not value > 0 or math.isnan(value):
                raise BadInputError(f"SLO: {name} must be above 0 (got {value!r})")
        if not 0 < self.percentile < 100:
            raise BadInputError(f"SLO: percentile must be between 0 and 100 (got {self.percentile!r})")


@dataclass(frozen=True)
class Goodput:
    """The highest rate of one replica at which the SLO still holds.

    ``requests_per_s`` is the median and ``sigma_log`` the standard deviation of its logarithm, so that a
    planner can draw it per replication. A replica that cannot meet the SLO at any rate has 0, and the
    reason says why.
    """

    requests_per_s: float
    sigma_log: float
    low: float
    high: float
    concurrency: float
    """Mean requests in service at that rate."""
    gpus: int
    output_tokens_per_s_per_gpu: float
    ttft_ms: float
    tpot_ms: float
    """Mean TTFT and TPOT at that rate."""
    mfu: float
    mbu: float
    kv_tokens: float
    memory: MemoryFit
    label: Label
    limits: str
    reason: str
    calibration_rows: int


def estimate(setup: Setup, load: Load, version: str = "", rows: Sequence[Case] | None = None) -> Estimate:
    """TTFT, TPOT and throughput per GPU of one replica under a closed loop.

    Raises DoesNotFitError (by how many GB) where weights or one request do not fit. ``rows`` replaces the shipped
    measurements that the estimate is calibrated on.
    """
    believed = belief(setup, version, rows)
    memory, kv_tokens = _memory(setup, load.isl + load.osl, believed)
    timed = believed.on(setup)
    work = work_of([(timed, load)])
    times, band = predict(work, believed.calibration, extra_sd=believed.extra_sd)
    return _estimate(setup, load, memory, kv_tokens, believed, work, times, band)


def _estimate(
    setup: Setup,
    load: Load,
    memory: MemoryFit,
    kv_tokens: float,
    believed: Belief,
    work: Work,
    times: StepTimes,
    band: Band,
) -> Estimate:
    ttft, tpot, throughput = (_figure(band, metric) for metric in range(3))
    rate = throughput.value / load.osl
    in_service = float(times.in_service[0])
    utilisation = mfu(
        request_flops(setup.spec, load.isl, load.osl, load.prefix_reuse) * rate,
        setup.accelerator,
        setup.precision,
    )
    read = float(decode_step_bytes(setup.cost, in_service, load.isl + load.osl / 2))
    return Estimate(
        model=setup.spec.name,
        gpu=setup.accelerator.name,
        precision=setup.precision,
        kv_precision=setup.kv_type,
        engine=setup.engine.name,
        layout=setup.layout,
        load=load,
        ttft_ms=ttft,
        tpot_ms=tpot,
        output_tokens_per_s_per_gpu=throughput,
        label=believed.label,
        memory=memory,
        kv_tokens=kv_tokens,
        in_service=in_service,
        mfu=utilisation,
        mbu=mbu(read / (tpot.value / 1e3 * float(work.emitted[0])), setup.accelerator),
        limits=limits_of(times, load.concurrency, float(work.context[0])),
        parts_ms=parts_ms(times),
        reason=believed.reason,
        calibration_rows=believed.calibration.rows,
    )


def _memory(setup: Setup, tokens: float, believed: Belief) -> tuple[MemoryFit, float]:
    """Memory of a GPU and KV tokens of the replica, or DoesNotFitError unless a request of ``tokens``
    fits: into what the usual share of the memory leaves, or into what an engine that serves is believed to hold.
    """
    drafting = 0 if setup.drafting is None else 1
    memory = memory_fit(
        setup.spec,
        setup.layout,
        setup.precision,
        setup.accelerator,
        setup.kv_type,
        extra_layers=drafting,
    )
    what = f"{setup.spec.name} {setup.precision} on {setup.layout.gpus} x {setup.accelerator.name}"
    if setup.kv_tokens is not None:
        memory.require(0.0, what)
        return memory, setup.kv_tokens
    room = float(
        kv_room(work_of([(believed.on(setup), Load(tokens, 1.0, 1.0))]), believed.calibration.theta)[0]
    )
    memory.require(0.0 if tokens <= room else tokens, what)
    return memory, memory.kv_tokens


def _figure(band: Band, metric: int) -> Figure:
    median = (band.ttft_ms, band.tpot_ms, band.throughput)[metric]
    low, high = band.interval(metric)
    return Figure(float(median[0]), float(low[0]), float(high[0]))


def parts_ms(times: StepTimes) -> dict[str, float]:
    """What one output token's time goes into, ms; weights and GEMM, KV and attention shared by their fourth
    powers.
    """

    def split(whole: Array, memory: Array, compute: Array) -> tuple[float, float]:
        of_memory, of_compute = whole_power(memory, 4), whole_power(compute, 4)
        share = float((of_memory / np.maximum(of_memory + of_compute, 1e-300))[0])
        return float(whole[0]) * share, float(whole[0]) * (1 - share)

    weights, gemm = split(times.linear, times.weights, times.gemm)
    kv, attention = split(times.attention, times.kv, times.attention_compute)
    step = {
        "weights": weights,
        "kv": kv,
        "compute": gemm + attention,
        "collectives": float(times.collectives[0]),
        "host": float(times.host[0]),
    }
    # Where collectives hide behind the rest, or a draft adds to a step, each part stands for its share of it.
    share = float(times.decode_step[0] / times.emitted[0]) / sum(step.values())
    return {**{name: 1e3 * value * share for name, value in step.items()}, "wait": 1e3 * float(times.wait[0])}


def limits_of(times: StepTimes, concurrency: float, context: float) -> str:
    """What keeps the throughput from being higher, in words; ``context``: tokens held of a request, on average."""
    in_service = float(times.in_service[0])
    if in_service < 0.95 * concurrency:
        room = round(float(times.slots[0]) * context, -2)
        return (
            f"KV cache: with room for about {room:,.0f} tokens, {in_service:.1f} of {concurrency:g} requests are in"
            " service, the rest wait"
        )
    if float(times.front_end[0]) > float(times.engine_cycle[0]):
        return "front end: tokens leave slower than the GPUs make them; more GPUs do not help"
    named = {
        "weights": "memory bandwidth, reading weights",
        "kv": "memory bandwidth, reading the KV cache",
        "compute": "matrix units",
        "collectives": "collectives between the GPUs",
        "host": "host and launch time",
        "wait": "other requests' prefill",
    }
    parts = parts_ms(times)
    return named[max(parts, key=lambda name: parts[name])]


def phase_rate(
    setup: Setup,
    phase: Literal["prefill", "decode"],
    tokens: float,
    requests_per_gpu: float,
    version: str = "",
    rows: Sequence[Case] | None = None,
) -> tuple[Figure, Belief]:
    """Tokens/s per GPU of a replica that does nothing but prefill, or nothing but decode, with its 80 %
    interval.

    prefill   i / t_pre / g        prompt tokens, ``requests_per_gpu`` prompts of ``tokens`` in one step
    decode    S e / t_dec / g      output tokens, ``requests_per_gpu`` sequences with ``tokens`` in the cache

    For disaggregated serving. Memory is not checked: a prefill replica frees its cache as it hands it over.
    """
    believed = belief(setup, version, rows)
    requests = requests_per_gpu * setup.layout.gpus
    work = work_of([(believed.on(setup), Load(tokens, 2.0, requests))])
    work = replace(work, context=np.array([tokens]), kv_tokens=np.array([np.inf]))
    calibration = believed.calibration
    times = step_times(work, calibration.draws(DRAWS, calibration.widen), burst_share=0.0)
    if phase == "decode":
        rates = requests * times.emitted / times.decode_step / setup.layout.gpus
    else:
        rates = tokens * setup.layout.pp / times.prefill / setup.layout.gpus
    logs = log(np.ravel(rates))
    floor = float(calibration.widen * FLOOR_LOG[1])
    spread = math.sqrt(float(np.var(logs)) + square(floor) + square(believed.extra_sd))
    median = exp(float(np.median(logs)))
    return Figure(median, median * exp(-Z_80 * spread), median * exp(Z_80 * spread)), believed


def goodput(
    setup: Setup,
    lengths: Lengths,
    slo: Slo,
    prefix_reuse: float = 0.0,
    version: str = "",
    rows: Sequence[Case] | None = None,
) -> Goodput:
    """The highest rate of requests that one replica serves within the SLO, under open Poisson arrivals.

    Every posterior draw is bisected at once. Raises as ``estimate`` does. An SLO that cannot be met at any rate is
    an answer: 0 requests/s and the reason.
    """
    believed = belief(setup, version, rows)
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
    """One replica under open arrivals, for every posterior draw (rows of the arrays; the first is the
    mode).
    """

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
    prefill_load: Array


def _open_replica(
    setup: Setup, believed: Belief, lengths: Lengths, slo: Slo, prefix_reuse: float
) -> _OpenReplica:
    """Mean work of a request from its length distribution, and the draws of parameters and of the model's
    error.
    """
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

    s is what one prompt takes from the prefill server: t_pre alone where prefill runs first, with the
    decode steps that it rides on where steps are mixed. Holds for Poisson arrivals and an M/G/1 wait that
    is not much longer than its mean, so for r below about 0.9; bursts beyond Poisson need a replay of the
    trace.
    """
    z = float(normal.quantile(replica.slo.percentile / 100))
    work = replica.work
    occupancy = np.maximum(occupancy, LEAST_CONCURRENCY)
    seen = np.maximum(1.0, occupancy + LIFETIME_FACTOR * z * np.sqrt(occupancy))
    times = step_times(
        with_load(work, np.concatenate([occupancy, seen], axis=1)), replica.parameters, burst_share=0.0
    )
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
        prefill_load=load,
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


def _highest(replica: _OpenReplica, steps: int = 18) -> Array:
    """Highest mean occupancy that keeps every condition, by bisection in its logarithm; 0 where none does."""
    low = np.full(replica.slots.shape, log(LEAST_CONCURRENCY))
    high = log(np.clip(replica.slots, 2.0, MOST_CONCURRENCY))
    possible = _holds(replica, exp(low))
    whole = _holds(replica, exp(high))
    for _ in range(steps):
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
    work = with_load(replica.work, np.array([max(1.0, float(occupancy[0, 0]))]))
    mode = {name: values[0] for name, values in replica.parameters.items()}
    spent = limits_of(step_times(work, mode, burst_share=0.0), float(occupancy[0, 0]), float(work.context[0]))
    return f"{' and '.join(broken)} at the percentile; most of a token's time: {spent}"


def _unreachable(
    setup: Setup, memory: MemoryFit, kv_tokens: float, believed: Belief, replica: _OpenReplica
) -> Goodput:
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
        requests_per_s=0.0,
        sigma_log=0.0,
        low=0.0,
        high=0.0,
        concurrency=0.0,
        gpus=setup.layout.gpus,
        output_tokens_per_s_per_gpu=0.0,
        ttft_ms=ttft,
        tpot_ms=tpot,
        mfu=0.0,
        mbu=0.0,
        kv_tokens=kv_tokens,
        memory=memory,
        label=believed.label,
        limits=f"{named}: the SLO cannot be met at any rate",
        reason=f"{named}: the SLO cannot be met at any rate; {alone}; {believed.reason}",
        calibration_rows=believed.calibration.rows,
    )
