"""The kernels compile for Hopper, within its shared memory and registers, on a machine without a GPU."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

triton = pytest.importorskip("triton")

HERE = Path(__file__).parent
MOST_SHARED = 227 * 1024
"""Bytes a block may have on compute capability 9.0 (CUDA C++ programming guide, table of technical limits)."""


@pytest.mark.slow
@pytest.mark.skipif(not (Path(triton.__file__).parent / "backends/nvidia/bin/ptxas").exists(), reason="no ptxas")
@pytest.mark.parametrize("part", ["decoding", "between", "routed"])
def test_every_kernel_compiles_for_hopper_and_fits(part):
    environment = {key: value for key, value in os.environ.items() if key != "TRITON_INTERPRET"}
    environment["PYTHONPATH"] = str(HERE.parents[2])
    done = subprocess.run(
        [sys.executable, HERE / "compile_for_hopper.py", part], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr[-2000:]
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert rows
    assert [row["name"] for row in rows if row["shared"] > MOST_SHARED] == []
    assert [row["name"] for row in rows if row["spilled"] > 64] == []
    products = [row for row in rows if row["name"].startswith(("gqa", "mla", "product"))]
    assert [row["name"] for row in products if not row["matrix"]] == []  # all run on the matrix units
