"""How long one step of a serving engine takes, and the TTFT, TPOT and throughput that follow from it.

The form is a work balance of one cycle of a request (arrival, prefill, decode), not a curve through TPOT:
what a request takes from the engine does not depend on the order in which prefill and decode run, only the
split of the cycle into TTFT and TPOT does. Sixteen parameters with log-normal priors per engine carry what
the data sheet does not say; ``fit`` moves them as far as measured rows ask. Everything is vectorised over
rows and over parameter draws. Times are seconds inside, milliseconds where a name ends in ``_ms``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cache
from importlib.resources import files

import numpy as np

from executor.cost import GPUS_PER_NODE, Layout, ReplicaCost, replica_cost, stack
from executor.errors import BadInputError, UnknownNameError
from executor.portable import linear, normal
from executor.portable.elementary import exp, expm1, log, log1p, log2, power, square, whole_power
from executor.roofline import Accelerator
from executor.spec import ModelSpec

Array = np.ndarray

SIGMA_LOG = np.array([0.2, 0.04, 0.04])
"""Spread of a measured row about the model in ln(TTFT), ln(TPOT), ln(T): a protocol's and a machine's."""
FLOOR_LOG = np.array([0.25, 0.06, 0.06])
"""Least spread of a prediction in ln(TTFT), ln(TPOT), ln(throughput): two parties measuring one set-up
differ by 7 %.
"""
UNCALIBRATED_FACTOR = np.array([0.82, 1.18, 1.23])
"""Factors on the spread of TTFT, TPOT and throughput where no row of the set-up was seen: with them the 80 %
interval of a group's shipped calibration rows, predicted from the other groups' shipped rows, holds 80 % of them
(``planner.score.conformal_factors``, 2026-11-24; no row that is scored is looked at).
"""
WIDEN_CALIBRATED = 1.2
WIDEN_UNCALIBRATED = 1.4
"""Factors on the spread that made 80 % intervals cover about 80 % of held-out rows with rows of the group,
and without.
"""
ENOUGH_ROWS = 2
"""Measured rows from which a step-time model counts as calibrated."""
Z_80 = 1.2815515655446004
"""Half-width of a central 80 % interval in standard deviations."""

CHUNK_TOKENS = 8192
"""Prompt tokens that engines put into one step at most (default of vLLM and SGLang on these GPUs)."""
RESERVED_BYTES = 1e9
"""Memory taken by activations and graphs beside weights and KV cache."""
SHARE_SPREAD = 0.025
"""Spread, from set-up to set-up, of the share of the memory that engines take: fits of 14 groups lie from 0.84 to 0.90
(``data/engines.json``).
"""
NIC_BYTES_S = 50e9
"""One 400 Gbit/s network port per GPU, for collectives that leave a node; official figure of the port."""
EFFICIENCY_CAP = 0.95
"""No kernel reads weights or multiplies faster than this share of the data sheet; keeps a fit physical."""
KERNEL_FACTOR = {"bf16": 1.0, "fp8": 0.75, "int8": 0.75, "int4": 0.8, "fp4": 0.75}
"""Share of the efficiency of BF16 GEMMs that the kernels of another data type reach of their own peak."""
MOE_FACTOR = 0.6
"""The same for grouped GEMMs of experts: few tokens per expert, gather and scatter."""
MOE_LAYER_FACTOR = 1.7
"""Launch time of a layer with experts / of a dense layer."""

PARAMETERS = (
    *("e_w", "e_kv", "e_p", "e_pa", "t_fix", "tau_l", "h_seq", "h_req"),
    *("a_ar", "e_net", "m_moe", "tau0", "phi", "q", "f_mem", "f_tok"),
)
"""Names of the fitted parameters, in the order of every parameter array; meanings and units in
data/engines.json.
"""
DIFFERENCE = 1e-4
"""Step in a log parameter for slopes by central differences."""
ENOUGH_GAIN = 1e-5
"""A fit ends when a step lowers the sum of squares by less than this share of it."""
_UNIT = {"ms": 1e-3, "us": 1e-6}


@dataclass(frozen=True)
class Reading:
    """One way in which a closed-loop benchmark can have been run, as beliefs about phi and q.

    Lock-step waves (every request starts with a burst) have phi 1; a mean over W jittered waves, of which
    only the first is a burst, has 1/W; a client with one request more than the engine has slots has q 1.
    """

    name: str
    phi: float
    q: float
    weight: float
    """Share of this engine's published benchmark series that ran so."""

    def on(self, prior: Prior) -> Prior:
        """The prior under this reading; the spreads stay."""
        phi, q = PARAMETERS.index("phi"), PARAMETERS.index("q")
        return prior.with_(phi=(self.phi, float(prior.sd[phi])), q=(self.q, float(prior.sd[q])))


