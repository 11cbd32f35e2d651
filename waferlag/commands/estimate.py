"""`waferlag estimate`: what one replica serves, with interval and label; one set-up or a table of them."""

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from executor.errors import DoesNotFitError, UnknownNameError, UserMistakeError
from waferlag import __version__
from waferlag.commands.options import Figures, JsonFile, Served, grouped, number
from waferlag.files import csv_text, write_json, write_whole

if TYPE_CHECKING:
    from executor.estimate.closed_loop import Estimate

SCHEMA_VERSION = 1

PREDICTED = (
    *("predicted_ttft_ms", "predicted_ttft_ms_low", "predicted_ttft_ms_high"),
    *("predicted_tpot_ms", "predicted_tpot_ms_low", "predicted_tpot_ms_high"),
    "predicted_output_tokens_per_s_per_gpu",
    *("predicted_output_tokens_per_s_per_gpu_low", "predicted_output_tokens_per_s_per_gpu_high"),
    *("label", "fits", "mfu", "mbu", "reason"),
)
"""Columns that a table of cases gains."""


@grouped
def estimate(
    served: Served,
    isl: Annotated[float, typer.Option("--isl", help="Prompt tokens of a request.")] = 1024,
    osl: Annotated[float, typer.Option("--osl", help="Output tokens of a request.")] = 1024,
    concurrency: Annotated[float, typer.Option("--concurrency", help="Clients of one replica.")] = 16,
    prefix_reuse: Annotated[
        float, typer.Option("--prefix-reuse", help="Share of the prompt in the prefix cache.")
    ] = 0.0,
    figure: Figures = None,
    json_file: JsonFile = None,
    cases: Annotated[
        Path | None,
        typer.Option(
            "--cases",
            help="CSV of set-ups: gpu, engine, model, precision, input_tokens, output_tokens, concurrency, tp ..",
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Where --cases writes; without it stdout.")] = None,
) -> None:
    """Estimate TTFT, TPOT and throughput per GPU of one replica, or of every row of a table."""
    from executor.estimate.closed_loop import estimate as estimated
    from executor.steptime.workload import Load

    figures = figures_of(figure or [])
    if cases is not None:
        if served.model is not None or served.gpu is not None:
            raise UserMistakeError("--cases answers a whole table: leave out --model and --gpu")
        _table(cases, out, figures)
        return
    if out is not None:
        raise UserMistakeError("--out goes with --cases; a single estimate is written by --json")
    setup = served.setup("say what is served where: --model and --gpu, or --cases FILE.csv", figures)
    found = estimated(setup, Load(isl, osl, concurrency, prefix_reuse), served.engine_version)
    write_json(json_file, _document(found, served.engine_version, figures))
    print(report(found))


def report(found: "Estimate") -> str:
    """The estimate on a terminal: figures with their 80 % intervals, memory, what limits, and why to believe it."""
    load = found.load
    parts = ", ".join(f"{name} {value:.2f}" for name, value in found.parts_ms.items())
    lines = [
        f"{found.model} in {found.precision} on {found.layout.gpus} x {found.gpu} ({found.layout}),"
        f" {found.engine}, KV cache {found.kv_precision}",
        f"{load.isl:g} in / {load.osl:g} out, {load.concurrency:g} clients",
        "",
        f"  TTFT        {_figure(found.ttft_ms)} ms",
        f"  TPOT        {_figure(found.tpot_ms)} ms",
        f"  throughput  {_figure(found.output_tokens_per_s_per_gpu)} output tokens/s per GPU",
        f"  label       {found.label} ({found.calibration_rows} measured rows)",
        f"  memory      fits: weights {found.memory.weights_gb:.1f} of {found.memory.usable_gb:.1f} GB usable per"
        f" GPU, {found.kv_tokens:,.0f} tokens of KV cache per replica",
        f"  in service  {found.in_service:.1f} of {load.concurrency:g} requests",
        f"  MFU, MBU    {found.mfu:.3f}, {found.mbu:.3f}",
        f"  limited by  {found.limits}",
        f"  of a token  {parts} (ms)",
        f"  because     {found.reason}",
    ]
    return "\n".join(lines)


def _figure(figure: Any) -> str:
    return f"{_digits(figure.value):>10}  (80 %: {_digits(figure.low)} to {_digits(figure.high)})"


def _digits(value: float) -> str:
    """Four digits, and all of them before the point where there are more: no powers of ten."""
    return f"{value:,.0f}" if abs(value) >= 9999.5 else f"{value:.4g}"


def figures_of(given: list[str]) -> dict[str, float]:
    """NAME=VALUE pairs that the user vouches for; the names are those of the accelerator table."""
    from executor.reference.accelerators import FIGURES

    found = {}
    for pair in given:
        name, equals, text = pair.partition("=")
        if name not in FIGURES:
            raise UnknownNameError("GPU figure", name, FIGURES)
        value = number(text)
        if not equals or not 0 < value < float("inf"):
            raise UserMistakeError(f"--figure {pair}: write NAME=VALUE with a positive number")
        found[name] = value
    return found


def _document(found: "Estimate", engine_version: str, figures: dict[str, float]) -> dict[str, Any]:
    return {
        "schema_version": SCHEMA_VERSION,
        "versions": {"waferlag": __version__},
        "engine_version": engine_version,
        "figures": figures,
        "fits": found.memory.fits,
        **asdict(found),
    }


def _table(path: Path, out: Path | None, figures: dict[str, float]) -> None:
    """Answer every row; one that cannot be answered says why and stops nothing."""
    import sys

    from executor.estimate.measured_points import read_table
    from waferlag.settings import settings

    table = read_table(path, most_rows=settings().max_case_rows)
    columns = [*(name for name in table[0][1] if name not in PREDICTED), *PREDICTED]
    rows = [{**cells, **predicted_cells(line, cells, figures)} for line, cells in table]
    answered = sum(bool(row["predicted_tpot_ms"]) for row in rows)
    if out is None:
        print(csv_text(columns, rows), end="")
    else:
        write_whole(out, csv_text(columns, rows))
        print(f"{out}: {answered} of {len(rows)} rows estimated")
    if answered < len(rows):
        print(f"{len(rows) - answered} row(s) without an estimate; the column reason says why", file=sys.stderr)


def predicted_cells(line: int, cells: Any, figures: dict[str, float]) -> dict[str, str]:
    """The added columns of one row; empty predictions and the reason where there is no answer."""
    from executor.estimate.closed_loop import estimate
    from executor.estimate.measured_points import case_of

    nothing = dict.fromkeys(PREDICTED, "")
    try:
        case = case_of(line, cells, measured=False, figures=figures)
        found = estimate(case.setup, case.load, case.group.version)
    except DoesNotFitError as problem:
        return {**nothing, "fits": "false", "reason": str(problem)}
    except UserMistakeError as problem:
        return {**nothing, "reason": str(problem)}
    return _cells_of(found, case.notes)


def _cells_of(found: "Estimate", notes: Iterable[str]) -> dict[str, str]:
    figures = {
        "predicted_ttft_ms": found.ttft_ms,
        "predicted_tpot_ms": found.tpot_ms,
        "predicted_output_tokens_per_s_per_gpu": found.output_tokens_per_s_per_gpu,
    }
    ends = {"": "value", "_low": "low", "_high": "high"}
    return {
        **{
            name + end: f"{getattr(figure, side):.6g}" for name, figure in figures.items() for end, side in ends.items()
        },
        "label": found.label,
        "fits": "true",
        "mfu": f"{found.mfu:.4f}",
        "mbu": f"{found.mbu:.4f}",
        "reason": "; ".join((found.reason, *notes, f"limited by {found.limits}")),
    }
