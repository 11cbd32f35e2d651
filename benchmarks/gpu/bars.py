"""What others measured, and what is to be reached.

Operators: medians of the public operator tables of ai-dynamo/aiconfigurator (Apache-2.0, read 2026-11-23), vLLM 0.24
on an H100 SXM unless said; evidence mark: published, measured by others. End to end: the same repository's vLLM,
SGLang and TRT-LLM rows, and the reading of 2026-11-23. ``first`` is the mark to reach first (85 % of the last).
"""

from __future__ import annotations

from dataclasses import dataclass

PUBLIC_US: dict[str, float] = {
    "gemm none m=1": 60,
    "gemm none m=256": 67,
    "gemm none m=4096": 928,
    "gemm row m=1": 38,
    "gemm row m=256": 59,
    "gemm row m=4096": 669,
    "gemm block m=1": 62,
    "gemm block m=256": 94,
    "gemm block m=4096": 673,
    "decode gqa b=1 c=2048": 15,
    "decode gqa b=32 c=2048": 101,
    "decode gqa b=32 c=8192": 354,
    "decode mla b=1 c=2048": 21,
    "decode mla b=32 c=2048": 62,
    "decode mla b=128 c=2048": 151,
    "decode mla b=256 c=2048": 290,
    "moe Qwen3-30B-A3B t=1": 49,
    "moe Qwen3-30B-A3B t=32": 390,
    "moe Qwen3-30B-A3B t=256": 461,
    "moe Qwen3-30B-A3B t=4096": 836,
    "moe DeepSeek-V3 EP8 t=32": 410,
    "moe DeepSeek-V3 EP8 t=256": 575,
}
"""Microseconds by operator and size. Two-sided ranges (360-420, 306-513, 529-620) stand at their middle."""
PUBLIC_TFLOPS: dict[str, float] = {"prompt t=2048": 386, "prompt t=8192": 603, "prompt t=16384": 664}


@dataclass(frozen=True)
class Bar:
    """One mark to reach. ``value`` is looked up by ``measure`` among the results."""

    name: str
    measure: str
    first: float
    last: float
    higher_is_better: bool = True

    def judge(self, value: float | None) -> str:
        """``last``, ``first`` or ``missed``; ``not measured`` without a value."""
        if value is None:
            return "not measured"
        sign = 1 if self.higher_is_better else -1
        if sign * value >= sign * self.last:
            return "last"
        return "first" if sign * value >= sign * self.first else "missed"


BARS = (
    Bar("decode attention b32 2k, share of measured bandwidth", "fraction: decode gqa b=32 c=2048", 0.75, 0.75),
    Bar("BF16 GEMM m=4096, share of cuBLAS on a square product", "fraction: gemm none m=4096", 0.9, 0.9),
    Bar("MLA decode b32 2k, times the FA3 time", "times public: decode mla b=32 c=2048", 1.3, 1.3, False),
    Bar("MLA decode b128 2k, times the FA3 time", "times public: decode mla b=128 c=2048", 1.3, 1.3, False),
    Bar("Qwen3-8B BF16, 4 concurrent, TPOT ms", "serving: Qwen3-8B bf16 c=4 tpot_ms", 8.5, 7.2, False),
    Bar("Qwen3-8B FP8, 4 concurrent, TPOT ms", "serving: Qwen3-8B fp8 c=4 tpot_ms", 6.65, 5.65, False),
    Bar("Llama-8B 1024/512, 32 concurrent, tokens/s", "serving: Llama-8B c=32 output_tokens_per_s", 2600, 3100),
    Bar("nano-vllm's workload, times transformers", "serving: nano-vllm times transformers", 1.0, 2.0),
)
