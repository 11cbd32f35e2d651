"""What a model is made of: a Hugging Face ``config.json`` read into a frozen record, and the built-in models.

Nothing here knows about time or hardware; ``cost.py`` turns a spec into bytes and flops, ``engine/`` into layers.
"""

import json
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from executor.errors import BadInputError, UnknownNameError, UnsupportedModelError, shown
from executor.reference import SHIPPED
from executor.user_files import inside, read_json

Scoring = Literal["softmax", "sigmoid"]

MLA_TYPES = ("deepseek_v3", "kimi_k2")
KNOWN_TYPES = ("llama", "qwen2", "qwen3", "qwen3_moe", *MLA_TYPES)
_QUANTISED = re.compile(r"([-_](fp8|fp4|nvfp4|mxfp4|awq|gptq|int4|int8|w8a8|w4a16|bf16|dynamic|block))+$")
"""What the name of a quantised copy ends with."""

_MOST_COUNTED = 10**9
"""No width, count or length of a model comes near it; beyond it sizes overflow."""
_MOST_WEIGHTS = 10**15
"""Nor has any so many weights; beyond it the size of a matrix overflows."""
_LONGEST_NAME = 200


@dataclass(frozen=True)
class MlaSpec:
    """Multi-head latent attention: one cached vector of ``kv_lora_rank + qk_rope`` per token and layer."""

    q_lora_rank: int | None
    kv_lora_rank: int
    qk_nope: int
    qk_rope: int
    v_head_dim: int

    @property
    def qk_head_dim(self) -> int:
        """Width of one head's query and key in prefill."""
        return self.qk_nope + self.qk_rope

    @property
    def cache_width(self) -> int:
        """Elements cached per token and layer."""
        return self.kv_lora_rank + self.qk_rope


@dataclass(frozen=True)
class MoeSpec:
    """Mixture of experts: which layers have it, how many experts there are, and how a token chooses."""

    experts: int
    top_k: int
    expert_intermediate: int
    shared_experts: int = 0
    first_dense_layers: int = 0
    groups: int = 1
    topk_groups: int = 1
    scoring: Scoring = "softmax"
    norm_topk: bool = True
    scaling: float = 1.0
    """Factor on the chosen experts' weights after normalisation."""
    bias: bool = False
    """A per-expert bias that enters the choice of experts and not their weights (DeepSeek-V3)."""


@dataclass(frozen=True)
class RopeScaling:
    """How rotary positions are stretched beyond the training length (``llama3``, ``yarn`` or ``linear``)."""

    kind: Literal["llama3", "yarn", "linear"]
    factor: float
    original_max_position: int
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    mscale: float = 1.0
    mscale_all_dim: float = 0.0


@dataclass(frozen=True)
class RopeSpec:
    """Rotary position embedding. ``interleaved``: the checkpoint pairs (0,1), (2,3).. not halves."""

    theta: float
    scaling: RopeScaling | None = None
    interleaved: bool = False


@dataclass(frozen=True)
class QuantSpec:
    """How the checkpoint stores its linear weights.

    ``block`` is (rows, columns) that share a scale for fp8; ``group_size`` the inputs that do for int4.
    ``experts_only``: attention, dense MLP, shared experts and head stay in BF16 (Kimi K2 Thinking and K2.5).
    """

    method: Literal["fp8", "int4"]
    block: tuple[int, int] | None = None
    group_size: int | None = None
    experts_only: bool = False


