"""`waferlag hindcast`: the gate law replayed on the real history, scored against what happened and against rivals."""

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from executor.errors import UnknownNameError, UserMistakeError
from waferlag.commands.options import JsonFile
from waferlag.files import report_json, require_folders

if TYPE_CHECKING:
    from planner.hindcast import Hindcast, Target

READINGS = ("main", "literal", "paper", "mild")


def hindcast(
    as_of: Annotated[
        list[dt.datetime] | None,
        typer.Option("--as-of", formats=["%Y-%m-%d"], help="Forecast from this day; may be given again."),
    ] = None,
    reading: Annotated[
        str, typer.Option("--reading", help="Reading of the record: main, literal, paper or mild.")
    ] = "main",
    json_file: JsonFile = None,
    markdown: Annotated[
        Path | None,
        typer.Option("--markdown", help="Index page; figures and pages go into the folder of its name beside it."),
    ] = None,
) -> None:
    """Forecast the gates from past days with what was public then, and score it against what happened."""
    from planner.hindcast import TWELVE_DATES, hindcast, monthly_dates
    from waferlag.text.scores import forecast_table

    require_folders([json_file, markdown])
    if reading not in READINGS:
        raise UnknownNameError("reading", reading, READINGS)
    days = tuple(moment.date() for moment in as_of) if as_of else TWELVE_DATES
    replay = hindcast(_within_record(days), reading=reading)
    if as_of:
        print(forecast_table(replay))
        print(f"\nBrier {replay.brier():.3f}, log {replay.log():.3f} over {len(replay.targets)} states.")
    else:
        from dashboard.accuracy.pages import section_text
        from waferlag.accuracy.gates import hindcast_figures
        from waferlag.accuracy.pages import write_figures

        readings = {name: hindcast(days, reading=name) for name in READINGS[1:]}
        figures = hindcast_figures(replay, hindcast(monthly_dates(), reading=reading), readings)
        print(section_text("hindcast", figures))
        if markdown is not None:
            write_figures(markdown, "hindcast", figures)
            print(f"Section written into {markdown.with_suffix('')}")
    report_json(json_file, _document(replay))


_FIRST = dt.date(2022, 11, 8)


def _within_record(days: tuple[dt.date, ...]) -> tuple[dt.date, ...]:
    """The days, if each lies where there was something to forecast and something happened afterwards."""
    from planner.hindcast import END

    for day in days:
        if not _FIRST <= day < END:
            raise UserMistakeError(f"--as-of: the record can be replayed from {_FIRST} to before {END} (got {day})")
    return days


def _document(replay: "Hindcast") -> dict[str, Any]:
    """Every forecast and outcome, with what is needed to get them again."""
    from planner.hindcast import LAWS
    from planner.record.provenance import versions
    from planner.scenario.stored import SCHEMA_VERSION

    return {
        "schema_version": SCHEMA_VERSION,
        "versions": versions().model_dump(),
        "dates": [str(day) for day in replay.dates],
        "reading": replay.reading,
        "draws": replay.draws,
        "scores": {law: {"brier": replay.brier(law), "log": replay.log(law)} for law in LAWS},
        "coverage_80": replay.coverage,
        "targets": [_target(target) for target in replay.targets],
    }


def _target(target: "Target") -> dict[str, Any]:
    from planner.hindcast import LAWS

    return {
        "as_of": str(target.as_of),
        "product": target.product,
        "gate": target.gate,
        "days": target.days,
        "said": {law: [float(share) for share in target.said[law]] for law in LAWS},
        "happened": target.truth.name.lower(),
    }
