"""The work of a step: bytes, FLOPs and messages of a set-up under a load."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from executor.errors import BadInputError
from executor.model.cost import GPUS_PER_NODE, Layout, ReplicaCost, replica_cost, stack
from executor.model.roofline import Accelerator
from executor.model.spec import ModelSpec
from executor.portable.elementary import square
from executor.steptime.parameters import Array, Engine

CHUNK_TOKENS = 8192
"""Prompt tokens that engines put into one step at most (default of vLLM and SGLang on these GPUs)."""
RESERVED_BYTES = 1e9
"""Memory taken by activations and graphs beside weights and KV cache."""
SHARE_SPREAD = 0.025
"""Spread, from set-up to set-up, of the share of the memory that engines take: fits of 14 groups lie from 0.84 to 0.90
(``data/engines.json``)."""
NIC_BYTES_S = 50e9
"""One 400 Gbit/s network port per GPU, for collectives that leave a node; official figure of the port."""
KERNEL_FACTOR = {"bf16": 1.0, "fp8": 0.75, "int8": 0.75, "int4": 0.8, "fp4": 0.75}
"""Share of the efficiency of BF16 GEMMs that the kernels of another data type reach of their own peak."""
MOE_FACTOR = 0.6
"""The same for grouped GEMMs of experts: few tokens per expert, gather and scatter."""
MOE_LAYER_FACTOR = 1.7
"""Launch time of a layer with experts / of a dense layer."""


@dataclass(frozen=True)
class Work:
    """Rows to be timed: what a step costs, on which hardware, under which load. Every field is an array over rows."""

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

    def __len__(self) -> int:
        return len(self.isl)


@dataclass(frozen=True)
class Load:
    """One closed loop: ``concurrency`` clients of one replica, each with ``isl`` prompt and ``osl`` output tokens."""

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
    """Speculative decoding (multi-token prediction): tokens drafted per step and the chance that one is accepted."""

    tokens: int
    acceptance: float

    def __post_init__(self) -> None:
        if isinstance(self.tokens, bool) or not isinstance(self.tokens, int) or not 1 <= self.tokens <= 16:
            raise BadInputError(f"draft tokens must be a whole number from 1 to 16 (got {self.tokens!r})")
        if not 0 <= self.acceptance <= 1:
            raise BadInputError(f"acceptance must be a share from 0 to 1 (got {self.acceptance!r})")

    @property
    def emitted(self) -> float:
        """Tokens kept per step: 1 + a + a^2 + .. + a^m, each draft accepted with chance a if those before it were.

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
    """Whether half batches overlap; None: as published deployments do, for attention DP over several nodes."""
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
