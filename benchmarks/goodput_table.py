"""Replay the goodputs of every shipped scenario's set-ups and keep them as the table that ships.

    python benchmarks/goodput_table.py [--out planner/reference/replayed_goodput.csv]

To be run again whenever the calibration, the traces, the scheduler or the scenarios change; a test says when the table
no longer answers what the shipped scenarios ask. A minute or less.
"""

import argparse
import csv
import datetime as dt
from pathlib import Path

from planner.belief import setup_of
from planner.demand.traffic import traffic
from planner.goodput import TABLE, Answer, Question, question, replayed
from planner.intake import open_scenario
from planner.reference.table import SHIPPED
from planner.scenario.load import shipped
from planner.scenario.models import Pool
from planner.serving import goodput_of
from planner.sizing import asked_of

SOURCE = "benchmarks/goodput_table.py: the executor's scheduler on the step-time model's clock"


def questions(pool: Pool) -> dict[str, Question]:
    """What sizing asks about a pool, by kind of GPU; set-ups that the closed form finds hopeless are left out."""
    stream, found = traffic(pool), {}
    for sku, layout in pool.layouts.items():
        asked = asked_of(pool, sku, layout, stream)
        setup = setup_of(pool.model, sku, asked.precision, asked.engine, asked.layout)
        formula = goodput_of(setup, asked.lengths, asked.slo, asked.prefix_reuse)
        if formula.requests_per_s:
            found[sku] = question(
                setup, asked.lengths, asked.slo, asked.prefix_reuse, "", None, asked.cells, formula
            )
    return found


def row(pool: Pool, sku: str, asked: Question, answer: Answer) -> dict[str, object]:
    """A line of the table."""
    return {
        "key": asked.key,
        "model": pool.model,
        "precision": pool.layouts[sku].precision or pool.precision,
        "engine": pool.layouts[sku].engine or pool.engine,
        "gpu": sku,
        "trace": traffic(pool).trace.name,
        "ttft_bound_ms": asked.slo.ttft_ms,
        "tpot_bound_ms": asked.slo.tpot_ms,
        "percentile": asked.slo.percentile,
        "requests": asked.requests,
        "requests_per_s": repr(answer.requests_per_s),
        "bound": answer.bound,
        "concurrency": repr(answer.concurrency),
        "ttft_ms": repr(answer.ttft_ms),
        "tpot_ms": repr(answer.tpot_ms),
        "source": SOURCE,
        "date": dt.date.today().isoformat(),
        "evidence": "estimate",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=SHIPPED / TABLE)
    asked_for = parser.parse_args()
    rows: dict[str, dict[str, object]] = {}
    for name in shipped():
        for pool in open_scenario(name, []).scenario.pools:
            for sku, asked in questions(pool).items():
                if asked.key not in rows:
                    rows[asked.key] = row(pool, sku, asked, replayed(asked))
                    found = rows[asked.key]
                    print(
                        f"{found['model']} on {sku}: {found['requests_per_s']} requests/s, {found['bound']}"
                    )
    with asked_for.out.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(next(iter(rows.values()))), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows.values())
    print(f"{len(rows)} rows: {asked_for.out}")


if __name__ == "__main__":
    main()
