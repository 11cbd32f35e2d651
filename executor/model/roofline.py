"""Peaks of an accelerator, and what share of them a measurement or an estimate uses (MFU, MBU)."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Literal

from executor.errors import BadInputError, ImpossibleFigureError, MissingFigureError

Precision = Literal["bf16", "fp8", "int8", "int4", "fp4"]
PRECISIONS: tuple[Precision, ...] = ("bf16", "fp8", "int8", "int4", "fp4")

ROUNDING = 1.005
"""A share up to this much above 1 is taken as 1: published figures are rounded to three digits."""


_PEAKS = {"bf16": "bf16_tflops", "fp8": "fp8_tflops", "int8": "int8_tops", "int4": "bf16_tflops", "fp4": "fp4_tflops"}
"""Which peak the matrix units have for weights of a precision."""


@dataclass(frozen=True)
class Accelerator:
    """One accelerator as published. A missing figure is None; using it raises MissingFigureError.

    GB and TB are decimal; TFLOPS and TOPS are dense peaks; ``interconnect_gb_s`` is the sum of both
    directions of one GPU; ``tpp`` is total processing performance as the export rules define it.
    ``evidence`` and ``confidence`` are the marks of the source, ``conflicts`` what other sources say.
    """

    name: str
    vendor: str = ""
    memory_gb: float | None = None
    bandwidth_tb_s: float | None = None
    bf16_tflops: float | None = None
    fp8_tflops: float | None = None
    int8_tops: float | None = None
    fp4_tflops: float | None = None
    interconnect_gb_s: float | None = None
    tdp_w: float | None = None
    tpp: float | None = None
    availability: str = ""
    evidence: str = ""
    confidence: str = ""
    source: str = ""
    conflicts: str = ""

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.type == "float | None" and value is not None and not (math.isfinite(value) and value >= 0):
                raise BadInputError(f"{self.name}: {field.name} must be a number of 0 or more (got {value!r})")

    def figure(self, name: str) -> float:
        """The figure of that field name; MissingFigureError where nobody published it (or it is 0)."""
        value = getattr(self, name)
        if not value:
            raise MissingFigureError(
                self.name, name, f"no confirmed figure is published; give one explicitly ({name}=...)"
            )
        return float(value)

    def with_figures(self, **given: float) -> Accelerator:
        """The same accelerator with figures that the caller vouches for; the source says so."""
        note = ", ".join(f"{name}={value:g} given by the caller" for name, value in sorted(given.items()))
        source = f"{self.source}; {note}" if note else self.source
        return replace(self, source=source, **given)  # type: ignore[arg-type]

    @property
    def bandwidth_bytes_s(self) -> float:
        """Peak memory bandwidth, bytes/s."""
        return self.figure("bandwidth_tb_s") * 1e12

    @property
    def memory_bytes(self) -> float:
        """Memory size as sold, bytes (10**9 a GB)."""
        return self.figure("memory_gb") * 1e9

    def peak_flops(self, precision: str) -> float:
        """Dense peak of the matrix units for operands of that precision, flop/s.

        Weights of 4-bit integers are multiplied in BF16, so int4 takes the BF16 peak. A chip without
        FP8 units has no FP8 peak and says so.
        """
        field = _PEAKS.get(precision)
        if field is None:
            raise BadInputError(f"precision must be one of {', '.join(PRECISIONS)} (got {precision!r})")
        if not getattr(self, field):
            has = [name for name, f in _PEAKS.items() if getattr(self, f)]
            raise MissingFigureError(
                self.name,
                field,
                f"no dense {precision} peak is published; use {' or '.join(has) or 'another GPU'},"
                f" or give it explicitly ({field}=...)",
            )
        return self.figure(field) * 1e12


def mfu(flops_per_s: float, accelerator: Accelerator, precision: str) -> float:
    """Model flop/s achieved on one GPU as a share of its dense peak at that precision.

    Raises ImpossibleFigureError above 1: no GPU does more than its peak, so the figure, the layout or the
    precision is wrong.
    """
    return _share("MFU", flops_per_s, accelerator.peak_flops(precision), f"{accelerator.name} {precision} peak")


def mbu(bytes_per_s: float, accelerator: Accelerator) -> float:
    """Bytes/s that decoding must read (weights and KV cache) on one GPU as a share of its peak bandwidth.

    Raises ImpossibleFigureError above 1.
    """
    return _share("MBU", bytes_per_s, accelerator.bandwidth_bytes_s, f"{accelerator.name} bandwidth")


def _share(what: str, used: float, peak: float, of: str) -> float:
    if not math.isfinite(used) or used < 0:
        raise BadInputError(f"{what}: the rate used must be a finite number of 0 or more (got {used!r})")
    share = used / peak
    if share > ROUNDING:
        raise ImpossibleFigureError(f"{what} is {share:.2f}, above 1: {used:.3g}/s needed, {of} is {peak:.3g}/s")
    return min(share, 1.0)
