"""Do plans keep their promise? Every shipped scenario planned, then judged on luck that had no part in it.

    python -m benchmarks.promise [--replications N] [--only NAME ...] [--write docs/accuracy.md]

The plans are those of `waferlag plan NAME` as shipped, the judgement that of `waferlag audit`.
"""

import argparse
import time
from pathlib import Path

from planner.audit import Audit, audit
from planner.open_scenario import open_scenario
from planner.plan import plan
from planner.scenario.load import shipped
from tools.accuracy_page import with_section

SECTION = "promises"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replications", type=int, default=20_000, help="fresh futures")
    parser.add_argument("--only", nargs="*", default=sorted(shipped()), help="shipped scenarios")
    parser.add_argument("--write", type=Path, help="page whose section is replaced")
    asked = parser.parse_args()
    found = []
    for name in asked.only:
        began = time.perf_counter()
        loaded = open_scenario(name)
        record = plan(loaded.scenario, loaded.overrides, processes=2).record
        found.append(audit(record, asked.replications, 2))
        print(f"{name}: {time.perf_counter() - began:.0f} s", flush=True)
    text = section(found, asked.replications)
    print(text)
    if asked.write:
        page = asked.write.read_text(encoding="utf-8") if asked.write.exists() else ""
        asked.write.write_text(with_section(page, SECTION, text), encoding="utf-8")


def section(found: list[Audit], replications: int) -> str:
    """The page's section."""
    lines = [
        "## Promises kept",
        "",
        f"Every shipped scenario as it is, planned and then carried out on {replications:,} fresh futures under a",
        "root of their own (`python -m benchmarks.promise --write docs/accuracy.md`). Within: the promised probability",
        "lies in the 90 % interval seen. One that is exactly right lies within for nine months in ten; one that rests",
        "itself on as many futures as judge it, for three in four, since both err.",
        "",
        "| scenario | way | judged on | weakest month | promised | seen | within | months within | largest gap, points "
        "| cost promised over seen |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for each in found:
        required = [month for month in each.months if month.required]
        gap = max(abs(month.promised.value - month.seen.value) for month in required)
        weakest = each.weakest
        lines.append(
            f"| {each.record.scenario.name} | {each.record.answer.way} | {each.record.scenario.run.replications:,} | "
            f"{weakest.month} | {_share(weakest.promised.value)} | {_share(weakest.seen.value)} "
            f"({_share(weakest.seen.low)}-{_share(weakest.seen.high)}) | {'yes' if weakest.holds else 'no'} | "
            f"{sum(month.holds for month in required)} of {len(required)} | {100 * gap:.2f} | "
            f"{each.record.kpis.mean_cost.value / each.cost.value:.3f} |"
        )
    return "\n".join(lines)


def _share(value: float) -> str:
    return f"{100 * value:.2f} %"


if __name__ == "__main__":
    main()
