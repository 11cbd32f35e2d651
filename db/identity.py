"""What makes two runs the same: the scenario's content, the seed and the version that computes it."""

import hashlib
import json
import secrets
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from planner.scenario.models import Scenario


def run_identity(scenario: "Scenario", version: str) -> str:
    """A run is a pure function of scenario, seed and version; equal identities have equal results.

    ``version``: of Waferlag. The number of processes is left out: it changes how long a run takes, not what comes out.
    """
    from planner.scenario.load import scenario_hash

    content = scenario.model_copy(update={"run": scenario.run.model_copy(update={"processes": None})})
    return content_hash({"scenario": scenario_hash(content), "seed": scenario.seed, "version": version})


def content_hash(body: dict[str, Any]) -> str:
    """SHA-256 of a JSON object, whatever the order of its keys."""
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def new_run_id() -> str:
    """A name for a run asked for now: the UTC time to the second, and six random digits.

    Ids sort by time, are folder names on every system, and a unique beginning is enough on the command line.
    """
    return f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(3)}"
