"""How many processes to use."""

import os

from planner.scenario.models import Scenario

MOST = 8
"""More processes than this cost more to start than they save on the runs of a plan."""


def processes(scenario: Scenario) -> int:
    """The scenario's own number, else one for each core this process may use, up to ``MOST``."""
    if scenario.run.processes is not None:
        return scenario.run.processes
    here = getattr(os, "sched_getaffinity", None)  # Linux alone has it
    return min(MOST, len(here(0)) if here else os.cpu_count() or 1)
