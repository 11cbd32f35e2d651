"""Open a scenario for work: loaded, checked, and with its own trace files summarised into it.

After that the scenario stands alone: it can be stored, hashed, and run again without the files it came from.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from executor.errors import Problem, UserMistakeError
from planner.demand.readers.textfile import MAX_BYTES
from planner.demand.traffic import traffic
from planner.reference.traces import trace_names
from planner.scenario.errors import ScenarioError
from planner.scenario.load import Loaded, load
from planner.scenario.models import Scenario
from planner.scenario.pools import Pool


def open_scenario(
    source: str | Path,
    overrides: Sequence[str] = (),
    *,
    replications: int | None = None,
    seed: int | None = None,
    training_futures: int | None = None,
    max_bytes: int = MAX_BYTES,
) -> Loaded:
    """A checked scenario that needs no other file; ``max_bytes`` is how much each of its traces may unpack to.

    :raises UserMistakeError: whatever is wrong with the file, an override, a trace, or the three numbers.
    """
    loaded = load(source, overrides)
    scenario = _with_run(loaded.scenario, replications, seed, training_futures)
    pools = [_with_trace(pool, at, loaded.folder, str(source), max_bytes) for at, pool in enumerate(scenario.pools)]
    return Loaded(scenario.model_copy(update={"pools": pools}), loaded.overrides, loaded.folder)


def _with_run(scenario: Scenario, replications: int | None, seed: int | None, training_futures: int | None) -> Scenario:
    """The scenario with the numbers that a command line may change, checked as the file's are."""
    changed: dict[str, Any] = scenario.model_dump(mode="json")
    if replications is not None:
        changed["run"]["replications"] = replications
    if training_futures is not None:
        changed["run"]["training_futures"] = training_futures
    if seed is not None:
        changed["seed"] = seed
    try:
        return Scenario.model_validate(changed)
    except ValueError as error:
        told = {"replications": replications, "training_futures": training_futures, "seed": seed}
        said = "; ".join(str(item["msg"]).lower() for item in getattr(error, "errors", list)())
        name = next((name for name in told if f"run.{name}" in str(error)), "seed")
        raise UserMistakeError(f"--{name}: {said} (got {told[name]})") from None


def _with_trace(pool: Pool, at: int, folder: Path, source: str, max_bytes: int) -> Pool:
    """The pool with its trace written out, unless a shipped name says it all."""
    place = f"pools.{at}.load.trace"
    try:
        stream = traffic(pool, folder, max_bytes)
    except ScenarioError as error:
        moved = [replace(problem, place=f"{place}.{problem.place}") for problem in error.problems]
        raise ScenarioError(source, moved) from None
    except UserMistakeError as error:
        raise ScenarioError(source, [Problem(place, str(error))]) from None
    if isinstance(pool.load.trace, str) and pool.load.trace in trace_names():
        return pool
    written = stream.trace.model_dump(mode="json", exclude_none=True)
    return pool.model_copy(update={"load": pool.load.model_copy(update={"trace": written})})
