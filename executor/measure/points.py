"""Loads to measure, and the profile that their results make."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from typing import Unpack

import numpy as np

from executor.errors import BadInputError, MissingFigureError
from executor.measure.loadgen import Ask, Prompt, Run, closed_loop, open_loop
from executor.profile import Point, Provenance, Served, ServingProfile
from executor.replay.arrivals import Arrivals, arrival_times
from executor.replay.rate_search import highest_good
from executor.serving_metrics import Bounds

WORDS = (
    "time", "year", "people", "way", "day", "man", "thing", "woman", "life", "child", "world", "school", "state",
    "family", "student", "group", "country", "problem", "hand", "part", "place", "case", "week", "company",
    "system", "program", "question", "work", "number", "night", "point", "home", "water", "room", "mother",
)  # fmt: skip
"""Common words that usual tokenisers take as one token each."""
MOST_DOUBLINGS = 6
"""Each is a whole measurement, and the slow ones last longest."""
SEARCH_PRECISION = 0.05
"""Two measurements of one load differ by as much; a finer search would bisect noise."""

Opened = Callable[[], AbstractAsyncContextManager[Ask]]
"""Opens what is measured, for the time of one event loop."""


@dataclass(frozen=True)
class Dummy:
    """Prompts without meaning, each different, so that no prefix cache helps.

    ``vocab``: prompts are token ids below it; None: prompts are words, and their token count is the server's.
    """

    vocab: int | None = None
    seed: int = 0

    def prompts(self, lengths: Sequence[int], outputs: Sequence[int]) -> list[Prompt]:
        """One prompt for each pair of lengths in tokens."""
        chance = np.random.default_rng([20251128, self.seed])
        return [
            Prompt(self._content(chance, length), length, output)
            for length, output in zip(lengths, outputs, strict=True)
        ]

    def _content(self, chance: np.random.Generator, length: int) -> str | tuple[int, ...]:
        if self.vocab is None:
            return " ".join(WORDS[at] for at in chance.integers(0, len(WORDS), length))
        return tuple(chance.integers(0, self.vocab, length).tolist())


@dataclass(frozen=True)
class Bench:
    """Measures one thing at loads of equal requests, or at those of a trace."""

    opened: Opened
    dummy: Dummy
    warmup: int = 2
    """Requests before each measurement that are not counted."""

    def closed(self, isl: int, osl: int, concurrency: int, requests: int) -> Run:
        """``requests`` equal requests from so many clients."""
        prompts = self.dummy.prompts([isl] * requests, [osl] * requests)
        return self._run(lambda ask: closed_loop(ask, prompts, concurrency), prompts)

    def poisson(self, isl: int, osl: int, rate: float, requests: int) -> Run:
        """``requests`` equal requests at random times, ``rate`` a second on average."""
        times = arrival_times(requests, rate, 1.0, np.random.default_rng([20251129, self.dummy.seed]))
        return self.trace(Arrivals(times, np.full(requests, isl), np.full(requests, osl)))

    def trace(self, arrivals: Arrivals) -> Run:
        """The requests of a trace at their own times; contents are dummies of the same lengths."""
        prompts = self.dummy.prompts(arrivals.prompt.tolist(), arrivals.output.tolist())
        return self._run(lambda ask: open_loop(ask, prompts, arrivals.arrival_s), prompts)

    def _run(self, measure: Callable, prompts: Sequence[Prompt]) -> Run:
        async def main() -> Run:
            async with self.opened() as ask:
                before = replace(self.dummy, seed=self.dummy.seed + 1_000_003).prompts(
                    [p.tokens for p in prompts[: self.warmup]], [p.max_tokens for p in prompts[: self.warmup]]
                )
                if before:
                    await closed_loop(ask, before, len(before))
                return await measure(ask)

        return asyncio.run(main())


@dataclass(frozen=True)
class HighestRate:
    """Result of a search: the highest rate that kept the bounds, and its run; 0 and None where none did."""

    rate: float
    run: Run | None
    tried: tuple[tuple[float, float], ...]
    """Every (rate, share of requests within the bounds), in order."""


def highest_rate(run_at: Callable[[float], Run], bounds: Bounds, share: float, start: float) -> HighestRate:
    """The highest rate at which ``share`` of the requests meets every bound, by measurements in a row."""
    tried: list[tuple[float, float]] = []
    kept: dict[float, Run] = {}

    def good(rate: float) -> bool:
        run = run_at(rate)
        tried.append((rate, run.attained(bounds)))
        if tried[-1][1] >= share:
            kept[rate] = run
        return tried[-1][1] >= share

    low, _ = highest_good(good, start, SEARCH_PRECISION, MOST_DOUBLINGS)
    return HighestRate(low, kept.get(low), tuple(tried))


def point_of(run: Run, bounds: Bounds | None = None) -> Point:
    """One measured point. BadInputError, with the failures, where no request was completed."""
    if not run.outcomes["completed"]:
        raise BadInputError(f"no request was completed ({outcomes_text(run)}): {'; '.join(run.messages)}")
    latencies = run.latencies
    if run.concurrency is None and run.rate is None:
        raise MissingFigureError("an open loop of one request", "rate", "send two or more")
    return Point(
        input_tokens=float(latencies.prompt.mean()),
        output_tokens=float(latencies.output.mean()),
        concurrency=None if run.concurrency is None else float(run.concurrency),
        request_rate=run.rate if run.concurrency is None else None,
        metrics=run.metrics(bounds),
    )


def outcomes_text(run: Run) -> str:
    """How the requests ended, all kinds of failure by name: 62 completed, 2 slow."""
    return ", ".join(f"{count:,} {name}" for name, count in run.outcomes.items() if count or name == "completed")


def profile_of(
    runs: Sequence[Run], *, model: str, provenance: Provenance, bounds: Bounds | None = None, **served: Unpack[Served]
) -> ServingProfile:
    """The measured profile of these runs; what failed in each of them stands in the notes."""
    notes = [f"{_load_text(run)}: {outcomes_text(run)}; sent {run.lateness_ms:.1f} ms late at p99" for run in runs]
    if any(run.counted_pieces for run in runs):
        notes.append("the server did not count tokens: each piece of text counts as one")
    return ServingProfile(
        model=model,
        **served,
        label="measured",
        points=tuple(point_of(run, bounds) for run in runs),
        provenance=provenance,
        notes=". ".join(notes),
    )


def _load_text(run: Run) -> str:
    return f"{run.concurrency} clients" if run.concurrency is not None else f"{run.rate or 0:.4g} requests/s"