@dataclass(frozen=True)
class Engine:
    """Traits of a serving engine that are stated, not fitted.

    ``mixed_steps``: prefill and decode share a step; else prefill runs first. ``memory_factor``: memory
    share relative to the reference. ``kv_follows_weights``: an FP8 model gets an FP8 KV cache by default.
    ``readings``: the ways in which this engine's published benchmarks were run, the likeliest first.
    """

    name: str
    mixed_steps: bool
    memory_factor: float
    kv_follows_weights: bool
    readings: tuple[Reading, ...]

    def kv_precision(self, precision: str) -> str:
        """The KV cache's data type that goes with a weight precision where none is stated."""
        return "fp8" if self.kv_follows_weights and precision in ("fp8", "fp4") else "bf16"


@dataclass(frozen=True)
class Prior:
    """Log-normal beliefs about the parameters before a row of the set-up is seen."""

    log_median: Array
    sd: Array

    def covariance(self) -> Array:
        """Covariance of the logarithms, (16, 16)."""
        return np.diag(square(self.sd))

    def with_(self, **given: tuple[float, float]) -> Prior:
        """The same beliefs with some parameters replaced by (median in SI units, sd of the log)."""
        log_median, sd = self.log_median.copy(), self.sd.copy()
        for name, (median, spread) in given.items():
            log_median[PARAMETERS.index(name)] = log(float(median))
            sd[PARAMETERS.index(name)] = spread
        return Prior(log_median, sd)


@dataclass(frozen=True)
class Work:
    """Rows to be timed: what a step costs, on which hardware, under which load. Every field is an array
    over rows.
    """

    cost: ReplicaCost
    bandwidth: Array
    peak: Array
    """Dense peak of the weights' data type, flop/s, and (below) of BF16, in which attention runs."""
    peak_bf16: Array
    kernel_factor: Array
    link: Array
    """Link bandwidth of one direction, bytes/s."""
    memory: Array
    memory_factor: Array
    mixed: Array
    isl: Array
    osl: Array
    concurrency: Array
    computed: Array
    """Prompt tokens that are not found in the prefix cache."""
    square: Array
    """Mean of (prompt^2 - cached^2): what causal prefill attention is proportional to."""
    context: Array
    """Mean tokens in the KV cache of a sequence in service, weighted by time."""
    kv_tokens: Array
    """KV cache tokens of the replica where the engine's start-up log states them; NaN: from the memory."""
    halves: Array
    """2 where two half batches overlap their collectives with the other's work, else 1."""
    verified: Array
    """Tokens that each sequence puts through a step: 1 and those drafted."""
    emitted: Array
    """Tokens of them that are kept on average."""

    def at(self, index: Array | Sequence[int]) -> Work:
        """The chosen rows."""
        chosen = np.asarray(index, dtype=int)
        values = {f.name: getattr(self, f.name)[chosen] for f in fields(self) if f.name != "cost"}
        cost = ReplicaCost(**{f.name: getattr(self.cost, f.name)[chosen] for f in fields(ReplicaCost)})
        return Work(cost=cost, **values)

    def __len__(self) -> int:
        return len(self.isl)


@dataclass(frozen=True)
class Load:
    """One closed loop: ``concurrency`` clients of one replica, each with ``isl`` prompt and ``osl`` output
    tokens.
    """

    isl: float
    osl: float
    concurrency: float
    prefix_reuse: float = 0.0
    """Share of the prompt found in the prefix cache."""

    def __post_init__(self) -> None:
        for name, least in (("isl", 1), ("osl", 1), ("concurrency", 1e-6)):
            value = getattr(self, name)
            if not (isinstance(value, int | float) and np.isfinite(value) and least <= value <= 1e9):
                raise BadInputError(f"{name} must be a number from {least:g} to 1e9 (got {value!r})")
        if not 0 <= self.prefix_reuse < 1:
            raise BadInputError(f"prefix_reuse must be at least 0 and below 1 (got {self.prefix_reuse!r})")


