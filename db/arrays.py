"""Replication-level arrays as a Parquet table that any tool can open.

A row of the table is one replication; an array of more dimensions is a list column, and the file's metadata say
its shape and type::

    array need[replication, pool, month] of shape (2000, 2, 24) -> column need: 2000 lists of 48 figures
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

_SHAPES = b"waferlag.arrays"
_NUMBERS = "biuf"  # numpy's kinds: bool, integers, floats

Arrays = Mapping[str, npt.NDArray[Any]]


def write_arrays(arrays: Arrays, path: Path) -> None:
    """Write a file. ``arrays``: by name; the first axis counts replications; booleans, integers or floats."""
    table = _table(arrays)
    floats = [_leaf(field) for field in table.schema if _is_float(field.type)]
    # Figures of one kind lie close together: split into bytes of equal weight they compress best.
    pq.write_table(table, path, compression="zstd", use_dictionary=False, use_byte_stream_split=floats)


def read_arrays(content: bytes) -> dict[str, npt.NDArray[Any]]:
    """The arrays of a file's bytes, in their shapes and types."""
    table = pq.read_table(pa.BufferReader(content))
    shapes = json.loads(table.schema.metadata[_SHAPES])
    return {name: _array(table.column(name), **shape) for name, shape in shapes.items()}


def _table(arrays: Arrays) -> pa.Table:
    rows = max((len(array) for array in arrays.values()), default=0)
    held = {name: np.asarray(array) for name, array in arrays.items()}
    columns = {name: _column(name, array, rows) for name, array in held.items()}
    shapes = {name: {"shape": list(array.shape), "dtype": str(array.dtype)} for name, array in held.items()}
    return pa.table(columns).replace_schema_metadata({_SHAPES: json.dumps(shapes).encode()})


def _column(name: str, array: npt.NDArray[Any], rows: int) -> pa.Array:
    """One array as a column of ``rows`` rows; an array with fewer replications ends in nulls."""
    if array.ndim == 0 or array.dtype.kind not in _NUMBERS:
        raise TypeError(f"array {name!r} must hold numbers by replication, not {array.dtype} {array.shape}")
    values = _flat(np.ascontiguousarray(array).reshape(-1))
    if array.ndim > 1:
        width = int(np.prod(array.shape[1:]))
        ends = np.arange(len(array) + 1, dtype=np.int32) * width
        values = pa.ListArray.from_arrays(_flat(ends.astype(np.int32)), values)
    missing = rows - len(array)
    return pa.concat_arrays([values, pa.nulls(missing, values.type)]) if missing else values


def _flat(values: npt.NDArray[Any]) -> pa.Array:
    """Numbers as a column over the same memory.

    ``pa.array`` would do, but imports pandas to see whether it was given any, which costs most of a second.
    """
    if values.dtype.kind == "b":  # Arrow packs booleans into bits
        return pa.array(values)
    return pa.Array.from_buffers(pa.from_numpy_dtype(values.dtype), len(values), [None, pa.py_buffer(values)])


def _array(column: pa.ChunkedArray, shape: list[int], dtype: str) -> npt.NDArray[Any]:
    values = column.slice(0, shape[0]).combine_chunks()
    if len(shape) > 1:
        values = values.flatten()
    return np.asarray(values.to_numpy(zero_copy_only=False)).astype(dtype).reshape(shape)


def _is_float(kind: pa.DataType) -> bool:
    return pa.types.is_floating(kind.value_type if pa.types.is_list(kind) else kind)


def _leaf(field: pa.Field) -> str:
    """The Parquet path of a column's figures."""
    return f"{field.name}.list.element" if pa.types.is_list(field.type) else str(field.name)
