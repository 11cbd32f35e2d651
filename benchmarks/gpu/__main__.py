"""The command: sections in the order of their worth, until the time is up; results are written after each."""

from __future__ import annotations

import argparse
import datetime
import gc
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.gpu import checks, operators, serving, steps
from benchmarks.gpu.bars import BARS
from benchmarks.gpu.device import Telemetry, provenance
from benchmarks.gpu.sizes import CPU, GPU, Sizes
from executor.engine import backends

SECTIONS = ("engine", "operators", "serving", "steps", "peers")
SCHEMA_VERSION = 1


def main(arguments: list[str] | None = None) -> int:
    """Run the sections asked for, print tables, write one JSON file. Exit 1 where a kernel was wrong."""
    asked = _arguments(arguments)
    device = torch.device("cuda" if torch.cuda.is_available() and not asked.small else "cpu")
    if asked.out is None and device.type == "cuda":
        asked.out = _default_path(device)
    sizes = GPU if device.type == "cuda" else CPU
    torch.manual_seed(0)
    with Telemetry(device) as telemetry:
        report = Report(asked, device, telemetry)
        runners: dict[str, Callable[[Report, Sizes], None]] = {
            "engine": run_engine,
            "operators": run_operators,
            "serving": run_serving,
            "steps": run_steps,
            "peers": run_peers,
        }
        for section in asked.sections:
            runners[section](report, sizes)
        report.judge()
    return report.exit_code


class Report:
    """What was found so far. Each result is printed as it comes and written at once."""

    def __init__(self, asked: argparse.Namespace, device: torch.device, telemetry: Telemetry) -> None:
        self.device = device
        self.path: Path | None = asked.out
        self.telemetry = telemetry
        self.until = time.monotonic() + asked.minutes * 60
        self.limits: dict[str, float] = {}
        self.found: dict[str, Any] = {
            "schema_version": SCHEMA_VERSION,
            "provenance": provenance(device),
            "measured": device.type == "cuda",
            "backends": {},
            "ceilings": {},
            "engine": [],
            "operators": [],
            "serving": [],
            "steps": [],
            "bars": [],
            "skipped": [],
            "telemetry": telemetry.samples,
        }

    @property
    def exit_code(self) -> int:
        """1 where a kernel's result, or the engine's, was wrong."""
        checked = self.found["engine"] + self.found["operators"]
        return int(any(row.get("right") is False for row in checked))

    def time_left(self, what: str) -> bool:
        """Whether another item may begin; if not, that is noted."""
        if time.monotonic() < self.until:
            return True
        self.found["skipped"].append({"what": what, "reason": "the time was up"})
        return False

    def attempt(self, section: str, what: str, run: Callable[[], Iterable[dict[str, Any]]]) -> None:
        """Run one item; a failure is noted and the rest goes on."""
        if not self.time_left(what):
            return
        start = time.monotonic()
        try:
            rows = list(run())
        except Exception as problem:  # one item must not cost the others
            self.found["skipped"].append({"what": what, "reason": f"{type(problem).__name__}: {problem}"})
            print(f"  {what}: not measured: {type(problem).__name__}: {problem}", flush=True)
            rows = []
        for row in rows:
            row["clocks"] = self.telemetry.between(start, time.monotonic())
            self.found[section].append(row)
            print("  " + _line(row), flush=True)
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        self.write()

    def judge(self) -> None:
        """Hold what was measured against the bars."""
        for bar in BARS:
            value = self.value(bar.measure) if self.device.type == "cuda" else None
            verdict = bar.judge(value)
            self.found["bars"].append(
                {"name": bar.name, "first": bar.first, "last": bar.last, "value": value, "verdict": verdict}
            )
            shown = "-" if value is None else f"{value:.4g}"
            print(f"{bar.name:58s} {shown:>9s}  first {bar.first:g}, last {bar.last:g}: {verdict}")
        self.write()

    def value(self, measure: str) -> float | None:
        """One figure by the name a bar gives it."""
        kind, _, name = measure.partition(": ")
        if kind == "serving" and name == "nano-vllm times transformers":
            ours = self._row("serving", "nano-vllm")
            theirs = next((r for r in self.found["serving"] if r["name"].startswith("nano-vllm transf")), None)
            if not ours or not theirs:
                return None
            return float(ours["output_tokens_per_s"] / theirs["output_tokens_per_s"])
        if kind == "serving":
            name, _, field = name.rpartition(" ")
            row = self._row("serving", name)
            return row.get(field) if row else None
        row = self._row("operators", name)
        return row.get({"fraction": "fraction", "times public": "times_public"}[kind]) if row else None

    def write(self) -> None:
        """To a temporary name beside the file, then renamed."""
        if self.path is None:
            return
        self.found["backends"] = dict(backends.REPORT)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        part = self.path.with_name(self.path.name + ".part")
        part.write_text(json.dumps(self.found, indent=1) + "\n")
        os.replace(part, self.path)

    def _row(self, section: str, name: str) -> dict[str, Any] | None:
        return next((row for row in self.found[section] if row["name"] == name), None)


