"""Parts of a run for other programs: CSV, Parquet, JSON."""

import csv
import datetime as dt
import io
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import text

from db import queries
from db.connection import Database
from db.repository import NoPlanError, RunRepository
from executor.errors import UnknownNameError

SCHEMA_VERSION = 1
FORMATS = ("csv", "parquet", "json")

_DELIVERY = (
    *("line", "pool", "source", "sku", "month", "order_on", "gpus"),
    *("arrives_p10", "arrives_p50", "arrives_p90", "arrives_within_horizon"),
)


PARTS = ("plan", *queries.PARTS, "deliveries", "futures")


def exported(database: Database, run_id: str, part: str, form: str) -> bytes:
    """One part of a run (:data:`PARTS`) in one form (:data:`FORMATS`).

    ``plan`` is the whole record in JSON, and its answer in one line (the view ``bi_plan``) in the other forms.
    ``deliveries`` says when each order serves; ``futures`` has
    the replication-level arrays, a row per array, replication, pool and month. Raises
    :class:`UnknownNameError` for a part or form that there is not.
    """
    if part not in PARTS:
        raise UnknownNameError("part of a run", part, PARTS)
    if form not in FORMATS:
        raise UnknownNameError(f"form of {part}", form, FORMATS)
    if (part, form) == ("plan", "json"):
        return (RunRepository(database).get(run_id).model_dump_json(indent=2) + "\n").encode()
    return _FORMS[form](_table(database, run_id, part), queries.run(database, run_id).id, part)


def _head(database: Database, run_id: str) -> dict[str, Any]:
    """What a plan answers, as BI tools read it; the run stands in each form's own place."""
    wanted, run = text("SELECT * FROM bi_plan WHERE run = :run"), queries.run(database, run_id)
    with database.read() as session:
        row = session.execute(wanted, {"run": run.id}).mappings().one_or_none()
    if row is None:
        raise NoPlanError(f"run {run.id} is {run.state} and has no plan")
    return {name: value for name, value in row.items() if name != "run"}


def _table(database: Database, run_id: str, part: str) -> pa.Table:
    if part == "plan":
        return pa.Table.from_pylist([_head(database, run_id)])
    if part == "futures":
        return _futures(database, run_id)
    lines_of = "orders" if part == "deliveries" else part
    rows = queries.lines(database, run_id, lines_of)
    names = _DELIVERY if part == "deliveries" else queries.columns_of(part)
    if not rows:
        _head(database, run_id)  # a plan without such lines has a table without rows; a run without a plan has none
        return pa.table({name: pa.nulls(0) for name in names})
    return pa.Table.from_pylist([{name: row[name] for name in names} for row in rows])


def _futures(database: Database, run_id: str) -> pa.Table:
    """Arrays [replication, pool, month] in long form; replications count from 0, as in the file of the run."""
    repository = RunRepository(database)
    record = repository.get(run_id)
    pools = [pool.name for pool in record.scenario.pools]
    months = [month.month for month in record.months]
    parts = [
        pa.table(
            {
                "array": pa.array([name] * array.size),
                "replication": np.repeat(np.arange(len(array)), len(pools) * len(months)),
                "pool": pa.array(np.tile(np.repeat(pools, len(months)), len(array))),
                "month": pa.array(np.tile(months, len(array) * len(pools))),
                "value": array.reshape(-1).astype(float),
            }
        )
        for name, array in repository.arrays(run_id).items()
        if array.shape[1:] == (len(pools), len(months))
    ]
    return pa.concat_tables(parts) if parts else pa.table({})


def _csv(table: pa.Table, run_id: str, part: str) -> bytes:
    lines = io.StringIO(newline="")
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow(["run", *table.column_names])
    for batch in table.to_batches(max_chunksize=10_000):
        columns = [column.to_pylist() for column in batch.columns]
        writer.writerows([run_id, *map(_safe, row)] for row in zip(*columns, strict=True))
    return lines.getvalue().encode()


def _safe(value: Any) -> Any:
    """A cell that a spreadsheet would read as a formula is quoted: names come from files of other people."""
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return f"'{value}"
    return value


def _parquet(table: pa.Table, run_id: str, part: str) -> bytes:
    about = {"waferlag.run": run_id, "waferlag.part": part, "schema_version": str(SCHEMA_VERSION)}
    sink = io.BytesIO()
    pq.write_table(table.replace_schema_metadata(about), sink, compression="zstd")
    return sink.getvalue()


def _json(table: pa.Table, run_id: str, part: str) -> bytes:
    body = {"schema_version": SCHEMA_VERSION, "run": run_id, "part": part, "rows": table.to_pylist()}
    return (json.dumps(body, indent=2, ensure_ascii=False, default=_iso) + "\n").encode()


def _iso(value: object) -> str:
    if isinstance(value, dt.date | dt.datetime):
        return value.isoformat()
    raise TypeError(f"{type(value).__name__} has no JSON form")


_FORMS: dict[str, Callable[[pa.Table, str, str], bytes]] = {"csv": _csv, "parquet": _parquet, "json": _json}
