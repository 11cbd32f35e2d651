"""Open a scenario for work: loaded, checked, and with its own trace files summarised into it.

After that the scenario stands alone: it can be stored, hashed, and run again without the files it came from.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from planner.demand.catalogue import shipped_summary
from planner.demand.reader import read_trace
from planner.demand.summary import Origin, TraceSummary, summarise, summary_of, summary_of_json
from planner.errors import Problem, ScenarioError, UserMistakeError
from planner.reference.traces import trace_names
from planner.scenario.load import Loaded, load
from planner.scenario.models import Load, Pool, Scenario


def open_scenario(
    source: str | Path,
    overrides: Sequence[str] = (),
    *,
    replications: int | None = None,
    seed: int | None = None,
) -> Loaded:
    """A checked scenario that needs no other file.

    :raises UserMistakeError: whatever is wrong with the file, an override, a trace, or the two numbers.
    """
    loaded = load(source, overrides)
    scenario = _with_run(loaded.scenario, replications, seed)
    pools = [_with_trace(pool, at, loaded.folder, str(source)) for at, pool in enumerate(scenario.pools)]
    return Loaded(scenario.model_copy(update={"pools": pools}), loaded.overrides, loaded.folder)


def trace_of(load: Load) -> TraceSummary:
    """The summary of a pool's trace, shipped or written out in the scenario."""
    if isinstance(load.trace, str):
        return shipped_summary(load.trace)
    return summary_of(load.trace, "load.trace")


def _with_run(scenario: Scenario, replications: int | None, seed: int | None) -> Scenario:
    """The scenario with the two numbers a command line may change, checked as the file's are."""
    changed: dict[str, Any] = scenario.model_dump(mode="json")
    if replications is not None:
        changed["run"]["replications"] = replications
    if seed is not None:
        changed["seed"] = seed
    try:
        return Scenario.model_validate(changed)
    except ValueError as error:
        said = "; ".join(str(item["msg"]).lower() for item in getattr(error, "errors", list)())
        name, found = ("--replications", replications) if "run" in str(error) else ("--seed", seed)
        raise UserMistakeError(f"{name}: {said} (got {found})") from None


def _with_trace(pool: Pool, at: int, folder: Path, source: str) -> Pool:
    """The pool with a trace file turned into its summary."""
    trace = pool.load.trace
    place = f"pools.{at}.load.trace"
    if isinstance(trace, str) and trace in trace_names():
        summary = shipped_summary(trace)
    elif isinstance(trace, str):
        summary = _read(folder / trace)
    else:
        summary = summary_of(trace, f"{source}, {place}")
    if summary.lengths is None and (pool.load.input_tokens is None or pool.load.output_tokens is None):
        problem = Problem(
            place, "has no lengths", summary.name, "give load.input_tokens and load.output_tokens"
        )
        raise ScenarioError(source, [problem])
    if isinstance(trace, str) and trace in trace_names():
        return pool
    written = summary.model_dump(mode="json", exclude_none=True)
    return pool.model_copy(update={"load": pool.load.model_copy(update={"trace": written})})


def _read(path: Path) -> TraceSummary:
    """The summary of a trace file, or a summary that was written before."""
    if path.suffix == ".json":
        return summary_of_json(path)
    origin = Origin(
        title=f"trace file {path.name}",
        source=path.name,
        date="not stated",
        licence="the user's own",
        attribution="the user",
        evidence="reported",
    )
    return summarise(read_trace(path), origin)