def run_engine(report: Report, sizes: Sizes) -> None:
    """Right first: the device's engine against the CPU's."""
    print("engine against the CPU")
    for model in checks.MODELS:
        report.attempt("engine", model, partial(_one, checks.measure, model, report.device))


def run_operators(report: Report, sizes: Sizes) -> None:
    """Ceilings first, then every operator as a fraction of them."""
    print("operators (share: of the time the measured ceilings allow)")
    with torch.inference_mode():
        backends.operators(report.device, None)  # chooses and checks the back ends
        limits = operators.ceilings(sizes, report.device)
        report.found["ceilings"] = limits
        print(
            f"  ceilings: {limits['bytes_per_s'] / 1e9:.0f} GB/s copied, {limits['bf16'] / 1e12:.1f} TFLOP/s BF16,"
            f" {limits['fp8'] / 1e12:.1f} TFLOP/s FP8"
        )
        for make in operators.problems(sizes, report.device):
            what = f"{make.func.__name__} {make.args[-1]}"
            report.attempt("operators", what, partial(_measured, make, limits, sizes, report.device))


def _measured(
    make: Callable[[], operators.Problem], limits: dict[str, float], sizes: Sizes, device: torch.device
) -> list[dict[str, Any]]:
    return [operators.measure(make(), limits, sizes, device)]


def run_serving(report: Report, sizes: Sizes) -> None:
    """The closed loops of the bars."""
    print("serving")
    for loop in serving.LOOPS:
        report.attempt("serving", loop.name, partial(_one, serving.run_loop, loop, sizes, report.device))


def run_steps(report: Report, sizes: Sizes) -> None:
    """Single ranks of large models, all layers."""
    print("steps")
    for case in steps.CASES:
        report.attempt("steps", case.name, partial(steps.measure, case, sizes, report.device))


def run_peers(report: Report, sizes: Sizes) -> None:
    """nano-vllm's workload on the built-in engine and on transformers, one after the other."""
    print("nano-vllm's workload")
    for what, run in (("nano-vllm", serving.run_loop), ("transformers", serving.run_transformers)):
        report.attempt("serving", what, partial(_one, run, serving.NANO, sizes, report.device))


def _one(run: Callable[..., dict[str, Any]], *arguments: Any) -> list[dict[str, Any]]:
    return [run(*arguments)]


def _line(row: dict[str, Any]) -> str:
    """One result as one line."""
    name = f"{row['name']:44s}"
    if "tokens_equal" in row:
        verdict = "right" if row["right"] else "WRONG"
        return f"{name} {verdict}: {row['tokens_equal']} of {row['tokens']} tokens, BF16 error {row['error']:.4f}"
    if row.get("right") is False:
        return f"{name} WRONG: relative error {row['error']:.4f}"
    if "us" in row:
        public = f"  {row['times_public']:5.2f} x public" if "times_public" in row else ""
        return (
            f"{name} {row['us']:10.1f} us [{row['us_low']:.1f}, {row['us_high']:.1f}]"
            f"  {row['gb_per_s']:7.0f} GB/s {row['tflops']:7.1f} TFLOP/s  share {row['fraction']:.2f}{public}"
        )
    if "ms" in row:
        return f"{name} {row['ms']:8.2f} ms  {row['tokens_per_s']:9.0f} tokens/s  {row['layers']} layers"
    tpot = f"  TTFT {row['ttft_ms']:.1f} ms  TPOT {row['tpot_ms']:.2f} ms" if row.get("tpot_ms") else ""
    return f"{name} {row['output_tokens_per_s']:9.0f} tokens/s{tpot}"


def _default_path(device: torch.device) -> Path:
    """measurements/, named after the card and the day."""
    card = re.sub(r"[^a-z0-9]+", "-", torch.cuda.get_device_name(device).lower()).strip("-")
    return Path(__file__).parents[2] / "measurements" / f"{card}-{datetime.date.today().isoformat()}.json"


def _arguments(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument("--out", type=Path, help="JSON file for the results; on a GPU, measurements/CARD-DAY.json")
    parser.add_argument("--minutes", type=float, default=9.0, help="no item begins later than this")
    parser.add_argument("--small", action="store_true", help="miniatures on the CPU, whatever the device")
    parser.add_argument("--sections", nargs="+", choices=SECTIONS, default=list(SECTIONS))
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
