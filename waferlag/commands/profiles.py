"""`waferlag profiles`: serving profiles that were measured here or brought in."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from waferlag.commands.db import open_chosen
from waferlag.commands.options import AttentionDp, CachePrecision, Db, EngineVersion, JsonFile, Pp, Tp, WeightPrecision
from waferlag.files import require_folders, write_json
from waferlag.text.tables import say, table, wrapped

if TYPE_CHECKING:
    from executor.profile import Point, ServingProfile

app = typer.Typer(help="Serving profiles, measured or brought in.", no_args_is_help=True)

LIST_SCHEMA_VERSION = 1
FROM = ("source", "date", "device", "driver", "clocks", "commit", "command")
"""What the provenance of a profile tells."""
SHOWN = ("mean_ttft_ms", "p99_ttft_ms", "mean_tpot_ms", "p99_tpot_ms", "output_throughput")


@app.command("list")
def list_profiles(db: Db = None, json_file: JsonFile = None) -> None:
    """List the stored profiles, newest first."""
    from db.queries import profiles

    require_folders([json_file])
    with open_chosen(db) as database:
        found = profiles(database)
    rows = [{**asdict(each), "created": each.created.isoformat()} for each in found]
    write_json(json_file, {"schema_version": LIST_SCHEMA_VERSION, "profiles": rows})
    if not found:
        say("no profile is stored: measure one, or bring one in (waferlag profiles import FILE)")
        return
    head = ["id", "model", "GPU", "engine", "precision", "label", "stored"]
    rows_shown = [
        [p.id, p.model.split("/")[-1], p.gpu, p.engine, p.precision, p.label, f"{p.created:%Y-%m-%d}"] for p in found
    ]
    say(table(head, rows_shown, whole=[0, 5, 6]))


@app.command()
def show(
    profile: Annotated[str, typer.Argument(help="The profile's id.")], db: Db = None, json_file: JsonFile = None
) -> None:
    """Show one profile: what was measured, at which loads, where and by what command."""
    require_folders([json_file])
    found = stored_profile(profile, db)
    write_json(json_file, found.to_json())
    for line in _profile_text(found):
        say(line)


def _profile_text(found: "ServingProfile") -> list[str]:
    title = (
        f"{found.model} in {found.precision} on {found.layout.gpus} x {found.gpu} ({found.layout}),"
        f" {found.engine} {found.engine_version}".rstrip()
    )
    head = ["load", "in", "out", *(name.removesuffix("_ms") for name in SHOWN)]
    points = table(head, [_row(point) for point in found.points], right=range(1, len(head)), whole=[0])
    made = {name: getattr(found.provenance, name) for name in FROM}
    return [
        *(*wrapped(title), f"label: {found.label}", points),
        *(line for name, value in made.items() if value for line in wrapped(f"{name}: {value}")),
        *(wrapped(found.notes) if found.notes else ()),
    ]


@app.command("import")
def import_profile(
    files: Annotated[
        list[Path], typer.Argument(help="Result files of vllm bench serve, aiperf or guidellm; one profile.")
    ],
    gpu: Annotated[str, typer.Option("--gpu", help="GPU that served.")],
    engine: Annotated[str, typer.Option("--engine", help="Engine that served.")],
    model: Annotated[str | None, typer.Option("--model", help="Model, where the file does not name it.")] = None,
    engine_version: EngineVersion = "",
    precision: WeightPrecision = "bf16",
    kv_precision: CachePrecision = "bf16",
    tp: Tp = 1,
    pp: Pp = 1,
    attention_dp: AttentionDp = 1,
    db: Db = None,
) -> None:
    """Bring in results of vllm bench serve, aiperf or guidellm as one measured profile."""
    from executor.estimate.measured_points import precision_name
    from executor.measure.imports import imported_profile
    from executor.model.cost import Layout

    found = imported_profile(
        files,
        model=model,
        gpu=gpu,
        precision=precision_name(precision),
        engine=engine,
        engine_version=engine_version,
        layout=Layout(tp, pp, attention_dp),
        kv_precision=kv_precision,
    )
    print(f"profile {store_profile(found, db)}: {len(found.points)} measured point(s) of {found.model}")


def stored_profile(profile_id: str, db: str | None) -> "ServingProfile":
    """A profile of the database by its id."""
    from db.repository import profile_body
    from executor.profile import profile_from_json

    with open_chosen(db) as database:
        body = profile_body(database, profile_id)
    return profile_from_json(json.dumps(body), f"profile {profile_id}")


def store_profile(profile: "ServingProfile", db: str | None) -> str:
    """Keep a profile in the database; returns its id."""
    from db.repository import store_profile as stored

    body: dict[str, Any] = json.loads(profile.to_json())
    with open_chosen(db) as database, database.write() as session:
        return stored(session, body)


def _row(point: "Point") -> list[str]:
    load = f"{point.concurrency:g} clients" if point.concurrency else f"{point.request_rate:.3g}/s"
    figures = [point.metrics.get(name, point.estimates.get(name)) for name in SHOWN]
    cells = ["-" if f is None else f"{f:.4g}" if isinstance(f, float | int) else str(f) for f in figures]
    return [load, f"{point.input_tokens:.0f}", f"{point.output_tokens:.0f}", *cells]
