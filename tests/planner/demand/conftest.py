"""What the tests of demand share: the published files, where they are at hand, and a pool to load."""

import gzip
from pathlib import Path

import pytest

from planner.scenario.pools import Pool

PUBLISHED = Path(__file__).resolve().parents[4] / "shared" / "data" / "traces"


@pytest.fixture(scope="session")
def published() -> Path:
    """Folder of the published trace files."""
    if not PUBLISHED.is_dir():
        pytest.skip("the published trace files are not on this machine")
    return PUBLISHED


@pytest.fixture
def packed(tmp_path):
    """Write a text as a gzip file."""

    def write(text: str, name: str = "trace.gz") -> Path:
        path = tmp_path / name
        path.write_bytes(gzip.compress(text.encode()))
        return path

    return write


@pytest.fixture
def written(tmp_path):
    """Write a text or bytes as a plain file."""

    def write(content: str | bytes, name: str = "trace") -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


@pytest.fixture(scope="session")
def pool_of():
    """A pool with the given load and growth."""

    def make(name="chat", growth=None, **load):
        return Pool.model_validate(
            {
                "name": name,
                "model": "Qwen/Qwen3-32B",
                "layouts": {"H20-96GB": {}},
                "load": {"trace": "servegen-m-large", "requests_per_second": 10.0, **load},
                "growth": growth or {},
                "slo": {"ttft_ms": 2000, "tpot_ms": 50},
            }
        )

    return make
