"""A model's weights on one device, built from a source of tensors: a checkpoint or seeded dummy numbers.

``build`` names every tensor the published checkpoints have and says which rows and columns the slice needs;
the source answers with the tensors. Experts are stored one by one and fused here to [E, 2 I, H] and [E, H,
I]; q, k and v become one matrix, gate and up another.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from executor.engine.linear import BLOCK, FP8, FP8_MAX, Linear, Scaling, Weight, dequantise, stacked
from executor.engine.moe import Experts
from executor.engine.slices import Slice
from executor.errors import DoesNotFitError
from executor.model.spec import ModelSpec


@dataclass(frozen=True)
class GqaWeights:
    """Grouped-query attention: one matrix for q, k and v."""

    qkv: Linear
    o: Linear
    q_norm: Tensor | None
    k_norm: Tensor | None


@dataclass(frozen=True)
class MlaWeights:
    """Multi-head latent attention. ``down`` makes q's latent and the KV latent from the same input.

    Without q_lora_rank ``q`` takes the hidden state itself and ``down`` makes the KV latent alone. ``kv_up`` [heads *
    (nope + v), kv_lora_rank] is kept in the model's data type for the absorbed products.
    """

    down: Linear
    q_norm: Tensor | None
    q: Linear
    kv_norm: Tensor
    kv_up: Tensor
    o: Linear


@dataclass(frozen=True)
class MlpWeights:
    """A gated MLP: gate and up as one matrix."""

    gate_up: Linear
    down: Linear


@dataclass(frozen=True)
class MoeWeights:
    """Router, routed experts of this rank, and the shared expert. Router logits are in the router's type."""

    router: Tensor
    bias: Tensor | None
    experts: Experts
    shared: MlpWeights | None


@dataclass(frozen=True)
class LayerWeights:
    """One decoder layer."""

    input_norm: Tensor
    attention: GqaWeights | MlaWeights
    mlp_norm: Tensor
    mlp: MlpWeights | MoeWeights


@dataclass(frozen=True)
class ModelWeights:
    """Everything. ``head`` is the embedding itself where the two are tied."""

    embedding: Tensor
    layers: tuple[LayerWeights, ...]
    norm: Tensor
    head: Tensor

    @property
    def bytes(self) -> int:
        """Bytes on the device; a tied head is counted once."""
        found: dict[int, Tensor] = {}
        _mapped(self, lambda tensor: found.setdefault(id(tensor), tensor))
        return sum(tensor.numel() * tensor.element_size() for tensor in found.values())

    def to(self, device: torch.device, dtype: torch.dtype | None = None) -> ModelWeights:
        """The same weights elsewhere, tensors of the model's data type in ``dtype`` where it is given."""
        own, copies = self.embedding.dtype, dict[int, Tensor]()

        def move(tensor: Tensor) -> Tensor:
            if id(tensor) not in copies:
                copies[id(tensor)] = tensor.to(device, dtype if tensor.dtype == own else None)
            return copies[id(tensor)]

        moved = _mapped(self, move)
        assert isinstance(moved, ModelWeights)
        return moved


Cut = range | None
"""Rows or columns of a stored matrix; None: all of them."""


class Source(Protocol):
    """Where tensors come from."""

    def tensor(self, name: str, shape: tuple[int, ...], rows: Cut = None) -> Tensor:
        """A norm, bias or embedding, in the model's data type."""

    def exact(self, name: str, shape: tuple[int, ...]) -> Tensor:
        """A router's tensor, in FP32."""

    def linear(
        self, name: str, shape: tuple[int, int], rows: Cut = None, columns: Cut = None, bias: bool = False
    ) -> Weight:
        """A matrix [out, in], quantised as it is stored."""

    def experts(self, layer: str, spec: ModelSpec, part: Slice) -> Experts:
        """The routed experts of one layer on this rank."""  # fmt: skip


def build(spec: ModelSpec, part: Slice, source: Source) -> ModelWeights:
    """All weights of the slice."""
    embedding = source.tensor("model.embed_tokens.weight", (spec.vocab, spec.hidden))
    layers = tuple(_layer(spec, part, source, index) for index in part.layer_indices(spec))
    norm = source.tensor("model.norm.weight", (spec.hidden,))
    rows = part.vocabulary(spec)
    if spec.tie_embeddings:
        head = embedding if len(rows) == spec.vocab else embedding[rows.start : rows.stop]
    else:
        head = source.tensor("lm_head.weight", (spec.vocab, spec.hidden), rows)
    return ModelWeights(embedding, layers, norm, head)


def _layer(spec: ModelSpec, part: Slice, source: Source, index: int) -> LayerWeights:
    name = f"model.layers.{index}"
    attention = _mla if spec.mla is not None else _gqa
    routed = spec.moe is not None and index >= spec.moe.first_dense_layers
    inner = f"{name}.mlp"
    return LayerWeights(
        input_norm=source.tensor(f"{name}.input_layernorm.weight", (spec.hidden,)),
        attention=attention(spec, part, source, f"{name}.self_attn"),
        mlp_norm=source.tensor(f"{name}.post_attention_layernorm.weight", (spec.hidden,)),
        mlp=_moe(spec, part, source, inner) if routed else _dense(spec, part, source, inner, spec.intermediate),
    )


