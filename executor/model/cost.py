"""Bytes and flops of one model on one layout: the one truth for the engine, the roofline and the planner.

A replica is the set of GPUs that holds one copy of a model. ``replica_cost`` says what each GPU of it holds,
reads and multiplies; ``memory_fit`` whether that fits and what remains for the KV cache; the rest counts the
useful work of requests, from which MFU and MBU follow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any

import numpy as np

from executor.errors import BadInputError, DoesNotFitError
from executor.model.roofline import PRECISIONS, Accelerator
from executor.model.spec import ModelSpec
from executor.portable.elementary import expm1, log1p, square

BYTES_PER_VALUE = {"bf16": 2.0, "fp8": 1.0, "int8": 1.0, "fp4": 0.5 + 1 / 16, "int4": 0.5 + 2 / 128}
"""Bytes a weight takes with its scales: fp4 shares one byte among 16 (NVFP4), int4 one BF16 scale among 128."""

KV_PRECISIONS = ("bf16", "fp8")

USABLE_SHARE = 0.88
"""Share of the memory as sold that weights and KV cache may fill together.

Engines reserve 0.85 to 0.92 (vLLM's default is 0.90 before activations, TensorRT-LLM's 0.90 of what is free). Ours,
from the executor's notes of 2026-11-23; evidence: estimate. It gives Qwen3-32B in BF16 on one H100 4.5 GiB."""

GPUS_PER_NODE = 8
"""GPUs that share one NVLink (or vendor's) domain."""

Count = Any
"""A number, or an array of numbers over rows."""


