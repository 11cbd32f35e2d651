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
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dashboard.accuracy.pages import section_text
from executor.estimate.calibration import setup_of
from executor.estimate.closed_loop import phase_rate
from executor.model.cost import Layout
from tools.trace_catalogue import DEEPSEEK_DAY
from waferlag.accuracy.pages import write_figures

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
        tuple(GPUS_PER_NODE * value for value in (found.value, found.low, found.high)) for found in (prefill, decode)
    ]
    return Rates(each[0], each[1], believed.label, believed.reason)


def nodes(load: np.ndarray, prefill: float, decode: float) -> np.ndarray:
    """Nodes by hour in whole units; ``load`` is each hour's share of the day."""
    computed = (DEEPSEEK_DAY.input_tokens - DEEPSEEK_DAY.cached_input_tokens) * load / 3600
    written = DEEPSEEK_DAY.output_tokens * load / 3600
    units = np.ceil(computed / prefill / PREFILL_NODES), np.ceil(written / decode / DECODE_NODES)
    return units[0] * PREFILL_NODES + units[1] * DECODE_NODES


def figures(hours: list[str], load: np.ndarray, published: np.ndarray, found: Rates) -> dict[str, Any]:
    """What the accuracy pages tell; ``load`` is each hour's share of the day, nodes by hour everywhere else."""
    predicted = nodes(load, found.prefill[0], found.decode[0])
    low, high = nodes(load, found.prefill[2], found.decode[2]), nodes(load, found.prefill[1], found.decode[1])
    error = predicted / published - 1
    columns = zip(hours, load * 24, published, predicted, low, high, error, strict=True)
    names = ("load", "published", "predicted", "low", "high", "error")
    means = {"predicted": predicted, "low": low, "high": high, "published": published}
    return {
        **asdict(found),
        "prefill_nodes": PREFILL_NODES,
        "decode_nodes": DECODE_NODES,
        "tokens_per_s": SPEED,
        "prompt_tokens": PROMPT,
        "source": SOURCE,
        "mean": {
            **{name: float(values.mean()) for name, values in means.items()},
            "error": float(predicted.mean() / published.mean() - 1),
        },
        "absolute_error": float(np.abs(error).mean()),
        "bias": float(error.mean()),
        "inside": float(((low <= published) & (published <= high)).mean()),
        "hours": [
            {"hour": hour[11:16], **dict(zip(names, map(float, values), strict=True))} for hour, *values in columns
        ],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    parser.add_argument("--write", type=Path, help="index of the pages whose section is replaced")
    asked = parser.parse_args()
    with asked.file.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    income = np.array([float(row["theoretical_income_usd"]) for row in rows])
    published = np.array([float(row["mean_h800_nodes"]) for row in rows])
    found = figures([row["hour_start_beijing"] for row in rows], income / income.sum(), published, rates())
    print(section_text(SECTION, found))
    if asked.write:
        write_figures(asked.write, SECTION, found)


if __name__ == "__main__":
    main()
