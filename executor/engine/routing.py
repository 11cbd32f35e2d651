"""Which experts a token goes to: the model's own router, or a stated distribution in its place.

docs/executor.md ("Slices") says why. An expert-parallel rank receives, from all ranks, the tokens that chose its
experts: on average as many pairs of token and expert as its own tokens chose. A row of the table then represents one
token's worth of received pairs, and its hidden state is that of the rank's own token. Pairs a rank does not compute
name the expert ``experts`` (one past the last).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from executor.engine.slices import Slice
from executor.errors import BadInputError
from executor.model.spec import ModelSpec, MoeSpec

Law = Literal["learned", "uniform", "power_law", "replayed"]


@dataclass(frozen=True)
class Routing:
    """How tokens choose experts. ``exponent``: popularity of the i-th expert ~ i^-exponent (power_law).

    ``record``: an .npy file of expert numbers [layers, tokens, top_k], as observed on real traffic (replayed).
    """

    law: Law = "learned"
    exponent: float = 1.2
    record: Path | None = None
    seed: int = 0


LEARNED = Routing()
MOST_DRAWN = 32_768
"""Tokens drawn for a layer; a longer table repeats them, which changes no load by more than a per cent."""


def choose_experts(logits: Tensor, moe: MoeSpec, bias: Tensor | None) -> tuple[Tensor, Tensor]:
    """The model's own choice from router logits [T, experts] in FP32: ids and weights, both [T, top_k].

    Softmax (Qwen3): the top_k probabilities. Sigmoid (DeepSeek-V3 report, section 2.1.2): scores plus bias decide,
    first for groups (sum of their two best) and then within them; the unbiased scores are the weights.
    """
    if moe.scoring == "softmax" and moe.groups == 1 and bias is None:
        weights, ids = torch.softmax(logits, dim=-1).topk(moe.top_k, dim=-1)
    else:
        scores = torch.sigmoid(logits) if moe.scoring == "sigmoid" else torch.softmax(logits, dim=-1)
        choice = scores if bias is None else scores + bias
        if moe.groups > 1:
            choice = _within_best_groups(choice, moe)
        ids = choice.topk(moe.top_k, dim=-1).indices
        weights = scores.gather(1, ids)
    if moe.norm_topk:
        weights = weights / (weights.sum(dim=-1, keepdim=True) + 1e-20)
    return ids, weights * moe.scaling


def _within_best_groups(choice: Tensor, moe: MoeSpec) -> Tensor:
    """Scores outside the best ``topk_groups`` groups become minus infinity."""
    grouped = choice.unflatten(-1, (moe.groups, -1))
    best_two = grouped.topk(min(2, grouped.shape[-1]), dim=-1).values.sum(-1)
    kept = torch.zeros_like(best_two, dtype=torch.bool)
    kept.scatter_(1, best_two.topk(moe.topk_groups, dim=-1).indices, True)
    return grouped.masked_fill(~kept.unsqueeze(-1), float("-inf")).flatten(1)


def localised(ids: Tensor, weights: Tensor, experts: range) -> tuple[Tensor, Tensor]:
    """Ids counted within this rank's experts; the others get the id past the last, and weight zero."""
    local = ids - experts.start
    here = (local >= 0) & (local < len(experts))
    return torch.where(here, local, len(experts)), weights * here


def routing_tables(
    spec: ModelSpec, part: Slice, routing: Routing, tokens: int, device: torch.device
) -> list[Tensor | None]:
    """Per layer of the slice: expert ids [tokens, pairs] within the rank, or None where the router decides.

    ``pairs`` is top_k for a whole model. Under expert parallelism the table is the most loaded rank's, since
    the others wait for it.
    """
    moe, layers = spec.moe, part.layer_indices(spec)
    if moe is None or routing.law == "learned":
        return [None] * len(layers)
    record = _load_record(spec, routing) if routing.law == "replayed" else None
    tables: list[Tensor | None] = []
    for layer in layers:
        if layer < moe.first_dense_layers:
            tables.append(None)
            continue
        chance = np.random.default_rng([routing.seed, layer])
        need = tokens * part.ep_size
        if record is not None:
            chosen = record[(layer - moe.first_dense_layers) % len(record)]
        else:
            chosen = draw(moe, routing, min(need, MOST_DRAWN), chance)
        chosen = np.resize(chosen, (need, moe.top_k))
        tables.append(torch.from_numpy(received(chosen, moe.experts, part, tokens)).to(device))
    return tables


def draw(moe: MoeSpec, routing: Routing, tokens: int, chance: np.random.Generator) -> npt.NDArray[np.int64]:
    """Distinct experts [tokens, top_k] by popularity, without replacement (Gumbel top-k)."""
    popularity = np.zeros(moe.experts)
    if routing.law == "power_law":
        popularity = -routing.exponent * np.log(np.arange(1, moe.experts + 1))
        chance.shuffle(popularity)
    chosen = np.empty((tokens, moe.top_k), dtype=np.int64)
    for start in range(0, tokens, 8192):  # bounds the working memory
        rows = chosen[start : start + 8192]
        keys = popularity + chance.gumbel(size=(len(rows), moe.experts))
        rows[:] = np.argpartition(-keys, moe.top_k - 1, axis=1)[:, : moe.top_k]
    return chosen


def received(chosen: npt.NDArray[np.int64], experts: int, part: Slice, tokens: int) -> npt.NDArray[np.int64]:
    """The pairs that reach the most loaded rank, laid out as ``tokens`` rows of local expert ids."""
    share = experts // part.ep_size
    if part.ep_size == 1:
        return chosen
    loads = np.bincount((chosen // share).ravel(), minlength=part.ep_size)
    first = int(loads.argmax()) * share
    groups = chosen.reshape(tokens, -1)  # row t: what the tokens of its group chose
    here = (groups >= first) & (groups < first + share)
    width = max(1, int(here.sum(1).max()))
    local = np.where(here, groups - first, share)
    return np.sort(local, axis=1)[:, :width]  # the id past the last sorts to the end


def _load_record(spec: ModelSpec, routing: Routing) -> npt.NDArray[np.int64]:
    """Recorded choices, checked: [layers, tokens, top_k] within the number of experts."""
    assert spec.moe is not None
    if routing.record is None:
        raise BadInputError("replayed routing needs a record: an .npy file [layers, tokens, top_k]")
    try:
        record = np.load(routing.record, allow_pickle=False)
    except (OSError, ValueError, EOFError) as problem:
        raise BadInputError(f"{routing.record}: not a readable .npy file ({problem})") from problem
    if record.ndim != 3 or 0 in record.shape or record.shape[2] != spec.moe.top_k or record.dtype.kind not in "iu":
        raise BadInputError(
            f"{routing.record}: expected integers [layers, tokens, {spec.moe.top_k}],"
            f" found {record.dtype} {list(record.shape)}"
        )
    record = record.astype(np.int64)
    if record.min() < 0 or record.max() >= spec.moe.experts:
        raise BadInputError(
            f"{routing.record}: expert {int(record.max())} of {spec.moe.experts} experts, numbered from 0"
        )
    return record
