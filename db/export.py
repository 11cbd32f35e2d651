"""Parts of a run for other programs: CSV, Parquet, JSON."""

import csv
import io
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import text

from db import queries
from db.connection import Database
from db.json_rows import json_rows
from db.repository import NoPlanError, RunRepository
from executor.errors import UnknownNameError

SCHEMA_VERSION = 1
FORMATS = ("csv", "parquet", "json")
ROWS_AT_ONCE = 50_000
"""Rows of replication-level arrays in memory at a time."""

_DELIVERY = (
    *("line", "pool", "source", "sku", "month", "order_on", "gpus"),
    *("arrives_p10", "arrives_p50", "arrives_p90", "arrives_within_horizon"),
)


PARTS = ("plan", *queries.PARTS, "deliveries", "futures")


def export(database: Database, run_id: str, part: str, form: str, out: BinaryIO) -> None:
    """Write one part of a run (:data:`PARTS`) in one form (:data:`FORMATS`), a few thousand rows at a time.

    ``plan`` is the whole record in JSON, and its answer in one line (the view ``bi_plan``) in the other forms.
    ``deliveries`` says when each order serves; ``futures`` has the replication-level arrays, a row per array,
    replication, pool and month. Raises :class:`UnknownNameError` for a part or form that there is not, before
    anything is written.
    """
    if part not in PARTS:
        raise UnknownNameError("part of a run", part, PARTS)
    if form not in FORMATS:
        raise UnknownNameError(f"form of {part}", form, FORMATS)
    if (part, form) == ("plan", "json"):
        out.write((RunRepository(database).get(run_id).model_dump_json(indent=2) + "\n").encode())
        return
    tables = _futures(database, run_id) if part == "futures" else iter([_table(database, run_id, part)])
    first = next(tables, pa.table({}))
    _FORMS[form](first.schema, chain([first], tables), queries.run(database, run_id).id, part, out)


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
    lines_of = "orders" if part == "deliveries" else part
    rows = queries.lines(database, run_id, lines_of)
    names = _DELIVERY if part == "deliveries" else queries.columns_of(part)
    if not rows:
        _head(database, run_id)  # a plan without such lines has a table without rows; a run without a plan has none
        return pa.table({name: pa.nulls(0) for name in names})
    return pa.Table.from_pylist([{name: row[name] for name in names} for row in rows])


def _futures(database: Database, run_id: str) -> Iterator[pa.Table]:
    """Arrays [replication, pool, month] in long form; replications count from 0, as in the file of the run."""
    repository = RunRepository(database)
    record = repository.get(run_id)
    pools = [pool.name for pool in record.scenario.pools]
    months = [month.month for month in record.months]
    cells = len(pools) * len(months)
    for name, array in repository.arrays(run_id).items():
        if array.shape[1:] != (len(pools), len(months)):
            continue
        step = max(1, ROWS_AT_ONCE // cells)
        for begin in range(0, len(array), step):
            some = array[begin : begin + step]
            columns = {
                "array": pa.array([name] * some.size),
                "replication": np.repeat(np.arange(begin, begin + len(some)), cells),
                "pool": pa.array(np.tile(np.repeat(pools, len(months)), len(some))),
                "month": pa.array(np.tile(months, len(some) * len(pools))),
                "value": some.reshape(-1).astype(float),
            }
            yield pa.table(columns)


def _csv(schema: pa.Schema, tables: Iterable[pa.Table], run_id: str, part: str, out: BinaryIO) -> None:
    lines = io.TextIOWrapper(out, encoding="utf-8", newline="")
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow(["run", *schema.names])
    for table in tables:
        columns = [column.to_pylist() for column in table.columns]
        writer.writerows([run_id, *map(_safe, row)] for row in zip(*columns, strict=True))
    lines.detach()  # flushes, and leaves the file open


def _safe(value: Any) -> Any:
    """A cell that a spreadsheet would read as a formula is quoted: names come from files of other people."""
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return f"'{value}"
    return value


def _parquet(schema: pa.Schema, tables: Iterable[pa.Table], run_id: str, part: str, out: BinaryIO) -> None:
    about = {"waferlag.run": run_id, "waferlag.part": part, "schema_version": str(SCHEMA_VERSION)}
    with pq.ParquetWriter(out, schema.with_metadata(about), compression="zstd") as writer:
        for table in tables:
            writer.write_table(table.replace_schema_metadata(about))


def _json(schema: pa.Schema, tables: Iterable[pa.Table], run_id: str, part: str, out: BinaryIO) -> None:
    about = {"schema_version": SCHEMA_VERSION, "run": run_id, "part": part}
    rows = (row for table in tables for row in table.to_pylist())
    out.writelines(piece.encode() for piece in json_rows(about, "rows", rows))


_FORMS = {"csv": _csv, "parquet": _parquet, "json": _json}
