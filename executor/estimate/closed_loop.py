"""What one replica serves with a fixed number of clients: TTFT, TPOT and throughput with label and interval."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from executor.estimate.calibration import Belief, belief
from executor.estimate.measured_points import Case
from executor.model.cost import Layout, MemoryFit, decode_step_bytes, memory_fit, request_flops
from executor.model.roofline import mbu, mfu
from executor.portable.elementary import exp, log, square, whole_power
from executor.profile import Figure, Label
from executor.steptime.fit import Band, predict
from executor.steptime.model import StepTimes, kv_room, parameters, step_times
from executor.steptime.parameters import FLOOR_LOG, Z_80, Array
from executor.steptime.workload import Load, Setup, work_of

DRAWS = 96
"""Posterior draws behind the spread of a goodput."""


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


def estimate(setup: Setup, load: Load, version: str = "", rows: Sequence[Case] | None = None) -> Estimate:
    """TTFT, TPOT and throughput per GPU of one replica under a closed loop.

    Raises DoesNotFitError (by how many GB) where weights or one request do not fit. ``rows`` replaces the shipped
    measurements that the estimate is calibrated on.
    """
    believed = belief(setup, version, rows)
    memory, kv_tokens = _memory(setup, load.isl + load.osl, believed)
    work = work_of([(believed.on(setup), load)])
    times, band = predict(work, believed.calibration, extra_sd=believed.extra_sd)
    ttft, tpot, throughput = (_figure(band, metric) for metric in range(3))
    rate = throughput.value / load.osl
    in_service = float(times.in_service[0])
    utilisation = mfu(
        request_flops(setup.spec, load.isl, load.osl, load.prefix_reuse) * rate, setup.accelerator, setup.precision
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
        setup.spec, setup.layout, setup.precision, setup.accelerator, setup.kv_type, extra_layers=drafting
    )
    what = f"{setup.spec.name} {setup.precision} on {setup.layout.gpus} x {setup.accelerator.name}"
    if setup.kv_tokens is not None:
        memory.require(0.0, what)
        return memory, setup.kv_tokens
    work = work_of([(believed.on(setup), Load(tokens, 1.0, 1.0))])
    room = float(kv_room(work, parameters(believed.calibration.theta))[0])
    memory.require(0.0 if tokens <= room else tokens, what)
    return memory, memory.kv_tokens


def _figure(band: Band, metric: int) -> Figure:
    low, high = band.interval(metric)
    return Figure(float(band.medians[metric][0]), float(low[0]), float(high[0]))


def parts_ms(times: StepTimes) -> dict[str, float]:
    """What one output token's time goes into, ms; weights and GEMM, KV and attention shared by their fourth powers."""

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
    setup: Setup, phase: Literal["prefill", "decode"], tokens: float, requests_per_gpu: float
) -> tuple[Figure, Belief]:
    """Tokens/s per GPU of a replica that does nothing but prefill, or nothing but decode, with its 80 % interval.

    prefill   i / t_pre / g        prompt tokens, ``requests_per_gpu`` prompts of ``tokens`` in one step
    decode    S e / t_dec / g      output tokens, ``requests_per_gpu`` sequences with ``tokens`` in the cache

    For disaggregated serving. Memory is not checked: a prefill replica frees its cache as it hands it over.
    """
    believed = belief(setup)
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