def _gqa(spec: ModelSpec, part: Slice, source: Source, name: str) -> GqaWeights:
    width, heads, kv_heads = spec.head_dim, part.heads(spec), part.kv_heads(spec)
    q_rows = range(heads.start * width, heads.stop * width)
    kv_rows = range(kv_heads.start * width, kv_heads.stop * width)
    qkv = [
        source.linear(f"{name}.{which}_proj", (count * width, spec.hidden), rows, bias=spec.attention_bias)
        for which, count, rows in (
            ("q", spec.heads, q_rows), ("k", spec.kv_heads, kv_rows), ("v", spec.kv_heads, kv_rows),
        )
    ]  # fmt: skip
    norms = [source.tensor(f"{name}.{which}_norm.weight", (width,)) if spec.qk_norm else None for which in "qk"]
    return GqaWeights(stacked(qkv), _output(spec, part, source, f"{name}.o_proj", width), *norms)


def _output(spec: ModelSpec, part: Slice, source: Source, name: str, width: int) -> Weight:
    """The projection back: this rank's heads as columns; its bias counts once, on the first rank."""
    heads = part.heads(spec)
    columns = range(heads.start * width, heads.stop * width)
    shape = (spec.hidden, spec.heads * width)
    return source.linear(name, shape, columns=columns, bias=spec.output_bias and part.tp_rank == 0)


def _mla(spec: ModelSpec, part: Slice, source: Source, name: str) -> MlaWeights:
    m = spec.mla
    assert m is not None
    heads = part.heads(spec)
    rows = range(heads.start * m.qk_head_dim, heads.stop * m.qk_head_dim)
    down = [source.linear(
        f"{name}.kv_a_proj_with_mqa", (m.cache_width, spec.hidden), bias=spec.attention_bias
    )]  # fmt: skip
    q_shape, q_name, q_norm = (spec.heads * m.qk_head_dim, spec.hidden), "q_proj", None
    if m.q_lora_rank is not None:
        q_shape, q_name = (spec.heads * m.qk_head_dim, m.q_lora_rank), "q_b_proj"
        shape = (m.q_lora_rank, spec.hidden)
        down.insert(0, source.linear(f"{name}.q_a_proj", shape, bias=spec.attention_bias))
        q_norm = source.tensor(f"{name}.q_a_layernorm.weight", (m.q_lora_rank,))
    up_width = m.qk_nope + m.v_head_dim
    up_rows = range(heads.start * up_width, heads.stop * up_width)
    kv_up = source.linear(f"{name}.kv_b_proj", (spec.heads * up_width, m.kv_lora_rank), up_rows)
    kv_norm = source.tensor(f"{name}.kv_a_layernorm.weight", (m.kv_lora_rank,))
    return MlaWeights(
        down=stacked(down),
        q_norm=q_norm,
        q=source.linear(f"{name}.{q_name}", q_shape, rows),
        kv_norm=kv_norm,
        kv_up=dequantise(kv_up, kv_norm.dtype),
        o=_output(spec, part, source, f"{name}.o_proj", m.v_head_dim),
    )


def _dense(spec: ModelSpec, part: Slice, source: Source, name: str, width: int) -> MlpWeights:
    """A dense MLP, or the shared expert, of inner width ``width``."""
    inner = part.columns(width)
    gate_up = [source.linear(f"{name}.{which}_proj", (width, spec.hidden), inner) for which in ("gate", "up")]
    down = source.linear(f"{name}.down_proj", (spec.hidden, width), columns=inner)
    return MlpWeights(stacked(gate_up), down)


def _moe(spec: ModelSpec, part: Slice, source: Source, name: str) -> MoeWeights:
    moe = spec.moe
    assert moe is not None
    shared = None
    if moe.shared_experts:
        width = moe.shared_experts * moe.expert_intermediate
        shared = _dense(spec, part, source, f"{name}.shared_experts", width)
    precise = moe.scoring == "sigmoid"  # DeepSeek scores in FP32, Qwen3 in the model's data type
    return MoeWeights(
        router=(source.exact if precise else source.tensor)(f"{name}.gate.weight", (moe.experts, spec.hidden)),
        bias=source.exact(f"{name}.gate.e_score_correction_bias", (moe.experts,)) if moe.bias else None,
        experts=source.experts(name, spec, part),
        shared=shared,
    )


def check_memory(what: str, need: int, device: torch.device) -> None:
    """DoesNotFitError where ``need`` bytes exceed what the device has free."""
    free = free_memory(device)
    if need > free:
        short = (need - free) / 1e9
        raise DoesNotFitError(
            f"{what} need {need / 1e9:.2f} GB, {device} has {free / 1e9:.2f} GB free, short by {short:.2f} GB", short
        )


