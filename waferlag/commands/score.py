"""`waferlag score`: how well the step-time model predicts a table of measured rows."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

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
        typer.Option(
            "--calibration-rows", help="Rows per group that calibrate, at most; may be given again."
        ),
    ] = None,
    figure: Annotated[
        list[str] | None,
        typer.Option(
            "--figure", help="A figure that GPUs of the table lack, NAME=VALUE; may be given again."
        ),
    ] = None,
    held_out: Annotated[
        bool,
        typer.Option("--held-out", help="Score each group also with a prior made from the others alone."),
    ] = False,
    json: Annotated[Path | None, typer.Option("--json", help="Write the score here as JSON.")] = None,
    markdown: Annotated[
        Path | None,
        typer.Option(
            "--markdown", help="Index page; figures and pages go into the folder of its name beside it."
        ),
    ] = None,
    rows_out: Annotated[
        Path | None, typer.Option("--rows-out", help="Write the rows that calibrate here as CSV.")
    ] = None,
) -> None:
    """Print error, bias and interval coverage per group, with 0, 2 and 4 calibration rows unless told
    otherwise.
    """
    from executor.errors import FileError, UserMistakeError
    from executor.estimate.accuracy import COUNTS, score_held_out
    from executor.estimate.accuracy import score as scored
    from executor.estimate.measured_points import read_measured
    from waferlag.commands.estimate import figures_of
    from waferlag.settings import settings as limits
    from waferlag.text.scores import score_text

    counts = tuple(dict.fromkeys(calibration_rows or COUNTS))
    for count in counts:
        if not 0 <= count <= MOST_CALIBRATION_ROWS:
            raise UserMistakeError(
                f"--calibration-rows must be from 0 to {MOST_CALIBRATION_ROWS} (got {count})"
            )
    cleaned = read_measured(cases, figures_of(figure or []), limits().max_case_rows)
    if not cleaned.cases:
        first = cleaned.rejected[0]
        raise FileError(cases, f"has no row that can be scored; the first: {first.reason}", row=first.line)
    settings = scored(cleaned.cases, counts)
    if held_out:
        settings = (*settings, *score_held_out(cleaned.cases, counts))
    if json is not None:
        from waferlag.files import write_whole

        write_whole(json, _document(settings, cleaned, str(cases)))
    if markdown is not None:
        from waferlag.accuracy.pages import write_figures
        from waferlag.accuracy.serving import serving_figures

        write_figures(markdown, "serving", serving_figures(settings, cleaned, cases.name))
    if rows_out is not None:
        _write_rows(rows_out, cleaned, max(counts))
    print(score_text(settings, cleaned))


def _write_rows(path: Path, cleaned: "Cleaned", count: int) -> None:
    import csv
    import io

    from executor.estimate.accuracy import CALIBRATION_COLUMNS, calibration_table
    from waferlag.files import write_whole

    text = io.StringIO()
    writer = csv.DictWriter(text, CALIBRATION_COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(calibration_table(cleaned.cases, count))
    write_whole(path, text.getvalue())


def _document(settings: "Sequence[Setting]", cleaned: "Cleaned", source: str) -> str:
    import json
    from dataclasses import asdict

    from executor.estimate.accuracy import RULE
    from waferlag import __version__

    return json.dumps(
        {
            "schema_version": SCHEMA_VERSION,
            "versions": {"waferlag": __version__},
            "cases": source,
            "rows": len(cleaned.cases),
            "rejected": [asdict(row) for row in cleaned.rejected],
            "calibration_rule": RULE,
            "settings": [
                {
                    "rows_at_most": setting.rows_at_most,
                    "held_out": setting.held_out,
                    "summary": asdict(setting.summary) if setting.groups else None,
                    "groups": [asdict(group) for group in setting.groups],
                    "not_averaged": [asdict(group) for group in setting.uncalibrated],
                }
                for setting in settings
            ],
        },
        indent=2,
        allow_nan=False,
    )