@dataclass(frozen=True)
class Layout:
    """How a replica spreads over GPUs: tensor, pipeline and attention-data parallel, and how the experts are cut.

    ``moe_tp`` x ``moe_ep`` must equal ``tp`` x ``attention_dp`` for a mixture of experts. Left as None they follow:
    experts are cut by tensor where attention is, and spread whole (expert parallel) under attention DP.
    """

    tp: int = 1
    pp: int = 1
    attention_dp: int = 1
    moe_tp: int | None = None
    moe_ep: int | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is None and field.name in ("moe_tp", "moe_ep"):
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise BadInputError(f"layout: {field.name} must be a whole number of 1 or more (got {value!r})")

    @property
    def gpus(self) -> int:
        """GPUs of one replica."""
        return self.tp * self.pp * self.attention_dp

    @property
    def stage_gpus(self) -> int:
        """GPUs that work on one layer together."""
        return self.tp * self.attention_dp

    def __str__(self) -> str:
        parts = [f"TP{self.tp}"]
        parts += [f"PP{self.pp}"] if self.pp > 1 else []
        parts += [f"DP{self.attention_dp}"] if self.attention_dp > 1 else []
        parts += [f"EP{self.moe_ep}"] if (self.moe_ep or 1) > 1 else []
        return " ".join(parts)

    def resolved(self, spec: ModelSpec) -> Layout:
        """This layout with the experts' cut filled in, or BadInputError where the model cannot be cut so."""
        if spec.heads % self.tp:
            raise BadInputError(
                f"layout: tp={self.tp} does not divide the {spec.heads} attention heads of {spec.name};"
                f" use one of {', '.join(str(n) for n in (1, 2, 4, 8, 16, 32) if spec.heads % n == 0)}"
            )
        if spec.mla is None and max(spec.kv_heads, self.tp) % min(spec.kv_heads, self.tp):
            raise BadInputError(
                f"layout: tp={self.tp} and the {spec.kv_heads} KV heads of {spec.name} do not divide one another"
            )
        if self.pp > spec.layers:
            raise BadInputError(f"layout: pp={self.pp} is more than the {spec.layers} layers of {spec.name}")
        moe_tp, moe_ep = self._expert_cut(spec)
        return Layout(self.tp, self.pp, self.attention_dp, moe_tp, moe_ep)

    def _expert_cut(self, spec: ModelSpec) -> tuple[int, int]:
        if spec.moe is None:
            return 1, 1
        whole = self.stage_gpus
        moe_tp, moe_ep = self.moe_tp, self.moe_ep
        if moe_tp is None and moe_ep is None:
            moe_tp, moe_ep = (1, whole) if self.attention_dp > 1 else (whole, 1)
        moe_tp = moe_tp if moe_tp is not None else max(1, whole // (moe_ep or 1))
        moe_ep = moe_ep if moe_ep is not None else max(1, whole // moe_tp)
        if moe_tp * moe_ep != whole:
            raise BadInputError(
                f"layout: moe_tp={moe_tp} x moe_ep={moe_ep} must equal tp x attention_dp = {whole} for {spec.name}"
            )
        if spec.moe.expert_intermediate % moe_tp:
            raise BadInputError(
                f"layout: moe_tp={moe_tp} does not divide the expert width"
                f" {spec.moe.expert_intermediate} of {spec.name}"
            )
        return moe_tp, moe_ep


@dataclass(frozen=True)
class ReplicaCost:
    """What each GPU of a replica holds, reads and multiplies. Each field is a number, or an array over rows."""

    gpus: Count
    """GPUs of the replica."""
    stage_gpus: Count
    """GPUs that work on one layer together (tensor x attention-data parallel)."""
    attention_dp: Count
    pp: Count
    layers: Count
    is_moe: Count
    """1 for a mixture of experts, else 0."""
    held_bytes: Count
    """Weights held, with the embedding, bytes per GPU."""
    dense_read_bytes: Count
    """Weights that every step reads whole: attention, dense MLP, shared experts, router, LM head. Of all stages."""
    expert_read_bytes: Count
    """Routed experts' weights, of which a step reads the share it touches. Of all stages."""
    expert_share: Count
    """Experts a token chooses / experts there are; 0 for a dense model."""
    active_values: Count
    """Weights multiplied for one token of the replica's batch, per GPU."""
    kv_bytes: Count
    """KV cache of one token of one sequence, bytes per GPU, all stages' layers; a sequence counted on its
    own rank only, so attention DP divides it."""
    decode_attention_flops: Count
    """Flops per token of context for one decoded token, per GPU."""
    prefill_attention_flops: Count
    """Flops per squared prompt token, per GPU (causal: half of the full square)."""
    all_reduces: Count
    """Collectives per step; 0 on one GPU."""
    all_reduce_bytes: Count
    """Bytes a GPU sends in one collective per token on its rank."""
    cross_node_bytes: Count
    """Of these, bytes per token that leave the node; 0 within one node."""


def stack(costs: Sequence[ReplicaCost]) -> ReplicaCost:
    """Many rows' costs as one record of arrays."""
    return ReplicaCost(
        **{f.name: np.array([getattr(c, f.name) for c in costs], dtype=float) for f in fields(ReplicaCost)}
    )


def weight_bytes(spec: ModelSpec, precision: str) -> tuple[float, float]:
    """Bytes per value of (dense weights, routed experts) at that precision.

    A checkpoint whose 4-bit integers cover only the experts (Kimi K2.5) keeps the rest in BF16.
    """
    if precision not in PRECISIONS:
        raise BadInputError(f"precision must be one of {', '.join(PRECISIONS)} (got {precision!r})")
    size = BYTES_PER_VALUE[precision]
    stored = spec.quantisation
    if precision != "int4" or stored is None or stored.method != "int4":
        return size, size
    size = 0.5 + 2.0 / (stored.group_size or 128)
    return (BYTES_PER_VALUE["bf16"] if stored.experts_only else size), size


@lru_cache(maxsize=4096)
def replica_cost(spec: ModelSpec, layout: Layout, precision: str, kv_precision: str = "bf16") -> ReplicaCost:
    """Bytes and flops per GPU of one replica.

    Attention, dense MLP, shared experts and LM head are cut by tp (attention DP keeps a copy on each rank);
    routed experts over all GPUs of a stage. GQA's KV heads are cut by tp down to one head; MLA's latent is
    not cut. Embedding and LM head stay in BF16, and so does the router.
    """
    if kv_precision not in KV_PRECISIONS:
        raise BadInputError(f"KV precision must be one of {', '.join(KV_PRECISIONS)} (got {kv_precision!r})")
    layout = layout.resolved(spec)
    dense_size, expert_size = weight_bytes(spec, precision)
    tp, dp, stage = layout.tp, layout.attention_dp, layout.stage_gpus
    head = spec.embedding_params
    router = 0 if spec.moe is None else spec.moe_layers * spec.moe.experts * spec.hidden
    dense = spec.always_active_params - router
    routed_active = 0 if spec.moe is None else spec.moe_layers * spec.moe.top_k * spec.expert_params
    dense_read = (dense * dense_size + (router + head) * 2.0) / tp
    expert_read = spec.routed_params * expert_size / stage
    embedding = 0.0 if spec.tie_embeddings else head * 2.0 / tp
    inside, across = _collective_bytes(spec, layout)
    return ReplicaCost(
        gpus=layout.gpus,
        stage_gpus=stage,
        attention_dp=dp,
        pp=layout.pp,
        layers=spec.layers,
        is_moe=float(spec.moe is not None),
        held_bytes=(dense_read + expert_read + embedding) / layout.pp,
        dense_read_bytes=dense_read,
        expert_read_bytes=expert_read,
        expert_share=0.0 if spec.moe is None else spec.moe.top_k / spec.moe.experts,
        active_values=(dense + router + head) / (tp * dp) + routed_active / stage,
        kv_bytes=_kv_bytes_per_gpu(spec, tp, kv_precision) / dp,
        decode_attention_flops=decode_attention_flops(spec) / stage,
        prefill_attention_flops=prefill_attention_flops(spec) / stage,
        all_reduces=2.0 * spec.layers if stage > 1 else 0.0,
        all_reduce_bytes=inside,
        cross_node_bytes=across,
    )


def _collective_bytes(spec: ModelSpec, layout: Layout) -> tuple[float, float]:
    """Bytes per token on a rank that one collective sends inside the node, and out of it.

    all-reduce          2 (g-1)/g 2 h inside; out of the node 2 (n-1)/n 2 h / 8, reduced inside first
    dispatch, combine   k h (1+2)/2 (g-1)/g inside: one byte a value there (FP8), two back (BF16), mean of the two;
                        out of the node once for each other node that a token's experts lie on

    h hidden width, g GPUs of a stage, n nodes, k experts per token. Attention DP with experts spread whole
    sends tokens to experts; every other layout sums partial results.
    """
    stage = layout.stage_gpus
    nodes = -(-stage // GPUS_PER_NODE)
    if spec.moe is None or layout.attention_dp == 1:
        wide = 2.0 * (nodes - 1) / nodes * spec.hidden * 2.0 / GPUS_PER_NODE
        return 2.0 * (stage - 1) / stage * spec.hidden * 2.0, wide
    reached = min(spec.moe.top_k, nodes, spec.moe.topk_groups if spec.moe.groups > 1 else nodes)
    inside = 1.5 * spec.moe.top_k * spec.hidden * (stage - 1) / stage
    return inside, 1.5 * spec.hidden * reached * (nodes - 1) / nodes


def _kv_bytes_per_gpu(spec: ModelSpec, tp: int, kv_precision: str) -> float:
    size = BYTES_PER_VALUE[kv_precision]
    if spec.mla is not None:
        return spec.kv_bytes_per_token(size)
    return 2.0 * spec.head_dim * max(spec.kv_heads / tp, 1.0) * size * spec.layers


def decode_attention_flops(spec: ModelSpec) -> float:
    """Flops of attention per token of context for one decoded token, whole replica.

    GQA   4 h d L                    scores and weighted values, h heads of width d, L layers
    MLA   2 h (2 r + p) L            absorbed form: latent r twice, rotary part p once
    """
    if spec.mla is None:
        return 4.0 * spec.heads * spec.head_dim * spec.layers
    return 2.0 * spec.heads * (2 * spec.mla.kv_lora_rank + spec.mla.qk_rope) * spec.layers


def prefill_attention_flops(spec: ModelSpec) -> float:
    """Flops of causal attention per squared prompt token, whole replica: half of the full square.

    GQA   2 h d L;    MLA   h (q + v) L with q and v the widths of one head's query and value
    """
    if spec.mla is None:
        return 2.0 * spec.heads * spec.head_dim * spec.layers
    return 1.0 * spec.heads * (spec.mla.qk_head_dim + spec.mla.v_head_dim) * spec.layers


def request_flops(spec: ModelSpec, isl: float, osl: float, prefix_reuse: float = 0.0) -> float:
    """Useful flops of one request on the whole replica.

    2 (A - H) i (1-u) + 2 A o + f_p i^2 (1-u^2) + f_d o (i + o/2)

    A active weights, H LM head (one position of the prompt needs it), i and o input and output tokens, u
    the share of the prompt found in the prefix cache, f_p and f_d as in the two functions above.
    """
    linear = 2.0 * (spec.active_params - spec.embedding_params) * isl * (1 - prefix_reuse)
    decode = 2.0 * spec.active_params * osl + decode_attention_flops(spec) * osl * (isl + osl / 2)
    return linear + prefill_attention_flops(spec) * square(isl) * (1 - square(prefix_reuse)) + decode


def decode_step_bytes(cost: ReplicaCost, sequences: Count, context: Count) -> Count:
    """Bytes one GPU must read in one decode step: the weights touched and the KV cache of the sequences in service.

    touched = 1 - (1 - k/E)^B    share of the experts that B tokens reach when each chooses k of E at random
    """
    touched = -expm1(sequences * log1p(-cost.expert_share))
    weights = cost.dense_read_bytes + cost.expert_read_bytes * touched
    return (weights + sequences * context * cost.kv_bytes) / cost.pp


@dataclass(frozen=True)
class MemoryFit:
    """Memory of one GPU of a replica, GB (10**9 bytes), and the tokens of KV cache that the replica can hold."""

    usable_gb: float
    weights_gb: float
    free_gb: float
    """What remains for the KV cache; negative: that much is missing."""
    kv_tokens: float
    """Tokens of KV cache of the whole replica; 0 where the weights do not fit."""

    @property
    def fits(self) -> bool:
        """The weights fit and something remains for the KV cache."""
        return self.free_gb > 0

    def require(self, tokens: float, what: str) -> None:
        """Raise DoesNotFitError, by how many GB per GPU, unless weights and one request of ``tokens`` fit."""
        if not self.fits:
            raise DoesNotFitError(
                f"{what}: weights of {self.weights_gb:.1f} GB per GPU do not fit into {self.usable_gb:.1f} GB"
                f" usable; {-self.free_gb:.1f} GB per GPU are missing: use more GPUs or a smaller precision",
                -self.free_gb,
            )
        if self.kv_tokens < tokens:
            short = self.free_gb * (tokens / self.kv_tokens - 1.0)
            raise DoesNotFitError(
                f"{what}: the {self.kv_tokens:.0f} tokens of KV cache that remain cannot hold one request of"
                f" {tokens:.0f} tokens; {short:.1f} GB per GPU are missing: use more GPUs or shorter requests",
                short,
            )


def memory_fit(
    spec: ModelSpec,
    layout: Layout,
    precision: str,
    accelerator: Accelerator,
    kv_precision: str = "bf16",
    usable_share: float = USABLE_SHARE,
    extra_layers: int = 0,
) -> MemoryFit:
    """Whether the weights fit into a GPU's memory, and the KV cache that remains.

    free = u M - W,  tokens = free / k     u usable share, M memory as sold, W weights held, k KV bytes of a token

    ``extra_layers``: layers held beside the model's own, such as the one that drafts tokens.

    >>> from executor.model.spec import model_spec
    >>> h100 = Accelerator("H100-SXM", memory_gb=80)
    >>> fit = memory_fit(model_spec("Qwen3-32B"), Layout(), "bf16", h100)
    >>> round(fit.free_gb * 1e9 / 2**30, 1)
    4.5
    """
    if not 0 < usable_share <= 1:
        raise BadInputError(f"usable memory share must be above 0 and at most 1 (got {usable_share!r})")
    cost = replica_cost(spec, layout, precision, kv_precision)
    usable = usable_share * accelerator.memory_bytes
    held = cost.held_bytes * (1 + extra_layers / cost.layers)
    free = usable - held
    tokens = max(0.0, free) / (cost.kv_bytes / cost.pp)
    return MemoryFit(usable / 1e9, held / 1e9, free / 1e9, tokens)
