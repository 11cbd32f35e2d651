"""Files written whole or not at all."""

import contextlib
import csv
import io
import json
import os
import stat
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from executor.errors import FileError
from waferlag.text.tables import say


def require_folders(paths: Iterable[Path | None], inputs: Iterable[str | Path | None] = ()) -> None:
    """Refuse before long work what could not be written after it, and what would write over an input.

    :raises FileError: a folder is missing or cannot be written, the path is a folder itself, or is given
        twice, or is one of the inputs.
    """
    taken = {str(path): "is the input itself" for path in inputs if path is not None}
    for path in paths:
        if path is None:
            continue
        _require(path)
        if str(path) in taken and not _is_stream(path):
            raise FileError(path, taken[str(path)], mend="name another file")
        taken[str(path)] = "is written twice"


def _require(path: Path) -> None:
    try:
        if path.is_dir():
            raise FileError(path, "is a folder", mend="name a file in it")
        if not path.parent.is_dir():
            raise FileError(path, "its folder does not exist", mend=f"make {path.parent} first")
        if _is_stream(path):
            return
        # A trial file tells what permissions alone do not: read-only mounts, /proc, a full disk.
        with tempfile.TemporaryFile(dir=_target(path).parent, prefix=f".{path.name[:100]}."):
            pass
        path.exists()  # a name too long for the file system is refused here
    except OSError as error:
        raise FileError(path, f"cannot be written: {error.strerror}", mend="name another file") from None
    except ValueError as error:  # a NUL in the name
        raise FileError(repr(str(path)), f"cannot be a file's name: {error}") from None


def write_whole(path: Path, content: str | bytes | Callable[[BinaryIO], object]) -> None:
    """Write beside the target and rename, so that a reader never meets half a file. ``content`` may write by itself.

    What is no regular file (/dev/stdout, a named pipe) is written to instead of being replaced; a link keeps
    pointing where it did.

    :raises FileError: the folder is missing or cannot be written.
    """

    def fill(file: BinaryIO) -> None:
        if callable(content):
            content(file)
        else:
            file.write(content.encode() if isinstance(content, str) else content)

    try:
        if _is_stream(path):
            with contextlib.suppress(BrokenPipeError), path.open("wb") as stream:  # who has read enough is no failure
                fill(stream)
        else:
            _replace(_target(path), fill)
    except OSError as error:
        raise FileError(path, f"cannot be written: {error.strerror}") from None


def write_json(path: Path | None, body: object, default: Callable[[object], object] = str) -> None:
    """Write a document as JSON if a file is asked for; ``default`` gives the form of what JSON lacks.

    ``body``: a string is JSON already.

    :raises FileError: as :func:`write_whole`.
    """
    if path is not None:
        is_text = isinstance(body, str)
        text = body if is_text else json.dumps(body, indent=2, ensure_ascii=False, default=default)
        write_whole(path, f"{text}\n")


def csv_text(columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> str:
    """A table as CSV: these columns of the rows, below their names."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def report_json(path: Path | None, body: object) -> None:
    """As :func:`write_json`, with a line on the terminal that names the file."""
    write_json(path, body)
    if path is not None:
        say(f"JSON: {path}")


def _replace(target: Path, fill: Callable[[BinaryIO], object]) -> None:
    handle, beside = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name[:100]}.")
    try:
        with os.fdopen(handle, "wb") as file:
            fill(file)
        os.chmod(beside, _mode(target))
        os.replace(beside, target)
    except BaseException:  # Ctrl-C leaves nothing behind either
        Path(beside).unlink(missing_ok=True)
        raise


def _target(path: Path) -> Path:
    """The file that a link leads to, else the path itself."""
    return path.resolve() if path.is_symlink() else path


def _is_stream(path: Path) -> bool:
    return path.exists() and not path.is_file()


def _mode(target: Path) -> int:
    """Permissions of the file that is replaced, else what the user's mask leaves of read and write."""
    if target.exists():
        return stat.S_IMODE(target.stat().st_mode)
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
