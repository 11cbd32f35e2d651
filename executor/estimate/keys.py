"""Names of questions whose answers are kept, made of what was asked and never of a result.

What was asked (a set-up, measured rows, lengths, an SLO) is read from files and reads the same everywhere. A computed
figure may move in its last digit with a library or a rule; what moves it is a version here.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from functools import cache
from typing import Any

from executor.estimate.measured_points import Case
from executor.reference import SHIPPED
from executor.steptime.workload import Setup

FIGURES = (
    *("memory_gb", "bandwidth_tb_s", "interconnect_gb_s"),
    *("bf16_tflops", "fp8_tflops", "int8_tops", "fp4_tflops"),
)
"""Published figures of an accelerator that a step time depends on."""
PRIOR_FILES = ("engines.json", "transfer.json")
"""What engines and GPUs are believed to do before a row is seen (executor/reference)."""


def key_of(asked: Mapping[str, Any]) -> str:
    """Twenty hexadecimal digits that name what was asked."""
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:20]


def setup_inputs(setup: Setup) -> dict[str, Any]:
    """What is served where, as stated: model, figures of the GPU, precision, engine, layout."""
    return {
        "model": asdict(setup.spec),
        "gpu": {name: getattr(setup.accelerator, name) for name in ("name", *FIGURES)},
        "precision": setup.precision,
        "engine": setup.engine.name,
        "layout": asdict(setup.layout),
        "kv": (setup.kv_precision, setup.kv_tokens),
        "kernel_factor": setup.kernel_factor,
        "two_batch_overlap": setup.two_batch_overlap,
        "drafting": None if setup.drafting is None else asdict(setup.drafting),
    }


def row_inputs(rows: Iterable[Case]) -> list[dict[str, Any]]:
    """Measured rows as they stand in their file."""
    return [
        {
            "group": str(row.group),
            "setup": setup_inputs(row.setup),
            "load": asdict(row.load),
            "measured": (row.ttft_ms, row.tpot_ms),
        }
        for row in rows
    ]


@cache
def priors_version() -> str:
    """A name for the contents of ``PRIOR_FILES``, however they are laid out."""
    texts = [(SHIPPED / name).read_text(encoding="utf-8") for name in PRIOR_FILES]
    return key_of({"files": [json.loads(text) for text in texts]})
