"""How many processes to use."""

import os

from planner.scenario.models import Scenario

MOST = 8
"""More processes than this cost more to start than they save on the runs of a plan."""


def processes(scenario: Scenario) -> int:
    """The scenario's own number, else one for each core this process may use, up to ``MOST``."""
    if scenario.run.processes is not None:
        return scenario.run.processes
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # not on Linux
        cores = os.cpu_count() or 1
    return min(MOST, cores)
