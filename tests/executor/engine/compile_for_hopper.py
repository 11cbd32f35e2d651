"""Compile every kernel for sm_90 without a device and print, per kernel, shared memory, spills and matrix ops.

Run by test_compiles.py in a process of its own, since kernels are compiled only where the interpreter is off.
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from executor.engine.kernels import attention, elementwise, experts, router

TARGET = GPUTarget("cuda", 90, 32)
PTXAS = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "ptxas"


def compiled(name, kernel, pointers, constants, warps=4, stages=3, floats=(), aligned=()):
    """One kernel; arguments not named are int32, pointers and ``aligned`` integers divisible by 16."""
    signature, attributes = {}, {}
    for place, argument in enumerate(kernel.arg_names):
        if argument in constants:
            signature[argument] = "constexpr"
        elif argument in pointers:
            signature[argument] = "*" + pointers[argument]
        else:
            signature[argument] = "fp32" if argument in floats else "i32"
        if argument in pointers or argument in aligned:
            attributes[(place,)] = [["tt.divisibility", 16]]
    source = ASTSource(fn=kernel, signature=signature, constexprs=constants, attrs=attributes)
    found = triton.compile(source, target=TARGET, options={"num_warps": warps, "num_stages": stages})
    ptx = found.asm["ptx"]
    with tempfile.NamedTemporaryFile("w", suffix=".ptx") as file:
        file.write(ptx)
        file.flush()
        told = subprocess.run(
            [PTXAS, "-arch=sm_90a", "-v", file.name, "-o", "/dev/null"], capture_output=True, text=True, check=True
        ).stderr
    spilled = sum(int(number) for number in re.findall(r"(\d+) bytes spill stores", told))
    matrix = "wgmma" if "wgmma.mma_async" in ptx else "mma" if "mma.sync" in ptx else ""
    print(json.dumps({"name": name, "shared": found.metadata.shared, "spilled": spilled, "matrix": matrix}), flush=True)


def decoding():
    common = {"tables": "i32", "slots": "i32", "positions": "i32", "out": "bf16", "partial": "fp32", "log_sums": "fp32"}
    strides = ("q_row", "q_head", "cell", "kv_head_stride", "out_row", "rope_row", "rope_head")
    for kv in ("bf16", "fp8e4nv"):
        for shape in attention.GQA_SHAPES[: None if kv == "bf16" else 1]:
            compiled(
                f"gqa {kv} {shape}", attention._gqa_kernel, {"q": "bf16", "keys": kv, "values": kv, **common},
                {"GROUP": 4, "BLOCK_H": 16, "WIDTH": 128, "BLOCK_W": 128, "PAGE": 64, "BLOCK": shape.block,
                 "SINGLE": kv != "bf16", "EXACT": False},
                shape.warps, shape.stages, ("scale",), strides,
            )  # fmt: skip
    for shape in attention.MLA_SHAPES:
        compiled(
            f"mla {shape}", attention._mla_kernel,
            {"absorbed": "bf16", "q_rope": "bf16", "latents": "bf16", **common},
            {"BLOCK_H": shape.heads, "RANK": 512, "BLOCK_R": 512, "ROPE": 64, "BLOCK_P": 64, "PAGE": 64,
             "BLOCK": shape.block, "SINGLE": False, "EXACT": False},
            shape.warps, shape.stages, ("scale",), strides,
        )  # fmt: skip
    compiled(
        "combine splits", attention._combine_kernel, {"partial": "fp32", "log_sums": "fp32", "out": "bf16"},
        {"WIDTH": 512, "BLOCK_W": 512, "BLOCK_S": 8}, aligned=("out_row",),
    )  # fmt: skip


def between():
    rope = {"cos": "fp32", "sin": "fp32", "positions": "i32", "cells": "i64"}
    compiled(
        "add norm", elementwise._add_norm_kernel,
        dict.fromkeys(("x", "residual", "weight", "normed", "total"), "bf16"), {"BLOCK": 8192, "ADD": True},
        16, floats=("eps",), aligned=("x_row", "width"),
    )  # fmt: skip
    compiled("silu mul", elementwise._silu_mul_kernel, {"gate_up": "bf16", "out": "bf16"}, {"BLOCK": 1024})
    for kv in ("bf16", "fp8e4nv"):
        compiled(
            f"prepare gqa {kv}", elementwise._gqa_kernel,
            {"qkv": "bf16", "q_norm": "bf16", "k_norm": "bf16", "keys": kv, "values": kv, **rope},
            {"WIDTH": 128, "HALF": 64, "BLOCK": 64, "NORM": kv == "bf16"}, 1, floats=("eps",),
        )  # fmt: skip
    compiled(
        "prepare mla", elementwise._mla_kernel,
        {**dict.fromkeys(("q", "kv_latent", "weight", "latent", "cache"), "bf16"), **rope},
        {"RANK": 512, "BLOCK_R": 512, "ROPE": 64, "BLOCK_P": 32, "NOPE": 128, "INTERLEAVED": True},
        1, floats=("eps",),
    )  # fmt: skip
    compiled(
        "quantise", elementwise._quantise_kernel, {"x": "bf16", "data": "fp8e4nv", "scales": "fp32"},
        {"GROUP": 128, "BLOCK": 128}, 1,
    )  # fmt: skip


def routed():
    plan = dict.fromkeys(("offsets", "tile_expert", "tile_first"), "i32")
    compiled(
        "count", experts._count_kernel, {"ids": "i32", "cursors": "i32", **plan},
        {"ROWS": 16, "BLOCK_E": 512, "BLOCK_P": 1024}, 8,
    )  # fmt: skip
    compiled("place", experts._place_kernel, dict.fromkeys(("ids", "cursors", "order"), "i32"), {"BLOCK_P": 256})
    compiled(
        "combine pairs", experts._combine_kernel,
        {"pairs": "bf16", "ids": "i32", "weights": "bf16", "out": "bf16"}, {"K": 8, "BLOCK": 1024},
    )  # fmt: skip
    compiled(
        "router", router._router_kernel, {"logits": "fp32", "bias": "fp32", "ids": "i32", "weights": "fp32"},
        {"TOP_K": 8, "BLOCK_K": 8, "BLOCK_E": 256, "GROUPS": 8, "TOPK_GROUPS": 4, "PER_GROUP": 32,
         "SIGMOID": True, "BIAS": True, "NORM": True}, floats=("scaling",),
    )  # fmt: skip
    for scaling, dtype in (("none", "bf16"), ("block", "fp8e4nv")):
        for dense in (False, True):
            for shape in (experts.FEW_ROWS[0], experts.MANY_ROWS[0], experts.default_shape(100)):
                compiled(
                    f"product {scaling} dense={dense} {shape}", experts._product_kernel,
                    {"x": dtype, "x_scale": "fp32", "weight": dtype, "scale": "fp32", "out": "bf16",
                     "order": "i32", **plan},
                    {"DENSE": dense, "GATHER": not dense, "SCATTER": False, "SCALING": experts.SCALINGS[scaling],
                     "X_FP8": scaling != "none", "ROWS": shape.rows, "COLUMNS": shape.columns,
                     "INPUTS": min(shape.inputs, 128), "EVEN": True, "EXACT": False},
                    shape.warps, shape.stages, aligned=("inputs", "columns", "x_row", "out_row"),
                )  # fmt: skip


if __name__ == "__main__":
    for part in sys.argv[1:]:
        {"decoding": decoding, "between": between, "routed": routed}[part]()
