"""Result files of vllm bench serve, aiperf and guidellm as measured points under one set of names.

What each calls by which name (checked against the tools' sources and files, November 2026):

    here   vllm bench serve   aiperf                guidellm
    ttft   ttft               time_to_first_token   time_to_first_token_ms
    tpot   tpot               inter_token_latency   inter_token_latency_ms
    itl    itl                inter_chunk_latency   -
    e2el   e2el               request_latency       request_latency (seconds)

aiperf's and guidellm's inter-token latency is one mean a request, after the first token: our TPOT. guidellm's
time_per_output_token_ms holds the first token's time as well and is left out.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack

from executor.errors import BadInputError, shown
from executor.profile import COUNTED, Point, Provenance, Served, ServingProfile
from executor.user_files import parsed, read_text

MAX_BYTES = 256 << 20
"""A result file with every request's text can be large; a larger one is refused."""
PERCENTILES = ("p1", "p5", "p10", "p25", "p50", "p75", "p90", "p95", "p99")
AIPERF_TIMES = {
    "ttft": "time_to_first_token",
    "tpot": "inter_token_latency",
    "itl": "inter_chunk_latency",
    "e2el": "request_latency",
}
AIPERF_COUNTS = {
    "duration": "benchmark_duration",
    "completed": "request_count",
    "failed": "error_request_count",
    "total_input_tokens": "total_isl",
    "total_output_tokens": "total_osl",
    "request_throughput": "request_throughput",
    "request_goodput": "goodput",
    "output_throughput": "output_token_throughput",
    "total_token_throughput": "total_token_throughput",
}
GUIDELLM_TIMES = {
    "ttft": ("time_to_first_token_ms", 1.0),
    "tpot": ("inter_token_latency_ms", 1.0),
    "e2el": ("request_latency", 1e3),
}
VLLM_TIMES = tuple(
    f"{part}_{name}_ms" for name in ("ttft", "tpot", "itl", "e2el") for part in ("mean", "median", "std", *PERCENTILES)
)
TO_MS = {"ms": 1.0, "s": 1e3, "sec": 1e3, "seconds": 1e3, "us": 1e-3, "ns": 1e-6}


class _Source:
    """One JSON object of a result file, read field by field; every complaint names the place."""

    def __init__(self, place: str, content: Mapping[str, Any]) -> None:
        self.place = place
        self.content = content

    def number(self, *path: str) -> float | None:
        """The number at a path, or None where there is none; BadInputError for anything else, NaN, negative."""
        found = self._at(path)
        if found is None:
            return None
        where = f"{self.place}: {'.'.join(path)}"
        if isinstance(found, bool) or not isinstance(found, int | float):
            raise BadInputError(f"{where} must be a number (got {shown(found)})")
        if not math.isfinite(found) or found < 0:
            raise BadInputError(f"{where} must be a finite number of 0 or more (got {shown(found)})")
        return float(found)

    def needed(self, *path: str) -> float:
        """The number at a path, above 0."""
        found = self.number(*path)
        if not found:
            raise BadInputError(f"{self.place}: {'.'.join(path)} is missing or 0; nothing can be said without it")
        return found

    def part(self, *path: str) -> _Source:
        """The object at a path; an empty one where there is none."""
        found = self._at(path)
        inside = found if isinstance(found, Mapping) else {}
        return _Source(f"{self.place}: {'.'.join(path)}", inside)

    def text(self, *path: str) -> str:
        """The text at a path; empty where there is none."""
        found = self._at(path)
        return found if isinstance(found, str) else ""

    def list(self, *path: str) -> Sequence[Any]:
        """The list at a path; empty where there is none."""
        found = self._at(path)
        return found if isinstance(found, list) else []

    def _at(self, path: Sequence[str]) -> Any:
        found: Any = self.content
        for name in path:
            found = found.get(name) if isinstance(found, Mapping) else None
        return found


def imported_profile(files: Sequence[Path], *, model: str | None = None, **served: Unpack[Served]) -> ServingProfile:
    """One measured profile from result files of one set-up, whichever of the three tools wrote them.

    FileError for a file that cannot be read; BadInputError with file, place and mend for one that is no result, or
    where the files name different models, or none and ``model`` is not given.
    """
    found = [each for path in files for each in read_results(path)]
    named = sorted({name for _, name, _, _ in found if name})
    if model is None and len(named) != 1:
        said = f"name {' and '.join(named)}" if named else "do not name the model"
        raise BadInputError(f"the files {said}: give it by --model")
    tools = sorted({tool for tool, _, _, _ in found})
    dates = sorted({date for _, _, date, _ in found if date})
    return ServingProfile(
        model=model or named[0],
        **served,
        label="measured",
        points=tuple(point for _, _, _, point in found),
        provenance=Provenance(
            source=f"{' and '.join(tools)} results: {', '.join(path.name for path in files)}",
            date=dates[-1] if dates else "not stated",
        ),
    )


