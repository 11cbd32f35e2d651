"""A serving profile: what a replica was measured, or is estimated, to serve, with provenance, label, interval.

The record is frozen and goes to JSON and back unchanged. Metric names are those of ``vllm bench serve``:
request_throughput, output_throughput, mean_ttft_ms, p99_tpot_ms and so on, so that its results are stored as they are.
TPOT is the per-request mean after the first token, (e2el - ttft) / (output tokens - 1); ITL is a single gap.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, TypedDict, get_args

from executor.errors import BadInputError, shown
from executor.model.cost import Layout
from executor.user_files import parsed

SCHEMA_VERSION = 1

Label = Literal["measured", "calibrated", "extrapolated", "estimated"]
"""measured: this model, GPU and engine. calibrated: a step-time model through two or more measured points.
extrapolated: carried over from another GPU, engine version or precision. estimated: from priors and the data sheet."""
LABELS: tuple[Label, ...] = get_args(Label)

COUNTED = (
    *("duration", "completed", "failed", "total_input_tokens", "total_output_tokens", "request_throughput"),
    *("request_goodput", "output_throughput", "total_token_throughput", "max_concurrent_requests"),
)
_TIMED = re.compile(r"(mean|median|std|min|max|p\d{1,2}(\.\d+)?|p100)_(ttft|tpot|itl|e2el)_ms")


@dataclass(frozen=True)
class Figure:
    """A number with the interval about it: central 80 % unless a profile says otherwise."""

    value: float
    low: float
    high: float

    def __post_init__(self) -> None:
        if not all(math.isfinite(v) for v in (self.value, self.low, self.high)):
            raise BadInputError(f"a figure and its interval must be finite (got {self.value}, {self.low}, {self.high})")
        if not self.low <= self.value <= self.high:
            raise BadInputError(f"a figure must lie in its interval (got {self.value} outside {self.low}..{self.high})")

    def __str__(self) -> str:
        return f"{self.value:.4g} ({self.low:.4g}-{self.high:.4g})"


@dataclass(frozen=True)
class Point:
    """One load and what came out. Exactly one of ``concurrency`` (closed loop) and ``request_rate`` (open) is given.

    ``metrics`` as measured; ``estimates`` as predicted, each with low and high. Rates are of the whole replica.
    """

    input_tokens: float
    output_tokens: float
    concurrency: float | None = None
    request_rate: float | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    estimates: Mapping[str, Figure] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if (self.concurrency is None) == (self.request_rate is None):
            raise BadInputError("a point needs either concurrency (closed loop) or request_rate (open loop)")
        for name in ("input_tokens", "output_tokens", "concurrency", "request_rate"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise BadInputError(f"{name} must be a positive number (got {value!r})")
        if not self.metrics and not self.estimates:
            raise BadInputError("a point needs at least one metric or estimate")
        for name in (*self.metrics, *self.estimates):
            if name not in COUNTED and not _TIMED.fullmatch(name):
                raise BadInputError(
                    f"metric {name!r} is not a name of vllm bench serve; like output_throughput, mean_ttft_ms"
                )
        for name, value in self.metrics.items():
            if not (math.isfinite(value) and value >= 0):
                raise BadInputError(f"{name} must be a number of 0 or more (got {value!r})")


@dataclass(frozen=True)
class Provenance:
    """Where a profile comes from, so that it can be measured or computed again."""

    source: str
    date: str
    device: str = ""
    driver: str = ""
    clocks: str = ""
    commit: str = ""
    command: str = ""

    def __post_init__(self) -> None:
        _check_texts(self)


class Served(TypedDict):
    """The fields of a profile that say what served, and that no measurement finds out."""

    gpu: str
    precision: str
    engine: str
    engine_version: str
    layout: Layout
    kv_precision: str


@dataclass(frozen=True)
class ServingProfile:
    """What one replica of a model serves on a GPU, engine, precision and layout."""

    model: str
    gpu: str
    precision: str
    engine: str
    engine_version: str
    layout: Layout
    kv_precision: str
    label: Label
    points: tuple[Point, ...]
    provenance: Provenance
    interval: float = 0.8
    """Share that the intervals of the estimates are meant to hold."""
    notes: str = ""

    def __post_init__(self) -> None:
        if self.label not in LABELS:
            raise BadInputError(f"label must be one of {', '.join(LABELS)} (got {shown(self.label)})")
        _check_texts(self)
        if not self.points:
            raise BadInputError("a profile needs at least one point")
        if self.label == "measured" and not all(point.metrics for point in self.points):
            raise BadInputError("a profile labelled measured holds a point without measured metrics")
        if not 0 < self.interval < 1:
            raise BadInputError(f"interval must be a share between 0 and 1 (got {self.interval!r})")

    def to_json(self) -> str:
        """The profile as JSON with its schema version; keys in a fixed order."""
        return json.dumps({"schema_version": SCHEMA_VERSION, **asdict(self)}, indent=2, allow_nan=False)


def profile_from_json(text: str, origin: str = "profile") -> ServingProfile:
    """Read a profile back; BadInputError names the place, the value found and what was expected."""
    stored = parsed(text, origin)
    if not isinstance(stored, dict):
        raise BadInputError(f"{origin}: must hold an object, found {type(stored).__name__}")
    version = stored.pop("schema_version", None)
    if version != SCHEMA_VERSION:
        raise BadInputError(f"{origin}: schema_version must be {SCHEMA_VERSION} (got {shown(version)})")
    try:
        return ServingProfile(
            **{
                **stored,
                "layout": Layout(**stored["layout"]),
                "provenance": Provenance(**stored["provenance"]),
                "points": tuple(_point(point) for point in stored["points"]),
            }
        )
    except KeyError as problem:
        raise BadInputError(f"{origin}: lacks {problem.args[0]}") from problem
    except (TypeError, AttributeError) as problem:
        raise BadInputError(f"{origin}: {str(problem).replace('__init__() ', '')}") from problem
    except BadInputError as problem:
        raise BadInputError(f"{origin}: {problem}") from problem


def _check_texts(record: Provenance | ServingProfile) -> None:
    """BadInputError for the first field that should be text and is none."""
    for field_ in fields(record):
        value = getattr(record, field_.name)
        if field_.type == "str" and not isinstance(value, str):
            raise BadInputError(f"{field_.name} must be text (got {shown(value)})")


def _point(stored: Mapping[str, Any]) -> Point:
    figures = {name: Figure(**figure) for name, figure in stored.get("estimates", {}).items()}
    return Point(**{**stored, "estimates": figures})
