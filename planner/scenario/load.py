"""From a file, or a shipped scenario's name, to a checked :class:`Scenario` with named overrides.

An override is a partial scenario. Mappings merge key by key; a null takes a key back to its default. Lists
of pools, sources, gates and fleet entries merge entry by entry: an entry with a ``name`` changes the one that
bears it (or joins the list), an entry with ``match`` changes every one whose fields have the given values.
"""

import itertools
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from executor.errors import FileError, Problem, UnknownNameError, did_you_mean, shown
from executor.model.spec import built_in
from executor.user_files import inside, json_value, read_text
from planner.scenario.checks import problems_across_fields
from planner.scenario.errors import ScenarioError
from planner.scenario.fields import MAX_NAME
from planner.scenario.models import Scenario
from planner.scenario.sources import Purchase, Rental
from planner.scenario.stored import canonical_hash, stored_scenario
from planner.scenario.yaml_input import yaml_value

MAX_BYTES = 1_000_000
"""A scenario file larger than this is not read."""
MAX_STORED_BYTES = 20 * MAX_BYTES
"""Nor a JSON file that Waferlag wrote."""
MAX_OVERRIDES = 200
MAX_ENTRIES = 1000
"""Entries of a list that overrides address; no list of a scenario is longer."""
MAX_TOLD = 50
"""Problems told at once; a file has more where something else was meant."""


@dataclass(frozen=True)
class Loaded:
    """A checked scenario and where it came from."""

    scenario: Scenario
    overrides: tuple[str, ...]
    folder: Path
    """Folder against which the file's own paths are read."""


def load(source: str | Path, overrides: Sequence[str] = ()) -> Loaded:
    """Read, merge, validate and check a scenario; all its mistakes are told at once.

    ``source`` is a path to a YAML file or to a plan's JSON, or the name of a shipped scenario.

    :raises ScenarioError: with every problem found.
    :raises FileError: for a file that cannot be read.
    :raises UnknownNameError: for a name or an override that nothing goes by.
    """
    path = locate(source)
    document = read(path)
    before: tuple[str, ...] = ()
    confined: Path | None = path.parent
    if "schema_version" in document:  # Waferlag wrote it; a scenario file has no such field
        document, before = stored_scenario(document, path)
        if path.suffix == ".json":  # its models were looked for when it was planned, and stand with their full paths
            confined = None
    document, own = _split_overrides(document, str(source))
    for name in overrides:
        document = merge(document, _override(name, own))
    scenario = validate(document, str(source), confined)
    return Loaded(scenario, before + tuple(overrides), path.parent)


def locate(source: str | Path) -> Path:
    """The file meant by a path or by a shipped name."""
    path, known = Path(source), shipped()
    if not str(source):
        raise UnknownNameError("scenario", "", known)
    if os.path.isdir(path):  # unlike pathlib's, never raises on a name that cannot be
        raise FileError(source, "is a folder", mend="name the scenario file in it")
    if os.path.exists(path):
        return path
    if str(source) in known:
        return known[str(source)]
    if path.suffix or len(path.parts) > 1:
        near = did_you_mean(path.stem, known)
        hint = f"did you mean the shipped scenario {near}?" if near else "see `waferlag scenarios`"
        raise FileError(source, "no such file", mend=hint)
    raise UnknownNameError("scenario", str(source), known)


@cache
def shipped() -> dict[str, Path]:
    """The shipped scenarios by name, in the order of their numbers."""
    folder = Path(str(resources.files("planner.scenario") / "shipped"))
    return {path.stem: path for path in sorted(folder.glob("[0-9]*.yaml"))}


@cache
def common_overrides() -> dict[str, dict[str, Any]]:
    """Overrides that fit any scenario, by name."""
    return dict(read(Path(str(resources.files("planner.scenario") / "shipped" / "overrides.yaml"))))


