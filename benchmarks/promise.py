"""Do plans keep their promise? Every shipped scenario planned, then judged on futures that had no part in it.

    python -m benchmarks.promise [--replications N] [--only NAME ...] [--write docs/accuracy.md]

The plans are those of `waferlag plan NAME` as shipped, the judgement that of `waferlag audit`.
"""

import argparse
import time
from pathlib import Path
from typing import Any

from dashboard.accuracy.pages import section_text
from planner.audit import Audit, audit
from planner.open_scenario import open_scenario
from planner.plan import plan
from planner.scenario.load import shipped
from waferlag.accuracy.pages import write_figures

SECTION = "promises"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replications", type=int, default=20_000, help="fresh futures")
    parser.add_argument("--only", nargs="*", default=sorted(shipped()), help="shipped scenarios")
    parser.add_argument("--write", type=Path, help="index of the pages whose section is replaced")
    asked = parser.parse_args()
    found = []
    for name in asked.only:
        began = time.perf_counter()
        loaded = open_scenario(name)
        record = plan(loaded.scenario, loaded.overrides, processes=2).record
        found.append(audit(record, asked.replications, 2))
        print(f"{name}: {time.perf_counter() - began:.0f} s", flush=True)
    told = {"futures": asked.replications, "plans": [figures(each) for each in found]}
    print(section_text(SECTION, told))
    if asked.write:
        write_figures(asked.write, SECTION, told)


def figures(found: Audit) -> dict[str, Any]:
    """What the accuracy pages tell of one plan; probabilities between 0 and 1."""
    required = found.required
    weakest = found.weakest
    return {
        "scenario": found.record.scenario.name,
        "way": found.record.answer.way,
        "judged_on": found.record.scenario.run.replications,
        "month": weakest.month,
        "promised": weakest.promised.value,
        "seen": weakest.seen.value,
        "low": weakest.seen.low,
        "high": weakest.seen.high,
        "verdict": found.verdict,
        "chance": found.joint.chance,
        "months_within": sum(month.holds for month in required),
        "months": len(required),
        "largest_gap": max(abs(month.promised.value - month.seen.value) for month in required),
        "cost_ratio": found.record.kpis.mean_cost.value / found.cost.value,
    }


if __name__ == "__main__":
    main()
