"""Files and JSON that a user hands in, read within bounds; nothing about them is believed before it is checked.

bytes    counted while reading, so that neither a growing file nor a wrong size in its entry takes the memory
kind     regular files alone: a FIFO or a device would keep the reader waiting for ever
place    where a folder is given, nothing outside it is read, whatever links say (``inside``)
depth    MOST_DEPTH levels: each further one costs every later walk through the value a frame of the stack
digits   MOST_DIGITS of a whole number: a longer one has no float
numbers  finite: JSON has no NaN and no Infinity, although Python's reader takes them
"""

from __future__ import annotations

import errno
import json
import math
import os
import stat
from pathlib import Path
from typing import Any, NoReturn

from executor.errors import BadInputError, shown

MOST_BYTES = 64 * 10**6
"""Of a file read whole. The largest description of a model known, the index of Kimi K2's weights, has 13 MB."""
MOST_DEPTH = 100
MOST_DIGITS = 40


def file_bytes(path: Path, most_bytes: int = MOST_BYTES) -> bytes:
    """The content of a regular file. OSError, whose ``strerror`` is for a message, where it is none or too large."""
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))  # opening a FIFO would wait
    except ValueError as problem:  # a zero byte in the name
        raise OSError(errno.EINVAL, str(problem)) from None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "is no regular file")
        with open(descriptor, "rb", closefd=False) as file:
            content = file.read(most_bytes + 1)
    finally:
        os.close(descriptor)
    if len(content) > most_bytes:
        raise OSError(errno.EFBIG, f"is larger than {most_bytes / 1e6:g} MB")
    return content


def read_json(path: Path, most_bytes: int = MOST_BYTES) -> Any:
    """What a JSON file holds; BadInputError with the path where it cannot be read or breaks a bound."""
    try:
        content = file_bytes(path, most_bytes)
    except FileNotFoundError:
        raise BadInputError(f"{path.parent} has no {path.name}") from None
    except OSError as problem:
        raise BadInputError(f"{path}: not readable ({problem.strerror})") from None
    return parsed(content, str(path))


def parsed(text: str | bytes, place: str) -> Any:
    """The value of a JSON text in UTF-8, with or without a byte order mark; BadInputError with ``place`` otherwise.

    >>> parsed('{"a": [1, 2.5]}', "x.json")
    {'a': [1, 2.5]}
    """
    try:
        value = _DECODER.decode(text if isinstance(text, str) else text.decode("utf-8-sig"))
        _check_depth(value)
    except UnicodeDecodeError:
        raise BadInputError(f"{place}: is not UTF-8 text; save it as UTF-8") from None
    except RecursionError:
        raise BadInputError(f"{place}: not JSON that is read here (nested too deep)") from None
    except ValueError as problem:
        raise BadInputError(f"{place}: not JSON ({problem})") from None
    return value


def inside(folder: Path, name: str, what: str = "the folder") -> Path:
    """``folder / name`` where the file lies in the folder once links are followed.

    Hugging Face's cache keeps a model as ``models--ORG--NAME/snapshots/COMMIT`` with links to ``models--../blobs``, so
    for a folder in ``snapshots`` the whole ``models--..`` folder counts. BadInputError for a file anywhere else; it
    does not say whether that exists.
    """
    try:
        root, path = folder.resolve(), (folder / name).resolve()
    except (OSError, ValueError, RuntimeError):  # a name that no file can have, links in a circle
        raise BadInputError(f"{shown(name)} is no name of a file in {what}") from None
    if root.parent.name == "snapshots" and root.parent.parent.name.startswith("models--"):
        root = root.parent.parent
    if not path.is_relative_to(root):
        raise BadInputError(f"{shown(name)} lies outside {what} {folder}; copy it there")
    return folder / name


def _whole(digits: str) -> int:
    if len(digits) > MOST_DIGITS:
        raise ValueError(f"a whole number of {len(digits)} digits, at most {MOST_DIGITS} are read")
    return int(digits)


def _finite(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _no_number(text)


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{shown(text)} is no number of JSON that a double holds")


_DECODER = json.JSONDecoder(parse_int=_whole, parse_float=_finite, parse_constant=_no_number)


def _check_depth(value: Any) -> None:
    """RecursionError beyond MOST_DEPTH, found level by level without recursion."""
    level = [value]
    for _ in range(MOST_DEPTH):
        nested = (each for each in level if isinstance(each, dict | list))
        items = (item for each in nested for item in (each.values() if isinstance(each, dict) else each))
        level = [item for item in items if isinstance(item, dict | list)]
        if not level:
            return
    raise RecursionError
