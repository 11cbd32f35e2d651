"""`waferlag check`, `schema` and `scenarios`: the scenario file before anything is computed."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from executor.errors import FileError, UnknownNameError
from waferlag.commands.options import Asked, ScenarioName, With
from waferlag.files import require_folders, write_whole
from waferlag.text.tables import wrapped


def check(scenario: ScenarioName, with_: With = None) -> None:
    """Validate a scenario and say what it holds; all mistakes are told at once."""
    from planner.scenario.load import scenario_hash

    loaded = Asked(scenario, with_).opened()
    found = loaded.scenario
    print("\n".join(wrapped(f"{found.name} is good: {found.title or 'no title'}")))
    for what, said in (
        ("horizon", f"{found.start}, {found.horizon_months} months"),
        ("money", found.currency),
        ("seed", str(found.seed)),
        ("pools", ", ".join(pool.name for pool in found.pools)),
        ("sources", ", ".join(source.name for source in found.sources)),
        ("gates", ", ".join(gate.name for gate in found.gates) or "none"),
        ("overrides", ", ".join(loaded.overrides) or "none"),
        ("hash", scenario_hash(found)),
    ):
        print("\n".join(wrapped(said, f"  {what:<10}")))


def schema() -> None:
    """Print the JSON Schema of a scenario file, for editors."""
    from planner.scenario.models import Scenario

    document = {"$schema": "https://json-schema.org/draft/2020-12/schema", **Scenario.model_json_schema()}
    document["properties"]["overrides"] = {
        "type": "object",
        "additionalProperties": {"type": "object"},
        "description": "Named partial scenarios, laid over this one by `--with NAME`.",
    }
    print(json.dumps(document, indent=2, ensure_ascii=False))


def scenarios(
    copy: Annotated[
        str | None, typer.Option("--copy", help="Name of a shipped scenario to copy into the folder.")
    ] = None,
    to: Annotated[Path, typer.Option("--to", help="Folder to copy into.")] = Path(),
    overrides: Annotated[bool, typer.Option("--overrides", help="List the overrides that fit any scenario.")] = False,
    gpus: Annotated[bool, typer.Option("--gpus", help="List the GPUs a scenario may name.")] = False,
    models: Annotated[bool, typer.Option("--models", help="List the models a scenario may name.")] = False,
    traces: Annotated[bool, typer.Option("--traces", help="List the shipped traces.")] = False,
) -> None:
    """List the shipped scenarios and the names a scenario may use, or copy one to start from."""
    if copy is not None:
        _copy(copy, to)
        return
    if overrides or gpus or models or traces:
        print("\n".join(_names(overrides, gpus, models)))
        return
    from planner.scenario.load import read, shipped

    for name, path in shipped().items():
        print("\n".join(wrapped(read(path).get("title", ""), f"{name:<20} ")))


def _copy(name: str, to: Path) -> None:
    from planner.scenario.load import shipped

    if name not in shipped():
        raise UnknownNameError("scenario", name, shipped())
    target = to / f"{name}.yaml"
    require_folders([target])
    if target.exists():
        raise FileError(target, "exists already", mend="move it away, or name another folder with --to")
    write_whole(target, shipped()[name].read_bytes())
    print(target)


def _names(overrides: bool, gpus: bool, models: bool) -> Iterable[str]:
    """The names of the first kind that is asked for, else of the shipped traces."""
    from executor.model.spec import known_models
    from executor.reference.accelerators import accelerators
    from planner.reference.traces import trace_names
    from planner.scenario.load import common_overrides

    if overrides:
        return common_overrides()
    if gpus:
        return (accelerator.name for accelerator in accelerators())
    return known_models() if models else trace_names()
