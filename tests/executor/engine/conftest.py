"""Small random models of every family, as transformers writes them to a directory."""

import json
import os
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch

torch.set_num_threads(1)  # the machine's cores are shared
if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # read when the kernels are first imported
transformers = pytest.importorskip("transformers")
transformers.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

BASE = {
    "vocab_size": 97,
    "hidden_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 96,
    "max_position_embeddings": 512,
}
MLA = {
    "num_key_value_heads": 4,
    "q_lora_rank": 24,
    "kv_lora_rank": 32,
    "qk_nope_head_dim": 16,
    "qk_rope_head_dim": 8,
    "v_head_dim": 12,
    "moe_intermediate_size": 24,
    "first_k_dense_replace": 1,
}
YARN = {
    "rope_type": "yarn",
    "rope_theta": 10000.0,
    "factor": 4.0,
    "mscale": 1.0,
    "mscale_all_dim": 1.0,
    "beta_fast": 32,
    "beta_slow": 1,
    "original_max_position_embeddings": 128,
}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
QWEN_MOE = {"num_experts_per_tok": 3, "moe_intermediate_size": 24, "num_experts": 8}

FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "qwen3": ("Qwen3", {"num_key_value_heads": 2, "head_dim": 32}),
    "qwen3 tied, one KV head, long theta": (
        "Qwen3",
        {
            "num_key_value_heads": 1,
            "head_dim": 16,
            "tie_word_embeddings": True,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e6},
        },
    ),
    "llama": ("Llama", {"num_key_value_heads": 2, "rope_parameters": LLAMA3}),
    "llama tied, biased, no sharing": (
        "Llama",
        {"num_key_value_heads": 4, "tie_word_embeddings": True, "attention_bias": True},
    ),
    "qwen2, biased but for the output": ("Qwen2", {"num_key_value_heads": 2}),
    "qwen2": ("Qwen2", {"num_key_value_heads": 2}),
    "llama linear rope": (
        "Llama",
        {"num_key_value_heads": 2, "rope_parameters": {"rope_type": "linear", "rope_theta": 10000.0, "factor": 2.0}},
    ),
    "qwen3_moe": ("Qwen3Moe", {"num_key_value_heads": 2, "head_dim": 16, "norm_topk_prob": True, **QWEN_MOE}),
    "qwen3_moe unnormalised": ("Qwen3Moe", {"num_key_value_heads": 2, "head_dim": 16, **QWEN_MOE}),
    "deepseek_v3": (
        "DeepseekV3",
        {
            **MLA,
            "n_routed_experts": 16,
            "num_experts_per_tok": 4,
            "n_group": 4,
            "topk_group": 2,
            "n_shared_experts": 1,
            "rope_parameters": YARN,
        },
    ),
    "deepseek_v3 without q latent": (
        "DeepseekV3",
        {
            **MLA,
            "q_lora_rank": None,
            "n_routed_experts": 8,
            "num_experts_per_tok": 2,
            "n_group": 2,
            "topk_group": 1,
            "n_shared_experts": 2,
            "rope_interleave": False,
        },
    ),
    "kimi_k2": (
        "DeepseekV3",
        {
            **MLA,
            "n_routed_experts": 12,
            "num_experts_per_tok": 3,
            "n_group": 1,
            "topk_group": 1,
            "n_shared_experts": 1,
            "routed_scaling_factor": 2.827,
            "rope_parameters": {**YARN, "factor": 8.0, "beta_fast": 1},
        },
    ),
}
MAIN_FAMILIES = ("qwen3", "llama", "qwen3_moe", "deepseek_v3", "kimi_k2")


@dataclass(frozen=True)
class SmallModel:
    """A random transformers model and the directory it was saved to."""

    name: str
    model: Any
    directory: Path
    known: dict[tuple[int, ...], list[int]] = field(default_factory=dict)

    def logits(self, tokens: list[int]) -> torch.Tensor:
        """Reference logits [len(tokens), vocabulary]."""
        with torch.no_grad():
            return self.model(torch.tensor([tokens])).logits[0]

    def greedy(self, prompt: list[int], count: int) -> list[int]:
        """Reference greedy tokens."""
        key = tuple(prompt)
        if len(self.known.get(key, ())) < count:
            self.known[key] = self._greedy(prompt, count)
        return self.known[key][:count]

    def _greedy(self, prompt: list[int], count: int) -> list[int]:
        with torch.no_grad():
            out = self.model.generate(
                torch.tensor([prompt]),
                attention_mask=torch.ones(1, len(prompt), dtype=torch.int64),  # token 0 is a token here
                max_new_tokens=count,
                do_sample=False,
                eos_token_id=None,
                pad_token_id=0,
            )
        return out[0, len(prompt) :].tolist()


def make_model(directory: Path, name: str) -> SmallModel:
    family, fields = FAMILIES[name]
    return save_model(directory, name, family, {**BASE, **fields})


