"""Room that copies of this process write into: results that are large arrays need not travel through a pipe."""

import itertools
import mmap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np
from numpy.typing import DTypeLike, NDArray

Arrays = dict[str, NDArray[np.generic]]

_ROOMS: dict[int, Arrays] = {}
"""Rooms by number. A process that was forked while a room stood here sees the same memory under the same number."""
_NUMBERS = itertools.count(1)


@contextmanager
def room(wanted: Mapping[str, tuple[tuple[int, ...], DTypeLike]]) -> Iterator[tuple[int, Arrays]]:
    """Arrays of these shapes and types in memory that is shared with copies of this process, and the room's number.

    The memory lives as long as the arrays do. It is anonymous: no name, no file, nothing to clear away.
    """
    sizes = {name: _bytes(shape, dtype) for name, (shape, dtype) in wanted.items()}
    memory = mmap.mmap(-1, max(sum(sizes.values()), 1))
    arrays: Arrays = {}
    at = 0
    for name, (shape, dtype) in wanted.items():
        count = int(np.prod(shape, dtype=np.int64))
        arrays[name] = np.frombuffer(memory, dtype, count, at).reshape(shape)
        at += sizes[name]
    number = next(_NUMBERS)
    _ROOMS[number] = arrays
    try:
        yield number, arrays
    finally:
        del _ROOMS[number]


def written(number: int, first: int, parts: Mapping[str, NDArray[np.generic]]) -> bool:
    """Write rows from ``first`` on into a room; False where this process does not see it."""
    arrays = _ROOMS.get(number)
    if arrays is None:
        return False
    for name, part in parts.items():
        arrays[name][first : first + len(part)] = part
    return True


def _bytes(shape: tuple[int, ...], dtype: DTypeLike) -> int:
    """Bytes of an array, rounded up so that the next one begins where any type may."""
    size = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
    return -(-size // 64) * 64
