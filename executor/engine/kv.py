"""The KV cache's tensors: pages of keys and values per layer, or of MLA's latent, and the tables that name them.

One page beyond the pool's is the *trash page*: rows that only pad a CUDA graph's batch read and write there.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from executor.engine.slices import Slice
from executor.model.spec import ModelSpec


@dataclass(frozen=True)
class LayerCache:
    """One layer's pages: keys and values [pages, page_size, kv_heads, head_dim].

    MLA: the latent [pages, page_size, 1, kv_lora_rank + qk_rope] in ``keys``, whose first kv_lora_rank elements serve
    as the values too, and ``values`` is empty.
    """

    keys: Tensor
    values: Tensor

    def write(self, cells: Tensor, keys: Tensor, values: Tensor | None) -> None:
        """Store tokens [T, heads, width] at flat cells [T] (page * page_size + offset)."""
        self.keys.flatten(0, 1)[cells] = keys.to(self.keys.dtype)
        if values is not None:
            self.values.flatten(0, 1)[cells] = values.to(self.values.dtype)

    def read_keys(self, cells: Tensor, dtype: torch.dtype) -> Tensor:
        """Keys, or latents, at flat cells [...]: [..., heads, width]."""
        return self.keys.flatten(0, 1)[cells].to(dtype)

    def read_values(self, cells: Tensor, dtype: torch.dtype) -> Tensor:
        """Values at flat cells [...]: [..., heads, width]."""
        return self.values.flatten(0, 1)[cells].to(dtype)


class KvCache:
    """All layers' pages on one device."""

    def __init__(
        self, spec: ModelSpec, part: Slice, pages: int, page_size: int, dtype: torch.dtype, device: torch.device
    ) -> None:
        self.pages = pages
        self.page_size = page_size
        heads, width, value_width = _cell(spec, part)
        shape = (pages + 1, page_size, heads)
        self.layers = [
            LayerCache(
                keys=torch.zeros(*shape, width, dtype=dtype, device=device),
                values=torch.zeros(*(shape if value_width else (0, 0, heads)), value_width, dtype=dtype,
                                   device=device),
            )
            for _ in part.layer_indices(spec)
        ]  # fmt: skip


def page_bytes(spec: ModelSpec, part: Slice, page_size: int, dtype: torch.dtype) -> int:
    """Bytes of one page over all layers of the slice."""
    heads, width, value_width = _cell(spec, part)
    layers = len(part.layer_indices(spec))
    return layers * page_size * heads * (width + value_width) * torch.empty(0, dtype=dtype).element_size()


def _cell(spec: ModelSpec, part: Slice) -> tuple[int, int, int]:
    """KV heads, key width and value width of one cached token in one layer."""
    if spec.mla is not None:
        return 1, spec.mla.cache_width, 0
    return len(part.kv_heads(spec)), spec.head_dim, spec.head_dim
