"""Goodput at an SLO with its level from the replay of the scheduler and its spread from the closed form.

The closed form (``planner.serving``) answers for every posterior draw at once, but takes queues as M/G/1 and the number
in service as Poisson-like, and so promises too much (docs/accuracy/serving.md, "Goodput by formula against replay").
The replay runs the engine's scheduler request by request, at the most likely parameters, over requests of the pool's
own trace. Arrivals at one replica are Poisson: dealing a stream out to N replicas thins it, and of a variability
cv^2 the share 1/N is left, cv_N^2 = 1 + (cv^2 - 1) / N (renewal streams, random dealing).

A replay takes seconds, and its answer depends on what ``Question`` holds and on nothing else. So answers are kept, and
found again by what was asked: those of the shipped scenarios come with the product, others in the ``Memory`` that the
caller hands in.
"""

import csv
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cache, lru_cache
from typing import Protocol

import numpy as np

from executor.arithmetic_series import Ints
from executor.estimate.calibration import belief
from executor.estimate.keys import key_of, priors_version, row_inputs, setup_inputs
from executor.estimate.lengths import LengthCell, Lengths
from executor.estimate.open_loop import goodput
from executor.estimate.slo import Goodput, Slo
from executor.model.cost import decode_step_bytes
from executor.model.roofline import mbu
from executor.reference import SHIPPED
from executor.replay.arrivals import lengths_of_cells
from executor.replay.cluster import STEADY, Peak, goodput_by_replay, replica_limits
from executor.serving_metrics import Bounds
from executor.steptime.batch import batch_time
from executor.steptime.workload import Setup

VERSION = 2
"""Of the replay and the step times it runs on; a change that moves a rate makes a new one, and every answer is asked
again (``make tables``)."""
TURNOVERS = 50
"""Requests of each run of the search / requests in service at once: a queue needs many lives to settle. The rate
found then still varies with the random numbers, by 2 % for short answers and 10 % for a reasoning model's."""
FEWEST, MOST = 3000, 8000
"""Requests of a run at least and at most."""
LENGTHS = 512
"""Equally likely lengths that stand for a distribution of which only the margins are known."""
MOST_BATCH = 8192
"""Sequences that a replica may run at once: memory and the SLO limit it, not a setting."""
DIGITS = 6
"""Significant digits of an answer that are kept."""
TABLE = "replayed_goodput.csv"


@dataclass(frozen=True)
class Question:
    """All that the replay's answer depends on: what is served where, to whom, and how well."""

    setup: Setup
    lengths: Lengths
    slo: Slo
    prefix_reuse: float = 0.0
    version: str = ""
    """Engine version whose measured rows are preferred."""
    cells: tuple[LengthCell, ...] = ()
    """Joint law of the lengths; empty: the margins of ``lengths``, independent."""
    requests: int | None = None
    """Requests of each run; None: as many as ``TURNOVERS`` asks for."""

    @property
    def key(self) -> str:
        """A name for the question, made of nothing that is computed."""
        return key_of(
            {
                "version": VERSION,
                "priors": priors_version(),
                "setup": setup_inputs(self.setup),
                "rows": row_inputs(belief(self.setup, self.version).rows),
                "lengths": asdict(self.lengths),
                "cells": [(cell.weight, cell.input, cell.output) for cell in self.cells],
                "slo": asdict(self.slo),
                "rest": (self.prefix_reuse, self.requests),
            }
        )


@dataclass(frozen=True)
class Answer:
    """The highest rate that the replay serves within the SLO, and what the requests meet there."""

    requests_per_s: float
    bound: str
    """What is missed above it."""
    concurrency: float
    """Mean requests under way, waiting ones included."""
    ttft_ms: float
    tpot_ms: float
    """Means over requests."""


class Memory(Protocol):
    """Where answers are kept from one process to the next."""

    def get(self, key: str) -> Answer | None:
        """The answer to the question of that key, if it is known."""

    def put(self, key: str, answer: Answer) -> None:
        """Keep an answer."""

    def __hash__(self) -> int:
        """Of the place where answers are kept: what was found with the help of one place is kept by it."""


@dataclass(frozen=True)
class _Search:
    """A question, and where its answer may be found: that changes nothing in it."""

    asked: Question
    memory: Memory | None = field(compare=False)


def replayed_goodput(asked: Question, memory: Memory | None = None) -> Goodput:
    """``executor.estimate.open_loop.goodput`` with its level brought to what the replay serves within the SLO.

    ``memory``: where the replay's answer is looked for before it is made, and kept. The spread stays the closed form's,
    and so do label and memory fit. Raises as ``goodput`` does. Where the closed form finds no rate, its answer stands.
    """
    return _found(_Search(asked, memory))


@lru_cache(maxsize=256)
def _found(search: _Search) -> Goodput:
    asked = search.asked
    formula = closed_form(asked)
    if not formula.requests_per_s:
        return formula
    return _at_level(formula, answered(asked, search.memory), asked.setup, asked.lengths)


