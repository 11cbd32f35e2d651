"""The event trace as a table that other tools read: one row for each visit of a lot to a stage or a point."""

from collections.abc import Sequence
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from planner.clock import month_label, month_starts
from planner.supply.network.spec import SupplySpec
from planner.supply.outcomes import UNSEEN, Deliveries

SCHEMA_VERSION = 1


def events_table(spec: SupplySpec, deliveries: Deliveries, pools: Sequence[str] = ()) -> bytes:
    """The trace as a Parquet file, in the order in which the engine wrote it.

    spec        what was simulated; it names sources and stages
    deliveries  with a trace (the SimPy engine's)
    pools       names of the scenario's pools; without them pools go by their number

    Columns: replication; source, pool, month (YYYY-MM of the order), order (place among the orders), lot, gpus;
    visit (place along the route) and stage, points in brackets; enter, start and leave as timestamps and, with
    the ending _minute, as minutes since the scenario's start. What did not happen before the horizon is null.

    Raises ValueError where the deliveries have no trace.
    """
    if deliveries.events is None:
        raise ValueError("these deliveries have no trace: simulate them with trace=True")
    import pyarrow as pa
    import pyarrow.parquet as pq

    events, orders = deliveries.events, deliveries.orders
    at = events["lot"]
    months = month_starts(spec.start, int(orders.month.max(initial=0)) + 1)
    names = list(pools) or [str(number) for number in range(int(orders.pool.max(initial=0)) + 1)]
    columns: dict[str, Any] = {
        "replication": events["replication"],
        "source": _named(orders.source[at], [source.name for source in spec.sources]),
        "pool": _named(orders.pool[at], names),
        "month": _named(orders.month[at], [month_label(day) for day in months]),
        "order": at,
        "lot": orders.lot[at],
        "gpus": orders.gpus[at],
        "visit": events["visit"],
        "stage": _stages(spec, orders.source[at], events["visit"]),
    }
    for moment in ("enter", "start", "leave"):
        seen = events[moment] == UNSEEN
        day_zero = np.datetime64(spec.start, "s")
        columns[moment] = pa.array(day_zero + events[moment] * np.timedelta64(60, "s"), mask=seen)
        columns[f"{moment}_minute"] = pa.array(events[moment], mask=seen)
    table = pa.table(columns).replace_schema_metadata(
        {"waferlag": "event trace", "schema_version": str(SCHEMA_VERSION), "start": spec.start.isoformat()}
    )
    file = BytesIO()
    pq.write_table(table, file, compression="zstd")
    return file.getvalue()


def _named(codes: NDArray[np.integer[Any]], names: Sequence[str]) -> Any:
    """Places among names as a dictionary column: each name is stored once."""
    import pyarrow as pa

    return pa.DictionaryArray.from_arrays(pa.array(codes.astype(np.int32)), pa.array(names, pa.string()))


def _stages(spec: SupplySpec, source: NDArray[np.int64], visit: NDArray[np.int16]) -> Any:
    """The name of the stage or point that each row is a visit to."""
    names = [name for each in spec.sources for name in each.route.visits]
    first = np.cumsum([0, *(len(each.route.visits) for each in spec.sources)])
    known = list(dict.fromkeys(names))
    code = np.array([known.index(name) for name in names], dtype=np.int32)
    return _named(code[first[source] + visit], known)