@dataclass(frozen=True)
class Drafting:
    """Speculative decoding (multi-token prediction): tokens drafted per step and the chance that one is
    accepted.
    """

    tokens: int
    acceptance: float

    def __post_init__(self) -> None:
        if isinstance(self.tokens, bool) or not isinstance(self.tokens, int) or not 1 <= self.tokens <= 16:
            raise BadInputError(f"draft tokens must be a whole number from 1 to 16 (got {self.tokens!r})")
        if not 0 <= self.acceptance <= 1:
            raise BadInputError(f"acceptance must be a share from 0 to 1 (got {self.acceptance!r})")

    @property
    def emitted(self) -> float:
        """Tokens kept per step: 1 + a + a^2 + .. + a^m, each draft accepted with chance a if those before
        it were.

        >>> Drafting(2, 0.5).emitted
        1.75
        """
        kept = [1.0]
        for _ in range(self.tokens):
            kept.append(kept[-1] * self.acceptance)
        return sum(kept)


@dataclass(frozen=True)
class Setup:
    """What is served where: everything a row's timing depends on besides the load and the parameters."""

    spec: ModelSpec
    accelerator: Accelerator
    precision: str
    engine: Engine
    layout: Layout
    kv_precision: str | None = None
    kv_tokens: float | None = None
    kernel_factor: float | None = None
    """Replaces KERNEL_FACTOR x MOE_FACTOR on hardware whose kernels are known to reach another share."""
    two_batch_overlap: bool | None = None
    """Whether half batches overlap; None: as published deployments do, for attention DP over several
    nodes.
    """
    drafting: Drafting | None = None

    @property
    def kv_type(self) -> str:
        """Data type of the KV cache, stated or the engine's default."""
        return self.kv_precision or self.engine.kv_precision(self.precision)

    @property
    def cost(self) -> ReplicaCost:
        """Bytes and flops per GPU of one replica."""
        return replica_cost(self.spec, self.layout, self.precision, self.kv_type)

    @property
    def overlaps(self) -> bool:
        """Whether two half batches overlap, stated or by the layout."""
        wide = self.layout.attention_dp > 1 and self.layout.stage_gpus > GPUS_PER_NODE
        return wide if self.two_batch_overlap is None else self.two_batch_overlap

    def default_kernel_factor(self) -> float:
        """Share of BF16 GEMM efficiency that this data type and model kind reach."""
        return KERNEL_FACTOR[self.precision] * (MOE_FACTOR if self.spec.moe is not None else 1.0)


def work_of(rows: Sequence[tuple[Setup, Load]]) -> Work:
    """The arrays for a list of (set-up, load); raises the error of the first row that cannot be timed."""
    setups = [setup for setup, _ in rows]
    loads = [load for _, load in rows]
    cost = stack([setup.cost for setup in setups])

    def each(values: Sequence[float]) -> Array:
        return np.array(values, dtype=float)

    isl, osl = each([load.isl for load in loads]), each([load.osl for load in loads])
    reuse = each([load.prefix_reuse for load in loads])
    one_gpu = cost.stage_gpus <= 1
    return Work(
        cost=cost,
        bandwidth=each([s.accelerator.bandwidth_bytes_s for s in setups]),
        peak=each([s.accelerator.peak_flops(s.precision) for s in setups]),
        peak_bf16=each([s.accelerator.peak_flops("bf16") for s in setups]),
        kernel_factor=each([s.kernel_factor or s.default_kernel_factor() for s in setups]),
        link=each(
            [
                np.inf if one else s.accelerator.figure("interconnect_gb_s") * 1e9 / 2
                for s, one in zip(setups, one_gpu, strict=True)
            ]
        ),
        memory=each([s.accelerator.memory_bytes for s in setups]),
        memory_factor=each([s.engine.memory_factor for s in setups]),
        mixed=np.array([s.engine.mixed_steps for s in setups], dtype=bool),
        isl=isl,
        osl=osl,
        concurrency=each([load.concurrency for load in loads]),
        computed=isl * (1 - reuse),
        square=square(isl) * (1 - square(reuse)),
        context=isl + osl / 2,
        kv_tokens=each([np.nan if s.kv_tokens is None else s.kv_tokens for s in setups]),
        halves=each([2.0 if s.overlaps else 1.0 for s in setups]),
        verified=each([1.0 if s.drafting is None else 1.0 + s.drafting.tokens for s in setups]),
        emitted=each([1.0 if s.drafting is None else s.drafting.emitted for s in setups]),
    )


