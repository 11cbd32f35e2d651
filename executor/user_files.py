"""Files and JSON that users hand in, read within bounds; nothing about them is believed before it is checked.

kind     ordinary files alone: a pipe or a device would keep the reader waiting for ever
bytes    counted while reading, so that neither a growing file nor a wrong size in its entry takes the memory
place    where a folder is given, nothing outside it is read, whatever links say (``inside``)
depth    MAX_DEPTH levels: each further one costs every later walk through the value a frame of the stack
digits   MAX_DIGITS of a whole number: one with more is no figure, and Python would refuse to print thousands of them
numbers  finite: no NaN, no Infinity and no 1e999, which Python's reader takes
"""

import json
import math
import os
import re
import stat
from collections import Counter
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from executor.errors import BadInputError, FileError, shown

MAX_BYTES = 64 * 10**6
"""Of a file read whole. The largest description of a model known, the index of Kimi K2's weights, has 13 MB."""
MAX_DEPTH = 100
MAX_DIGITS = 100


def opened(path: Path) -> BinaryIO:
    """An ordinary file, open for reading; FileError where there is none, it may not be read or is something else."""
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))  # opening a pipe would wait
    except OSError as error:
        raise FileError(path, f"cannot be read: {error.strerror}") from None
    except ValueError as error:  # a NUL in the name
        raise FileError(repr(str(path)), f"cannot be a file's name: {error}") from None
    mode = os.fstat(handle).st_mode
    if not stat.S_ISREG(mode):
        os.close(handle)
        kind = "a folder" if stat.S_ISDIR(mode) else "a pipe, a device or a socket"
        raise FileError(path, f"cannot be read: it is {kind}", mend="give an ordinary file")
    return os.fdopen(handle, "rb")


def read_bytes(path: Path, max_bytes: int = MAX_BYTES, smaller: str | None = None) -> bytes:
    """The whole of a file; FileError as :func:`opened`, or where it is too large: ``smaller`` says how to mend that."""
    raw = bytearray()
    with opened(path) as file:  # piece by piece: a single read takes memory for the largest file, however small this is
        while len(raw) <= max_bytes and (piece := file.read(1 << 20)):
            raw += piece
    if len(raw) > max_bytes:
        raise FileError(path, f"is larger than {max_bytes:,} bytes", mend=smaller)
    return bytes(raw)


def read_text(path: Path, max_bytes: int = MAX_BYTES, smaller: str | None = None) -> str:
    """The whole of a UTF-8 file, without byte order mark; FileError as :func:`read_bytes`, or where it is no UTF-8."""
    try:
        return read_bytes(path, max_bytes, smaller).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FileError(path, f"is not UTF-8 (byte {error.start})", mend="save it as UTF-8") from None


def read_json(path: Path) -> Any:
    """What a JSON file holds; errors as :func:`read_text` and :func:`parsed`."""
    return parsed(read_text(path), str(path))


def parsed(text: str | bytes, place: str) -> Any:
    """The value of a JSON text that another program wrote, in UTF-8; BadInputError with ``place`` otherwise.

    >>> parsed('{"a": [1, 2.5]}', "x.json")
    {'a': [1, 2.5]}
    """
    try:
        return json_value(text if isinstance(text, str) else text.decode("utf-8-sig"), keys_once=False)
    except ValueError as problem:  # no UTF-8 is one, too
        raise BadInputError(f"{place}: not JSON ({problem})") from None


def json_value(text: str, *, keys_once: bool = True) -> Any:
    """The value of a JSON text; ``keys_once`` refuses an object that gives a key twice, of which the last would count.

    :raises ValueError: no JSON, nested deeper than MAX_DEPTH, a whole number of more than MAX_DIGITS digits, NaN or
        Infinity, or a key twice.
    """
    try:
        value = _DECODERS[keys_once, _LONG_NUMBER.search(text) is not None].decode(text)
    except RecursionError:
        raise ValueError("is nested too deeply") from None
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return value
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [part for whole in level for part in _parts(whole)]
        if not level:
            return value
    raise ValueError("is nested too deeply")


def inside(folder: Path, name: str, what: str | None = None) -> Path:
    """``folder / name`` where that lies in the folder or below once links are followed.

    Hugging Face's cache keeps a model as ``models--ORG--NAME/snapshots/COMMIT`` with links to ``models--../blobs``, so
    for a folder in ``snapshots`` the whole ``models--..`` folder counts. FileError for a file anywhere else, which says
    nothing of what is there; ``what`` a scenario names, a model or a trace, is told as lying outside its folder.
    """
    try:
        root, path = folder.resolve(), (folder / name).resolve()
    except (OSError, ValueError, RuntimeError) as error:  # a name that no file can have, links in a circle
        raise FileError(shown(name), f"is no file name: {error}") from None
    if root.parent.name == "snapshots" and root.parent.parent.name.startswith("models--"):
        root = root.parent.parent
    if path.is_relative_to(root):
        return folder / name
    if what is None:
        raise FileError(name, f"lies outside the folder {folder}", mend="copy it there")
    raise FileError(name, "lies outside the scenario's folder", mend=f"put the {what} beside the scenario")


def _parts(value: Any) -> list[Any]:
    """The objects and lists directly in a value."""
    held = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [part for part in held if isinstance(part, dict | list)]


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        (name, _), *_ = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"key {name[:60]!r} given twice")
    return found


def _whole(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"a number of more than {MAX_DIGITS} digits")
    return int(digits)


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number")


def _finite(text: str) -> float:
    return float(text) if math.isfinite(float(text)) else _no_number(text[:60])


_LONG_NUMBER = re.compile(rf"[0-9]{{{MAX_DIGITS + 1}}}|[eE]\+?[0-9]{{3}}")
"""Where a text has none, numbers need no look of their own: a trace has a hundred million."""
_DECODERS = {
    (keys_once, long): json.JSONDecoder(
        object_pairs_hook=_without_twins if keys_once else None,
        parse_constant=_no_number,
        parse_int=_whole if long else None,
        parse_float=_finite if long else None,
    )
    for keys_once in (False, True)
    for long in (False, True)
}
