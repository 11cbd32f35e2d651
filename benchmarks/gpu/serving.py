"""End to end: closed loops with a fixed number of concurrent requests, and nano-vllm's workload beside transformers.

Prompts are random ids, end-of-text is ignored, lengths are fixed or drawn from a stated range with a fixed seed.
TTFT is from submission to the first token, TPOT (end - first token) / (tokens - 1), both medians over requests.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from benchmarks.gpu.sizes import Sizes
from executor.engine.engine import Engine, Settings
from executor.engine.linear import Scaling
from executor.engine.sampling import Sampling
from executor.model.spec import ModelSpec


@dataclass(frozen=True)
class Loop:
    """A closed loop: ``requests`` requests of these lengths, ``concurrency`` at a time (0: all at once)."""

    name: str
    model: str
    scaling: Scaling
    concurrency: int
    requests: int
    prompt: tuple[int, int]
    output: tuple[int, int]


LOOPS = (
    Loop("Qwen3-8B bf16 c=4", "Qwen3-8B", "none", 4, 32, (100, 366), (100, 342)),
    Loop("Llama-8B c=32", "Llama-3.1-8B-Instruct", "none", 32, 96, (1024, 1024), (512, 512)),
    Loop("Qwen3-8B fp8 c=4", "Qwen3-8B", "row", 4, 32, (100, 366), (100, 342)),
)
"""ShareGPT-like lengths of mean 233 and 221, and 1024 in, 512 out: the shapes of the marks in ``bars``."""
NANO = Loop("nano-vllm", "Qwen3-0.6B", "none", 0, 256, (100, 1024), (100, 1024))
"""nano-vllm's bench.py (commit bb823b3, 2026-04): 256 requests, prompts and outputs of 100 to 1,024 tokens."""


def drawn(loop: Loop, sizes: Sizes, vocab: int) -> tuple[list[list[int]], list[int]]:
    """Prompts and output lengths, the same for every engine."""
    chance = np.random.default_rng(0)
    count = loop.requests if sizes.divide == 1 else 6
    lengths = [
        chance.integers(low, high + 1, count) // sizes.divide + 1 if sizes.divide > 1
        else chance.integers(low, high + 1, count)
        for low, high in (loop.prompt, loop.output)
    ]  # fmt: skip
    prompts = [chance.integers(1, vocab, length).tolist() for length in lengths[0]]
    return prompts, lengths[1].tolist()