@dataclass(frozen=True)
class StepTimes:
    """Timing of each row (and of each parameter draw, leading axis). Seconds."""

    slots: Array
    """Requests that the KV cache holds at once."""
    in_service: Array
    """Requests in service, S: the concurrency or the slots, whichever is less."""
    weights: Array
    gemm: Array
    """Weight reads and GEMM flops of a decode step; ``linear`` is the smooth larger of the two."""
    linear: Array
    kv: Array
    attention_compute: Array
    attention: Array
    collectives: Array
    host: Array
    decode_step: Array
    emitted: Array
    """Tokens that a sequence gains per step: 1, or more where drafts are accepted."""
    prefill: Array
    """Engine time of one request's prefill, of which ``prefill_attention`` grows with the square of its
    length.
    """
    prefill_attention: Array
    engine_cycle: Array
    front_end: Array
    """Front end's time for one cycle; binds where it is more than ``engine_cycle``."""
    cycle: Array
    """Mean time from a request's arrival to the next one of the same client, T."""
    ttft: Array
    tpot: Array
    throughput_per_gpu: Array
    """Output tokens/s per GPU."""

    @property
    def wait(self) -> Array:
        """Time per output token that goes to other requests' prefill, to the front end and to the queue."""
        return np.maximum(0.0, self.tpot - self.decode_step / self.emitted)

    def logs(self) -> Array:
        """ln(TTFT), ln(TPOT), ln(T), stacked on a new first axis."""
        return log(np.stack([self.ttft, self.tpot, self.cycle]))


def step_times(work: Work, theta: Array | Mapping[str, Array], burst_share: float | None = None) -> StepTimes:
    r"""Time of a step and of a cycle for each row.

    Symbols: S in service, i and o input and output tokens, g GPUs, d attention DP, per GPU: W weights, k KV
    bytes. v tokens verified and e tokens emitted per sequence and step (both 1 without drafting).

        slots  = med(f_mem f_eng M - W_held - 1 GB) / (k c),  c = i + o/2;  S = min(C, slots), smooth (p = 8)
        t_dec  = lin(S v) + attn + comm + host                              ``_decode``
        t_pre  = h_req/d + n extra / S + i^2 f_p / (peak_bf16 e_pa) + n_ar (i/d) f_b     ``_prefill``
        T_s    = pnorm6( S t_pre + (o/e) t_dec,  S o f_tok / nodes );    T1 = T_s + tau0
        TTFT_s = tau0 + 1.5 t_dec + t_pre + phi (S-1) t_pre w + q T_s/S + 0.6 (T_s - engine part), < 0.9 T1
        TPOT   = (T1 - TTFT_s) / (o-1);   TTFT = TTFT_s + T1 (C/S - 1);   T = T1 C/S

    med(x) is x where the weights leave room, and stays above 0 where they hardly do (``kv_room``).
    w = (b+1)/(2b) with b = max(1, S i/8192/d). Pipeline stages each work on S/pp requests, which replaces S
    in the engine's terms. ``burst_share`` replaces the fitted phi: 0 for open arrivals, 1 for lock-step
    waves.

    ``theta``: logarithms of the parameters in SI units, (16,) or (16, draws, 1), or ``parameters`` of them. Holds
    for dense and MoE decoders on one node; across nodes the network port is an assumption that no public row tests.
    """
    p = theta if isinstance(theta, Mapping) else parameters(theta)
    c, o = work.cost, work.osl
    slots = np.maximum(1.0, _kv_room(work, p) / work.context)
    served = work.concurrency / _root(1.0 + whole_power(work.concurrency / slots, 8), 8)
    batch = served / c.pp
    step = _decode(work, p, batch)
    prefill, prefill_attention = _prefill(work, p, batch, step)

    engine = batch * prefill + o / work.emitted * step.total
    # Each node of a replica has a front end of its own.
    front_end = served * o * p["f_tok"] / np.maximum(1.0, c.gpus / GPUS_PER_NODE)
    cycle = _pnorm(engine, front_end, 6)
    whole = cycle + p["tau0"]
    phi = p["phi"] if burst_share is None else burst_share
    waves = np.maximum(1.0, batch * work.computed / CHUNK_TOKENS / c.attention_dp)
    burst = phi * np.maximum(batch - 1.0, 0.0) * prefill * (waves + 1.0) / (2.0 * waves)
    ttft = p["tau0"] + 1.5 * step.total + prefill + burst + p["q"] * cycle / served + 0.6 * (cycle - engine)
    ttft = _smooth_min(ttft, 0.9 * whole)
    queued = work.concurrency / served
    total = whole * queued
    return StepTimes(
        slots=slots,
        in_service=served,
        weights=step.weights,
        gemm=step.gemm,
        linear=step.linear,
        kv=step.kv,
        attention_compute=step.attention_compute,
        attention=step.attention,
        collectives=step.collectives,
        host=step.host,
        decode_step=step.total,
        emitted=work.emitted,
        prefill=prefill,
        prefill_attention=prefill_attention,
        engine_cycle=engine,
        front_end=front_end,
        cycle=total,
        ttft=ttft + whole * (queued - 1.0),
        tpot=(whole - ttft) / np.maximum(o - 1.0, 1.0),
        throughput_per_gpu=work.concurrency * o / total / c.gpus,
    )


