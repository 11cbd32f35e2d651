"""Measured serving points: rows of (GPU, engine, model, precision, layout, load) with TTFT and TPOT.

Reads the benchmark tables that calibrate and score the step-time model, and cleans them by rules that look at no
prediction. The columns are those of the public file they come from: gpu, engine, engine_version, model, precision,
input_tokens, output_tokens, concurrency, tp, pp, attention_dp, moe_tp, moe_ep, ttft_ms, tpot_ms, repeats.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TypeVar

from executor.errors import BadInputError, FileError, LimitError, UnknownNameError, UserMistakeError, did_you_mean
from executor.model.cost import Layout, decode_step_bytes, request_flops
from executor.model.roofline import PRECISIONS, Accelerator
from executor.model.spec import model_spec
from executor.reference import SHIPPED
from executor.reference.accelerators import accelerator
from executor.reference.csv_table import csv_lines
from executor.steptime.parameters import Engine, engine
from executor.steptime.transfer import family_of
from executor.steptime.workload import Load, Setup

_Key = TypeVar("_Key")

ASKED = ("gpu", "engine", "model", "precision", "input_tokens", "output_tokens", "concurrency")
"""Columns that a question needs; the layout's default to 1, the engine's version to unknown."""
ANSWERED = ("ttft_ms", "tpot_ms")
"""Columns that a measured row has besides."""
MOST_ROWS = 100_000
"""Rows that one file may have; the setting WAFERLAG_MAX_CASE_ROWS of the front door."""

PRECISION_NAMES = {
    **{"": "bf16", "fp16": "bf16", "bfloat16": "bf16", "half": "bf16", "auto": "bf16"},
    **{"fp8_block": "fp8", "fp8-block": "fp8", "e4m3": "fp8", "w8a8": "int8", "nvfp4": "fp4", "mxfp4": "fp4"},
    **{"w4a16": "int4", "int4_wo": "int4", "awq": "int4", "gptq": "int4"},
}
"""Other spellings of a precision; a blank is BF16 in the public file."""

PER_RANK_ENGINES = ("trtllm",)
"""Engines whose attention-DP rows count concurrency per rank.

In the public file each such row has a twin filed under 64 GPUs that carries the concurrency divided by the
ratio of the ranks, with TTFT and TPOT equal to the microsecond."""

FLOPS_GATE = {"Hopper, full die": 0.75}
"""Useful flops of a cycle / peak above which a row cannot be plain serving (prefix hits are the likely cause): the best
other row of the public file has 0.52. Where a chip's own units are known to reach more, OTHER_FLOPS_GATE."""
OTHER_FLOPS_GATE = 0.95
COPIES_SHARE = 0.75
"""Share of a layout's rows that equal another layout's to the microsecond, from which all of them are copies."""
MERGED_RATIO = 1.3
"""Ratio of TPOT between a merged row and a single run of the same set-up from which two set-ups were merged."""


@dataclass(frozen=True)
class Group:
    """What shares one calibration: (GPU, engine, version, model, precision)."""

    gpu: str
    engine: str
    version: str
    model: str
    precision: str

    def __str__(self) -> str:
        parts = (self.gpu, self.engine, self.version, self.model.split("/")[-1], self.precision)
        return " ".join(part for part in parts if part)


@dataclass(frozen=True)
class Case:
    """One row: a set-up, a load, and what was measured (None where the row only asks)."""

    line: int
    """Line of the file, the header being 1."""
    group: Group
    setup: Setup
    load: Load
    ttft_ms: float | None = None
    tpot_ms: float | None = None
    repeats: int = 1
    notes: tuple[str, ...] = ()

    @property
    def throughput_per_gpu(self) -> float:
        """Output tokens/s per GPU that follow from TTFT and TPOT: C o / (TTFT + TPOT (o-1)) / GPUs."""
        assert self.ttft_ms is not None
        assert self.tpot_ms is not None
        cycle = (self.ttft_ms + self.tpot_ms * (self.load.osl - 1)) / 1e3
        return self.load.concurrency * self.load.osl / cycle / self.setup.layout.gpus