def read(path: Path) -> dict[str, Any]:
    """A YAML or JSON file as a mapping.

    :raises FileError: not readable, not UTF-8, too large, not YAML, a key twice, or no mapping.
    """
    is_json = path.suffix == ".json"
    text = read_text(path, MAX_STORED_BYTES if is_json else MAX_BYTES)
    try:
        document = json_value(text) if is_json else yaml_value(text)
    except (yaml.YAMLError, ValueError) as error:
        raise _unreadable(path, error) from None
    if not isinstance(document, dict):
        kind = "nothing" if document is None else f"a {type(document).__name__}"
        raise FileError(path, f"holds {kind}, not a mapping of fields", mend="start with `name: ...`")
    return document


def merge(base: Any, patch: Any) -> Any:
    """``patch`` laid over ``base``; neither is changed.

    >>> merge({"a": 1, "gates": [{"name": "us", "x": 1}]}, {"gates": [{"name": "us", "x": 2}]})
    {'a': 1, 'gates': [{'name': 'us', 'x': 2}]}
    """
    if isinstance(base, Mapping) and isinstance(patch, Mapping):
        merged = {key: merge(base.get(key), value) for key, value in patch.items() if value is not None}
        return {key: merged.get(key, base.get(key)) for key in [*base, *merged] if patch.get(key, 0) is not None}
    if isinstance(patch, list) and any(_addresses(entry) for entry in patch):
        # what is no list stays, for the check to tell of it
        return _merge_entries(base or [], patch) if isinstance(base, list | None) else base
    return patch


def validate(document: Mapping[str, Any], source: str, folder: Path | None = None) -> Scenario:
    """A checked scenario from a mapping; ``folder`` is where the config.json of a model of its own is looked for.

    :raises ScenarioError: with every problem found, up to MAX_TOLD.
    """
    try:
        scenario = Scenario.model_validate(document)
    except ValidationError as error:
        raise ScenarioError(source, [_problem(item) for item in error.errors(include_url=False)[:MAX_TOLD]]) from None
    if folder is not None:
        scenario = _with_models(scenario, folder, source)
    problems = list(itertools.islice(problems_across_fields(scenario), MAX_TOLD))
    if problems:
        raise ScenarioError(source, problems)
    return scenario


def scenario_hash(scenario: Scenario) -> str:
    """SHA-256 of the scenario's canonical JSON: equal for equal inputs, whatever the file looked like."""
    return canonical_hash(scenario.model_dump(mode="json"))


def _unreadable(path: Path, error: Exception) -> FileError:
    """One line for whatever the parser stumbled over."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    row = mark.line + 1 if mark is not None else getattr(error, "lineno", None)
    said = getattr(error, "problem", None) or getattr(error, "msg", None) or str(error).split("\n")[0]
    if "could not determine a constructor" in said:
        said = f"{said.split(' for the tag')[-1].strip()} is a tag that a scenario may not use"
    kind = "JSON" if path.suffix == ".json" else "YAML"
    return FileError(path, f"is not valid {kind}: {said[:200]}", row=row)


def _split_overrides(document: Mapping[str, Any], source: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The scenario without its ``overrides`` section, and that section."""
    own = document.get("overrides") or {}
    if not isinstance(own, dict) or not all(isinstance(patch, dict) for patch in own.values()):
        raise ScenarioError(source, [Problem("overrides", "must map names to partial scenarios", found=own)])
    if len(own) > MAX_OVERRIDES or not all(isinstance(name, str) and len(name) <= MAX_NAME for name in own):
        said = f"must be at most {MAX_OVERRIDES}, with names of at most {MAX_NAME} characters"
        raise ScenarioError(source, [Problem("overrides", said)])
    return {key: value for key, value in document.items() if key != "overrides"}, own


def _override(name: str, own: Mapping[str, Any]) -> dict[str, Any]:
    """A named override: the file's own, a common one, or a YAML file."""
    if name in own:
        return dict(own[name])
    if name in common_overrides():
        return common_overrides()[name]
    if os.path.exists(name) and not os.path.isdir(name):
        return read(Path(name))
    raise UnknownNameError("override", name, [*own, *common_overrides()])


