"""Weights from a directory of safetensors files, as published models have them. Never pickle, never remote code.

Everything is checked against the headers first: files, names, shapes and data types, all problems told at
once, and whether the weights fit the memory. Only then are tensors read, and each is checked for NaN.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from executor.engine.linear import BLOCK, FP8, Weight, by_row, dequantise
from executor.engine.moe import Experts
from executor.engine.slices import WHOLE, Slice
from executor.engine.weights import Cut, ModelWeights, build, check_memory
from executor.errors import BadInputError, UnsupportedModelError, did_you_mean, shown
from executor.model.spec import ModelSpec, from_hf_config
from executor.user_files import inside, read_json

INDEX = "model.safetensors.index.json"
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
MOST_PROBLEMS = 10
TYPES = {"F64": torch.float64, "F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16, "F8_E4M3": FP8}
IGNORED = re.compile(r"rotary_emb\.inv_freq$|self_attn\.[kv]_scale$")
"""Tensors of old checkpoints that hold nothing a model needs."""


def load(
    directory: Path, dtype: torch.dtype, device: torch.device, part: Slice = WHOLE
) -> tuple[ModelSpec, ModelWeights]:
    """The model in ``directory`` (config.json and safetensors files), plain weights in ``dtype``.

    FP8 weights stay FP8 with their scales. Raises BadInputError, UnsupportedModelError or DoesNotFitError,
    naming file and tensor, before any weight is read where the headers show the problem.
    """
    spec = read_spec(directory)
    part.check(spec)
    with Shards(directory) as shards:
        survey = Checkpoint(shards, spec, dtype, torch.device("meta"))
        needed = build(spec, part, survey)
        survey.tell_problems(part)
        check_memory(f"{spec.name}: weights", needed.bytes, device)
        return spec, build(spec, part, Checkpoint(shards, spec, dtype, device))


def read_spec(directory: Path) -> ModelSpec:
    """The spec of the model in ``directory``; UnsupportedModelError for parts the engine does not compute."""
    if not os.path.isdir(directory):
        raise BadInputError(f"{directory}: no such directory; give the folder that holds config.json")
    config = read_json(inside(directory, "config.json"))
    if not isinstance(config, Mapping):
        raise BadInputError(f"{directory / 'config.json'}: must hold an object")
    spec = from_hf_config(config, directory.resolve().name)
    _check_computable(spec, config)
    return spec


def _check_computable(spec: ModelSpec, config: Mapping[str, Any]) -> None:
    """Settings of a config.json that would change the result and that the layers do not have."""
    text = config.get("text_config") if isinstance(config.get("text_config"), Mapping) else config
    assert isinstance(text, Mapping)
    if spec.quantisation is not None and spec.quantisation.method != "fp8":
        raise UnsupportedModelError(f"{spec.name}: {spec.quantisation.method} weights cannot be run, FP8 can")
    if spec.quantisation is not None and spec.quantisation.block not in (None, (BLOCK, BLOCK)):
        raise UnsupportedModelError(
            f"{spec.name}: FP8 blocks of {spec.quantisation.block} cannot be run, {BLOCK}x{BLOCK} can"
        )
    odd = {
        "hidden_act": text.get("hidden_act", "silu") != "silu",
        "use_sliding_window": bool(text.get("use_sliding_window")),
        "mlp_bias": bool(text.get("mlp_bias")),
        "partial_rotary_factor": (text.get("partial_rotary_factor") or 1.0) != 1.0,
    }
    rope = text.get("rope_parameters") or text.get("rope_scaling") or {}
    for field in ("attention_factor", "truncate"):
        if rope.get(field) not in (None, True):
            raise UnsupportedModelError(f"{spec.name}: rope scaling with {field} is not computed by the engine")
    for field in (name for name, found in odd.items() if found):
        raise UnsupportedModelError(f"{spec.name}: {field} {shown(text.get(field))} is not computed by the engine")
    width = spec.mla.qk_rope if spec.mla is not None else spec.head_dim
    if width % 2:
        raise BadInputError(f"{spec.name}: rotary width must be even (got {width})")


class Shards:
    """The directory's safetensors files, opened by memory map, and which holds which tensor."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._files: dict[str, Any] = {}
        self._file_of: dict[str, str] = {}

    def __enter__(self) -> Shards:
        stated = self._stated_files()
        with ExitStack() as opened:  # closed again where something is wrong
            for name in sorted(set(stated.values())) if stated is not None else self._single_file():
                self._open(opened, name)
            absent = sorted(t for t in (stated or {}) if t not in self._file_of)
            if absent:
                raise BadInputError(f"{self.directory / INDEX}: names {absent[0]}, which no file holds")
            self._stack = opened.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    @property
    def names(self) -> list[str]:
        """All tensors stored."""
        return list(self._file_of)

    def __contains__(self, name: str) -> bool:
        return name in self._file_of

    def place(self, name: str) -> str:
        """File and tensor, for messages."""
        return f"{self.directory / self._file_of[name]}: {name}"

    def header(self, name: str) -> tuple[tuple[int, ...], str]:
        """Shape and data type as stored."""
        stored = self._files[self._file_of[name]].get_slice(name)
        return tuple(stored.get_shape()), str(stored.get_dtype())

    def read(self, name: str, rows: Cut, columns: Cut) -> Tensor:
        """The tensor, or the rows and columns asked for, in memory of its own; BadInputError if not finite."""
        stored = self._files[self._file_of[name]].get_slice(name)
        cuts = [slice(None) if cut is None else slice(cut.start, cut.stop) for cut in (rows, columns)]
        dimensions = len(stored.get_shape())
        part = tuple(cuts[:dimensions])
        tensor: Tensor = stored[part] if dimensions else self._files[self._file_of[name]].get_tensor(name)
        if not _finite(tensor):
            raise BadInputError(f"{self.place(name)} holds NaN or infinity; the file is damaged")
        return tensor

    def _stated_files(self) -> dict[str, str] | None:
        """The index's map from tensor to file; None where there is no index."""
        path = inside(self.directory, INDEX)
        if not path.exists():
            return None
        index = read_json(path)
        files = index.get("weight_map") if isinstance(index, Mapping) else None
        if not isinstance(files, dict) or not files:
            raise BadInputError(f"{path}: needs a weight_map from tensor to file")
        for tensor, name in files.items():
            plain = isinstance(name, str) and name == Path(name).name and name.endswith(".safetensors")
            if not plain:
                raise BadInputError(
                    f"{path}: {tensor} is said to be in {shown(name)};"
                    " only safetensors files in the directory itself are read"
                )
        return files

    def _single_file(self) -> list[str]:
        found = sorted(path.name for path in self.directory.glob("*.safetensors"))
        if "model.safetensors" in found:
            return ["model.safetensors"]
        if len(found) == 1:
            return found
        if found:
            raise BadInputError(f"{self.directory} has {len(found)} safetensors files and no {INDEX}")
        pickles = [path.name for kind in PICKLES for path in self.directory.glob(kind)]
        mend = f"; {pickles[0]} may be a pickle and is never read: convert it to safetensors" if pickles else ""
        raise BadInputError(f"{self.directory} has no safetensors file{mend}")

    def _open(self, stack: ExitStack, name: str) -> None:
        path = inside(self.directory, name)
        if not os.path.isfile(path):  # False for a name that no file can have, which pathlib raises for
            raise BadInputError(f"{path}: named by {INDEX}, but missing; download the model again")
        try:
            opened = stack.enter_context(safe_open(path, framework="pt", device="cpu"))
        except (SafetensorError, OSError, ValueError) as problem:
            raise BadInputError(f"{path}: not a whole safetensors file ({problem})") from problem
        self._files[name] = opened
        for tensor in opened.keys():  # noqa: SIM118 - the handle is no dict
            self._file_of[tensor] = name


