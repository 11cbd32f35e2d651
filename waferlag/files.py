"""Files written whole or not at all."""

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from planner.errors import FileError


def require_folders(paths: Iterable[Path | None]) -> None:
    """Refuse before long work what could not be written after it.

    :raises FileError: a folder is missing, or the path is a folder itself.
    """
    for path in paths:
        if path is not None and not path.parent.is_dir():
            raise FileError(path, "its folder does not exist", mend=f"make {path.parent} first")
        if path is not None and path.is_dir():
            raise FileError(path, "is a folder", mend="name a file in it")


def write_whole(path: Path, content: str | bytes) -> None:
    """Write beside the target and rename, so that a reader never meets half a file.

    :raises FileError: the folder is missing or cannot be written.
    """
    raw = content.encode() if isinstance(content, str) else content
    try:
        handle, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise FileError(path, f"cannot be written: {error.strerror}") from None
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(raw)
        os.chmod(beside, 0o644)
        os.replace(beside, path)
    except OSError as error:
        Path(beside).unlink(missing_ok=True)
        raise FileError(path, f"cannot be written: {error.strerror}") from None
