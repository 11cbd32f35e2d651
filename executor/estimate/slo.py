"""Bounds that a share of the requests must meet, and the rate at which they still do."""

from dataclasses import dataclass

from executor.errors import BadInputError
from executor.model.cost import MemoryFit
from executor.profile import Label


@dataclass(frozen=True)
class Slo:
    """Bounds on TTFT and TPOT that the given share of requests must meet."""

    ttft_ms: float
    tpot_ms: float
    percentile: float = 90.0

    def __post_init__(self) -> None:
        for name in ("ttft_ms", "tpot_ms"):
            value = getattr(self, name)
            if not value > 0:
                raise BadInputError(f"SLO: {name} must be above 0 (got {value!r})")
        if not 0 < self.percentile < 100:
            raise BadInputError(f"SLO: percentile must be between 0 and 100 (got {self.percentile!r})")


@dataclass(frozen=True, kw_only=True)
class Goodput:
    """The highest rate of one replica at which the SLO still holds.

    ``requests_per_s`` is the median and ``sigma_log`` the standard deviation of its logarithm, so that a planner can
    draw it per replication. A replica that cannot meet the SLO at any rate has 0, and the reason says why.
    """

    requests_per_s: float = 0.0
    sigma_log: float = 0.0
    low: float = 0.0
    high: float = 0.0
    concurrency: float = 0.0
    """Mean requests in service at that rate."""
    gpus: int
    output_tokens_per_s_per_gpu: float = 0.0
    ttft_ms: float
    tpot_ms: float
    """Mean TTFT and TPOT at that rate."""
    mfu: float = 0.0
    mbu: float = 0.0
    kv_tokens: float
    memory: MemoryFit
    label: Label
    limits: str
    reason: str
    calibration_rows: int
