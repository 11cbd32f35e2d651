"""Which implementation of each operator a device gets: tried, checked against a reference, then chosen.

A candidate that does not import, raises, or is wrong on a small random problem is passed over, and the reason
is kept in ``REPORT``, so that a measurement can say what it measured. The optional wheels ``fa3-fwd`` (prompt
attention) and ``sgl-deep-gemm`` (FP8 products) take part when they import.

torch 2.11's ``varlen_attn`` has neither a block table nor a keyword for grouped heads; keys are therefore
gathered from the cache where a chunk has a past, and heads are repeated where the kernel does not share them.
"""

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from executor.engine.batch import Chunks
from executor.engine.linear import (
    BLOCK,
    FP8_PRODUCTS,
    Fp8Product,
    Scaling,
    Weight,
    dequantise,
    quantise,
    scaled_product,
)
from executor.engine.operators import Operators, TorchOperators, prompt_rows

REPORT: dict[str, str] = {}
"""Operator -> the back end chosen, and what was wrong with those before it."""

TOLERANCE = 0.06
"""Relative error a candidate may have: e4m3 rounds activations by up to 1/16, about 0.026 in the mean square."""

Call = TypeVar("Call")


def operators(device: torch.device, triton: bool | None) -> Operators:
    """The operators for a device: Triton kernels on CUDA, or where asked for; plain torch otherwise."""
    if not (device.type == "cuda" if triton is None else triton):
        return TorchOperators()
    from executor.engine.operators_triton import TritonOperators

    if device.type != "cuda":
        return TritonOperators()
    prompts = choose(device)
    return TritonOperators(prompt=prompts[0], prompt_mla=prompts[1])


@functools.cache
def choose(device: torch.device) -> tuple[Callable[..., Tensor], Callable[..., Tensor]]:
    """Choose prompt attention (GQA, MLA) and the FP8 products of a CUDA device, once a process."""
    generator = torch.Generator(device).manual_seed(0)
    gqa = first_right(
        "prompt attention, GQA",
        [fa3, ragged, ragged_repeated, prompt_rows],
        lambda call: _prompt_error(call, (8, 2, 128, 128), device, generator),
    )
    mla = first_right(
        "prompt attention, MLA",
        [fa3, ragged, prompt_rows],
        lambda call: _prompt_error(call, (4, 4, 192, 128), device, generator),
    )
    from executor.engine.kernels.elementwise import quantise_tokens
    from executor.engine.kernels.experts import fp8_product

    own: Fp8Product = functools.partial(scaled_product, quantise=quantise_tokens)
    candidates: dict[Scaling, list[Fp8Product]] = {
        "tensor": [own, fp8_product],
        "row": [own, fp8_product],
        "block": [deep_gemm_product, torch_block_product, fp8_product],
    }
    for scaling, products in candidates.items():
        error = functools.partial(_product_error, scaling=scaling, device=device, generator=generator)
        FP8_PRODUCTS[scaling] = first_right(f"FP8 product, {scaling} scales", products, error)
    return gqa, mla


def first_right(operator: str, candidates: Sequence[Call], error: Callable[[Call], float]) -> Call:
    """The first candidate whose relative error is within TOLERANCE; the last one is the reference's own kin."""
    faults = []
    for candidate in candidates:
        name = getattr(candidate, "__name__", None) or getattr(candidate, "func").__name__  # noqa: B009
        try:
            found = error(candidate)
        except Exception as problem:  # any failure of a foreign kernel means: not this one
            faults.append(f"{name}: {type(problem).__name__}: {str(problem).splitlines()[0][:120]}")
            continue
        if found <= TOLERANCE:
            REPORT[operator] = "; ".join([f"{name} (error {found:.4f})", *faults])
            return candidate
        faults.append(f"{name}: error {found:.3f}")
    raise RuntimeError(f"no {operator} works on this device: {'; '.join(faults)}")


def ragged(q: Tensor, keys: Tensor, values: Tensor, chunks: Chunks, scale: float) -> Tensor:
    """torch's varlen flash attention, KV heads shared by the kernel itself."""
    from torch.nn.attention.varlen import varlen_attn

    options: dict[str, Any] = {"scale": scale, "window_size": (-1, 0)}  # causal, aligned at the last key
    if q.shape[1] != keys.shape[1] and "enable_gqa" in inspect.signature(varlen_attn).parameters:
        options["enable_gqa"] = True
    width = values.shape[-1]
    padded = F.pad(values, (0, q.shape[-1] - width))  # this kernel has one width for keys and values
    out = varlen_attn(
        q, keys, padded, chunks.starts, chunks.context_starts, max(chunks.counts), max(chunks.contexts), **options
    )
    return out[..., :width]