Result = tuple[str, str, str, Point]
"""Tool, model as the file names it, date as YYYY-MM-DD, point."""


def read_results(path: Path) -> list[Result]:
    """The points in one file; a file of JSON lines has one result a line."""
    results = [result for source in _objects(path) for result in _reader(source)(source)]
    if not results:
        raise BadInputError(f"{path}: holds no result")
    return results


def _objects(path: Path) -> Iterator[_Source]:
    """The JSON objects of a file: the whole of it, or line by line."""
    text = read_text(path, MAX_BYTES, smaller="save it without the texts")
    try:
        parts = [(str(path), parsed(text, str(path)))]
    except BadInputError as problem:
        parts = list(_lines(path, text, str(problem).removeprefix(f"{path}: ")))
    for place, found in parts:
        if not isinstance(found, dict):
            raise BadInputError(f"{place}: must hold an object, found {type(found).__name__}")
        yield _Source(place, found)


def _lines(path: Path, text: str, whole: str) -> Iterator[tuple[str, Any]]:
    rows = [(at, line) for at, line in enumerate(text.splitlines(), start=1) if line.strip()]
    for at, line in rows:
        try:
            yield f"{path}:{at}", parsed(line, f"line {at}")
        except BadInputError as problem:
            raise BadInputError(f"{path}: is neither JSON ({whole}) nor JSON lines ({problem})") from None
    if not rows:
        raise BadInputError(f"{path}: is empty")


def _reader(source: _Source) -> Callable[[_Source], list[Result]]:
    """The tool that wrote an object, told by fields that only it has."""
    content = source.content
    if isinstance(content.get("benchmarks"), list):
        return _guidellm
    if "mean_ttft_ms" in content and "request_throughput" in content:
        return _vllm
    if isinstance(content.get("time_to_first_token"), Mapping):
        return _aiperf
    raise BadInputError(
        f"{source.place}: is no result of vllm bench serve (mean_ttft_ms), aiperf (time_to_first_token) or"
        f" guidellm (benchmarks); its fields are {', '.join(map(shown, list(content)[:8])) or 'none'}"
    )


def _vllm(source: _Source) -> list[Result]:
    completed = source.needed("completed")
    metrics = {name: source.number(name) for name in (*COUNTED, *VLLM_TIMES)}
    if metrics["request_goodput"] is None:  # older versions write the name with a colon
        metrics["request_goodput"] = source.number("request_goodput:")
    rate = source.content.get("request_rate")
    unlimited = rate in (None, "inf")
    cap = source.number("max_concurrency")
    asked = source.number("num_prompts") or completed
    point = _point(
        source,
        metrics,
        isl=source.needed("total_input_tokens") / completed,
        osl=source.needed("total_output_tokens") / completed,
        concurrency=(cap or asked) if unlimited else None,
        rate=None if unlimited else source.needed("request_rate"),
    )
    date = source.text("date")
    named = f"{date[:4]}-{date[4:6]}-{date[6:8]}" if date[:8].isdecimal() else date[:10]
    return [("vllm bench serve", source.text("model_id"), named, point)]


def _aiperf(source: _Source) -> list[Result]:
    metrics = {ours: source.number(theirs, "avg") for ours, theirs in AIPERF_COUNTS.items()}
    for ours, theirs in AIPERF_TIMES.items():
        metrics.update(_aiperf_times(ours, source.part(theirs)))
    phases = [
        _Source(source.place, phase)
        for phase in source.list("input_config", "phases")
        if isinstance(phase, Mapping) and not phase.get("exclude_from_results")
    ]
    loads = [*phases, source.part("input_config", "loadgen")]
    rate = next((found for load in loads if (found := _first(load, "request_rate", "rate"))), None)
    clients = next((found for load in loads if (found := load.number("concurrency"))), None)
    if rate is None and clients is None:
        raise BadInputError(f"{source.place}: input_config names neither a concurrency nor a request rate")
    point = _point(
        source,
        metrics,
        isl=source.needed("input_sequence_length", "avg"),
        osl=source.needed("output_sequence_length", "avg"),
        concurrency=None if rate else clients,
        rate=rate,
    )
    return [("aiperf", _aiperf_model(source), source.text("end_time")[:10], point)]