def random_fields(family: str, chance: random.Random) -> dict[str, Any]:
    """A random small configuration of a transformers family; widths of experts suit transformers' own kernels."""
    pick = chance.choice
    kv_heads = chance.randint(1, 3)
    heads = kv_heads * pick([1, 2, 4, 5])
    fields: dict[str, Any] = {
        "vocab_size": chance.randint(50, 300),
        "hidden_size": heads * pick([8, 12, 16]),
        "num_hidden_layers": chance.randint(2, 4),
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "intermediate_size": chance.randint(10, 90),
        "max_position_embeddings": 256,
        "rms_norm_eps": pick([1e-5, 1e-6]),
        "tie_word_embeddings": chance.random() < 0.4,
        "rope_parameters": pick(
            [
                {"rope_type": "default", "rope_theta": pick([1e4, 5e5])},
                {"rope_type": "linear", "rope_theta": 1e4, "factor": 3.0},
                {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0, "original_max_position_embeddings": 64},
                {**YARN, "mscale": pick([0.7, 1.0]), "mscale_all_dim": pick([0.7, 1.0])},
                LLAMA3,
            ]
        ),
    }
    if family != "DeepseekV3":
        fields |= {"head_dim": pick([8, 10, 16, 32]), "attention_bias": chance.random() < 0.3}
    if family == "Qwen3Moe":
        experts = chance.randint(2, 9)
        fields |= {
            "num_experts": experts,
            "num_experts_per_tok": chance.randint(1, experts),
            "moe_intermediate_size": 4 * chance.randint(1, 10),
            "norm_topk_prob": chance.random() < 0.5,
        }
    if family == "DeepseekV3":
        groups, per_group = pick([1, 2, 4]), chance.randint(2, 4)
        kept = chance.randint(1, groups)
        fields |= {
            "num_key_value_heads": heads,
            "q_lora_rank": pick([None, 12, 20]),
            "kv_lora_rank": pick([8, 20, 32]),
            "qk_nope_head_dim": pick([4, 8, 12]),
            "qk_rope_head_dim": pick([2, 4, 8, 12]),
            "v_head_dim": pick([4, 6, 16]),
            "n_routed_experts": groups * per_group,
            "n_group": groups,
            "topk_group": kept,
            "num_experts_per_tok": chance.randint(1, kept * per_group),
            "moe_intermediate_size": 4 * chance.randint(1, 8),
            "first_k_dense_replace": chance.randint(0, 1),
            "n_shared_experts": chance.randint(1, 2),
            "norm_topk_prob": chance.random() < 0.7,
            "rope_interleave": chance.random() < 0.5,
            "routed_scaling_factor": pick([1.0, 2.5]),
        }
    return fields


def save_model(directory: Path, name: str, family: str, fields: dict[str, Any]) -> SmallModel:
    """A random model of these fields, written to the directory."""
    config = getattr(transformers, f"{family}Config")(**fields)
    torch.manual_seed(sum(name.encode()))
    model = getattr(transformers, f"{family}ForCausalLM")(config).eval()
    with torch.no_grad():
        for key, tensor in model.state_dict().items():
            if "norm" in key:  # random models have ones here, which would hide a norm left out
                tensor.uniform_(0.5, 1.5)
            elif "e_score_correction_bias" in key:
                tensor.uniform_(-0.3, 0.3)
            elif key.endswith(("weight", "proj")) and tensor.dim() > 1:
                tensor.mul_(3)  # wider than the initialiser: logits differ, experts are chosen apart
            elif key.endswith("bias"):
                tensor.uniform_(-0.5, 0.5)
    model.save_pretrained(directory)
    if name == "kimi_k2":
        path = directory / "config.json"
        config = json.loads(path.read_text())
        config["model_type"] = "kimi_k2"
        path.write_text(json.dumps(config))
    return SmallModel(name, model, directory)


@pytest.fixture(scope="session")
def random_model(tmp_path_factory):
    """A function from a transformers family and a seed to a model of a random configuration."""

    def get(family: str, seed: int) -> SmallModel:
        fields = random_fields(family, random.Random(seed))
        return save_model(tmp_path_factory.mktemp("random"), f"{family} {seed}", family, fields)

    return get


@pytest.fixture(scope="session")
def small_model(tmp_path_factory):
    """A function from a family's name to its small model, made once."""
    made: dict[str, SmallModel] = {}

    def get(name: str) -> SmallModel:
        if name not in made:
            made[name] = make_model(tmp_path_factory.mktemp("model"), name)
        return made[name]

    return get


def pytest_generate_tests(metafunc):
    if "family" in metafunc.fixturenames:
        metafunc.parametrize("family", list(FAMILIES))
    if "main_family" in metafunc.fixturenames:
        metafunc.parametrize("main_family", MAIN_FAMILIES)
