"""`waferlag size`: GPUs by month and pool, with label, interval, MFU and MBU."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from planner.record import Serving


def size(
    scenario: Annotated[str, typer.Argument(help="Scenario file, a shipped one's name, or a plan's JSON.")],
    with_: Annotated[
        list[str] | None,
        typer.Option("--with", help="Override to lay over the scenario; may be given again."),
    ] = None,
    replications: Annotated[int | None, typer.Option("--replications", help="How many futures.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Root of all luck.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the result here.")] = None,
) -> None:
    """How many GPUs each pool needs by month, on each kind of GPU it may use."""
    from planner.intake import open_scenario
    from planner.need import needs_of
    from waferlag.files import require_folders, write_whole
    from waferlag.terminal import spread, table

    require_folders([json_file])
    loaded = open_scenario(scenario, with_ or [], replications=replications, seed=seed)
    needs = needs_of(loaded.scenario, loaded.overrides)
    for pool in needs.pools:
        print(f"{pool.name}: {pool.model} at its SLO")
        head = ["GPU", "replica", "requests/s (80 %)", "MFU", "MBU", "label"]
        print(table(head, [_row(item) for item in pool.serving], right=[2, 3, 4]))
        print("\nGPUs needed at the busy hour, headroom included: P10/P50/P90 over futures")
        skus = [item.sku for item in pool.serving]
        by_month = [
            [month, *(spread(pool.gpus[sku][at]) for sku in skus)] for at, month in enumerate(needs.months)
        ]
        print(table(["month", *skus], by_month, right=range(1, len(skus) + 1)))
        for item in pool.serving:
            print(f"- {item.sku}: {item.limits}. {item.reason}")
        print()
    if json_file is not None:
        write_whole(json_file, json.dumps(needs.as_json(), indent=2, ensure_ascii=False) + "\n")
        print(f"JSON: {json_file}")


def _row(item: "Serving") -> list[str]:
    goodput = item.requests_per_s
    figure = f"{goodput.value:.2f} ({goodput.low:.2f}-{goodput.high:.2f})" if goodput else "none"
    return [
        item.sku,
        f"{item.gpus_per_replica} GPUs",
        figure,
        f"{item.mfu or 0:.2f}",
        f"{item.mbu or 0:.2f}",
        item.label or "",
    ]
