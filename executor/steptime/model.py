"""Step times of one replica from its work and the engine's parameters."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from executor.model.cost import GPUS_PER_NODE
from executor.portable import normal
from executor.portable.elementary import exp, expm1, log, log1p, log2, power, whole_power
from executor.steptime.parameters import EFFICIENCY_CAP, PARAMETERS, Array
from executor.steptime.workload import CHUNK_TOKENS, MOE_LAYER_FACTOR, NIC_BYTES_S, RESERVED_BYTES, SHARE_SPREAD, Work


@dataclass(frozen=True)
class DecodeStep:
    """Parts of one decode step of each row (and of each parameter draw, leading axis). Seconds."""

    weights: Array
    gemm: Array
    """Weight reads and GEMM flops; ``linear`` is the smooth larger of the two."""
    linear: Array
    kv: Array
    attention_compute: Array
    attention: Array
    latency: Array
    collectives: Array
    """Of which ``latency``, however little they carry."""
    host: Array
    decode_step: Array


@dataclass(frozen=True)
class StepTimes(DecodeStep):
    """Timing of each row (and of each parameter draw, leading axis). Seconds."""

    slots: Array
    """Requests that the KV cache holds at once."""
    in_service: Array
    """Requests in service, S: the concurrency or the slots, whichever is less."""
    emitted: Array
    """Tokens that a sequence gains per step: 1, or more where drafts are accepted."""
    prefill: Array
    """Engine time of one request's prefill, of which ``prefill_attention`` grows with the square of its length."""
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

    med(x) is x where the weights leave room, and stays above 0 where they hardly do (``kv_room``). w = (b+1)/(2b) with
    b = max(1, S i/8192/d). Pipeline stages each work on S/pp requests, which replaces S in the engine's terms.
    ``burst_share`` replaces the fitted phi: 0 for open arrivals, 1 for lock-step waves.

    ``theta``: logarithms of the parameters in SI units, (16,) or (16, draws, 1), or ``parameters`` of them. Holds
    for dense and MoE decoders on one node; across nodes the network port is an assumption that no public row tests.
    """
    p = theta if isinstance(theta, Mapping) else parameters(theta)
    c, o = work.cost, work.osl
    slots = np.maximum(1.0, kv_room(work, p) / work.context)
    served = work.concurrency / _root(1.0 + whole_power(work.concurrency / slots, 8), 8)
    batch = served / c.pp
    step = _decode(work, p, batch)
    prefill, prefill_attention = _prefill(work, p, batch, step)

    engine = batch * prefill + o / work.emitted * step.decode_step
    # Each node of a replica has a front end of its own.
    front_end = served * o * p["f_tok"] / np.maximum(1.0, c.gpus / GPUS_PER_NODE)
    cycle = _pnorm(engine, front_end, 6)
    whole = cycle + p["tau0"]
    phi = p["phi"] if burst_share is None else burst_share
    waves = np.maximum(1.0, batch * work.computed / CHUNK_TOKENS / c.attention_dp)
    burst = phi * np.maximum(batch - 1.0, 0.0) * prefill * (waves + 1.0) / (2.0 * waves)
    ttft = p["tau0"] + 1.5 * step.decode_step + prefill + burst + p["q"] * cycle / served + 0.6 * (cycle - engine)
    ttft = _smooth_min(ttft, 0.9 * whole)
    queued = work.concurrency / served
    total = whole * queued
    return StepTimes(
        **vars(step),
        slots=slots,
        in_service=served,
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


def _decode(work: Work, p: Mapping[str, Array], batch: Array) -> DecodeStep:
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
    return DecodeStep(weights, gemm, linear, kv, compute, attention, latency, collectives, host, total)


def _prefill(work: Work, p: Mapping[str, Array], batch: Array, step: DecodeStep) -> tuple[Array, Array]:
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


def kv_room(work: Work, p: Mapping[str, Array]) -> Array:
    """Tokens of KV cache that a replica of each row is believed to hold; stated ones where the start-up log is given.

    ``p``: ``parameters``. That a set-up serves at all says that its engine was given enough memory for the weights
    and some cache.
    """
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
    """Seconds of one collective per token on a rank: inside the node, and over the network where it leaves it."""
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
