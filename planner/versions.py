"""Versions of what decides the figures."""

import platform
from importlib.metadata import PackageNotFoundError, version

from planner.record import Provenance


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