@dataclass(frozen=True)
class Rejected:
    """A row that was left out, and why."""

    line: int
    reason: str


@dataclass(frozen=True)
class Cleaned:
    """Rows that remain, and those left out with the rule that did it."""

    cases: tuple[Case, ...]
    rejected: tuple[Rejected, ...]


def read_table(
    path: Path, needed: Sequence[str] = ASKED, most_rows: int = MOST_ROWS
) -> list[tuple[int, dict[str, str]]]:
    """The rows, each with its line and cells by column, of a CSV file in UTF-8 with at least the needed columns.

    FileError where it is missing, no text, empty, or lacks a column; LimitError where it is too long.
    """
    lines = csv_lines(path)
    header = [name.strip() for name in next(lines, [])]
    if not any(header):
        raise FileError(path, "is empty", mend=f"give at least the columns {', '.join(needed)}")
    lacking = [name for name in needed if name not in header]
    if lacking:
        near = did_you_mean(lacking[0], header)
        mend = f"{lacking[0]} may be spelt {near} here" if near else f"expected {', '.join(needed)}"
        raise FileError(path, f"lacks the column(s) {', '.join(lacking)}", row=1, mend=mend)
    if len(set(header)) < len(header):
        raise FileError(path, "has a column twice", row=1, found=header)
    rows: list[tuple[int, dict[str, str]]] = []
    for line, cells in enumerate(lines, start=2):
        if not any(cell.strip() for cell in cells):
            continue
        if len(rows) >= most_rows:
            raise LimitError(f"{path}: rows", line, most_rows, "the limit on rows")
        padded = [*cells, *[""] * (len(header) - len(cells))]
        rows.append((line, dict(zip(header, map(str.strip, padded), strict=False))))
    if not rows:
        raise FileError(path, "has a header and no rows")
    return rows


def case_of(line: int, cells: Mapping[str, str], measured: bool, figures: Mapping[str, float] | None = None) -> Case:
    """One row as a case; UserMistakeError or ExecutorError says what is wrong with it.

    Optional columns: engine_version, the layout, kv_precision, kv_tokens (from the engine's start-up log),
    prefix_reuse. An unknown engine is timed with the generic prior, and the case says so; an unknown model, GPU or
    precision is an error. ``moe_ep`` 0 and an expert cut of 1 x 1 on several GPUs are read as "not stated".
    """
    spec = model_spec(cells["model"])
    card, given = _with_figures(accelerator(cells["gpu"]), figures or {})
    known, notes = _engine(cells["engine"])
    notes = (*notes, *given)
    layout = _layout(cells).resolved(spec)
    precision = precision_name(cells["precision"])
    concurrency = _number(cells, "concurrency")
    if known.name in PER_RANK_ENGINES and layout.attention_dp > 1:
        concurrency *= layout.attention_dp
        notes = (*notes, f"concurrency read per attention-DP rank: {concurrency:g} per replica")
    case = Case(
        line=line,
        group=Group(card.name, cells["engine"].casefold(), cells.get("engine_version", ""), spec.name, precision),
        setup=Setup(
            spec,
            card,
            precision,
            known,
            layout,
            kv_precision=cells.get("kv_precision") or None,
            kv_tokens=_number(cells, "kv_tokens") if cells.get("kv_tokens") else None,
        ),
        load=Load(
            _number(cells, "input_tokens", 1),
            _number(cells, "output_tokens", 1),
            concurrency,
            _number(cells, "prefix_reuse", 0) if cells.get("prefix_reuse") else 0.0,
        ),
        repeats=int(_number(cells, "repeats", 1)) if cells.get("repeats") else 1,
        notes=notes,
    )
    if not measured:
        return case
    if case.load.osl < 2:
        raise BadInputError("output_tokens must be 2 or more where TPOT is measured (got 1)")
    return replace(case, ttft_ms=_number(cells, "ttft_ms"), tpot_ms=_number(cells, "tpot_ms"))


