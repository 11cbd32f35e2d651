"""Norms, rotary positions and activation, written plainly in torch: the reference every kernel is checked against.

Norms and rotations are computed in FP32 and rounded once, as the published model code does.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from executor.model.spec import ModelSpec, RopeScaling


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    r"""x / sqrt(mean(x^2) + eps) * weight over the last dimension; [..., D] and [D] to [..., D]."""
    values = x.float()
    values = values * torch.rsqrt(values.pow(2).mean(-1, keepdim=True) + eps)
    return values.to(x.dtype) * weight


def add_rms_norm(x: Tensor, residual: Tensor | None, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """The norm of x + residual, and that sum: what enters a block and what flows past it."""
    total = x if residual is None else x + residual
    return rms_norm(total, weight, eps), total


def silu_mul(gate_up: Tensor) -> Tensor:
    """silu(gate) * up of [..., 2 I] whose first half is the gate; [..., I]."""
    gate, up = gate_up.chunk(2, dim=-1)
    return F.silu(gate) * up


@dataclass(frozen=True)
class RopeTable:
    """cos and sin per position [positions, width/2] in FP32, the scaling's factor included."""

    cos: Tensor
    sin: Tensor
    interleaved: bool

    def rotate(self, x: Tensor, positions: Tensor) -> Tensor:
        r"""Rotate pairs of x [tokens, heads, width] by position: (a, b) -> (a cos - b sin, b cos + a sin).

        Interleaved pairs (0,1), (2,3).. come out as halves; queries and keys are reordered alike, so their
        products are unchanged.
        """
        cos = self.cos[positions].unsqueeze(1).to(x.dtype)
        sin = self.sin[positions].unsqueeze(1).to(x.dtype)
        a, b = (x[..., 0::2], x[..., 1::2]) if self.interleaved else x.chunk(2, dim=-1)
        return torch.cat([a * cos - b * sin, b * cos + a * sin], dim=-1)


def rope_table(spec: ModelSpec, positions: int, device: torch.device | str) -> RopeTable:
    """Angles for positions 0..positions-1 at the width that the model rotates."""
    width = spec.mla.qk_rope if spec.mla is not None else spec.head_dim
    exponent = torch.arange(0, width, 2, dtype=torch.int64).float() / width
    frequencies = 1.0 / (spec.rope.theta**exponent)
    factor = 1.0
    scaling = spec.rope.scaling
    if scaling is not None:
        frequencies = _stretched(frequencies, width, spec.rope.theta, scaling)
        factor = _rotation_factor(scaling)
    angles = torch.outer(torch.arange(positions, dtype=torch.float32), frequencies)
    return RopeTable(
        cos=(angles.cos() * factor).to(device),
        sin=(angles.sin() * factor).to(device),
        interleaved=spec.rope.interleaved,
    )


def softmax_scale(spec: ModelSpec) -> float:
    r"""1 / sqrt(d), times m^2 under YaRN with mscale_all_dim (DeepSeek): m = 0.1 mscale_all_dim ln(factor) + 1."""
    scale = spec.head_dim**-0.5
    scaling = spec.rope.scaling
    if spec.mla is not None and scaling is not None and scaling.mscale_all_dim and scaling.kind == "yarn":
        scale *= _yarn_mscale(scaling.factor, scaling.mscale_all_dim) ** 2
    return scale


def _yarn_mscale(factor: float, mscale: float = 1.0) -> float:
    return 1.0 if factor <= 1 else 0.1 * mscale * math.log(factor) + 1.0


def _rotation_factor(scaling: RopeScaling) -> float:
    """What multiplies cos and sin (YaRN, arXiv 2309.00071, section 3.4)."""
    if scaling.kind != "yarn":
        return 1.0
    if scaling.mscale and scaling.mscale_all_dim:
        above = _yarn_mscale(scaling.factor, scaling.mscale)
        return above / _yarn_mscale(scaling.factor, scaling.mscale_all_dim)
    return _yarn_mscale(scaling.factor)


def _stretched(frequencies: Tensor, width: int, theta: float, scaling: RopeScaling) -> Tensor:
    """Frequencies for positions beyond the training length."""
    if scaling.kind == "linear":
        return frequencies / scaling.factor
    if scaling.kind == "llama3":
        return _stretched_llama3(frequencies, scaling)
    low, high = (
        _yarn_dimension(turns, width, theta, scaling.original_max_position)
        for turns in (scaling.beta_fast, scaling.beta_slow)
    )
    low, high = max(math.floor(low), 0), min(math.ceil(high), width - 1)
    span = high - low if high != low else 0.001
    ramp = ((torch.arange(width // 2, dtype=torch.float32) - low) / span).clamp(0, 1)
    return frequencies / scaling.factor * ramp + frequencies * (1 - ramp)


def _yarn_dimension(turns: float, width: int, theta: float, positions: int) -> float:
    """The dimension whose wave makes ``turns`` rotations over the training length."""
    return width * math.log(positions / (turns * 2 * math.pi)) / (2 * math.log(theta))


def _stretched_llama3(frequencies: Tensor, scaling: RopeScaling) -> Tensor:
    """Llama 3.1: long waves are divided by the factor, short ones kept, those between blended."""
    waves = 2 * math.pi / frequencies
    positions, low, high = scaling.original_max_position, scaling.low_freq_factor, scaling.high_freq_factor
    smooth = (positions / waves - low) / (high - low)
    blended = (1 - smooth) * frequencies / scaling.factor + smooth * frequencies
    longer, shorter = waves > positions / low, waves < positions / high
    return torch.where(longer, frequencies / scaling.factor, torch.where(shorter, frequencies, blended))