def run_loop(loop: Loop, sizes: Sizes, device: torch.device) -> dict[str, Any]:
    """The built-in engine on one loop."""
    spec = sizes.spec(loop.model)
    dtype = torch.bfloat16 if sizes.divide == 1 else torch.float32
    prompts, outputs = drawn(loop, sizes, spec.vocab)
    longest = max(len(prompt) + output for prompt, output in zip(prompts, outputs, strict=True))
    batch = loop.concurrency or len(prompts)
    pages = None if device.type == "cuda" else batch * -(-longest // 64)
    settings = Settings(max_batch=batch, token_budget=max(8192, batch), pages=pages, max_length=longest + 1)
    start = time.monotonic()
    engine = Engine.dummy(spec, dtype, device, settings, scaling=loop.scaling)
    set_up = time.monotonic() - start
    serve(engine, prompts[:2], [4, 4], 0)  # what is compiled late is not counted
    result = serve(engine, prompts, outputs, loop.concurrency)
    counters = engine.scheduler.counters
    return {
        "name": loop.name,
        "requests": len(prompts),
        "prompt_tokens": sum(map(len, prompts)),
        **result,
        "preemptions": counters.preemptions,
        "kv_pages": engine.scheduler.limits.pages,
        "set_up_s": set_up,
    }


def serve(engine: Engine, prompts: Sequence[list[int]], outputs: Sequence[int], concurrency: int) -> dict[str, Any]:
    """Keep ``concurrency`` requests running until all are done; host times per request."""
    waiting = list(range(len(prompts)))[::-1]
    begun: dict[int, float] = {}
    first: dict[int, float] = {}
    ended: dict[int, float] = {}
    start = time.perf_counter()
    while waiting or engine.unfinished:
        while waiting and (not concurrency or engine.unfinished < concurrency):
            index = waiting.pop()
            begun[index] = time.perf_counter()
            engine.add(prompts[index], Sampling(max_tokens=outputs[index]), index)
        for output in engine.step():
            now = time.perf_counter()
            assert isinstance(output.request_id, int)
            first.setdefault(output.request_id, now)
            if output.reason is not None:
                ended[output.request_id] = now
    while engine.step():  # the step that was launched ahead
        pass
    elapsed = time.perf_counter() - start
    tpot = [(ended[i] - first[i]) / (outputs[i] - 1) for i in ended if outputs[i] > 1]
    return {
        "output_tokens": sum(outputs),
        "seconds": elapsed,
        "output_tokens_per_s": sum(outputs) / elapsed,
        "ttft_ms": statistics.median(first[i] - begun[i] for i in first) * 1e3,
        "tpot_ms": statistics.median(tpot) * 1e3 if tpot else None,
    }


def run_transformers(loop: Loop, sizes: Sizes, device: torch.device) -> dict[str, Any]:
    """transformers' continuous batching on the same prompts and lengths, weights random too."""
    import transformers

    spec = sizes.spec(loop.model)
    dtype = torch.bfloat16 if sizes.divide == 1 else torch.float32
    prompts, outputs = drawn(loop, sizes, spec.vocab)
    transformers.logging.set_verbosity_error()
    model = _transformers_model(transformers, spec, dtype, device)
    config = transformers.GenerationConfig(
        max_new_tokens=max(outputs), do_sample=False, eos_token_id=-1, pad_token_id=0, use_cuda_graph=True
    )
    # Left to itself it takes most of the machine's free memory, and writes all of it.
    room = {} if sizes.divide == 1 else {"num_blocks": 64, "max_batch_tokens": 64}
    batching = transformers.ContinuousBatchingConfig(**room)
    with model.continuous_batching_context_manager(config, continuous_batching_config=batching) as manager:
        _collect(manager, prompts[:2], [4, 4])
        start = time.perf_counter()
        count = _collect(manager, prompts, outputs)
        elapsed = time.perf_counter() - start
    return {
        "name": f"{loop.name} transformers {transformers.__version__}",
        "requests": len(prompts),
        "output_tokens": count,
        "seconds": elapsed,
        "output_tokens_per_s": count / elapsed,
        "attention": model.config._attn_implementation,
    }


def _transformers_model(transformers: Any, spec: ModelSpec, dtype: torch.dtype, device: torch.device) -> Any:
    config = transformers.Qwen3Config(
        vocab_size=spec.vocab,
        hidden_size=spec.hidden,
        intermediate_size=spec.intermediate,
        num_hidden_layers=spec.layers,
        num_attention_heads=spec.heads,
        num_key_value_heads=spec.kv_heads,
        head_dim=spec.head_dim,
        max_position_embeddings=spec.max_position,
        tie_word_embeddings=spec.tie_embeddings,
    )
    config._attn_implementation = "sdpa"
    with torch.device(device):
        return transformers.Qwen3ForCausalLM(config).to(dtype).eval()


def _collect(manager: Any, prompts: Sequence[list[int]], outputs: Sequence[int], timeout_s: float = 240) -> int:
    """Submit all, wait for all; the number of tokens generated. TimeoutError after ``timeout_s``."""
    pending = {
        manager.add_request(prompt, max_new_tokens=output) for prompt, output in zip(prompts, outputs, strict=True)
    }
    tokens, until = 0, time.monotonic() + timeout_s
    while pending:
        result = manager.get_result(timeout=1)
        if result is not None and result.is_finished():
            pending.discard(result.request_id)
            tokens += len(result.generated_tokens)
        if time.monotonic() > until:
            raise TimeoutError(f"{len(pending)} of {len(prompts)} requests unfinished after {timeout_s:.0f} s")
    return tokens