def free_memory(device: torch.device) -> int:
    """Bytes that can still be taken: of the GPU, or of the machine with its file cache given up."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        kib = next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
        return kib * 1024
    except (OSError, StopIteration):  # not Linux
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


class DummyWeights:
    """Seeded random weights made on the device: normal, scaled by fan-in, so that activations stay near one.

    Never zeros: all-zero data runs faster and cooler than real data. Each tensor has its own stream, named by
    the seed and the tensor, so a slice's tensors do not depend on what else is built.
    """

    def __init__(self, dtype: torch.dtype, device: torch.device, scaling: Scaling = "none", seed: int = 0) -> None:
        self.dtype = dtype
        self.device = device
        self.scaling = scaling
        self.seed = seed

    def tensor(self, name: str, shape: tuple[int, ...], rows: Cut = None) -> Tensor:
        """Norms near one, embeddings normal with the deviation of trained ones."""
        if rows is not None:
            shape = (len(rows), *shape[1:])
        noise = self._normal(name, shape)
        return noise.mul_(0.02).add_(1.0) if len(shape) == 1 else noise.mul_(shape[-1] ** -0.5)

    def exact(self, name: str, shape: tuple[int, ...]) -> Tensor:
        """A router [experts, hidden], or its bias."""
        return self._normal(name, shape).float().mul_(shape[-1] ** -0.5 if len(shape) > 1 else 0.01)

    def linear(
        self, name: str, shape: tuple[int, int], rows: Cut = None, columns: Cut = None, bias: bool = False
    ) -> Weight:
        """A matrix in the source's scaling."""
        out = shape[0] if rows is None else len(rows)
        inputs = shape[1] if columns is None else len(columns)
        weight = self._matrix(name, (out, inputs))
        added = self._normal(f"{name}.bias", (out,)).mul_(0.01) if bias else None
        return Weight(weight.data, weight.scale, weight.scaling, added)

    def experts(self, layer: str, spec: ModelSpec, part: Slice) -> Experts:
        """Fused stacks, one expert at a time so that no second copy is needed."""
        count, inner = len(part.experts(spec)), len(part.expert_columns(spec))
        return Experts(
            gate_up=self._stack(f"{layer}.gate_up", count, (2 * inner, spec.hidden)),
            down=self._stack(f"{layer}.down", count, (spec.hidden, inner)),
        )

    def _stack(self, name: str, count: int, shape: tuple[int, int]) -> Weight:
        first = self._matrix(f"{name}.0", shape)
        data = torch.empty(count, *shape, dtype=first.data.dtype, device=self.device)
        scales = None
        if first.scale is not None:
            scales = torch.empty(count, *first.scale.shape, dtype=torch.float32, device=self.device)
        for index in range(count if self.device.type != "meta" else 0):
            one = first if index == 0 else self._matrix(f"{name}.{index}", shape)
            data[index] = one.data
            if scales is not None:
                scales[index] = one.scale
        return Weight(data, scales, first.scaling)

    def _matrix(self, name: str, shape: tuple[int, int]) -> Weight:
        """Normal numbers; for FP8 drawn at a third of the format's range, and the scale carries the fan-in."""
        noise = self._normal(name, shape)
        if self.scaling == "none":
            return Weight(noise.mul_(shape[1] ** -0.5))
        spread = FP8_MAX / 8
        data = noise.mul_(spread).clamp_(-FP8_MAX, FP8_MAX).to(FP8)
        sizes = {"row": (shape[0], 1), "block": (-(-shape[0] // BLOCK), -(-shape[1] // BLOCK))}
        scale = torch.full(
            sizes.get(self.scaling, ()), shape[1] ** -0.5 / spread, dtype=torch.float32, device=self.device
        )
        return Weight(data, scale, self.scaling)

    def _normal(self, name: str, shape: tuple[int, ...]) -> Tensor:
        if self.device.type == "meta":  # sizes alone
            return torch.empty(shape, dtype=self.dtype, device=self.device)
        stream = torch.Generator(device=self.device)
        stream.manual_seed(_stream_seed(self.seed, name))
        return torch.randn(shape, generator=stream, dtype=self.dtype, device=self.device)


def _stream_seed(seed: int, name: str) -> int:
    """A 63-bit seed of a named stream: FNV-1a over the name, begun with the seed."""
    value = 0xCBF29CE484222325 ^ seed
    for byte in name.encode():
        value = ((value ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return value >> 1


def _mapped(record: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Nested records with every tensor changed."""
    if isinstance(record, Tensor):
        return change(record)
    if isinstance(record, tuple):
        return tuple(_mapped(item, change) for item in record)
    if is_dataclass(record) and not isinstance(record, type):
        return replace(record, **{part.name: _mapped(getattr(record, part.name), change) for part in fields(record)})
    return record
