"""Make the serving model's tables that ship: fits to the shipped rows, and goodputs of the shipped scenarios by replay.

    make tables

To be run again whenever the calibration rows, the step-time model, the traces, the scheduler or the scenarios change,
after ``VERSION`` in executor/estimate/fits.py or replayed_goodput.py is raised where a rule changed; tests say when a
table is stale. A minute or less.
"""

import csv
import datetime as dt
import json

from executor.estimate import fits
from executor.estimate import replayed_goodput as goodput
from executor.estimate.calibration import calibrate, prior_belief
from executor.estimate.measured_points import by_group, shipped_points
from executor.estimate.replayed_goodput import Answer, Question, closed_form, replayed
from executor.reference import SHIPPED
from planner.demand.traffic import traffic
from planner.open_scenario import open_scenario
from planner.scenario.load import shipped
from planner.scenario.pools import Pool
from planner.sizing import asked_of

SOURCE = "benchmarks/serving_tables.py: the executor's scheduler on the step-time model's clock"
FITS_SOURCE = "benchmarks/serving_tables.py: executor.steptime.fit.fit to executor/reference/serving_points.csv"


def fitted() -> dict[str, dict[str, object]]:
    """The fit to each group of shipped rows from the prior of its engine, by key."""
    groups = by_group(shipped_points()).items()
    return {
        fits.fit_key(rows): {"group": str(group)} | fits.written(calibrate(rows, prior_belief(rows[0].setup)))
        for group, rows in groups
    }


def row(pool: Pool, sku: str, asked: Question, answer: Answer) -> dict[str, object]:
    """A line of the table of goodputs."""
    return {
        "key": asked.key,
        "version": goodput.VERSION,
        "model": pool.model,
        "precision": asked.setup.precision,
        "engine": asked.setup.engine.name,
        "gpu": sku,
        "trace": traffic(pool).trace.name,
        "ttft_bound_ms": asked.slo.ttft_ms,
        "tpot_bound_ms": asked.slo.tpot_ms,
        "percentile": asked.slo.percentile,
        "closed_form_requests_per_s": repr(closed_form(asked).requests_per_s),
        "requests_per_s": repr(answer.requests_per_s),
        "bound": answer.bound,
        "concurrency": repr(answer.concurrency),
        "ttft_ms": repr(answer.ttft_ms),
        "tpot_ms": repr(answer.tpot_ms),
        "source": SOURCE,
        "date": dt.date.today().isoformat(),
        "evidence": "estimate",
    }


def replays() -> dict[str, dict[str, object]]:
    """Lines of the table of goodputs by key; set-ups that the closed form finds hopeless are left out."""
    rows: dict[str, dict[str, object]] = {}
    for name in shipped():
        for pool in open_scenario(name, []).scenario.pools:
            for sku, layout in pool.layouts.items():
                asked = asked_of(pool, sku, layout, traffic(pool))
                if asked.key in rows or not closed_form(asked).requests_per_s:
                    continue
                rows[asked.key] = found = row(pool, sku, asked, replayed(asked))
                print(f"{found['model']} on {sku}: {found['requests_per_s']} requests/s, {found['bound']}")
    return rows


def main() -> None:
    made = fitted()
    document = {
        "version": fits.VERSION,
        "source": FITS_SOURCE,
        "date": dt.date.today().isoformat(),
        "evidence": "estimate",
        "fits": made,
    }
    # A line a fit: a change of one shows as one line.
    text = json.dumps(document).replace('{"group"', '\n{"group"')
    (SHIPPED / fits.TABLE).write_text(text + "\n", encoding="utf-8")
    print(f"{len(made)} fits: {SHIPPED / fits.TABLE}")
    rows = replays()
    with (SHIPPED / goodput.TABLE).open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(next(iter(rows.values()))), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows.values())
    print(f"{len(rows)} rows: {SHIPPED / goodput.TABLE}")


if __name__ == "__main__":
    main()
