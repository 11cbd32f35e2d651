"""``python -m benchmarks.gpu`` runs whole, in miniature, on the CPU: the code is proven, nothing is measured."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks.gpu.__main__ import Report, _arguments
from benchmarks.gpu.bars import BARS, PUBLIC_US, Bar
from benchmarks.gpu.device import Telemetry
from benchmarks.gpu.operators import Problem, measure
from benchmarks.gpu.sizes import CPU, GPU, miniature
from executor.model.spec import known_models, model_spec

torch.set_num_threads(1)  # the machine's cores are shared
ROOT = Path(__file__).parents[2]
BLOCK_IMPORTS = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"pydantic", "safetensors", "tokenizers", "jinja2", "typer", "scipy"}:
            raise ImportError(f"{name} is not there")
sys.meta_path.insert(0, Absent())
from benchmarks.gpu.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    """One small run with nothing but torch, triton and numpy to import; peers need transformers."""
    out = tmp_path_factory.mktemp("gpu") / "result.json"
    done = subprocess.run(
        [sys.executable, "-c", BLOCK_IMPORTS, "--small", "--out", out,
         "--sections", "engine", "operators", "serving", "steps"],
        cwd=ROOT, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(out.read_text()), done.stdout


@pytest.mark.slow
def test_every_operator_is_right_and_timed(result):
    found, _ = result
    assert found["skipped"] == []
    assert all(row["right"] for row in found["operators"] if "error" in row)
    assert all(row["us"] > 0 and row["us_low"] <= row["us"] <= row["us_high"] for row in found["operators"])
    kinds = {row["name"].split()[0] for row in found["operators"]}
    assert kinds == {"gemm", "decode", "prompt", "moe"}


@pytest.mark.slow
def test_every_family_is_checked_whole_before_anything_is_timed(result):
    found, printed = result
    assert [row["name"] for row in found["engine"]] == [
        "engine Qwen3-8B", "engine Llama-3.1-8B-Instruct", "engine Qwen3-30B-A3B", "engine DeepSeek-V3",
        "engine Kimi-K2-Instruct",
    ]  # fmt: skip
    assert all(row["right"] and row["tokens_equal"] == row["tokens"] == 96 for row in found["engine"])
    assert all(0 < row["error"] < 0.1 for row in found["engine"])  # BF16 differs, and little
    assert printed.index("engine Kimi-K2") < printed.index("GB/s copied")


def test_serving_and_steps_have_their_figures(result):
    found, _ = result
    assert [row["name"] for row in found["serving"]] == ["Qwen3-8B bf16 c=4", "Llama-8B c=32", "Qwen3-8B fp8 c=4"]
    assert all(row["output_tokens_per_s"] > 0 and row["ttft_ms"] > 0 for row in found["serving"])
    steps = [row["name"] for row in found["steps"]]
    assert any("DeepSeek-V3 fp8-block EP32 uniform" in name for name in steps)
    assert any("Kimi-K2-Instruct" in name for name in steps)


def test_the_file_says_where_it_comes_from_and_that_nothing_was_measured(result):
    found, _ = result
    assert found["schema_version"] == 1
    assert found["measured"] is False
    assert {"date", "command", "commit", "torch", "triton", "name"} <= set(found["provenance"])
    assert all(bar["verdict"] == "not measured" and bar["value"] is None for bar in found["bars"])
    assert not any("public_us" in row for row in found["operators"])  # a miniature is not the public problem


def test_a_table_is_printed(result):
    _, printed = result
    assert "GB/s copied" in printed
    assert "decode gqa b=1" in printed
    assert all(bar.name in printed for bar in BARS)


def test_a_wrong_kernel_is_reported_and_fails_the_command():
    x = torch.ones(2, 2)
    problem = Problem("decode gqa b=1 c=1", [lambda: x * 1.5], lambda: x, 1.0, 1.0, 0.01)
    row = measure(problem, {"bytes_per_s": 1.0, "bf16": 1.0}, CPU, torch.device("cpu"))
    assert row["right"] is False
    assert "us" not in row
    report = new_report()
    report.attempt("operators", "it", lambda: [row])
    assert report.exit_code == 1


def new_report(**changes):
    asked = _arguments([])
    for name, value in changes.items():
        setattr(asked, name, value)
    device = torch.device("cpu")
    return Report(asked, device, Telemetry(device))


def test_a_failing_item_is_noted_and_the_rest_goes_on():
    report = new_report()
    report.attempt("serving", "broken", lambda: 1 / 0)
    report.attempt("serving", "whole", lambda: [{"name": "a", "output_tokens_per_s": 1.0}])
    assert report.found["skipped"] == [{"what": "broken", "reason": "ZeroDivisionError: division by zero"}]
    assert [row["name"] for row in report.found["serving"]] == ["a"]


def test_no_item_begins_after_the_time_is_up():
    report = new_report(minutes=0)
    report.attempt("serving", "late", lambda: pytest.fail("it began"))
    assert report.found["skipped"] == [{"what": "late", "reason": "the time was up"}]


def test_bars_are_judged_in_their_direction():
    assert Bar("a", "m", 0.75, 0.9).judge(0.8) == "first"
    assert Bar("a", "m", 8.5, 7.2, higher_is_better=False).judge(7.0) == "last"
    assert Bar("a", "m", 8.5, 7.2, higher_is_better=False).judge(9.0) == "missed"
    assert Bar("a", "m", 1, 2).judge(None) == "not measured"


def test_bars_find_their_figures_among_the_results():
    report = new_report()
    report.found["operators"] = [{"name": name, "fraction": 0.8, "times_public": 1.1} for name in PUBLIC_US]
    report.found["serving"] = [
        {"name": "Qwen3-8B bf16 c=4", "tpot_ms": 8.0},
        {"name": "Qwen3-8B fp8 c=4", "tpot_ms": 6.0},
        {"name": "Llama-8B c=32", "output_tokens_per_s": 2700.0},
        {"name": "nano-vllm", "output_tokens_per_s": 300.0},
        {"name": "nano-vllm transformers 5.23.0", "output_tokens_per_s": 100.0},
    ]
    assert [report.value(bar.measure) for bar in BARS] == [0.8, 0.8, 1.1, 1.1, 8.0, 6.0, 2700.0, 3.0]


def test_the_gpu_sizes_are_the_public_ones():
    assert [f"gemm none m={tokens}" in PUBLIC_US for tokens in GPU.gemm_tokens] == [True] * 3
    assert all(f"decode mla b={rows} c={GPU.context}" in PUBLIC_US for rows in GPU.mla_rows)
    assert all(f"moe Qwen3-30B-A3B t={tokens}" in PUBLIC_US for tokens in GPU.moe_tokens)


def test_every_built_in_model_has_a_miniature_of_its_kind():
    for name in known_models():
        spec, small = model_spec(name), miniature(model_spec(name))
        assert (small.mla is None, small.moe is None, small.qk_norm) == (
            spec.mla is None, spec.moe is None, spec.qk_norm,
        )  # fmt: skip
        weights = small.always_active_params + small.routed_params + 2 * small.embedding_params
        assert weights < 10**7


@pytest.mark.slow
def test_transformers_runs_the_same_workload_beside_it():
    from benchmarks.gpu import serving

    rows = [run(serving.NANO, CPU, torch.device("cpu")) for run in (serving.run_loop, serving.run_transformers)]
    assert rows[0]["output_tokens"] == rows[1]["output_tokens"] > 0
