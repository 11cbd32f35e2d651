"""DeepSeek's day as an end-to-end check: predicted H800 nodes by hour against the nodes that were published.

    python benchmarks/deepseek_day.py deepseek_24h.csv [--write docs/accuracy.md]

The file has the hours' load and mean nodes (hour_start_beijing, theoretical_income_usd, mean_h800_nodes). Published
besides: the day's tokens (608e9 input, 342e9 of them cached, 168e9 output), units of 4 nodes for prefill (EP32) and 18
for decoding (EP144), a mean context of 4,989 tokens and an output speed of 20 to 22 tokens/s. Nothing here is fitted
to the nodes.
"""

import argparse
import csv
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from executor.estimate.calibration import setup_of
from executor.estimate.closed_loop import phase_rate
from executor.model.cost import Layout
from tools.accuracy_page import with_section
from tools.trace_catalogue import DEEPSEEK_DAY

SECTION = "deepseek-day"
GPUS_PER_NODE = 8
PREFILL_NODES, DECODE_NODES = 4, 18
"""Nodes of one deployment unit."""
CONTEXT = 4989.0
PROMPT = 4096.0
"""Not published; between 1,000 and 8,000 tokens the predicted prefill rate moves by less than a tenth."""
SPEED = 21.0
"""Output tokens/s of a request, middle of the published 20 to 22."""
SOURCE = "deepseek-ai/open-infra-index, 202502OpenSourceWeek, day 6 (2025-03-01, official)"


@dataclass(frozen=True)
class Rates:
    """Tokens/s per node: prompt tokens that had to be computed, and output tokens; median, low and high."""

    prefill: tuple[float, float, float]
    decode: tuple[float, float, float]
    label: str
    reason: str


def rates() -> Rates:
    def setup(gpus: int):
        return setup_of("DeepSeek-R1", "H800", "fp8", "sglang", Layout(attention_dp=gpus))

    prefill, believed = phase_rate(setup(PREFILL_NODES * GPUS_PER_NODE), "prefill", PROMPT, 2.0)
    low, high = 1.0, 1024.0
    decoding = setup(DECODE_NODES * GPUS_PER_NODE)
    for _ in range(30):  # the batch at which a step takes 1 / speed
        middle = math.sqrt(low * high)
        decode, _ = phase_rate(decoding, "decode", CONTEXT, middle)
        low, high = (middle, high) if middle / decode.value < 1.0 / SPEED else (low, middle)
    each = [
        tuple(GPUS_PER_NODE * value for value in (found.value, found.low, found.high))
        for found in (prefill, decode)
    ]
    return Rates(each[0], each[1], believed.label, believed.reason)


def nodes(load: np.ndarray, prefill: float, decode: float) -> np.ndarray:
    """Nodes by hour in whole units; ``load`` is each hour's share of the day."""
    computed = (DEEPSEEK_DAY.input_tokens - DEEPSEEK_DAY.cached_input_tokens) * load / 3600
    written = DEEPSEEK_DAY.output_tokens * load / 3600
    units = np.ceil(computed / prefill / PREFILL_NODES), np.ceil(written / decode / DECODE_NODES)
    return units[0] * PREFILL_NODES + units[1] * DECODE_NODES


def section(hours: list[str], load: np.ndarray, published: np.ndarray, found: Rates) -> str:
    predicted = nodes(load, found.prefill[0], found.decode[0])
    low, high = nodes(load, found.prefill[2], found.decode[2]), nodes(load, found.prefill[1], found.decode[1])
    error = predicted / published - 1
    inside = ((low <= published) & (published <= high)).mean()
    lines = [
        "## DeepSeek's day",
        f"`python benchmarks/deepseek_day.py`: nodes of 8 x H800 that served all of V3 and R1 on 27 and 28 February"
        f" 2025, published against predicted. Rates per node: {found.prefill[0]:,.0f}"
        f" ({found.prefill[1]:,.0f}-{found.prefill[2]:,.0f}) computed prompt tokens/s in prefill units of"
        f" {PREFILL_NODES} nodes, {found.decode[0]:,.0f} ({found.decode[1]:,.0f}-{found.decode[2]:,.0f}) output"
        f" tokens/s in decoding units of {DECODE_NODES} at {SPEED:g} tokens/s a request; label {found.label}:"
        f" {found.reason}. Prompts of {PROMPT:,.0f} tokens are assumed, no drafting, whole units in every hour, no"
        f" headroom. Source: {SOURCE}.",
        f"Mean of the day: {predicted.mean():.0f} ({low.mean():.0f}-{high.mean():.0f}) predicted,"
        f" {published.mean():.0f} published ({predicted.mean() / published.mean() - 1:+.0%}). By hour: mean absolute"
        f" error {np.abs(error).mean():.0%}, bias {error.mean():+.0%}, {inside:.0%} of the hours inside the 80 %"
        " interval. The published line stands still at 278 nodes by day, presumably all there were: load above that"
        " was served slower, which a prediction at a fixed speed does not do.",
        "| hour (Beijing) | load / mean | published | predicted (80 %) | error |\n|" + "---|" * 5,
    ]
    rows = [
        f"| {hour[11:16]} | {share * 24:.2f} | {was:.0f} | {is_:.0f} ({a:.0f}-{b:.0f}) | {off:+.0%} |"
        for hour, share, was, is_, a, b, off in zip(
            hours, load, published, predicted, low, high, error, strict=True
        )
    ]
    return "\n\n".join(lines) + "\n" + "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--write", type=Path, help="page whose section is replaced")
    asked = parser.parse_args()
    with asked.file.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    income = np.array([float(row["theoretical_income_usd"]) for row in rows])
    published = np.array([float(row["mean_h800_nodes"]) for row in rows])
    text = section([row["hour_start_beijing"] for row in rows], income / income.sum(), published, rates())
    print(text)
    if asked.write:
        page = asked.write.read_text(encoding="utf-8") if asked.write.exists() else ""
        asked.write.write_text(with_section(page, SECTION, text), encoding="utf-8")


if __name__ == "__main__":
    main()