def ragged_repeated(q: Tensor, keys: Tensor, values: Tensor, chunks: Chunks, scale: float) -> Tensor:
    """The same with each KV head repeated for the query heads that share it."""
    sharing = q.shape[1] // keys.shape[1]
    return ragged(q, keys.repeat_interleave(sharing, 1), values.repeat_interleave(sharing, 1), chunks, scale)


def fa3(q: Tensor, keys: Tensor, values: Tensor, chunks: Chunks, scale: float) -> Tensor:
    """FlashAttention 3 from ``fa3-fwd``: BF16, keys of 192 with values of 128 (MLA) included."""
    from fa3_fwd_interface import flash_attn_varlen_func  # type: ignore[import-not-found]

    out = flash_attn_varlen_func(
        q, keys, values, chunks.starts, chunks.context_starts, max(chunks.counts), max(chunks.contexts),
        softmax_scale=scale, causal=True,
    )  # fmt: skip
    return out[0] if isinstance(out, tuple) else out


def deep_gemm_product(x: Tensor, weight: Weight) -> Tensor:
    """DeepGEMM's FP8 product with 128-block scales (``sgl-deep-gemm``)."""
    import deep_gemm  # type: ignore[import-not-found]

    from executor.engine.kernels.elementwise import quantise_tokens

    data, scale = quantise_tokens(x, BLOCK)
    out = torch.empty(x.shape[0], weight.out_features, dtype=torch.bfloat16, device=x.device)
    deep_gemm.fp8_gemm_nt((data, scale), (weight.data, weight.scale), out)
    return out.to(x.dtype)


def torch_block_product(x: Tensor, weight: Weight) -> Tensor:
    """torch's FP8 product with 1x128 scales of activations and 128x128 of weights (CUDA 12.9 and later)."""
    from torch.nn.functional import ScalingType, scaled_mm

    from executor.engine.kernels.elementwise import quantise_tokens

    assert weight.scale is not None
    data, scale = quantise_tokens(x, BLOCK)
    by_column = scale.t().contiguous().t()  # the kernel reads one group's scales of all tokens side by side
    return scaled_mm(
        data, weight.data.t(), by_column, ScalingType.BlockWise1x128, weight.scale.t(),
        ScalingType.BlockWise128x128, output_dtype=torch.bfloat16,
    ).to(x.dtype)  # fmt: skip


def _prompt_error(
    call: Callable[..., Tensor], shape: tuple[int, int, int, int], device: torch.device, generator: torch.Generator
) -> float:
    """Two chunks, one with a past, against the plain attention in FP32."""
    heads, kv_heads, width, value_width = shape
    counts, contexts = (70, 33), (70, 150)
    rows, past = sum(counts), sum(contexts)
    q, keys, values = (
        torch.randn(*size, device=device, generator=generator).bfloat16()
        for size in ((rows, heads, width), (past, kv_heads, width), (past, kv_heads, value_width))
    )
    starts, context_starts = (
        torch.tensor([0, sizes[0], sum(sizes)], dtype=torch.int32, device=device) for sizes in (counts, contexts)
    )
    chunks = Chunks(starts, context_starts, None, counts, contexts)
    exact = prompt_rows(q.float(), keys.float(), values.float(), chunks, width**-0.5)
    return _relative(call(q, keys, values, chunks, width**-0.5), exact)


def _product_error(call: Fp8Product, scaling: Scaling, device: torch.device, generator: torch.Generator) -> float:
    """The worse of one token and of an odd number of tokens."""
    matrix = torch.randn(384, 512, device=device, generator=generator)
    weight = quantise(matrix, scaling)
    exact = dequantise(weight, torch.float32)
    worst = 0.0
    for tokens in (1, 77):
        x = torch.randn(tokens, 512, device=device, generator=generator).bfloat16()
        worst = max(worst, _relative(call(x, weight), x.float() @ exact.t()))
    return worst


def _relative(found: Tensor, exact: Tensor) -> float:
    """||found - exact|| / ||exact||; NaN counts as infinite."""
    error = float((found.float() - exact).norm() / exact.norm())
    return error if error == error else float("inf")