def _addresses(entry: Any) -> bool:
    return isinstance(entry, Mapping) and ("name" in entry or "match" in entry)


def _merge_entries(base: list[Any], patch: list[Any]) -> list[Any]:
    """Entries addressed by name or by match are changed where they stand; new names join at the end."""
    merged = list(base)
    if max(len(base), len(patch)) > MAX_ENTRIES:
        raise ScenarioError("an override", [Problem("list", f"has more than {MAX_ENTRIES:,} entries")])
    for entry in patch:
        if not _addresses(entry):
            merged.append(entry)
            continue
        match = entry.get("match", {"name": entry.get("name")})
        if not isinstance(match, Mapping):
            raise ScenarioError("an override", [Problem("match", "must map fields to values", found=match)])
        change = {key: value for key, value in entry.items() if key != "match"}
        hits = [at for at, old in enumerate(merged) if _matches(old, match)]
        for at in hits:
            merged[at] = merge(merged[at], change)
        if not hits and "match" not in entry:
            merged.append(entry)
    return merged


def _matches(entry: Any, match: Mapping[str, Any]) -> bool:
    return isinstance(entry, Mapping) and all(entry.get(key) == value for key, value in match.items())


def _with_models(scenario: Scenario, folder: Path, source: str) -> Scenario:
    """The scenario with the models that lie in its folder by their full path; those that are shipped need none."""
    pools, problems = [], []
    for at, pool in enumerate(scenario.pools):
        try:
            path = None if built_in(pool.model) else _config_file(pool.model, folder)
        except FileError as error:
            problems.append(Problem(f"pools.{at}.model", str(error)))
            continue
        pools.append(pool if path is None else pool.model_copy(update={"model": str(path)}))
    if problems:
        raise ScenarioError(source, problems)
    return scenario.model_copy(update={"pools": pools})


def _config_file(model: str, folder: Path) -> Path | None:
    """The config.json that a model's name means in a folder, itself or a folder with one; None where there is none."""
    path = inside(folder, model, "model")
    if os.path.isdir(path):
        path = inside(folder, f"{model}/config.json", "model")
    return path.resolve() if path.suffix == ".json" and os.path.isfile(path) else None


def _problem(error: Any) -> Problem:
    """One of pydantic's errors, with the path as the file has it and the nearest known name."""
    location = tuple(error["loc"])
    places, model = _walk(location)
    place = ".".join(map(_step, places)) or "the file"
    message = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        near = did_you_mean(location[-1], model.model_fields) if model else None
        mend = f"did you mean {near}?" if near else f"known: {', '.join(model.model_fields)}" if model else None
        return Problem(place, "no such field", error["input"], mend)
    if error["type"] == "missing":
        return Problem(place, "is required")
    if error["type"] == "model_type":
        return Problem(place, "must be a mapping of fields", error["input"])
    if error["type"] == "source_kind" and isinstance(error["input"], dict):
        return Problem(f"{place}.kind", "must be purchase or rental", error["input"].get("kind"))
    found = error["input"] if not isinstance(error["input"], dict | list) else None
    return Problem(place, message[:1].lower() + message[1:], found)


def _walk(location: Sequence[int | str]) -> tuple[list[str], type[BaseModel] | None]:
    """The path without pydantic's tag of a source's kind, and the model that holds the last step."""
    kinds: dict[int | str, type[BaseModel]] = {"purchase": Purchase, "rental": Rental}
    places: list[str] = []
    models: list[type[BaseModel]] = [Scenario]
    holder: type[BaseModel] | None = Scenario
    for step in location:
        if len(models) > 1 and step in kinds:
            models = [kinds[step]]
            continue
        places.append(str(step))
        holder = models[0] if models else None
        field = holder.model_fields.get(str(step)) if holder is not None else None
        models = models if field is None else _models_in(field.annotation)
    return places, holder


def _step(name: str) -> str:
    """A key of the file as a message shows it."""
    return name if name.isprintable() and len(name) <= MAX_NAME else shown(name)


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    """Every model that an annotation may hold."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models_in(part)]