@dataclass(frozen=True)
class _Step:
    """Parts of one decode step, seconds."""

    weights: Array
    gemm: Array
    linear: Array
    kv: Array
    attention_compute: Array
    attention: Array
    latency: Array
    collectives: Array
    host: Array
    total: Array


def _decode(work: Work, p: Mapping[str, Array], batch: Array) -> _Step:
    r"""One decode step of ``batch`` sequences.

        lin(B) = [ ((W_dense + W_exp (1-(1-k/E)^B) m_moe) / (BW e_w))^4 + (2 B a / (peak x e_p))^4 ]^(1/4)
        attn   = pnorm4( S c k / (BW e_kv),  S v c f_d / (peak_bf16 e_p) )
        comm   = n_ar (a_ar (1 + 0.2 log2(g/2)) + (S v/d) f_b)
        host   = t_fix + tau_l L (1.7 if MoE) + h_seq S/d
        t_dec  = (lin + attn + comm + host) + (m/L) (lin + attn + comm + tau_l L ..)    m tokens drafted

    Two-batch overlap runs the step as two halves: weights are read, kernels launched and collectives started
    twice, and collectives hide behind the rest: pnorm4(comm, rest). A draft is one pass of one layer.
    """
    c = work.cost
    halves, tokens = work.halves, batch * work.verified
    weights, gemm = _linear_parts(work, p, tokens / halves)
    weights, gemm = halves * weights, halves * gemm
    linear = _pnorm(weights, gemm, 4)
    kv = batch * work.context * c.kv_bytes / (work.bandwidth * p["e_kv"])
    compute = tokens * work.context * c.decode_attention_flops / (work.peak_bf16 * p["e_p"])
    attention = _pnorm(kv, compute, 4)
    latency = c.all_reduces * p["a_ar"] * (1.0 + 0.2 * log2(np.maximum(c.stage_gpus, 2.0) / 2.0)) * halves
    collectives = latency + tokens / c.attention_dp * c.all_reduces * _collective_seconds(work, p)
    launch = _launch(work, p) * halves
    host = p["t_fix"] + launch + p["h_seq"] * batch / c.attention_dp
    drafted = (work.verified - 1.0) / c.layers
    rest = linear + attention + host + drafted * (linear + attention + launch)
    moved = collectives * (1.0 + drafted)
    total = np.where(halves > 1, _pnorm(rest, moved, 4), rest + moved)
    return _Step(weights, gemm, linear, kv, compute, attention, latency, collectives, host, total)


def _prefill(work: Work, p: Mapping[str, Array], batch: Array, step: _Step) -> tuple[Array, Array]:
    r"""Engine time of one request's prefill, and of its attention alone.

    n      = s (1 - exp(-S max(1, i/8192/d) / s)),  m = S i / n,  s = o/e     steps with prefill, tokens in each
    extra  = lin(S v+m) - lin(S v)   mixed steps;   lin(m) + host(0) + n_ar a_ar (..)   prefill first
    t_pre  = h_req/d + n extra / S + i^2 f_p / (peak_bf16 e_pa) + n_ar (i/d) f_b
    """
    c = work.cost
    steps = work.osl / work.emitted
    chunks = work.computed / CHUNK_TOKENS / c.attention_dp
    holding = steps * -expm1(-batch * np.maximum(1.0, chunks) / steps)
    tokens = batch * work.computed / holding
    alone = _pnorm(*_linear_parts(work, p, tokens), 4) + p["t_fix"] + _launch(work, p) + step.latency
    shared = _pnorm(*_linear_parts(work, p, batch * work.verified + tokens), 4) - step.linear
    extra = np.where(work.mixed, np.maximum(shared, 0.0), alone)
    attention = work.square * c.prefill_attention_flops / (work.peak_bf16 * p["e_pa"])
    collectives = work.computed / c.attention_dp * c.all_reduces * _collective_seconds(work, p)
    work_time = holding * extra / batch + attention
    overlapped = _pnorm(work_time, collectives, 4)
    both = np.where(work.halves > 1, overlapped, work_time + collectives)
    return p["h_req"] / c.attention_dp + both, attention * np.ones_like(both)


