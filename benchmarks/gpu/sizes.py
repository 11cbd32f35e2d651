"""The problems that are measured: the public tables' sizes on a GPU, miniatures of them on the CPU."""

from __future__ import annotations

from dataclasses import dataclass, replace

from executor.model.spec import MlaSpec, ModelSpec, model_spec


@dataclass(frozen=True)
class Sizes:
    """One set of problems. ``divide`` shrinks widths and counts, so that a CPU runs the same code in seconds."""

    divide: int
    samples: int
    gemm_tokens: tuple[int, ...]
    decode: tuple[tuple[int, int], ...]
    """(rows, context) of grouped-query decoding."""
    prompts: tuple[int, ...]
    mla_rows: tuple[int, ...]
    moe_tokens: tuple[int, ...]
    step_rows: tuple[int, ...]
    context: int
    layers: int | None
    """Layers a stepped model keeps; None: all."""

    def width(self, full: int) -> int:
        """A width of the published problem, or its miniature (a multiple of 16)."""
        return max(16, full // self.divide // 16 * 16)

    def spec(self, name: str) -> ModelSpec:
        """A built-in model, or its miniature of the same structure."""
        spec = model_spec(name)
        return spec if self.divide == 1 else miniature(spec)


GPU = Sizes(
    divide=1,
    samples=30,
    gemm_tokens=(1, 256, 4096),
    decode=((1, 2048), (32, 2048), (32, 8192), (128, 2048)),
    prompts=(2048, 8192, 16384),
    mla_rows=(1, 32, 128, 256),
    moe_tokens=(1, 32, 256, 4096),
    step_rows=(1, 4, 32, 128),
    context=2048,
    layers=None,
)
CPU = Sizes(
    divide=32,
    samples=4,
    gemm_tokens=(1, 8),
    decode=((1, 64), (2, 128)),
    prompts=(32,),
    mla_rows=(1, 2),
    moe_tokens=(1, 8),
    step_rows=(1, 2),
    context=64,
    layers=3,
)


def miniature(spec: ModelSpec) -> ModelSpec:
    """A model of the same parts with narrow widths and few layers."""
    moe, mla = spec.moe, spec.mla
    if moe is not None:
        groups = min(moe.groups, 4)
        moe = replace(
            moe, experts=32, top_k=4, expert_intermediate=16, groups=groups,
            topk_groups=min(moe.topk_groups, 2, groups), first_dense_layers=min(1, moe.first_dense_layers),
        )  # fmt: skip
    if mla is not None:
        mla = MlaSpec(None if mla.q_lora_rank is None else 24, 32, 16, 16, 16)
    return replace(
        spec, layers=3, hidden=64, heads=4, kv_heads=4 if mla is not None else 2,
        head_dim=32 if mla is not None else 16, intermediate=64, vocab=128, max_position=4096, moe=moe, mla=mla,
    )  # fmt: skip
