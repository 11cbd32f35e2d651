"""Which part of a model one device holds: a subset of layers, a tensor-parallel shard, an expert-parallel rank.

A slice computes exactly its rank's share and no collective: what it returns are the partial sums that an
all-reduce would add up. Whole models are the slice with one rank.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from executor.errors import BadInputError
from executor.model.spec import ModelSpec


@dataclass(frozen=True)
class Slice:
    """One device's part of a model."""

    layers: tuple[int, ...] | None = None
    """Indices of the layers kept, in order; None: all of them."""
    tp_size: int = 1
    tp_rank: int = 0
    ep_size: int = 1
    """Ranks that share out the routed experts. Attention is then data-parallel: each has its own sequences."""
    ep_rank: int = 0

    def __post_init__(self) -> None:
        for size, rank, what in ((self.tp_size, self.tp_rank, "tensor"), (self.ep_size, self.ep_rank, "expert")):
            if size < 1 or not 0 <= rank < size:
                raise BadInputError(f"{what}-parallel rank {rank} of {size} does not exist")

    def check(self, spec: ModelSpec) -> None:
        """BadInputError, which says what does not divide, where the model cannot be cut so."""
        cuts = [("heads", spec.heads, self.tp_size), ("intermediate", spec.intermediate, self.tp_size)]
        if spec.moe is not None:
            cuts.append(("experts", spec.moe.experts, self.ep_size))
            if self.ep_size == 1:
                cuts.append(("expert_intermediate", spec.moe.expert_intermediate, self.tp_size))
        elif self.ep_size > 1:
            raise BadInputError(f"{spec.name} has no experts to share out over {self.ep_size} ranks")
        for name, count, size in cuts:
            if count % size:
                raise BadInputError(f"{spec.name}: {count} {name} do not divide by {size} ranks")
        if spec.mla is None and spec.kv_heads % self.tp_size and self.tp_size % spec.kv_heads:
            raise BadInputError(f"{spec.name}: {spec.kv_heads} KV heads over {self.tp_size} ranks")
        for layer in self.layers or ():
            if not 0 <= layer < spec.layers:
                raise BadInputError(f"{spec.name} has layers 0 to {spec.layers - 1}, not {layer}")

    def layer_indices(self, spec: ModelSpec) -> Sequence[int]:
        """The layers of the model that this device computes."""
        return range(spec.layers) if self.layers is None else self.layers

    def heads(self, spec: ModelSpec) -> range:
        """The query heads of this rank."""
        return _share(spec.heads, self.tp_size, self.tp_rank)

    def kv_heads(self, spec: ModelSpec) -> range:
        """The KV heads of this rank; with more ranks than KV heads, several ranks hold the same one."""
        if self.tp_size <= spec.kv_heads:
            return _share(spec.kv_heads, self.tp_size, self.tp_rank)
        head = self.tp_rank * spec.kv_heads // self.tp_size
        return range(head, head + 1)

    def columns(self, width: int) -> range:
        """This rank's share of an MLP's inner width."""
        return _share(width, self.tp_size, self.tp_rank)

    def experts(self, spec: ModelSpec) -> range:
        """The routed experts of this rank."""
        return _share(0 if spec.moe is None else spec.moe.experts, self.ep_size, self.ep_rank)

    def expert_columns(self, spec: ModelSpec) -> range:
        """This rank's share of each expert's inner width: whole under expert parallelism."""
        width = 0 if spec.moe is None else spec.moe.expert_intermediate
        return self.columns(width) if self.ep_size == 1 else range(width)

    def vocabulary(self, spec: ModelSpec) -> range:
        """This rank's rows of the LM head; whole where the vocabulary does not divide."""
        return self.columns(spec.vocab) if spec.vocab % self.tp_size == 0 else range(spec.vocab)


WHOLE = Slice()


def _share(count: int, size: int, rank: int) -> range:
    return range(count * rank // size, count * (rank + 1) // size)
