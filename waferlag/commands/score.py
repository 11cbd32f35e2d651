"""`waferlag score`: how well the step-time model predicts a table of measured rows."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from executor.errors import FileError, UserMistakeError
from waferlag import __version__
from waferlag.commands.estimate import figures_of
from waferlag.commands.options import Figures, JsonFile
from waferlag.files import csv_text, write_json, write_whole

if TYPE_CHECKING:
    from collections.abc import Sequence

    from executor.estimate.accuracy import Setting
    from executor.estimate.measured_points import Cleaned

SCHEMA_VERSION = 1
MOST_CALIBRATION_ROWS = 1000


def score(
    cases: Annotated[Path, typer.Option("--cases", help="CSV of measured rows, with ttft_ms and tpot_ms.")],
    calibration_rows: Annotated[
        list[int] | None,
        typer.Option("--calibration-rows", help="Rows per group that calibrate, at most; may be given again."),
    ] = None,
    figure: Figures = None,
    held_out: Annotated[
        bool, typer.Option("--held-out", help="Score each group also with a prior made from the others alone.")
    ] = False,
    json_file: JsonFile = None,
    markdown: Annotated[
        Path | None,
        typer.Option("--markdown", help="Index page; figures and pages go into the folder of its name beside it."),
    ] = None,
    rows_out: Annotated[
        Path | None, typer.Option("--rows-out", help="Write the rows that calibrate here as CSV.")
    ] = None,
) -> None:
    """Print error, bias and interval coverage per group, with 0, 2 and 4 calibration rows unless told otherwise."""
    from executor.estimate.accuracy import CALIBRATION_COLUMNS, COUNTS, calibration_table, score_held_out
    from executor.estimate.accuracy import score as scored
    from waferlag.accuracy.pages import write_figures
    from waferlag.accuracy.serving import serving_figures
    from waferlag.text.scores import score_text

    counts = _counts(calibration_rows or COUNTS)
    cleaned = _cleaned(cases, figure or [])
    settings = scored(cleaned.cases, counts)
    if held_out:
        settings = (*settings, *score_held_out(cleaned.cases, counts))
    write_json(json_file, _document(settings, cleaned, str(cases)))
    if markdown is not None:
        write_figures(markdown, "serving", serving_figures(settings, cleaned, cases.name))
    if rows_out is not None:
        rows = calibration_table(cleaned.cases, max(counts))
        write_whole(rows_out, csv_text(CALIBRATION_COLUMNS, rows))
    print(score_text(settings, cleaned))


def _counts(given: "Sequence[int]") -> tuple[int, ...]:
    """Rows per group that calibrate, each number once."""
    for count in given:
        if not 0 <= count <= MOST_CALIBRATION_ROWS:
            raise UserMistakeError(f"--calibration-rows must be from 0 to {MOST_CALIBRATION_ROWS} (got {count})")
    return tuple(dict.fromkeys(given))


def _cleaned(cases: Path, figures: list[str]) -> "Cleaned":
    """The rows of the table that can be scored, one at least."""
    from executor.estimate.measured_points import read_measured
    from waferlag.settings import settings

    cleaned = read_measured(cases, figures_of(figures), settings().max_case_rows)
    if not cleaned.cases:
        first = cleaned.rejected[0]
        raise FileError(cases, f"has no row that can be scored; the first: {first.reason}", row=first.line)
    return cleaned


def _document(settings: "Sequence[Setting]", cleaned: "Cleaned", source: str) -> dict[str, Any]:
    from executor.estimate.accuracy import RULE

    return {
        "schema_version": SCHEMA_VERSION,
        "versions": {"waferlag": __version__},
        "cases": source,
        "rows": len(cleaned.cases),
        "rejected": [asdict(row) for row in cleaned.rejected],
        "calibration_rule": RULE,
        "settings": [_setting(each) for each in settings],
    }


def _setting(setting: "Setting") -> dict[str, Any]:
    return {
        "rows_at_most": setting.rows_at_most,
        "held_out": setting.held_out,
        "summary": asdict(setting.summary) if setting.groups else None,
        "groups": [asdict(group) for group in setting.groups],
        "not_averaged": [asdict(group) for group in setting.uncalibrated],
    }
