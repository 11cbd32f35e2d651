"""Versions of what decides the figures, and the head of every result that can be run again."""

import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from planner.record.models import Provenance
from planner.scenario.load import scenario_hash
from planner.scenario.models import Scenario
from planner.scenario.stored import SCHEMA_VERSION


def inputs(scenario: Scenario, overrides: Sequence[str], roots: Mapping[str, int]) -> dict[str, Any]:
    """What a result's JSON begins with: all that is needed to read it and to get it again."""
    return {
        "schema_version": SCHEMA_VERSION,
        "versions": versions().model_dump(),
        "scenario": scenario.model_dump(mode="json"),
        "overrides": list(overrides),
        "scenario_hash": scenario_hash(scenario),
        "seed": scenario.seed,
        "roots": dict(roots),
    }


def versions() -> Provenance:
    """Versions of Waferlag, Python and the libraries that compute."""
    return Provenance(
        waferlag=_of("waferlag"),
        python=platform.python_version(),
        numpy=_of("numpy"),
        simpy=_of("simpy"),
        highspy=_of("highspy"),
    )


def _of(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed as a package"