class Checkpoint:
    """A source of tensors. On the meta device it surveys: it reads headers only and collects problems."""

    def __init__(self, shards: Shards, spec: ModelSpec, dtype: torch.dtype, device: torch.device) -> None:
        self.shards = shards
        self.spec = spec
        self.dtype = dtype
        self.device = device
        self.problems: list[str] = []
        self._asked: set[str] = set()

    def tensor(self, name: str, shape: tuple[int, ...], rows: Cut = None) -> Tensor:
        """In the model's data type."""
        return self._read(name, shape, rows, None, self.dtype)

    def exact(self, name: str, shape: tuple[int, ...]) -> Tensor:
        """In FP32."""
        return self._read(name, shape, None, None, torch.float32)

    def linear(
        self, name: str, shape: tuple[int, int], rows: Cut = None, columns: Cut = None, bias: bool = False
    ) -> Weight:
        """FP8 with its scale where it is stored so, else in the model's data type."""
        weight = self._matrix(f"{name}.weight", shape, rows, columns)
        added = self._read(f"{name}.bias", (shape[0],), rows, None, self.dtype) if bias else None
        return Weight(weight.data, weight.scale, weight.scaling, added)

    def experts(self, layer: str, spec: ModelSpec, part: Slice) -> Experts:
        """Fused from the checkpoint's one-by-one experts, each copied straight into its place."""
        assert spec.moe is not None
        inner, columns, mine = spec.moe.expert_intermediate, part.expert_columns(spec), part.experts(spec)
        if f"{layer}.experts.gate_up_proj" in self.shards:
            return self._fused_experts(layer, spec, part)
        gate_up, down = _Stack(len(mine), self.dtype), _Stack(len(mine), self.dtype)
        for place, expert in enumerate(mine):
            name = f"{layer}.experts.{expert}"
            for half, which in enumerate(("gate", "up")):
                weight = self._matrix(f"{name}.{which}_proj.weight", (inner, spec.hidden), columns, None)
                gate_up.put(weight, place, half, halves=2)
            down.put(self._matrix(f"{name}.down_proj.weight", (spec.hidden, inner), None, columns), place)
        return Experts(gate_up.weight(), down.weight())

    def tell_problems(self, part: Slice) -> None:
        """Raise BadInputError with everything the survey found; also for tensors that nothing would use."""
        if part == WHOLE and not self.problems:
            self.problems += self._unused()
        if self.problems:
            listed = "\n  ".join(self.problems[:MOST_PROBLEMS])
            raise BadInputError(f"{self.shards.directory} does not hold this model:\n  {listed}")

    def _fused_experts(self, layer: str, spec: ModelSpec, part: Slice) -> Experts:
        assert spec.moe is not None
        inner, columns, mine = spec.moe.expert_intermediate, part.expert_columns(spec), part.experts(spec)
        count = spec.moe.experts
        up_shape, down_shape = (count, 2 * inner, spec.hidden), (count, spec.hidden, inner)
        gate_up = self._read(f"{layer}.experts.gate_up_proj", up_shape, mine, None, self.dtype)
        down = self._read(f"{layer}.experts.down_proj", down_shape, mine, None, self.dtype)
        if len(columns) < inner:
            halves = gate_up.unflatten(1, (2, inner))[:, :, columns.start : columns.stop]
            gate_up, down = halves.flatten(1, 2), down[..., columns.start : columns.stop].contiguous()
        return Experts(Weight(gate_up), Weight(down))

    def _matrix(self, name: str, shape: tuple[int, int], rows: Cut, columns: Cut) -> Weight:
        """A linear weight with whatever scale is stored beside it."""
        if name in self.shards and self.shards.header(name)[1] == "F8_E4M3":
            block = f"{name}_scale_inv"
            if block in self.shards:
                return self._block_matrix(name, block, shape, rows, columns)
            return self._scaled_matrix(name, shape, rows, columns)
        return Weight(self._read(name, shape, rows, columns, self.dtype))

    def _block_matrix(self, name: str, scale_name: str, shape: tuple[int, int], rows: Cut, columns: Cut) -> Weight:
        """Scales per 128-block; a slice must cut between blocks."""
        blocks = (math.ceil(shape[0] / BLOCK), math.ceil(shape[1] / BLOCK))
        cuts = [(rows, shape[0]), (columns, shape[1])]
        aligned = all(cut is None or (cut.start % BLOCK == 0 and (cut.stop % BLOCK == 0 or cut.stop == full))
                      for cut, full in cuts)  # fmt: skip
        if aligned:
            data = self._read(name, shape, rows, columns, FP8)
            scale = self._read(scale_name, blocks, _blocks(rows), _blocks(columns), torch.float32)
            return Weight(data, scale, "block")
        raise UnsupportedModelError(
            f"{self.shards.place(name)}: this slice cuts through a {BLOCK}-block; use fewer ranks"
        )

    def _scaled_matrix(self, name: str, shape: tuple[int, int], rows: Cut, columns: Cut) -> Weight:
        """One scale for the matrix, or one a row, stored as ``weight_scale``."""
        data = self._read(name, shape, rows, columns, FP8)
        scale_name = f"{name}_scale"
        stored = self.shards.header(scale_name)[0] if scale_name in self.shards else ()
        if stored in ((), (1,)):
            return Weight(data, self._read(scale_name, stored, None, None, torch.float32).reshape(()), "tensor")
        return Weight(data, self._read(scale_name, (shape[0], 1), rows, None, torch.float32), "row")

    def _read(self, name: str, shape: tuple[int, ...], rows: Cut, columns: Cut, dtype: torch.dtype) -> Tensor:
        if self.device.type != "meta":
            tensor = self.shards.read(name, rows, columns)
            return tensor.to(self.device, dtype)
        self._asked.add(name)
        self._survey(name, shape)
        sizes = [*shape]
        for dimension, cut in enumerate((rows, columns)):
            if cut is not None:
                sizes[dimension] = len(cut)
        return torch.empty(sizes, dtype=dtype, device="meta")

    def _survey(self, name: str, shape: tuple[int, ...]) -> None:
        """Compare a tensor's header with what the config asks for."""
        if name not in self.shards:
            near = did_you_mean(name, self.shards.names) if len(self.problems) < 3 else None
            hint = f" (the nearest is {near})" if near else ""
            self.problems.append(f"{name} is missing{hint}")
        else:
            stored, kind = self.shards.header(name)
            if stored != shape:
                self.problems.append(f"{name} has shape {list(stored)}, config.json asks for {list(shape)}")
            elif kind not in TYPES:
                self.problems.append(f"{name} has data type {kind}; known are {', '.join(TYPES)}")
        if len(self.problems) > MOST_PROBLEMS:
            self.tell_problems(WHOLE)

    def _unused(self) -> list[str]:
        """Stored tensors of the modelled layers that no part of the model asked for."""
        unused = []
        for name in self.shards.names:
            layer = re.match(r"model\.layers\.(\d+)\.", name)
            beyond = layer is not None and int(layer[1]) >= self.spec.layers  # multi-token prediction
            tied = name == "lm_head.weight" and self.spec.tie_embeddings
            if name not in self._asked and not beyond and not tied and not IGNORED.search(name):
                unused.append(f"{name} is stored, but a {self.spec.model_type} model has no such part")
        return unused


