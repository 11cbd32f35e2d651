"""From a trace's name or file to requests that a replica can be offered."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from executor.errors import MissingFigureError
from executor.estimate.lengths import Lengths
from executor.replay.arrivals import Arrivals, arrival_times, lengths_of_cells
from planner.demand.readers.reader import read_trace
from planner.demand.readers.trace import Requests
from planner.demand.summary import JointLengths, Margin, Origin, TraceSummary, shipped_summary, summarise
from planner.reference.traces import trace_names

PREFIX_FAMILIES = 64
"""Prompts of a summary share their prefixes within so many families; only the share reused is published.
Ours, evidence: estimate."""
BLOCK_TOKENS = 512
"""Blocks in which prompts share their prefixes: Mooncake's (arXiv 2407.00079, 2024-07, published)."""
PAGE_TOKENS = 64
QUANTILES = (("p10", 0.1), ("p25", 0.25), ("p50", 0.5), ("p75", 0.75), ("p90", 0.9), ("p95", 0.95), ("p99", 0.99))


@dataclass(frozen=True)
class Workload:
    """Requests, and in words where each side of them comes from."""

    name: str
    arrivals: Arrivals
    notes: tuple[str, ...]


def workload(
    trace: str,
    max_bytes: int,
    *,
    requests: int | None = None,
    rate: float | None = None,
    cv: float | None = None,
    seed: int = 0,
) -> Workload:
    """The requests of a trace: those of a file, one by one, or drawn from the summary of a shipped one.

    ``requests``: the first so many of a file, or so many drawn (10,000 by default). ``rate`` is the mean in
    requests/s, by default the trace's own. ``cv`` is the variability of the gaps of drawn requests.
    UnknownNameError, FileError or MissingFigureError where the trace cannot be had or lacks what is needed.
    """
    path = Path(trace)
    if trace in trace_names() or not (path.suffix or "/" in trace):
        return _drawn(shipped_summary(trace), requests or 10_000, rate, cv, seed)
    found = read_trace(path, max_bytes=max_bytes)
    if found.requests is None:
        origin = Origin(
            title="the user's own trace",
            source=str(path),
            date="not stated",
            licence="not stated",
            attribution="the user",
            evidence="reported",
        )
        return _drawn(summarise(found, origin), requests or 10_000, rate, cv, seed)
    return _observed(found.name, found.requests, requests, rate)


def _observed(name: str, found: Requests, count: int | None, rate: float | None) -> Workload:
    arrivals = Arrivals(
        arrival_s=found.arrival_s,
        prompt=np.maximum(1, found.input_tokens),
        output=np.maximum(1, found.output_tokens),
        blocks=found.blocks,
        block_tokens=found.block_tokens if found.blocks is not None else PAGE_TOKENS,
    )
    whole = len(arrivals)
    notes = ["arrivals and lengths as observed"]
    if count is not None and count < whole:
        arrivals = arrivals.first(count)
        notes.append(f"the first {count:,} of {whole:,} requests")
    if rate is not None:
        notes.append(f"played at {rate / arrivals.rate:.3g} times the speed of the trace")
        arrivals = arrivals.at_rate(rate)
    if found.blocks is not None:
        notes.append(f"shared prefixes as observed, in blocks of {found.block_tokens} tokens")
    return Workload(name, arrivals, tuple(notes))


def _drawn(summary: TraceSummary, count: int, rate: float | None, cv: float | None, seed: int) -> Workload:
    """Requests with the summary's joint lengths, hours, burst and reuse."""
    if summary.lengths is None:
        mend = "replay one that has lengths, or a file with requests"
        raise MissingFigureError(f"trace {summary.name!r}", "lengths of requests", mend)
    mean = rate or summary.mean_rps
    if mean is None:
        raise MissingFigureError(f"trace {summary.name!r}", "rate", "give --rate")
    chance = np.random.default_rng([20251124, seed])
    hours = _hours(summary)
    spread, burst = _burst(summary, cv)
    times = arrival_times(count, mean, spread, chance, hours)
    prompt, output = _lengths(summary.lengths, count, chance)
    reuse = 0.0 if summary.prefix is None else summary.prefix.share
    notes = (
        f"{count:,} requests drawn from the summary of {summary.name} with seed {seed}",
        f"lengths: {summary.lengths.pairing}",
        _hours_text(hours),
        burst,
    )
    if not reuse:
        return Workload(summary.name, Arrivals(times, prompt, output, None, PAGE_TOKENS), notes)
    shared = f"{reuse:.1%} of the prompt shared within {PREFIX_FAMILIES} families of prompts (assumed)"
    blocks = _families(prompt, reuse, chance)
    return Workload(summary.name, Arrivals(times, prompt, output, blocks, BLOCK_TOKENS), (*notes, shared))


def _hours_text(hours: list[float]) -> str:
    if not hours:
        return "an even rate"
    return f"hours of the {'week' if len(hours) == 168 else 'day'} from the busiest on"


def _hours(summary: TraceSummary) -> list[float]:
    """The hourly ratios from the busiest hour on; a gap counts as the mean."""
    if summary.rhythm is None:
        return []
    ratios = [1.0 if hour is None else hour for hour in summary.rhythm.hours]
    busiest = int(np.argmax(ratios))
    return ratios[busiest:] + ratios[:busiest]


def _burst(summary: TraceSummary, cv: float | None) -> tuple[float, str]:
    if cv is not None:
        return cv, f"gaps of variability {cv:g} as given"
    if summary.burst is None:
        return 1.0, "Poisson arrivals: the trace does not tell its gaps"
    if "artefact" in summary.burst.kind:
        return 1.0, f"Poisson arrivals: the trace's gaps are an {summary.burst.kind}"
    return summary.burst.cv, f"gaps of variability {summary.burst.cv:g} ({summary.burst.kind})"


def _lengths(
    lengths: JointLengths, count: int, chance: np.random.Generator
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """From the joint cells; from the margins, input and output independent, where only they are published."""
    if lengths.cells:
        weight, prompt, output = (
            np.array([getattr(cell, name) for cell in lengths.cells]) for name in ("weight", "input", "output")
        )
        return lengths_of_cells(count, weight, prompt, output, chance)
    margins = Lengths(lengths.input.mean, lengths.output.mean, _pairs(lengths.input), _pairs(lengths.output))
    sides = (chance.permutation(margins.grid(side, count)) for side in ("input", "output"))
    prompt, output = (np.maximum(1, np.rint(side)).astype(np.int64) for side in sides)
    return prompt, output


def _pairs(margin: Margin) -> tuple[tuple[float, float], ...]:
    pairs = ((share, getattr(margin, name)) for name, share in QUANTILES)
    return tuple((share, float(tokens)) for share, tokens in pairs if tokens is not None)


def _families(prompt: npt.NDArray[np.int64], reuse: float, chance: np.random.Generator) -> tuple[Sequence[int], ...]:
    """Names of prompt blocks such that about ``reuse`` of the prompt is found in a warm cache."""
    family = chance.integers(0, PREFIX_FAMILIES, prompt.size).tolist()
    blocks = np.rint(reuse * prompt / BLOCK_TOKENS).astype(np.int64).tolist()
    return tuple(range(own << 32, (own << 32) + count) for own, count in zip(family, blocks, strict=True))