def _aiperf_times(ours: str, block: _Source) -> dict[str, float | None]:
    unit = block.text("unit") or "ms"
    if block.content and unit not in TO_MS:
        raise BadInputError(f"{block.place}: unit {shown(unit)} is no unit of time; known are {', '.join(TO_MS)}")
    named = {"mean": "avg", "median": "p50", "std": "std", **{p: p for p in PERCENTILES}}
    found = {f"{part}_{ours}_ms": block.number(theirs) for part, theirs in named.items()}
    return {name: None if value is None else value * TO_MS[unit] for name, value in found.items()}


def _aiperf_model(source: _Source) -> str:
    for names in (
        [item.get("name") for item in source.list("input_config", "models", "items") if isinstance(item, Mapping)],
        source.list("input_config", "endpoint", "model_names"),
    ):
        if names and isinstance(names[0], str):
            return names[0]
    return ""


def _guidellm(source: _Source) -> list[Result]:
    found = []
    for at, benchmark in enumerate(source.content["benchmarks"]):
        place = f"{source.place}: benchmarks.{at}"
        if not isinstance(benchmark, Mapping):
            raise BadInputError(f"{place}: must hold an object, found {type(benchmark).__name__}")
        found.append(_guidellm_point(_Source(place, benchmark), source))
    return found


def _guidellm_point(source: _Source, report: _Source) -> Result:
    measured = source.part("metrics")
    if not measured.content:
        raise BadInputError(f"{source.place}: has no metrics; save the report of guidellm 0.3 or newer as JSON")
    totals = measured.part("request_totals")
    good = {name: measured.part(name, "successful") for name in measured.content}
    missing = _Source(source.place, {})

    def mean(name: str) -> float | None:
        return good.get(name, missing).number("mean")

    metrics: dict[str, float | None] = {
        "duration": source.number("duration"),
        "completed": totals.needed("successful"),
        "failed": (totals.number("errored") or 0.0) + (totals.number("incomplete") or 0.0),
        "request_throughput": mean("requests_per_second"),
        "output_throughput": mean("output_tokens_per_second"),
        "total_token_throughput": mean("tokens_per_second"),
        "total_input_tokens": good.get("prompt_token_count", missing).number("total_sum"),
        "total_output_tokens": good.get("output_token_count", missing).number("total_sum"),
    }
    for ours, (theirs, factor) in GUIDELLM_TIMES.items():
        block = good.get(theirs, missing)
        named = {"mean": ("mean",), "median": ("median",), "std": ("std_dev",)}
        paths = {**named, **{p: ("percentiles", p) for p in PERCENTILES}}
        for part, path in paths.items():
            value = block.number(*path)
            metrics[f"{part}_{ours}_ms"] = None if value is None else value * factor
    concurrency, rate = _guidellm_load(source)
    isl, osl = mean("prompt_token_count"), mean("output_token_count")
    if not isl or not osl:
        raise BadInputError(f"{source.place}: metrics have no prompt_token_count or output_token_count")
    point = _point(source, metrics, isl, osl, concurrency, rate)
    model = report.text("args", "model") or source.text("config", "backend", "model")
    return "guidellm", model, "", point


def _guidellm_load(source: _Source) -> tuple[float | None, float | None]:
    """Concurrency or rate of a benchmark, from its strategy."""
    for strategy in (source.part("config", "strategy"), source.part("args", "strategy")):
        kind = strategy.text("type_") or strategy.text("type")
        if kind in ("constant", "poisson", "async"):
            return None, strategy.needed("rate")
        if kind == "synchronous":
            return 1.0, None
        if clients := _first(strategy, "streams", "max_concurrency"):
            return clients, None
    concurrency = source.number("metrics", "request_concurrency", "successful", "mean")
    if not concurrency:
        raise BadInputError(f"{source.place}: config.strategy names neither streams nor a rate")
    return concurrency, None


def _first(source: _Source, *names: str) -> float | None:
    return next((found for name in names if (found := source.number(name))), None)


def _point(
    source: _Source,
    metrics: Mapping[str, float | None],
    isl: float,
    osl: float,
    concurrency: float | None,
    rate: float | None,
) -> Point:
    known = {name: value for name, value in metrics.items() if value is not None}
    for needed in ("mean_ttft_ms", "output_throughput"):
        if not known.get(needed):
            raise BadInputError(f"{source.place}: has no {needed} (or its own name for it)")
    try:
        return Point(isl, osl, concurrency, rate, metrics=known)
    except BadInputError as problem:
        raise BadInputError(f"{source.place}: {problem}") from None
