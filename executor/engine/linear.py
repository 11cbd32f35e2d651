"""Linear weights as they are stored (BF16, FP8 with a scale per tensor, row or 128-block) and their product.

An FP8 weight is e4m3 data times a scale:

    tensor   W = data * scale                       scale []
    row      W[n, k] = data[n, k] * scale[n]         scale [N, 1]
    block    W[n, k] = data[n, k] * scale[n/128, k/128]   scale [ceil(N/128), ceil(K/128)]
             (DeepSeek-V3 technical report, 2024-12, section 3.3; the checkpoint calls it weight_scale_inv)

On CUDA the activations are quantised the same way on the fly, one scale a token (row) or one per token and
128 inputs (block), and the product accumulates in FP32. On the CPU the weight is dequantised, which is exact.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

FP8 = torch.float8_e4m3fn
FP8_MAX = torch.finfo(FP8).max
BLOCK = 128

Scaling = Literal["none", "tensor", "row", "block"]


@dataclass(frozen=True)
class Weight:
    """One matrix [out, in] or a stack of them [experts, out, in], with its scale where it is FP8."""

    data: Tensor
    scale: Tensor | None = None
    scaling: Scaling = "none"
    bias: Tensor | None = None

    @property
    def out_features(self) -> int:
        """Rows of one matrix."""
        return self.data.shape[-2]

    @property
    def bytes(self) -> int:
        """Bytes on the device, scale included."""
        extra = [tensor for tensor in (self.scale, self.bias) if tensor is not None]
        return sum(tensor.numel() * tensor.element_size() for tensor in (self.data, *extra))


@dataclass(frozen=True)
class Parts:
    """Matrices with the same input whose outputs are laid side by side, where they cannot be one matrix."""

    weights: tuple[Weight, ...]


Linear = Weight | Parts


def stacked(weights: list[Weight]) -> Linear:
    """One matrix over the same input, or ``Parts`` where 128-blocks or scalings do not line up."""
    weights = [by_row(weight) if weight.scaling == "tensor" else weight for weight in weights]
    first = weights[0]
    same = all(w.scaling == first.scaling and w.data.dtype == first.data.dtype for w in weights)
    aligned = first.scaling in ("none", "row") or (
        first.scaling == "block" and all(w.out_features % BLOCK == 0 for w in weights[:-1])
    )
    biased = {weight.bias is None for weight in weights}
    if not same or not aligned or len(biased) > 1:
        return Parts(tuple(weights))
    scales = [weight.scale for weight in weights if weight.scale is not None]
    biases = [weight.bias for weight in weights if weight.bias is not None]
    return Weight(
        data=torch.cat([weight.data for weight in weights], dim=-2),
        scale=torch.cat(scales, dim=-2) if scales else None,
        scaling=first.scaling,
        bias=torch.cat(biases) if biases else None,
    )


def by_row(weight: Weight) -> Weight:
    """The same matrix with a scale per row instead of one for all, so that it can be stacked with others."""
    assert weight.scale is not None
    scale = weight.scale.float().expand(weight.out_features, 1).contiguous()
    return Weight(weight.data, scale, "row", weight.bias)


def dequantise(weight: Weight, dtype: torch.dtype) -> Tensor:
    """The matrix itself in ``dtype``, same shape as ``data``.

    >>> weight = Weight(torch.ones(1, 256).to(FP8), torch.tensor([[2.0, 3.0]]), "block")
    >>> dequantise(weight, torch.float32)[0, [0, 127, 128]].tolist()
    [2.0, 2.0, 3.0]
    """
    if weight.scale is None:
        return weight.data.to(dtype)
    scale = weight.scale.float()
    if weight.scaling == "block":
        rows, columns = weight.data.shape[-2:]
        scale = scale.repeat_interleave(BLOCK, -2)[..., :rows, :].repeat_interleave(BLOCK, -1)[..., :columns]
    elif weight.scaling == "tensor" and weight.data.dim() == 3:
        scale = scale.view(-1, 1, 1)
    return (weight.data.float() * scale).to(dtype)


def quantise(matrix: Tensor, scaling: Scaling) -> Weight:
    """An FP8 weight nearest to ``matrix`` [out, in] or [experts, out, in]; the largest value maps to 448."""
    if scaling == "none":
        return Weight(matrix)
    values = matrix.float()
    if scaling == "tensor":
        scale = _positive(values.abs().amax(dim=(-2, -1)))
        spread = scale[..., None, None]
    elif scaling == "row":
        spread = scale = _positive(values.abs().amax(dim=-1, keepdim=True))
    else:
        rows, columns = values.shape[-2:]
        padded = F.pad(values, (0, -columns % BLOCK, 0, -rows % BLOCK))
        blocks = padded.unflatten(-1, (-1, BLOCK)).unflatten(-3, (-1, BLOCK))
        scale = _positive(blocks.abs().amax(dim=(-3, -1)))
        spread = scale.repeat_interleave(BLOCK, -2)[..., :rows, :]
        spread = spread.repeat_interleave(BLOCK, -1)[..., :columns]
    return Weight((values / spread).clamp(-FP8_MAX, FP8_MAX).to(FP8), scale, scaling)


def quantise_tokens(x: Tensor, group: int | None = None) -> tuple[Tensor, Tensor]:
    """Activations [tokens, K] as e4m3 with one FP32 scale a token [tokens, 1], or a token and group of inputs."""
    values = x.float() if group is None else x.float().unflatten(-1, (-1, group))
    scale = _positive(values.abs().amax(dim=-1, keepdim=True))
    data = (values / scale).clamp(-FP8_MAX, FP8_MAX).to(FP8)
    return data.view(x.shape), scale.reshape(x.shape[0], -1)


def linear(x: Tensor, weight: Linear) -> Tensor:
    """x [tokens, in] times the transposed weight: [tokens, out], in x's dtype."""
    if isinstance(weight, Parts):
        return torch.cat([linear(x, part) for part in weight.weights], dim=-1)
    if weight.scaling == "none":
        return F.linear(x, weight.data, weight.bias)
    product = FP8_PRODUCTS.get(weight.scaling) if x.is_cuda else None
    out = product(x, weight) if product is not None else F.linear(x, dequantise(weight, x.dtype))
    return out if weight.bias is None else out + weight.bias


Fp8Product = Callable[[Tensor, Weight], Tensor]
FP8_PRODUCTS: dict[str, Fp8Product] = {}
"""Device products by scaling, chosen by ``backends.choose`` after checking them; empty on the CPU."""


def scaled_product(
    x: Tensor, weight: Weight, quantise: Callable[[Tensor], tuple[Tensor, Tensor]] = quantise_tokens
) -> Tensor:
    """torch's own FP8 product with a scale per token and a scale per row of the weight (or one for all)."""
    assert weight.scale is not None
    data, scale = quantise(x)
    scale_b = weight.scale.float().reshape(1, -1).expand(1, weight.out_features).contiguous()
    half = torch.bfloat16 if x.dtype == torch.float32 else x.dtype
    return torch._scaled_mm(data, weight.data.t(), scale, scale_b, out_dtype=half).to(x.dtype)


def _positive(largest: Tensor) -> Tensor:
    """The scale that maps ``largest`` to the greatest e4m3 number; all-zero input keeps scale 1."""
    return torch.where(largest > 0, largest / FP8_MAX, torch.ones_like(largest))