def closed_form(asked: Question) -> Goodput:
    """The closed form's answer: it says where the replay begins and how many requests it takes."""
    return goodput(asked.setup, asked.lengths, asked.slo, asked.prefix_reuse, asked.version)


def answered(asked: Question, memory: Memory | None = None) -> Answer:
    """The answer: shipped, in ``memory``, or replayed now and put there."""
    key = asked.key
    found = shipped_answers().get(key)
    if found is None and memory is not None:
        found = memory.get(key)
    if found is None:
        found = replayed(asked)
        if memory is not None:
            memory.put(key, found)
    return found


def replayed(asked: Question) -> Answer:
    """The answer by replay; a second for each some ten thousand requests."""
    formula, setup, lengths = closed_form(asked), asked.setup, asked.lengths
    believed = belief(setup, asked.version)
    mean = lengths.input_mean + lengths.output_mean / 2
    time = batch_time(believed.on(setup), believed.calibration.theta, mean)
    wanted = 500 * math.ceil(TURNOVERS * formula.concurrency / 500)
    requests = asked.requests or min(MOST, max(FEWEST, wanted))
    prompt, output = _lengths(asked, requests)
    peak = goodput_by_replay(
        time,
        prompt,
        output,
        Bounds(asked.slo.ttft_ms, asked.slo.tpot_ms),
        asked.slo.percentile / 100,
        requests=requests,
        limits=replica_limits(time, max_batch=MOST_BATCH),
        prefix_reuse=asked.prefix_reuse,
        start=formula.requests_per_s,
        paired=bool(asked.cells),
    )
    return _answer(peak)


def _lengths(asked: Question, requests: int) -> tuple[Ints, Ints]:
    """Equally likely lengths: pairs from the joint law, or each side by itself."""
    if asked.cells:
        weight, prompt, output = (
            np.array([getattr(cell, name) for cell in asked.cells]) for name in ("weight", "input", "output")
        )
        return lengths_of_cells(requests, weight, prompt, output, np.random.default_rng(20251128))
    sides = (asked.lengths.grid(side, LENGTHS) for side in ("input", "output"))
    prompts, outputs = (np.maximum(1, np.rint(side)).astype(np.int64) for side in sides)
    return prompts, outputs


def _answer(peak: Peak) -> Answer:
    """Figures of a search's end, in as many digits as are kept."""
    found = peak.at_peak
    if found is None:
        return Answer(0.0, peak.reason, 0.0, 0.0, 0.0)
    first, stop = (round(share * len(found.arrivals)) for share in STEADY)
    arrival, begun, end = (side[first:stop] for side in (found.arrivals.arrival_s, found.first_token_s, found.end_s))
    output = found.arrivals.output[first:stop]
    rows = output > 1
    tpot = float(np.mean((end - begun)[rows] / (output[rows] - 1))) if rows.any() else 0.0
    figures = (peak.rate * float(np.mean(end - arrival)), 1e3 * float(np.mean(begun - arrival)), 1e3 * tpot)
    return Answer(_short(peak.rate), peak.reason, *(_short(figure) for figure in figures))


def _at_level(formula: Goodput, answer: Answer, setup: Setup, lengths: Lengths) -> Goodput:
    """The closed form's answer at the replay's rate."""
    factor = answer.requests_per_s / formula.requests_per_s
    if not factor:
        return replace(formula, requests_per_s=0.0, low=0.0, high=0.0, reason=f"{answer.bound}; {formula.reason}")
    context = lengths.input_mean + lengths.output_mean / 2
    read = float(decode_step_bytes(setup.cost, answer.concurrency, context))
    emitted = 1.0 if setup.drafting is None else setup.drafting.emitted
    spent = formula.limits.split("; ", 1)[-1]
    return replace(
        formula,
        requests_per_s=answer.requests_per_s,
        low=formula.low * factor,
        high=formula.high * factor,
        concurrency=answer.concurrency,
        output_tokens_per_s_per_gpu=formula.output_tokens_per_s_per_gpu * factor,
        ttft_ms=answer.ttft_ms,
        tpot_ms=answer.tpot_ms,
        mfu=formula.mfu * factor,
        mbu=mbu(read / (answer.tpot_ms / 1e3 * emitted), setup.accelerator) if answer.tpot_ms else 0.0,
        limits=f"{answer.bound.split(':')[0]} at the percentile; {spent}",
        reason=f"{formula.reason}; level by replay, {factor:.2f} of the closed form",
    )


@cache
def shipped_answers() -> Mapping[str, Answer]:
    """Answers for the set-ups of the shipped scenarios by key (executor/reference/replayed_goodput.csv).

    None where the table is of another version.
    """
    with (SHIPPED / TABLE).open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["version"] == str(VERSION)]
    return {row["key"]: answer_of(row) for row in rows}


def answer_of(cells: dict[str, str]) -> Answer:
    """An answer from the cells of a row."""
    numbers = (float(cells[name]) for name in ("concurrency", "ttft_ms", "tpot_ms"))
    return Answer(float(cells["requests_per_s"]), cells["bound"], *numbers)


def _short(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