def precision_name(text: str) -> str:
    """A precision by its usual name, or UnknownNameError with what is known."""
    folded = text.strip().casefold()
    name = PRECISION_NAMES.get(folded, folded)
    if name not in PRECISIONS:
        raise UnknownNameError("precision", text, PRECISIONS)
    return name


def _with_figures(card: Accelerator, figures: Mapping[str, float]) -> tuple[Accelerator, tuple[str, ...]]:
    """The card with the figures it lacks taken from the caller; published ones stay."""
    lacking = {name: value for name, value in figures.items() if getattr(card, name) is None}
    notes = tuple(f"{card.name} {name}={value:g} as given" for name, value in lacking.items())
    return card.with_figures(**lacking), notes


def _engine(name: str) -> tuple[Engine, tuple[str, ...]]:
    try:
        return engine(name), ()
    except UnknownNameError:
        return engine("generic"), (f"engine {name!r} has no record: generic prior",)


def _layout(cells: Mapping[str, str]) -> Layout:
    def count(name: str) -> int:
        text = cells.get(name, "")
        value = _number(cells, name, 0) if text else 1.0
        if value != int(value):
            raise BadInputError(f"{name} must be a whole number (got {text!r})")
        return max(1, int(value)) if name.startswith("moe") else int(value)

    moe_tp, moe_ep = count("moe_tp"), count("moe_ep")
    stated = moe_tp * moe_ep > 1
    return Layout(
        count("tp"), count("pp"), count("attention_dp"), moe_tp if stated else None, moe_ep if stated else None
    )


def _number(cells: Mapping[str, str], name: str, least: float | None = None) -> float:
    """A number of ``least`` or more, None: above 0."""
    text = cells.get(name, "")
    try:
        value = float(text)
    except ValueError:
        raise BadInputError(f"{name} must be a number (got {text!r})") from None
    if not (math.isfinite(value) and (value > 0 if least is None else value >= least) and value <= 1e9):
        bound = "above 0" if least is None else f"of {least:g} or more"
        raise BadInputError(f"{name} must be a number {bound} and at most 1e9 (got {text!r})")
    return value


def read_measured(path: Path, figures: Mapping[str, float] | None = None, most_rows: int = MOST_ROWS) -> Cleaned:
    """The rows of a measured file that can be used, cleaned, and those that cannot, with the reason.

    ``figures`` fills in what nobody published of an accelerator.
    """
    cases: list[Case] = []
    rejected: list[Rejected] = []
    for line, cells in read_table(path, (*ASKED, *ANSWERED), most_rows):
        try:
            cases.append(case_of(line, cells, measured=True, figures=figures))
        except UserMistakeError as problem:
            rejected.append(Rejected(line, str(problem)))
    kept = clean(cases)
    return Cleaned(kept.cases, tuple(sorted((*rejected, *kept.rejected), key=lambda r: r.line)))


def clean(cases: Sequence[Case]) -> Cleaned:
    """Leave out copies and impossible rows, and undo merged ones. No rule looks at a prediction.

    1 A layout of which three quarters of the rows equal rows of a smaller layout of the group to the
      microsecond is a copy filed under a wrong GPU count: all its rows go.
    2 A row that merges two runs (repeats 2 or more) takes the figures of a single run of the same set-up
      among those copies where the two differ by more than 1.3 in TPOT.
    3 A row whose useful flops need more than 0.75 of the peak over its whole cycle, or whose least bytes need
      more than the bandwidth, is not plain serving.
    """
    kept, rejected = _without_copies(cases)
    possible: list[Case] = []
    for case in kept:
        reason = impossible(case)
        if reason:
            rejected.append(Rejected(case.line, reason))
        else:
            possible.append(case)
    return Cleaned(tuple(possible), tuple(rejected))


