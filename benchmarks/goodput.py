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

import numpy as np

from executor.estimate.calibration import belief, setup_of
from executor.estimate.lengths import Lengths
from executor.estimate.open_loop import goodput
from executor.estimate.slo import Goodput, Slo
from executor.model.cost import Layout
from executor.replay.cluster import Peak, goodput_by_replay, replica_limits
from executor.serving_metrics import Bounds
from executor.steptime.batch import batch_time
from planner.demand.summary import shipped_summary
from tools.accuracy_page import with_section

SECTION = "goodput-replay"
QUANTILES = (
    ("p10", 0.1),
    ("p25", 0.25),
    ("p50", 0.5),
    ("p75", 0.75),
    ("p90", 0.9),
    ("p95", 0.95),
    ("p99", 0.99),
)
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
    """The same with a batch of 256 at most, as engines are set by default."""
    seconds: float
    """Of both replays; ``formula_seconds``: of the closed form, its rows already fitted."""
    formula_seconds: float


def lengths_of(trace: str) -> Lengths:
    """The margins of a shipped trace; input and output independent, as the formula takes them."""
    found = shipped_summary(trace).lengths
    assert found is not None

    def pairs(margin):
        return tuple(
            (share, getattr(margin, name)) for name, share in QUANTILES if getattr(margin, name) is not None
        )

    return Lengths(found.input.mean, found.output.mean, pairs(found.input), pairs(found.output))


def compare(case, requests: int) -> Row:
    model, gpu, precision, engine, layout, trace, (ttft, tpot) = case
    setup = setup_of(model, gpu, precision, engine, layout)
    lengths, slo = lengths_of(trace), Slo(ttft, tpot, 90.0)
    believed = belief(setup)
    begin = time.perf_counter()
    formula = goodput(setup, lengths, slo)
    formula_seconds = time.perf_counter() - begin
    step = batch_time(
        believed.on(setup), believed.calibration.theta, lengths.input_mean + lengths.output_mean / 2
    )
    prompt, output = (
        np.maximum(1, np.rint(lengths.grid(side, 512))).astype(np.int64) for side in ("input", "output")
    )
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
        for most in (8192, 256)
    ]
    name = f"{setup.spec.name.split('/')[-1]} {precision}, {setup.layout.gpus} x {gpu} ({layout}), {engine}"
    return Row(name, trace, slo, formula, *found, time.perf_counter() - begin, formula_seconds)


def section(rows: list[Row], requests: int) -> str:
    """The table in words and figures, for docs/accuracy.md."""
    ratios = [row.formula.requests_per_s / row.replayed.rate for row in rows if row.replayed.rate]
    spread = (
        f"The formula gives {min(ratios):.2f} to {max(ratios):.2f} of the replay's rate"
        f" (geometric mean {np.exp(np.mean(np.log(ratios))):.2f}); above 1 it promises too much."
    )
    lines = [
        "## Goodput by formula against replay",
        f"`python benchmarks/goodput.py --requests {requests}`: highest Poisson rate of one replica at which 90 %"
        " of the requests meet the TTFT bound and 90 % the TPOT bound. Formula: `executor.estimate.open_loop`, median"
        " with its 80 % interval. Replay: the executor's scheduler on a modelled clock at the most likely"
        f" parameters, {requests:,} requests of which the first fifth and the last tenth are not counted, bisected to"
        " 1 %. Fleets are sized on the replay (`executor.estimate.replayed_goodput`,"
        " executor/reference/replayed_goodput.csv), there with the joint lengths of the pool's trace. Same step"
        f" times, same lengths (margins of the trace, independent), no prefix reuse. {spread}"
        " With a batch of 256 at most, the default of engines, the replay's rate stands in the last column.",
        "| set-up | lengths of | bounds TTFT / TPOT, ms | formula, requests/s | replay | formula / replay"
        " | what ends the replay | replay, batch <= 256 |",
        "|" + "---|" * 8,
    ]
    for row in rows:
        formula = row.formula
        ratio = f"{formula.requests_per_s / row.replayed.rate:.2f}" if row.replayed.rate else "-"
        cells = (
            row.name,
            row.trace,
            f"{row.slo.ttft_ms:g} / {row.slo.tpot_ms:g}",
            f"{formula.requests_per_s:.3g} ({formula.low:.3g}-{formula.high:.3g})",
            f"{row.replayed.rate:.3g}",
            ratio,
            row.replayed.reason.split(":")[0],
            f"{row.bounded.rate:.3g}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n\n".join(lines[:2]) + "\n\n" + "\n".join(lines[2:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=4000)
    parser.add_argument("--write", type=Path, help="page whose section is replaced")
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
    text = section(rows, asked.requests)
    if asked.write:
        page = asked.write.read_text(encoding="utf-8") if asked.write.exists() else ""
        asked.write.write_text(with_section(page, SECTION, text), encoding="utf-8")
    else:
        print(text)


if __name__ == "__main__":
    main()
