"""The scenario inside a JSON file that Waferlag wrote: a plan, a trial of orders, or a table of needs.

Such a file can be run again. It is taken at its word only if it is whole and as it was written: another
version of the schema, or inputs that were edited by hand, would give figures that only look like the old ones.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from executor.errors import FileError
from planner.sampling.seeds import Use, root_of

SCHEMA_VERSION = 2
"""Version of the JSON that `plan`, `simulate` and `size` write."""

READ = (1, 2)
"""Versions that are read; a reader refuses any other."""


def stored_scenario(document: Mapping[str, Any], path: Path) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The scenario as stored, and the names of the overrides that are already in it.

    :raises FileError: another schema version, no scenario, or inputs that were changed after the run.
    """
    require_version(document, path)
    scenario = document.get("scenario")
    if not isinstance(scenario, dict):
        raise FileError(path, "holds no scenario", mend="name a scenario file, or a plan's JSON")
    overrides = document.get("overrides", [])
    if not isinstance(overrides, list) or not all(isinstance(name, str) for name in overrides):
        raise FileError(path, "overrides must be a list of names", found=overrides)
    _as_written(document, scenario, path)
    return scenario, tuple(overrides)


def require_version(document: Mapping[str, Any], path: Path) -> None:
    """Refuse a file of another schema version.

    :raises FileError: with the version found and the one that is read.
    """
    found = document.get("schema_version")
    if type(found) is not int or found not in READ:
        raise FileError(
            path,
            f"is of another schema version; this Waferlag reads {' and '.join(map(str, READ))}",
            found=found,
            mend="plan the scenario anew, or use the version of Waferlag that wrote the file",
        )


def canonical_hash(scenario: Mapping[str, Any]) -> str:
    """SHA-256 of a scenario's canonical JSON."""
    canonical = json.dumps(scenario, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def _as_written(document: Mapping[str, Any], scenario: Mapping[str, Any], path: Path) -> None:
    """The hash, the seed and the roots stored beside the scenario must be the scenario's own."""
    mend = "undo the change, or move `scenario` into a file of its own"
    seed = document.get("seed", scenario.get("seed"))
    if seed != scenario.get("seed"):
        raise FileError(path, "seed is not that of its scenario", found=seed, mend=mend)
    if document.get("scenario_hash") not in (None, canonical_hash(scenario)):
        raise FileError(path, "its scenario was changed after the run: scenario_hash differs", mend=mend)
    roots = document.get("roots", {})
    if type(seed) is not int or not isinstance(roots, dict):
        return
    for use in get_args(Use):
        if roots.get(use, root_of(seed, use)) != root_of(seed, use):
            raise FileError(path, f"roots.{use} does not come from its seed", found=roots[use], mend=mend)