def _launch(work: Work, p: Mapping[str, Array]) -> Array:
    """Host and launch time of all layers in one step."""
    return p["tau_l"] * work.cost.layers * np.where(work.cost.is_moe > 0, MOE_LAYER_FACTOR, 1.0)


def parameters(theta: Array) -> dict[str, Array]:
    """Parameters by name in SI units from their logarithms; efficiencies of weights, GEMMs and prefill stay below
    EFFICIENCY_CAP.
    """
    p = dict(zip(PARAMETERS, exp(theta), strict=True))
    for name in ("e_w", "e_p", "e_pa"):
        p[name] = p[name] / power(1.0 + whole_power(p[name] / EFFICIENCY_CAP, 40), 1 / 40)
    return p


def kv_room(work: Work, theta: Array) -> Array:
    """Tokens of KV cache that a replica of each row is believed to hold; stated ones where the start-up log is given.

    That a set-up serves at all says that its engine was given enough memory for the weights and some cache.
    """
    return _kv_room(work, parameters(np.asarray(theta, dtype=float)))


def _kv_room(work: Work, p: Mapping[str, Array]) -> Array:
    if not np.isnan(work.kv_tokens).any():
        return np.broadcast_to(work.kv_tokens, np.broadcast_shapes(work.kv_tokens.shape, p["f_mem"].shape))
    c = work.cost
    available = work.memory_factor * work.memory
    spread = SHARE_SPREAD * available
    room = spread * normal.positive_median((p["f_mem"] * available - c.held_bytes - RESERVED_BYTES) / spread)
    return np.where(np.isnan(work.kv_tokens), room / (c.kv_bytes / c.pp), work.kv_tokens)


def _linear_parts(work: Work, p: Mapping[str, Array], tokens: Array) -> tuple[Array, Array]:
    """Seconds to read the weights that ``tokens`` touch, and to multiply by them."""
    c = work.cost
    touched = -expm1(tokens * log1p(-c.expert_share))
    weights = (c.dense_read_bytes + c.expert_read_bytes * touched * p["m_moe"]) / (work.bandwidth * p["e_w"])
    gemm = 2.0 * tokens * c.active_values / (work.peak * work.kernel_factor * p["e_p"])
    return weights, gemm


def _collective_seconds(work: Work, p: Mapping[str, Array]) -> Array:
    """Seconds of one collective per token on a rank: inside the node, and over the network where it leaves
    it.
    """
    c = work.cost
    return c.all_reduce_bytes / (work.link * p["e_net"]) + c.cross_node_bytes / (NIC_BYTES_S * p["e_net"])


def _pnorm(a: Array, b: Array, order: int) -> Array:
    """Smooth maximum: (a^p + b^p)^(1/p), scaled so that no power overflows."""
    larger = np.maximum(np.maximum(a, b), 1e-30)
    return larger * _root(whole_power(a / larger, order) + whole_power(b / larger, order), order)


def _smooth_min(a: Array, b: Array) -> Array:
    """Smooth minimum of two positive arrays, power 8."""
    smaller = np.minimum(a, b)
    return smaller / _root(whole_power(smaller / a, 8) + whole_power(smaller / b, 8), 8)


def _root(x: Array, order: int) -> Array:
    """The root of an even order: square roots as far as they go."""
    while order % 2 == 0:
        x, order = np.sqrt(x), order // 2
    return x if order == 1 else power(x, 1.0 / order)


@dataclass(frozen=True)
class Measured:
    """Measured mean TTFT and TPOT of rows, seconds, with the cycle that follows from them."""

    ttft: Array
    tpot: Array
    osl: Array

    def logs(self) -> Array:
        """ln(TTFT), ln(TPOT), ln(T) with T = TTFT + TPOT (o - 1)."""
        return log(np.stack([self.ttft, self.tpot, self.ttft + self.tpot * (self.osl - 1.0)]))

    def at(self, index: Array | Sequence[int]) -> Measured:
        """The chosen rows."""
        chosen = np.asarray(index, dtype=int)
        return Measured(self.ttft[chosen], self.tpot[chosen], self.osl[chosen])


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
    """What is believed about the parameters: a mixture of normal laws in the logarithms, heaviest mode
    first.
    """

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

    def draws(self, count: int, widen: float = 1.0, seed: int = 20251124) -> Array:
        """Draws of theta, (16, count, 1), the same for the same seed; modes share them by weight, each mode
        first.
        """
        noise = normal.stratified(np.random.default_rng(seed), len(PARAMETERS), count)
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


