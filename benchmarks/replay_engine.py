"""The replay against the real engine on the CPU with a small model, calibrated on other points.

    python benchmarks/replay_engine.py [--requests N] [--rounds N] [--write docs/accuracy.md]

The engine serves Poisson arrivals at three rates on its own clock (processor time of this process, one thread), so
that what else the machine does counts little. The step times are fitted to steps of other runs before and after
each measurement: other lengths, other rates, other seeds. Then the replay predicts what the engine measured. Each rate
is measured several times and the median counts, so that a moment in which the machine was slower does not decide.
"""

import argparse
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.engine_loop import Driven, drive
from benchmarks.step_samples import StepSample, fitted_batch_time
from dashboard.accuracy.pages import section_text
from executor.engine.engine import Engine, Settings
from executor.model.spec import from_hf_config
from executor.replay.arrivals import Arrivals, arrival_times
from executor.replay.cluster import replay
from executor.scheduler.scheduler import Limits
from executor.serving_metrics import bench_metrics
from executor.steptime.batch import BatchTime
from waferlag.accuracy.pages import write_figures

SECTION = "replay-engine"
MODEL = {
    "model_type": "qwen3",
    "num_hidden_layers": 8,
    "hidden_size": 512,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "head_dim": 64,
    "intermediate_size": 1536,
    "vocab_size": 4096,
    "max_position_embeddings": 2048,
}
LOADS = (0.3, 0.5, 0.7)
"""Rates as shares of what the engine can serve; nearer to 1 an error of the step time grows by 1 / (1 - share)."""
SHOWN = (("output_throughput", "tokens/s", 0.10), ("mean_tpot_ms", "ms", 0.10), ("p99_ttft_ms", "ms", 0.20))
"""Metric, unit and the error that is aimed at."""


def requests(rate: float, count: int, seed: int, prompt: tuple[int, int], output: tuple[int, int]) -> Arrivals:
    chance = np.random.default_rng(seed)
    return Arrivals(
        arrival_times(count, rate, 1.0, chance), chance.integers(*prompt, count), chance.integers(*output, count)
    )


def run(engine: Engine, given: Arrivals, seed: int) -> Driven:
    return drive(engine, given, clock=time.process_time, seed=seed)


def samples_of(engine: Engine, seed: int) -> list[StepSample]:
    """Timed steps of other requests: light traffic, more of it, then a burst."""
    return [
        sample
        for at, rate in enumerate((1.0, 6.0, 1e3))
        for sample in run(engine, requests(rate, 20, 100 * seed + at, (8, 300), (4, 60)), seed).samples
    ]


def fitted(samples: list[StepSample], limits: Limits) -> BatchTime:
    return fitted_batch_time(samples, limits.pages * limits.page_size, limits.token_budget)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--requests", type=int, default=80)
    parser.add_argument("--rounds", type=int, default=3, help="Measurements at each rate, each with its own seed.")
    parser.add_argument("--write", type=Path, help="index of the pages whose section is replaced")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    settings = Settings(max_batch=16, page_size=16, pages=512, token_budget=192, prefix_caching=False)
    engine = Engine.dummy(from_hf_config(MODEL, "small"), dtype=torch.float32, settings=settings)
    run(engine, requests(100.0, 40, 1, (8, 300), (4, 60)), 1)  # the first, slow steps
    limits = engine.scheduler.limits
    before, steps = samples_of(engine, 11), 0
    full = requests(1e6, 200, 21, (16, 256), (8, 48))
    most = 200 / replay(full, fitted(before, limits), limits).duration
    found: dict[float, list[Compared]] = {load * most: [] for load in LOADS}
    for turn in range(asked.rounds):
        for place, rate in enumerate(found):
            seed = 31 + 10 * turn + place
            given = requests(rate, asked.requests, seed, (16, 256), (8, 48))
            measured = run(engine, given, seed)
            after = samples_of(engine, 1000 + seed)
            real = bench_metrics(measured.latencies, measured.duration, 0)
            predicted = replay(given, fitted([*before, *after], limits), limits).metrics()
            found[rate].append(Compared(real, predicted))
            steps += len(after)
            before = after
            said = ", ".join(f"{n} {real[n]:.4g} / {predicted[n]:.4g}" for n, *_ in SHOWN)
            print(f"{rate:.2f} requests/s: measured / replayed {said}", flush=True)
    told = figures(found, steps, asked.requests, asked.rounds)
    print(section_text(SECTION, told))
    if asked.write:
        write_figures(asked.write, SECTION, told)


@dataclass(frozen=True)
class Compared:
    """One measurement and the replay of the same requests."""

    real: dict[str, float]
    predicted: dict[str, float]

    def ratio(self, name: str) -> float:
        """Replayed / measured."""
        return self.predicted[name] / self.real[name]


def figures(found: dict[float, list[Compared]], steps: int, count: int, rounds: int) -> dict[str, Any]:
    """What the accuracy pages tell; ``error`` is replayed over measured, less one, the median of the rounds."""
    return {
        "requests": count,
        "rounds": rounds,
        "steps": steps,
        "layers": MODEL["num_hidden_layers"],
        "width": MODEL["hidden_size"],
        "aims": {name: aim for name, _, aim in SHOWN},
        "rows": [_row(rate, each, name, unit) for rate, each in found.items() for name, unit, _ in SHOWN],
    }


def _row(rate: float, rounds: list[Compared], name: str, unit: str) -> dict[str, Any]:
    errors = [each.ratio(name) - 1 for each in rounds]
    return {
        "rate": rate,
        "metric": name,
        "unit": unit,
        "measured": float(np.median([each.real[name] for each in rounds])),
        "replayed": float(np.median([each.predicted[name] for each in rounds])),
        "error": float(np.median(errors)),
        "least": min(errors),
        "most": max(errors),
    }


if __name__ == "__main__":
    main()