@dataclass(frozen=True)
class ModelSpec:
    """One decoder-only model. Widths in elements, counts in layers, heads and experts."""

    name: str
    model_type: str
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    vocab: int
    rope: RopeSpec
    rms_eps: float
    max_position: int
    tie_embeddings: bool = False
    qk_norm: bool = False
    attention_bias: bool = False
    """Whether query, key and value projections add a bias; ``output_bias`` the same for the one behind attention."""
    output_bias: bool = False
    mla: MlaSpec | None = None
    moe: MoeSpec | None = None
    quantisation: QuantSpec | None = None

    @property
    def moe_layers(self) -> int:
        """Layers whose MLP is a mixture of experts."""
        return 0 if self.moe is None else self.layers - self.moe.first_dense_layers

    @property
    def attention_params_per_layer(self) -> int:
        """Weights of the projections around attention in one layer (norms and biases: under 0.01 %)."""
        if self.mla is None:
            return self.hidden * self.head_dim * (2 * self.heads + 2 * self.kv_heads)
        m = self.mla
        q_width = self.heads * m.qk_head_dim
        query = self.hidden * q_width if m.q_lora_rank is None else m.q_lora_rank * (self.hidden + q_width)
        down = self.hidden * m.cache_width
        up = m.kv_lora_rank * self.heads * (m.qk_nope + m.v_head_dim)
        return query + down + up + self.heads * m.v_head_dim * self.hidden

    @property
    def expert_params(self) -> int:
        """Weights of one routed expert; 0 for a dense model."""
        return 0 if self.moe is None else 3 * self.hidden * self.moe.expert_intermediate

    @property
    def embedding_params(self) -> int:
        """Weights of the token embedding (and of the LM head, which has the same shape)."""
        return self.vocab * self.hidden

    @property
    def routed_params(self) -> int:
        """Weights of all routed experts in all layers."""
        return 0 if self.moe is None else self.moe_layers * self.moe.experts * self.expert_params

    @property
    def always_active_params(self) -> int:
        """Weights every token uses, less embedding and head: attention, dense gated MLP, shared experts, router."""
        total = self.layers * self.attention_params_per_layer
        total += (self.layers - self.moe_layers) * 3 * self.hidden * self.intermediate
        if self.moe is not None:
            total += self.moe_layers * (self.moe.shared_experts * self.expert_params + self.moe.experts * self.hidden)
        return total

    @property
    def active_params(self) -> int:
        """Weights multiplied for one token: without the embedding (a look-up), with the LM head."""
        routed = 0 if self.moe is None else self.moe_layers * self.moe.top_k * self.expert_params
        return self.always_active_params + routed + self.embedding_params

    @property
    def kv_elements_per_token_per_layer(self) -> int:
        """Elements cached per token and layer on one whole replica."""
        return self.mla.cache_width if self.mla is not None else 2 * self.kv_heads * self.head_dim

    def kv_bytes_per_token(self, bytes_per_element: float = 2.0) -> float:
        """Bytes cached per token over all layers on one whole replica; 2 bytes an element is BF16.

        >>> model_spec("Qwen3-8B").kv_bytes_per_token() / 1024
        144.0
        """
        return self.layers * (self.kv_elements_per_token_per_layer * bytes_per_element)


