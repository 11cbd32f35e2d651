"""Files that users hand in: ordinary files of bounded size, and JSON of bounded depth and digits."""

import json
import os
import re
import stat
from collections import Counter
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from executor.errors import FileError

MAX_DEPTH = 100
"""No document of ours nests deeper; what walks a deeper one may run out of stack."""
MAX_DIGITS = 100
"""A whole number with more digits is no figure, and Python would refuse to print thousands of them."""


def opened(path: Path) -> BinaryIO:
    """An ordinary file, open for reading; a pipe, a device or a socket could keep a reader waiting for ever.

    :raises FileError: there is none, it may not be read, or it is something else.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
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


def read_text(path: Path, max_bytes: int) -> str:
    """The whole of a UTF-8 file, without its byte order mark; one byte more than the limit tells that it is too large.

    :raises FileError: as :func:`opened`; larger than ``max_bytes``, or not UTF-8.
    """
    with opened(path) as file:
        raw = file.read(max_bytes + 1)
    if len(raw) > max_bytes:
        raise FileError(path, f"is larger than {max_bytes:,} bytes")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FileError(path, f"is not UTF-8 (byte {error.start})", mend="save it as UTF-8") from None


def json_value(text: str) -> Any:
    """The value of a JSON text.

    :raises ValueError: no JSON, nested deeper than MAX_DEPTH, a number of more than MAX_DIGITS digits, NaN or
        Infinity, or a key twice in one object.
    """
    try:
        value = (_DECODER_OF_LONG_NUMBERS if _LONG_NUMBER.search(text) else _DECODER).decode(text)
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


def inside(name: str, folder: Path, what: str) -> Path:
    """The file of that name in a folder or below; a scenario reads nothing else of the machine it runs on.

    :raises FileError: it lies outside, or behind a link that leads outside; nothing is said of what is there.
    """
    try:
        path = (folder / name).resolve()
    except (OSError, ValueError, RuntimeError) as error:
        raise FileError(name, f"is no file name: {error}") from None
    if not path.is_relative_to(folder.resolve()):
        raise FileError(name, "lies outside the scenario's folder", mend=f"put the {what} beside the scenario")
    return path


def _parts(value: Any) -> list[Any]:
    """The objects and lists directly in a value."""
    held = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [part for part in held if isinstance(part, dict | list)]


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object, refused where it gives a key twice: the parser would keep the last in silence."""
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


_DECODER = json.JSONDecoder(object_pairs_hook=_without_twins, parse_constant=_no_number)
_DECODER_OF_LONG_NUMBERS = json.JSONDecoder(
    object_pairs_hook=_without_twins, parse_constant=_no_number, parse_int=_whole
)
_LONG_NUMBER = re.compile(rf"[0-9]{{{MAX_DIGITS + 1}}}")
"""Where a text has none, numbers need no look of their own: a trace has a hundred million."""