def _without_copies(cases: Sequence[Case]) -> tuple[list[Case], list[Rejected]]:
    by_group = _grouped(cases, lambda case: case.group)
    kept: dict[int, Case] = {case.line: case for case in cases}
    rejected: list[Rejected] = []
    for members in by_group.values():
        by_layout = _grouped(members, lambda case: case.setup.layout)
        for layout, rows in by_layout.items():
            smaller = [case for case in members if case.setup.layout.gpus < layout.gpus]
            timings = {_timing(case) for case in smaller}
            copies = sum(_timing(case) in timings for case in rows)
            if copies < max(2, COPIES_SHARE * len(rows)):
                continue
            for copy in rows:
                filed = f"copy of a row on fewer GPUs, filed under {layout.gpus} GPUs"
                rejected.append(Rejected(copy.line, filed))
                del kept[copy.line]
            for case in smaller:
                if case.line in kept:
                    kept[case.line] = _unmerged(kept[case.line], rows)
    return list(kept.values()), rejected


def _timing(case: Case) -> tuple[float, float, float | None, float | None]:
    return case.load.isl, case.load.osl, case.ttft_ms, case.tpot_ms


def _unmerged(case: Case, copies: Sequence[Case]) -> Case:
    """The single run's figures where this row is the median of two set-ups."""
    for single in copies:
        same = (single.load.isl, single.load.osl) == (case.load.isl, case.load.osl)
        same = same and single.load.concurrency == case.load.concurrency
        if not same or case.setup.layout.attention_dp > 1 or single.repeats >= case.repeats:
            continue
        assert single.tpot_ms is not None
        assert case.tpot_ms is not None
        ratio = max(single.tpot_ms, case.tpot_ms) / min(single.tpot_ms, case.tpot_ms)
        if ratio > MERGED_RATIO:
            notes = (*case.notes, f"two merged set-ups: the single run of line {single.line} stands for it")
            return replace(case, ttft_ms=single.ttft_ms, tpot_ms=single.tpot_ms, repeats=single.repeats, notes=notes)
    return case


def impossible(case: Case) -> str | None:
    """Why a measured row cannot be plain serving on this hardware; None where it can."""
    assert case.ttft_ms is not None
    assert case.tpot_ms is not None
    setup, load = case.setup, case.load
    cycle = (case.ttft_ms + case.tpot_ms * (load.osl - 1)) / 1e3
    flops = request_flops(setup.spec, load.isl, load.osl) * load.concurrency / cycle / setup.layout.gpus
    used = flops / setup.accelerator.peak_flops(setup.precision)
    gate = FLOPS_GATE.get(family_of(setup.accelerator).name, OTHER_FLOPS_GATE)
    if used > gate:
        return f"useful flops need {used:.0%} of the peak over the whole cycle, above {gate:.0%}"
    # Only the weights are sure to be read each step: the requests in service may be fewer than the clients.
    read = decode_step_bytes(setup.cost, 1.0, load.isl) / setup.accelerator.bandwidth_bytes_s
    if read > case.tpot_ms / 1e3:
        return f"reading the weights takes {read * 1e3:.2f} ms at the full bandwidth, more than TPOT"
    return None


def _grouped(cases: Iterable[Case], key: Callable[[Case], _Key]) -> dict[_Key, list[Case]]:
    groups: dict[_Key, list[Case]] = {}
    for case in cases:
        groups.setdefault(key(case), []).append(case)
    return groups


def by_group(cases: Iterable[Case]) -> dict[Group, list[Case]]:
    """Rows by calibration group, in the order of the file."""
    return _grouped(cases, lambda case: case.group)


@cache
def shipped_points() -> tuple[Case, ...]:
    """The calibration rows that ship with the product (executor/reference/serving_points.csv)."""
    path = SHIPPED / "serving_points.csv"
    cleaned = read_measured(path)
    if cleaned.rejected:
        raise FileError(path, cleaned.rejected[0].reason, row=cleaned.rejected[0].line)
    return cleaned.cases
