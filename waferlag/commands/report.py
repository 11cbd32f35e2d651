"""`waferlag report`: a stored plan as one HTML file and as a tagged PDF."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from executor.errors import FileError
from waferlag.commands.db import open_chosen
from waferlag.commands.options import Db
from waferlag.files import require_folders, write_whole

if TYPE_CHECKING:
    from planner.record.models import PlanRecord


def report(
    run: Annotated[str, typer.Argument(help="Run id (or its beginning), or the path of a plan's JSON.")],
    html: Annotated[Path | None, typer.Option("--html", help="Write one self-contained HTML file here.")] = None,
    pdf: Annotated[Path | None, typer.Option("--pdf", help="Write a tagged PDF here.")] = None,
    language: Annotated[str, typer.Option("--language", help="en or zh.")] = "en",
    db: Db = None,
) -> None:
    """Write the report of a plan; the same plan gives the same bytes."""
    if html is None and pdf is None:
        html = Path(f"{Path(run).stem}.html")
    targets = [path for path in (html, pdf) if path is not None]
    require_folders(targets)
    record, changed = _stored(run, db, language)
    for path, suffix in ((html, ".html"), (pdf, ".pdf")):
        if path is not None:
            write_whole(path, rendered(record, path, language, changed, suffix))
            print(f"Report: {path}")


def rendered(
    record: "PlanRecord", path: Path, language: str = "en", changed: tuple[str, ...] = (), suffix: str | None = None
) -> str | bytes:
    """A plan's report in the format that ``suffix``, else the ending of ``path``, names.

    Raises :class:`executor.errors.FileError` for an ending that names no format.
    """
    from dashboard.report import html_report, pdf_report

    write = html_report if report_format(path, suffix) == "html" else pdf_report
    return write(record, language, changed)


def report_format(path: Path, suffix: str | None = None) -> Literal["html", "pdf"]:
    """The format that ``suffix``, else the ending of ``path``, names.

    Raises :class:`executor.errors.FileError` for an ending that names no format.
    """
    wanted = (suffix or path.suffix).lower()
    if wanted in (".html", ".htm"):
        return "html"
    if wanted == ".pdf":
        return "pdf"
    raise FileError(path, "a report is HTML or PDF", found=path.suffix, mend="end the name in .html or .pdf")


def _stored(run: str, db: str | None, language: str) -> tuple["PlanRecord", tuple[str, ...]]:
    """The plan, and what moved since the run before it in its schedule."""
    if run.endswith(".json"):
        return plan_of_file(Path(run)), ()
    from db import queries
    from db.repository import RunRepository
    from planner.report.change_sentences import sentence
    from planner.report.language import Wording

    with open_chosen(db) as database:
        record = RunRepository(database).get(run)
        difference = queries.difference(database, run)
    return record, () if difference is None else (sentence(difference.changes, Wording(language)),)


def plan_of_file(path: Path) -> "PlanRecord":
    """The plan of a JSON file.

    :raises executor.errors.FileError: it cannot be read, is of another schema version, or is no whole plan.
    """
    from pydantic import ValidationError

    from planner.record.models import PlanRecord
    from planner.scenario.load import read
    from planner.scenario.stored import require_version

    document = read(path)
    if "schema_version" in document:
        require_version(document, path)
    try:
        return PlanRecord.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        raise FileError(
            path,
            f"is not a plan's JSON: {place}: {first['msg']}",
            mend="write one with `waferlag plan SCENARIO --json FILE`",
        ) from None