def fit(work: Work, measured: Measured, before: Calibration) -> Calibration:
    """Maximum a posteriori parameters for measured rows, with their Laplace covariance.

    minimise  sum rho((ln y - ln f) / sigma) + (t - t0)' Cov0^-1 (t - t0),  t the log parameters
    rho       soft L1 beyond 2 sigma, so that one bad row does not carry the fit

    Each mode of ``before`` (mean t0, covariance Cov0) starts a fit of its own; its posterior weight is
    prior weight x exp(-misfit) x sqrt(det Cov / det Cov0), the Laplace evidence. Levenberg-Marquardt from
    the prior; about ten milliseconds each. With no row at all, ``before`` itself.
    """
    if len(work) == 0:
        return before
    found = []
    for mode in before.modes:
        theta, covariance, misfit = _fit_from(work, measured, mode)
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


def _fit_from(work: Work, measured: Measured, before: Mode) -> tuple[Array, Array, float]:
    """Mode, covariance and half the sum of squares at the mode."""
    target = measured.logs()
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
    residuals_and_slopes: Callable[[Array], tuple[Array, Array]], start: Array, most_steps: int = 100
) -> tuple[Array, Array, float]:
    """Levenberg-Marquardt: the minimum of half the sum of squares, J'J there, and the value.

    step = -(J'J + m diag(J'J))^-1 J'r,   m / 5 after a step that lowers the sum, x 4 after one that does not

    Written out because SciPy's stands on LAPACK, whose last bits depend on the processor; the tests hold it against
    scipy's least_squares. The prior's rows keep J'J regular.
    """
    theta, damping = start, 1e-3
    r, j = residuals_and_slopes(theta)
    cost = 0.5 * linear.dot(r, r)
    for _ in range(most_steps):
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


def jacobian(work: Work, theta: Array, burst_share: float | None = None) -> Array:
    """Slopes of ln(TTFT), ln(TPOT), ln(T) in the log parameters, (3, rows, 16), by central differences."""
    return _logs_and_slopes(work, theta, burst_share)[1]


def _logs_and_slopes(work: Work, theta: Array, burst_share: float | None = None) -> tuple[Array, Array]:
    """ln(TTFT), ln(TPOT), ln(T) of each row, (3, rows), and their slopes, from one evaluation."""
    count = len(PARAMETERS)
    shifts = DIFFERENCE * np.concatenate([np.zeros((count, 1)), np.eye(count), -np.eye(count)], axis=1)
    logs = step_times(work, (theta[:, None] + shifts)[:, :, None], burst_share).logs()
    slopes = (logs[:, 1 : count + 1] - logs[:, count + 1 :]) / (2 * DIFFERENCE)
    return logs[:, 0], np.moveaxis(slopes, 1, 2)


@dataclass(frozen=True)
class Band:
    """Median prediction of each row with its central 80 % interval; ms, ms, output tokens/s per GPU."""

    ttft_ms: Array
    tpot_ms: Array
    throughput: Array
    spread: Array
    """Standard deviation of the logarithm, (3, rows), in the order TTFT, TPOT, throughput."""

    def interval(self, metric: int) -> tuple[Array, Array]:
        """Low and high of TTFT (0), TPOT (1) or throughput (2)."""
        median = (self.ttft_ms, self.tpot_ms, self.throughput)[metric]
        factor = exp(Z_80 * self.spread[metric])
        return median / factor, median * factor


