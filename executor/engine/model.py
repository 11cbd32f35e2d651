"""The decoder: embedding, layers of attention and MLP, norm, head. One class for GQA and MLA, dense and MoE."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from executor.engine.batch import Batch, Tables
from executor.engine.kv import KvCache, LayerCache
from executor.engine.layers import RopeTable, softmax_scale
from executor.engine.linear import linear
from executor.engine.operators import Operators
from executor.engine.routing import localised
from executor.engine.slices import Slice
from executor.engine.weights import GqaWeights, LayerWeights, MlaWeights, MlpWeights, ModelWeights, MoeWeights
from executor.model.spec import MlaSpec, ModelSpec

LATENT_EPS = 1e-6
"""Of the norms on MLA's latents, whatever the config's rms_norm_eps (DeepSeek-V3's published model code)."""


@dataclass(frozen=True)
class Decoder:
    """A slice of a model on one device; ``forward`` reads and writes ``cache`` through ``tables``."""

    spec: ModelSpec
    part: Slice
    weights: ModelWeights
    operators: Operators
    rope: RopeTable
    cache: KvCache
    tables: Tables
    routing: list[Tensor | None]
    """Per layer: stated expert ids [tokens, pairs], or None where the router decides."""

    def forward(self, batch: Batch) -> Tensor:
        """Logits [samplers, vocabulary of this rank] of one step, in the model's data type."""
        ops, eps = self.operators, self.spec.rms_eps
        x = F.embedding(batch.token_ids, self.weights.embedding)
        flow: Tensor | None = None
        for index, layer in enumerate(self.weights.layers):
            x, flow = ops.add_rms_norm(x, flow, layer.input_norm, eps)
            x = self._attention(layer, x, batch, self.cache.layers[index])
            x, flow = ops.add_rms_norm(x, flow, layer.mlp_norm, eps)
            x = self._mlp(layer.mlp, x, self.routing[index])
        assert flow is not None
        rows = batch.sample_rows
        hidden = ops.add_rms_norm(x[rows], flow[rows], self.weights.norm, eps)[0]
        return F.linear(hidden, self.weights.head)

    def _attention(self, layer: LayerWeights, x: Tensor, batch: Batch, cache: LayerCache) -> Tensor:
        if isinstance(layer.attention, MlaWeights):
            return self._mla(layer.attention, x, batch, cache)
        return self._gqa(layer.attention, x, batch, cache)

    def _gqa(self, weights: GqaWeights, x: Tensor, batch: Batch, cache: LayerCache) -> Tensor:
        ops, scale, rows = self.operators, softmax_scale(self.spec), batch.decodes
        qkv = linear(x, weights.qkv).unflatten(-1, (-1, self.spec.head_dim))
        q, keys, values = ops.prepare_gqa(
            qkv, len(self.part.heads(self.spec)), weights.q_norm, weights.k_norm, self.spec.rms_eps,
            self.rope, batch.positions, batch.cells, cache,
        )  # fmt: skip
        attended = []
        if rows:
            attended.append(ops.decode_gqa(q[:rows], cache, batch, self.tables, scale))
        if batch.chunks is not None:
            cells = batch.chunks.context_cells
            keys = keys[rows:] if cells is None else cache.read_keys(cells, q.dtype)
            values = values[rows:] if cells is None else cache.read_values(cells, q.dtype)
            attended.append(ops.prompt(q[rows:], keys, values, batch.chunks, scale))
        return linear(_joined(attended).flatten(1), weights.o)

    def _mla(self, weights: MlaWeights, x: Tensor, batch: Batch, cache: LayerCache) -> Tensor:
        m = self.spec.mla
        assert m is not None
        ops, rows = self.operators, batch.decodes
        down = linear(x, weights.down)
        q_latent, kv_latent = down.split([down.shape[1] - m.cache_width, m.cache_width], dim=-1)
        if weights.q_norm is not None:
            x = ops.add_rms_norm(q_latent, None, weights.q_norm, LATENT_EPS)[0]
        q = linear(x, weights.q).unflatten(-1, (-1, m.qk_head_dim))
        q, latent = ops.prepare_mla(
            q, kv_latent, weights.kv_norm, LATENT_EPS, self.rope, batch.positions, batch.cells, cache
        )
        attended = []
        if rows:
            attended.append(self._absorbed(m, weights, q[:rows], batch, cache))
        if batch.chunks is not None:
            cells = batch.chunks.context_cells
            latent = latent[rows:] if cells is None else cache.read_keys(cells, q.dtype).squeeze(1)
            attended.append(self._expanded(m, weights, q[rows:], latent, batch))
        return linear(_joined(attended).flatten(1), weights.o)

    def _absorbed(self, m: MlaSpec, weights: MlaWeights, q: Tensor, batch: Batch, cache: LayerCache) -> Tensor:
        r"""Decoding against the latent itself.

        q_nope . (W_uk c) = (W_uk^T q_nope) . c, and likewise the sum of values: W_uv (sum p c). Each head
        then reads one shared vector of kv_lora_rank + qk_rope elements per token of context.
        """
        up = weights.kv_up.view(-1, m.qk_nope + m.v_head_dim, m.kv_lora_rank)
        q_nope, q_rope = q.split([m.qk_nope, m.qk_rope], dim=-1)
        absorbed = torch.bmm(q_nope.transpose(0, 1), up[:, : m.qk_nope]).transpose(0, 1)
        scale = softmax_scale(self.spec)
        summed = self.operators.decode_mla(absorbed, q_rope, cache, batch, self.tables, scale)
        values = torch.bmm(summed.transpose(0, 1), up[:, m.qk_nope :].transpose(1, 2))
        return values.transpose(0, 1)

    def _expanded(self, m: MlaSpec, weights: MlaWeights, q: Tensor, latent: Tensor, batch: Batch) -> Tensor:
        """Prompts: keys and values of every head made from the latents [context tokens, cache_width]."""
        assert batch.chunks is not None
        compressed, rotated = latent.split([m.kv_lora_rank, m.qk_rope], dim=-1)
        both = F.linear(compressed, weights.kv_up).unflatten(-1, (-1, m.qk_nope + m.v_head_dim))
        keys, values = both.split([m.qk_nope, m.v_head_dim], dim=-1)
        keys = torch.cat([keys, rotated.unsqueeze(1).expand(-1, keys.shape[1], -1)], dim=-1)
        return self.operators.prompt(q, keys, values, batch.chunks, softmax_scale(self.spec))

    def _mlp(self, weights: MlpWeights | MoeWeights, x: Tensor, stated: Tensor | None) -> Tensor:
        if isinstance(weights, MoeWeights):
            return self._moe(weights, x, stated)
        return linear(self.operators.silu_mul(linear(x, weights.gate_up)), weights.down)

    def _moe(self, weights: MoeWeights, x: Tensor, stated: Tensor | None) -> Tensor:
        moe = self.spec.moe
        assert moe is not None
        logits = F.linear(x.to(weights.router.dtype), weights.router).float()
        ids, shares = self.operators.choose_experts(logits, moe, weights.bias)
        if stated is not None:
            ids = stated[: x.shape[0]]
            shares = torch.full(ids.shape, moe.scaling / moe.top_k, dtype=torch.float32, device=x.device)
        elif self.part.ep_size > 1:
            ids, shares = localised(ids, shares, self.part.experts(self.spec))
        out = self.operators.run_experts(x, ids, shares.to(x.dtype), weights.experts)
        return out if weights.shared is None else out + self._mlp(weights.shared, x, None)


def _joined(parts: list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts)