class _Stack:
    """Experts' matrices copied into one tensor as they arrive."""

    def __init__(self, count: int, dtype: torch.dtype) -> None:
        self.count = count
        self.dtype = dtype
        self._data: Tensor | None = None
        self._scale: Tensor | None = None
        self._scaling: Any = "none"

    def put(self, weight: Weight, place: int, half: int = 0, halves: int = 1) -> None:
        if halves > 1 and weight.scaling == "tensor":
            weight = by_row(weight)
        elif halves > 1 and weight.scaling == "block" and weight.out_features % BLOCK:
            weight = Weight(dequantise(weight, self.dtype))  # the halves' blocks do not line up
        self._scaling = weight.scaling
        self._data = _place(self._data, weight.data, self.count, place, half, halves)
        if weight.scale is not None:
            self._scale = _place(self._scale, weight.scale, self.count, place, half, halves)

    def weight(self) -> Weight:
        assert self._data is not None
        return Weight(self._data, self._scale, self._scaling)


def _place(stack: Tensor | None, part: Tensor, count: int, place: int, half: int, halves: int) -> Tensor:
    """Copy one expert's (half) matrix into the stack, made at the first one."""
    rows = part.shape[0] if part.dim() else 1
    if stack is None:
        shape = (count, rows * halves, *part.shape[1:]) if part.dim() else (count,)
        stack = torch.empty(shape, dtype=part.dtype, device=part.device)
    if part.dim():
        stack[place, half * rows : (half + 1) * rows] = part
    else:
        stack[place] = part
    return stack


def _blocks(cut: Cut) -> Cut:
    return None if cut is None else range(cut.start // BLOCK, math.ceil(cut.stop / BLOCK))


def _finite(tensor: Tensor) -> bool:
    """No NaN and no infinity. e4m3 has one NaN pattern besides its sign, and no infinity."""
    if tensor.dtype == FP8:
        return not bool(((tensor.view(torch.uint8) & 0x7F) == 0x7F).any())
    return bool(torch.isfinite(tensor).all())
