"""Goodput of one replica at an SLO, by the planner's closed form and by replay: what the formula leaves out.

    python benchmarks/goodput.py [--requests N] [--write docs/accuracy.md]

Both stand on the same belief about the step time and the same Poisson arrivals. The formula takes M/G/1 waits and
a Poisson-like number in service; the replay runs the scheduler, so their ratio is the error of that reasoning,
not of the step times.
"""

import argparse
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dashboard.accuracy.pages import section_text
from executor.estimate.calibration import belief, setup_of
from executor.estimate.lengths import Lengths
from executor.estimate.open_loop import goodput
from executor.estimate.slo import Goodput, Slo
from executor.model.cost import Layout
from executor.replay.cluster import Peak, goodput_by_replay, replica_limits
from executor.serving_metrics import Bounds
from executor.steptime.batch import batch_time
from planner.demand.summary import shipped_summary
from waferlag.accuracy.pages import write_figures

SECTION = "goodput-replay"
DEFAULT_BATCH = 256
"""Most sequences of a batch, as engines are set by default."""
QUANTILES = (("p10", 0.1), ("p25", 0.25), ("p50", 0.5), ("p75", 0.75), ("p90", 0.9), ("p95", 0.95), ("p99", 0.99))
CASES = (
    ("Qwen3-32B", "H100-SXM", "bf16", "vllm", Layout(tp=2), "servegen-m-large", (2000.0, 50.0)),
    ("Qwen3-32B", "H100-SXM", "bf16", "sglang", Layout(tp=4), "servegen-m-large", (2000.0, 50.0)),
    ("Qwen3-32B", "H20-96GB", "bf16", "sglang", Layout(tp=4), "servegen-m-large", (3000.0, 60.0)),
    ("Qwen3-32B", "H200-SXM", "bf16", "vllm", Layout(tp=4), "mooncake-conversation", (10_000.0, 50.0)),
    ("Qwen3-235B-A22B", "H200-SXM", "fp8", "trtllm", Layout(tp=4), "servegen-m-mid", (2000.0, 50.0)),
    ("DeepSeek-R1", "H200-SXM", "fp8", "sglang", Layout(tp=8), "servegen-deepseek-r1", (3000.0, 60.0)),
)


@dataclass(frozen=True)
class Row:
    """One set-up with both answers."""

    name: str
    trace: str
    slo: Slo
    formula: Goodput
    replayed: Peak
    bounded: Peak
    """The same with a batch of DEFAULT_BATCH at most."""
    seconds: float
    """Of both replays; ``formula_seconds``: of the closed form, its rows already fitted."""
    formula_seconds: float


def lengths_of(trace: str) -> Lengths:
    """The margins of a shipped trace; input and output independent, as the formula takes them."""
    found = shipped_summary(trace).lengths
    assert found is not None

    def pairs(margin):
        return tuple((share, getattr(margin, name)) for name, share in QUANTILES if getattr(margin, name) is not None)

    return Lengths(found.input.mean, found.output.mean, pairs(found.input), pairs(found.output))


def compare(case, requests: int) -> Row:
    model, gpu, precision, engine, layout, trace, (ttft, tpot) = case
    setup = setup_of(model, gpu, precision, engine, layout)
    lengths, slo = lengths_of(trace), Slo(ttft, tpot, 90.0)
    believed = belief(setup)
    begin = time.perf_counter()
    formula = goodput(setup, lengths, slo)
    formula_seconds = time.perf_counter() - begin
    step = batch_time(believed.on(setup), believed.calibration.theta, lengths.input_mean + lengths.output_mean / 2)
    prompt, output = (np.maximum(1, np.rint(lengths.grid(side, 512))).astype(np.int64) for side in ("input", "output"))
    begin = time.perf_counter()
    start = formula.requests_per_s or 1.0
    found = [
        goodput_by_replay(
            step,
            prompt,
            output,
            Bounds(ttft, tpot),
            requests=requests,
            limits=replica_limits(step, max_batch=most),
            start=start,
        )
        for most in (8192, DEFAULT_BATCH)
    ]
    name = f"{setup.spec.name.split('/')[-1]} {precision}, {setup.layout.gpus} x {gpu} ({layout}), {engine}"
    return Row(name, trace, slo, formula, *found, time.perf_counter() - begin, formula_seconds)


def figures(rows: list[Row], requests: int) -> dict[str, Any]:
    """What the accuracy pages tell; rates in requests/s, ``ratio`` is formula over replay."""
    ratios = [row.formula.requests_per_s / row.replayed.rate for row in rows if row.replayed.rate]
    return {
        "requests": requests,
        "bounded_batch": DEFAULT_BATCH,
        "geometric_mean": float(np.exp(np.mean(np.log(ratios)))),
        "set_ups": [_set_up(row) for row in rows],
    }


def _set_up(row: Row) -> dict[str, Any]:
    formula, replay = row.formula, row.replayed.rate
    return {
        "set_up": row.name,
        "lengths": row.trace,
        "ttft_ms": row.slo.ttft_ms,
        "tpot_ms": row.slo.tpot_ms,
        "formula": formula.requests_per_s,
        "low": formula.low,
        "high": formula.high,
        "replay": replay,
        "ratio": formula.requests_per_s / replay if replay else None,
        "ends": row.replayed.reason.split(":")[0],
        "replay_bounded": row.bounded.rate,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=4000)
    parser.add_argument("--write", type=Path, help="index of the pages whose section is replaced")
    asked = parser.parse_args()
    rows = []
    for case in CASES:
        rows.append(compare(case, asked.requests))
        row = rows[-1]
        print(
            f"{row.name}: formula {row.formula.requests_per_s:.3g}, replay {row.replayed.rate:.3g}"
            f" (batch <= 256: {row.bounded.rate:.3g}) requests/s; {row.replayed.reason}; {row.seconds:.1f} s,"
            f" {row.seconds / row.formula_seconds:.0f} times the closed form's",
            flush=True,
        )
    found = figures(rows, asked.requests)
    print(section_text(SECTION, found))
    if asked.write:
        write_figures(asked.write, SECTION, found)


if __name__ == "__main__":
    main()
