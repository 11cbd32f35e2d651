"""What tests of the verbs share: a scenario that runs in a blink."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

TINY: dict[str, Any] = {
    "name": "tiny",
    "start": "2025-07-16",
    "horizon_months": 8,
    "seed": 3,
    "pools": [
        {
            "name": "chat",
            "model": "Qwen/Qwen3-32B",
            "layouts": {"H20-96GB": {"tp": 2}},
            "load": {"trace": "servegen-m-large", "requests_per_second": 15},
            "slo": {"ttft_ms": 3000, "tpot_ms": 60},
        }
    ],
    "fleet": [{"sku": "H20-96GB", "pool": "chat", "gpus": 48}],
    "sources": [
        {"name": "h20", "sku": "H20-96GB", "entry": "part-finished", "price": 20_000, "gates": ["us"]},
        {
            "name": "cloud",
            "sku": "H20-96GB",
            "price_per_gpu_hour": 9,
            "max_gpus": 16,
            "max_spot_gpus": 16,
            "notice_days": 0,
        },
    ],
    "gates": [{"name": "us", "authority": "us", "always": "open"}],
    "goal": {"probability": 0.6, "from_month": 2, "unmet_price_per_gpu_hour": 60},
    "run": {"training_futures": 24, "replications": 48, "processes": 1, "engine": "fast"},
}


@pytest.fixture
def tiny(tmp_path: Path) -> Callable[..., Path]:
    """Write a scenario that plans in a blink; ``edit`` may change its body, keywords replace whole fields."""

    def write(edit: Callable[[dict[str, Any]], object] | None = None, name: str = "tiny.yaml", **fields: Any) -> Path:
        body = copy.deepcopy({**TINY, **fields})
        if edit is not None:
            edit(body)
        path = tmp_path / name
        path.write_text(yaml.safe_dump(body, allow_unicode=True), encoding="utf-8")
        return path

    return write
