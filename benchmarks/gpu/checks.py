"""The whole engine on this device against the plain engine on the CPU, in miniature: kernels, graphs, look-ahead.

FP32: the same greedy tokens. BF16: the logits after a prompt, near those of FP32. Run first, because figures of a
wrong engine are worth nothing.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from benchmarks.gpu.sizes import miniature
from executor.engine.engine import Engine, Settings
from executor.engine.sampling import Sampling
from executor.engine.slices import WHOLE
from executor.engine.weights import DummyWeights, ModelWeights, build
from executor.model.spec import ModelSpec, model_spec
from executor.scheduler.sequence import Request

MODELS = ("Qwen3-8B", "Llama-3.1-8B-Instruct", "Qwen3-30B-A3B", "DeepSeek-V3", "Kimi-K2-Instruct")
PROMPTS = [[1, 2, 3], list(range(5, 75)), [7] * 17, [9]]
STEPS = 24
BF16_TOLERANCE = 0.2
"""Relative error of logits. 8 significant bits over three layers cost 0.01 to 0.05, and a token near the edge
between two experts may choose the other one; a wrong kernel is off by about 1.
"""


def measure(name: str, device: torch.device) -> dict[str, Any]:
    """One model's miniature: whether tokens agree in FP32, and the relative error of BF16 logits."""
    spec = miniature(model_spec(name))
    cpu = torch.device("cpu")
    weights = build(spec, WHOLE, DummyWeights(torch.float32, cpu, seed=1))
    expected = tokens(spec, weights, look_ahead=False)
    found = tokens(spec, weights.to(device), look_ahead=True)
    agree = sum(one == two for a, b in zip(found, expected, strict=True) for one, two in zip(a, b, strict=True))
    exact = prompt_logits(spec, weights)
    rounded = prompt_logits(spec, weights.to(device, torch.bfloat16))
    error = float((rounded - exact).norm() / exact.norm())
    return {
        "name": f"engine {name}",
        "tokens_equal": agree,
        "tokens": STEPS * len(PROMPTS),
        "error": error,
        "right": found == expected and error <= BF16_TOLERANCE,
    }


def tokens(spec: ModelSpec, weights: ModelWeights, look_ahead: bool) -> list[list[int]]:
    """Greedy tokens under chunking, a shared batch and preemption."""
    settings = Settings(
        max_batch=4, token_budget=32, page_size=16, pages=12, max_length=128, look_ahead=look_ahead, tune=False
    )
    return Engine(spec, weights, settings).generate(PROMPTS, Sampling(max_tokens=STEPS))


def prompt_logits(spec: ModelSpec, weights: ModelWeights) -> Tensor:
    """Logits after a prompt computed in two chunks, on the CPU in FP32."""
    settings = Settings(max_batch=1, token_budget=48, page_size=16, pages=8, max_length=128, graphs=False, tune=False)
    engine = Engine(spec, weights, settings)
    seen: list[Tensor] = []
    forward = engine.decoder.forward
    engine.scheduler.add(Request("prompt", PROMPTS[1], 1))
    while (step := engine.scheduler.schedule()) is not None:
        with torch.inference_mode():
            seen.append(forward(engine._packer.pack(step)))
        engine.scheduler.finish(step, [0] * len(step.samplers))
    return seen[-1].float().cpu()