def from_hf_config(config: Mapping[str, Any], name: str) -> ModelSpec:
    """Read a Hugging Face ``config.json`` (a dict) whose ``model_type`` is one of KNOWN_TYPES.

    A multimodal config that nests its language model under ``text_config`` is read there.
    Raises UnsupportedModelError for another architecture and BadInputError for a missing or impossible field.
    """
    if not isinstance(config, Mapping):
        raise BadInputError(f"{name}: config.json must hold an object, found {type(config).__name__}")
    if isinstance(config.get("text_config"), Mapping):
        config = {"quantization_config": config.get("quantization_config"), **config["text_config"]}
    model_type = config.get("model_type")
    if config.get("use_sliding_window"):
        raise UnsupportedModelError(f"{name}: sliding-window attention is not modelled")
    if model_type not in KNOWN_TYPES:
        raise UnsupportedModelError(
            f"{name}: model_type {shown(model_type)} is not modelled; modelled are {', '.join(KNOWN_TYPES)}"
        )
    read = _Fields(config, name)
    mla = _read_mla(read) if model_type in MLA_TYPES else None
    heads = read.count("num_attention_heads")
    hidden = read.count("hidden_size")
    spec = ModelSpec(
        name=name,
        model_type=model_type,
        layers=read.count("num_hidden_layers"),
        hidden=hidden,
        heads=heads,
        kv_heads=heads if mla is not None else read.count("num_key_value_heads", heads),
        head_dim=mla.qk_head_dim if mla is not None else read.count("head_dim", hidden // heads),
        intermediate=read.count("intermediate_size"),
        vocab=read.count("vocab_size"),
        rope=_read_rope(read, interleaved=mla is not None and bool(config.get("rope_interleave", True))),
        rms_eps=read.number("rms_norm_eps", 1e-6),
        max_position=read.count("max_position_embeddings", 4096),
        tie_embeddings=bool(config.get("tie_word_embeddings", False)),
        qk_norm=model_type in ("qwen3", "qwen3_moe"),
        # Qwen2 has a bias on query, key and value alone, and no field that says so.
        attention_bias=model_type == "qwen2" or bool(config.get("attention_bias", False)),
        output_bias=bool(config.get("attention_bias", False)),
        mla=mla,
        moe=_read_moe(read, model_type),
        quantisation=_read_quantisation(read),
    )
    return _checked(spec)


def model_spec(name: str) -> ModelSpec:
    """The spec of a built-in model by Hugging Face id or short name (in any case), or of a config.json file.

    A copy under another organisation or with a quantisation's suffix (-FP8, -AWQ) has its model's shapes. A path is
    read wherever it leads: what a scenario names is confined to its folder when the scenario is loaded.
    Raises UnknownNameError, which lists the nearest known names, and FileError for a file that cannot be read.
    """
    if (known := built_in(name)) is not None:
        return known
    path = _config_path(str(name))
    if path is not None:
        config = read_json(path)
        stated = config.get("_name_or_path") if isinstance(config, Mapping) else None
        return from_hf_config(config, str(stated or path.parent.name or path)[:_LONGEST_NAME])
    raise UnknownNameError("model", str(name), known_models(), "a path to a config.json works too")


def built_in(name: str) -> ModelSpec | None:
    """The spec of a built-in model; None where none goes by this name. No file of the user's is looked at."""
    key = str(name).strip().casefold()
    short = key.split("/")[-1]
    spellings = (key, short, _QUANTISED.sub("", short))
    return next((_registry()[spelling] for spelling in spellings if spelling in _registry()), None)


def known_models() -> tuple[str, ...]:
    """Hugging Face ids of the built-in models."""
    return tuple(sorted({spec.name for spec in _registry().values()}))


@cache
def _registry() -> dict[str, ModelSpec]:
    """Every spelling under which a built-in model is found, lower case, with and without the organisation."""
    stored = json.loads((SHIPPED / "models.json").read_text(encoding="utf-8"))
    registry: dict[str, ModelSpec] = {}
    for model_id, entry in stored["models"].items():
        spec = from_hf_config(entry["config"], model_id)
        organisation = model_id.split("/")[0]
        for spelling in (model_id, *entry["aliases"]):
            short = spelling.split("/")[-1]
            for key in (spelling, short, f"{organisation}/{short}"):
                registry[key.casefold()] = spec
    return registry


def _config_path(name: str) -> Path | None:
    """The file that a name means where it is a path of a config.json, or of a folder with one."""
    path = Path(name)
    if os.path.isdir(path):  # False for a name that no file can have, which pathlib raises for
        return inside(path, "config.json")
    return path if path.suffix == ".json" else None


@dataclass(frozen=True)
class _Fields:
    """A config.json with the name to put into messages."""

    config: Mapping[str, Any]
    name: str

    def number(self, field: str, default: float | None = None) -> float:
        value = self.config.get(field)
        value = default if value is None else value
        if value is None:
            raise BadInputError(f"{self.name}: config.json lacks {field}")
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value <= 0:
            raise BadInputError(f"{self.name}: {field} must be a positive number (got {shown(value)})")
        return float(value)

    def count(self, field: str, default: int | None = None) -> int:
        value = self.number(field, default)
        if value != int(value) or value > _MOST_COUNTED:
            raise BadInputError(
                f"{self.name}: {field} must be a whole number of at most {_MOST_COUNTED} (got {value!r})"
            )
        return int(value)

    def count_of(self, field: str, newer: str) -> int:
        """A count under its published name, or under the one that transformers 5 writes."""
        return self.count(newer if field not in self.config and newer in self.config else field)

    def count_or_zero(self, field: str) -> int:
        return 0 if self.config.get(field) in (None, 0) else self.count(field)

    def object(self, field: str) -> Mapping[str, Any]:
        """A nested object; empty where the field is absent."""
        value = self.config.get(field)
        if value is not None and not isinstance(value, Mapping):
            raise BadInputError(f"{self.name}: {field} must be an object (got {shown(value)})")
        return value or {}


def _read_mla(read: _Fields) -> MlaSpec:
    return MlaSpec(
        q_lora_rank=None if read.config.get("q_lora_rank") is None else read.count("q_lora_rank"),
        kv_lora_rank=read.count("kv_lora_rank"),
        qk_nope=read.count("qk_nope_head_dim"),
        qk_rope=read.count("qk_rope_head_dim"),
        v_head_dim=read.count("v_head_dim"),
    )


def _read_moe(read: _Fields, model_type: str) -> MoeSpec | None:
    if model_type == "qwen3_moe":
        if read.count("decoder_sparse_step", 1) != 1 or read.config.get("mlp_only_layers"):
            raise UnsupportedModelError(f"{read.name}: only MoE in every layer is modelled for qwen3_moe")
        return MoeSpec(
            experts=read.count_of("num_experts", "num_local_experts"),
            top_k=read.count("num_experts_per_tok"),
            expert_intermediate=read.count("moe_intermediate_size"),
            norm_topk=bool(read.config.get("norm_topk_prob", False)),
        )
    if model_type not in MLA_TYPES:
        return None
    if read.count("moe_layer_freq", 1) != 1:
        raise UnsupportedModelError(f"{read.name}: only moe_layer_freq 1 is modelled")
    scoring: Scoring = "softmax" if read.config.get("scoring_func", "sigmoid") == "softmax" else "sigmoid"
    return MoeSpec(
        experts=read.count_of("n_routed_experts", "num_local_experts"),
        top_k=read.count("num_experts_per_tok"),
        expert_intermediate=read.count("moe_intermediate_size"),
        shared_experts=read.count_or_zero("n_shared_experts"),
        first_dense_layers=read.count_or_zero("first_k_dense_replace"),
        groups=read.count("n_group", 1),
        topk_groups=read.count("topk_group", 1),
        scoring=scoring,
        norm_topk=bool(read.config.get("norm_topk_prob", True)),
        scaling=read.number("routed_scaling_factor", 1.0),
        bias=read.config.get("topk_method", "noaux_tc") == "noaux_tc",
    )


def _read_rope(read: _Fields, interleaved: bool) -> RopeSpec:
    """Both spellings: ``rope_theta`` with ``rope_scaling``, or the newer ``rope_parameters`` with both."""
    parameters = read.object("rope_parameters")
    stated = {"rope_theta": parameters.get("rope_theta", read.config.get("rope_theta"))}
    theta = _Fields(stated, read.name).number("rope_theta", 10_000.0)
    scaling = parameters or read.object("rope_scaling")
    kind: Any = scaling.get("rope_type") or scaling.get("type") or "default"
    if kind == "default":
        return RopeSpec(theta, None, interleaved)
    if kind not in ("llama3", "yarn", "linear"):
        found = shown(kind)
        raise UnsupportedModelError(f"{read.name}: rope scaling {found} is not modelled (llama3, yarn, linear are)")
    numbers = _Fields(scaling, f"{read.name}: rope scaling")
    factor, trained = numbers.number("factor"), read.count("max_position_embeddings", 4096)
    original = numbers.count("original_max_position_embeddings", trained)
    names = ("low_freq_factor", "high_freq_factor", "beta_fast", "beta_slow", "mscale")
    given = {name: numbers.number(name) for name in names if scaling.get(name) is not None}
    if scaling.get("mscale_all_dim"):
        given["mscale_all_dim"] = numbers.number("mscale_all_dim")
    return RopeSpec(theta, RopeScaling(kind, factor, original, **given), interleaved)


def _read_quantisation(read: _Fields) -> QuantSpec | None:
    stored = read.config.get("quantization_config")
    if not isinstance(stored, Mapping):
        return None
    method = stored.get("quant_method")
    if method == "fp8":
        block: Any = stored.get("weight_block_size")
        if block and not (isinstance(block, list) and len(block) == 2 and all(type(n) is int and n > 0 for n in block)):
            raise BadInputError(f"{read.name}: weight_block_size must be two whole numbers (got {shown(block)})")
        return QuantSpec("fp8", block=(block[0], block[1]) if block else None)
    if method == "compressed-tensors":
        groups = _Fields(stored, read.name).object("config_groups")
        weights = [
            _Fields(_Fields(group, read.name).object("weights"), read.name)
            for group in groups.values()
            if isinstance(group, Mapping)
        ]
        if weights and all(weight.config.get("num_bits") == 4 for weight in weights):
            size, kept = weights[0].config.get("group_size"), stored.get("ignore")
            experts_only = any("self_attn" in str(pattern) for pattern in (kept if isinstance(kept, list) else ()))
            return QuantSpec("int4", None, None if size is None else weights[0].count("group_size"), experts_only)
    found = shown(method)
    raise UnsupportedModelError(f"{read.name}: quantisation {found} is not modelled (fp8 and 4-bit integers are)")


def _checked(spec: ModelSpec) -> ModelSpec:
    """The spec itself, or the first contradiction between its fields."""
    if spec.mla is None and spec.heads % spec.kv_heads:
        raise BadInputError(f"{spec.name}: {spec.heads} heads cannot share {spec.kv_heads} KV heads evenly")
    if spec.always_active_params + spec.routed_params + spec.embedding_params > _MOST_WEIGHTS:
        raise BadInputError(f"{spec.name}: the sizes multiply to more than {_MOST_WEIGHTS:.0e} weights; correct them")
    moe = spec.moe
    if moe is None:
        return spec
    if moe.first_dense_layers >= spec.layers:
        raise BadInputError(f"{spec.name}: {moe.first_dense_layers} dense layers of {spec.layers} leave no MoE layer")
    if moe.top_k > moe.experts or moe.topk_groups > moe.groups or moe.experts % moe.groups:
        raise BadInputError(
            f"{spec.name}: cannot choose {moe.top_k} of {moe.experts} experts"
            f" from {moe.topk_groups} of {moe.groups} groups"
        )
    return spec
