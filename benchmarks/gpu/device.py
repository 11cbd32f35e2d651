"""Where and how a measurement was made: device, software, commit, command; clocks and power while it ran."""

from __future__ import annotations

import datetime
import platform
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import torch

QUERY = (
    "clocks.sm",
    "clocks.mem",
    "power.draw",
    "temperature.gpu",
    "clocks_throttle_reasons.active",
    "utilization.gpu",
)
FIELDS = ("sm_mhz", "memory_mhz", "power_w", "temperature_c", "throttle_reasons", "utilisation_percent")


def provenance(device: torch.device) -> dict[str, Any]:
    """All that is needed to run the measurement again, or to doubt it."""
    import numpy

    found: dict[str, Any] = {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": "python -m benchmarks.gpu " + " ".join(sys.argv[1:]),
        "commit": _output("git", "rev-parse", "HEAD"),
        "uncommitted_changes": bool(_output("git", "status", "--porcelain", "--untracked-files=no")),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "triton": _version("triton"),
        "numpy": numpy.__version__,
        "transformers": _version("transformers"),
        "device": str(device),
        "name": platform.processor() or platform.machine(),
    }
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        found |= {
            "name": properties.name,
            "memory_gib": round(properties.total_memory / 2**30, 1),
            "multiprocessors": properties.multi_processor_count,
            "l2_mb": round(getattr(properties, "L2_cache_size", 0) / 1e6, 1),
            "cuda": torch.version.cuda,
            "driver": _output(
                "nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader", "-i", str(device.index or 0)
            ),
        }
    return found


class Telemetry:
    """Clocks, power, temperature and throttle reasons, once a second, from ``nvidia-smi``."""

    def __init__(self, device: torch.device, period_s: float = 1.0) -> None:
        self.samples: list[dict[str, Any]] = []
        self._device = device
        self._period = period_s
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Telemetry:
        if self._device.type == "cuda" and shutil.which("nvidia-smi"):
            self._thread = threading.Thread(target=self._log, daemon=True)
            self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=5)

    def between(self, start: float, end: float) -> dict[str, Any]:
        """Median clock, highest power and the throttle reasons seen in a span of ``time.monotonic``."""
        inside = [sample for sample in self.samples if start <= sample["at"] <= end]
        if not inside:
            return {}
        clocks = sorted(float(sample["sm_mhz"]) for sample in inside)
        return {
            "sm_mhz_median": clocks[len(clocks) // 2],
            "power_w_max": max(float(sample["power_w"]) for sample in inside),
            "throttle_reasons": sorted({str(sample["throttle_reasons"]) for sample in inside}),
        }

    def _log(self) -> None:
        while not self._stop.wait(self._period):
            line = _output(
                "nvidia-smi", f"--query-gpu={','.join(QUERY)}", "--format=csv,noheader,nounits",
                "-i", str(self._device.index or 0),
            )  # fmt: skip
            values = [value.strip() for value in (line or "").split(",")]
            if len(values) == len(FIELDS):
                self.samples.append({"at": time.monotonic(), **dict(zip(FIELDS, map(_number, values), strict=True))})


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _output(*command: str) -> str | None:
    """What a command prints; None where it is not there or fails."""
    root = Path(__file__).parents[2]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, cwd=root, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _version(package: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return None
