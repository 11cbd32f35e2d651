"""Compact summaries of published traffic, one JSON file a trace.

Made by ``python -m tools.summarise_traces DIRECTORY``; ``planner.demand.summary`` says what is in one.
"""

from functools import cache
from pathlib import Path

from executor.errors import UnknownNameError

SHIPPED = Path(__file__).parent


@cache
def trace_names() -> tuple[str, ...]:
    """Names of the shipped traces, in alphabetical order."""
    return tuple(sorted(path.stem for path in SHIPPED.glob("*.json")))


def trace_file(name: str) -> Path:
    """The file of a shipped trace's summary; UnknownNameError for a name that is not shipped."""
    if name not in trace_names():
        raise UnknownNameError("trace", name, trace_names())
    return SHIPPED / f"{name}.json"