def predict(
    work: Work, calibration: Calibration, burst_share: float | None = None, extra_sd: float = 0.0
) -> tuple[StepTimes, Band]:
    """Times at the heaviest mode, and the median with its interval over all modes.

    sd_m^2 = widen^2 (J Cov J' + floor^2)     of mode m
    ln y   = sum w_m ln y_m,   sd^2 = c^2 sum w_m (sd_m^2 + (ln y_m - ln y)^2) + extra_sd^2
    interval = y x exp(-+ 1.2816 sd)

    c is UNCALIBRATED_FACTOR with no two rows, else 1. ``extra_sd``: spread that a transfer to other hardware
    adds, in the logarithm.
    """
    times = [step_times(work, mode.theta, burst_share) for mode in calibration.modes]
    weights = np.array([mode.weight for mode in calibration.modes])
    logs = log(np.array([[t.ttft, t.tpot, t.throughput_per_gpu] for t in times]))
    spreads = []
    for mode in calibration.modes:
        slopes = jacobian(work, mode.theta, burst_share)
        variance = (linear.product(slopes, mode.covariance) * slopes).sum(axis=2)
        spreads.append(square(calibration.widen) * (variance + square(FLOOR_LOG)[:, None]))
    weight = weights[:, None, None]
    mean = (weight * logs).sum(axis=0)
    squares = (weight * (np.array(spreads) + square(logs - mean))).sum(axis=0)
    if calibration.rows < ENOUGH_ROWS:
        squares = squares * square(UNCALIBRATED_FACTOR)[:, None]
    spread = np.sqrt(squares + square(extra_sd))
    return times[0], Band(exp(mean[0]) * 1e3, exp(mean[1]) * 1e3, exp(mean[2]), spread)


def corners(work: Work, count: int) -> list[int]:
    """Up to four rows at the corners of the grid of the most common layout (ties: fewest GPUs).

    1 lowest concurrency at the largest out/in, 2 highest at the smallest, 3 highest at the largest, 4
    lowest at the smallest. Looks at no outcome. A corner already taken is left out.
    """
    layouts = np.stack(
        [work.cost.gpus, work.cost.attention_dp, work.cost.pp, work.cost.expert_read_bytes], axis=1
    )
    kinds, member, sizes = np.unique(layouts, axis=0, return_inverse=True, return_counts=True)
    member = np.ravel(member)
    favourite = min(range(len(kinds)), key=lambda kind: (-sizes[kind], kinds[kind][0], kind))
    rows = np.flatnonzero(member == favourite)
    ratio = work.osl[rows] / work.isl[rows]
    load = work.concurrency[rows]
    orders = ((ratio, -1, load, 1), (ratio, 1, load, -1), (ratio, -1, load, -1), (ratio, 1, load, 1))
    chosen: list[int] = []
    for first, first_sign, second, second_sign in orders[:count]:
        best = rows[np.lexsort((rows, second_sign * second, first_sign * first))[0]]
        if int(best) not in chosen:
            chosen.append(int(best))
    return chosen


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


def engine(name: str) -> Engine:
    """A known engine by name or alias (case does not matter); UnknownNameError lists what is known."""
    known = _stored_engines()
    key = str(name).strip().casefold()
    if key not in known:
        raise UnknownNameError(
            "engine",
            str(name),
            known_engines(),
            "'generic' stands for an engine without a record",
        )
    return known[key]


def known_engines() -> tuple[str, ...]:
    """Names of the engines with a record of their own, and 'generic'."""
    return tuple(sorted({e.name for e in _stored_engines().values()}))


@cache
def prior_for(engine_name: str) -> Prior:
    """Prior of a known engine; engines without fits of their own share the common medians."""
    stored = _stored()["parameters"]
    if tuple(entry["name"] for entry in stored) != PARAMETERS:
        raise BadInputError("data/engines.json: the parameters are not those of this version")
    medians = [
        entry["by_engine"].get(engine_name, entry["median"]) * _UNIT.get(entry["unit"], 1.0)
        for entry in stored
    ]
    return Prior(log(np.array(medians)), np.array([entry["sd_of_log"] for entry in stored]))


@cache
def _stored() -> dict:
    return json.loads((files("executor") / "data" / "engines.json").read_text(encoding="utf-8"))


@cache
def _stored_engines() -> dict[str, Engine]:
    found: dict[str, Engine] = {}
    for name, entry in _stored()["engines"].items():
        record = Engine(
            name=name,
            mixed_steps=entry["mixed_steps"],
            memory_factor=entry["memory_factor"],
            kv_follows_weights=entry["kv_follows_weights"],
            readings=tuple(Reading(**reading) for reading in entry["readings"]),
        )
        for key in (name, *entry["aliases"]):
            found[key.casefold()] = record
    return found


def with_load(work: Work, concurrency: Array) -> Work:
    """The same rows at another concurrency."""
    return replace(work, concurrency=np.asarray(concurrency, dtype=float))
