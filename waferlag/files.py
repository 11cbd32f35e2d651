"""Files written whole or not at all."""

import os
import tempfile
from pathlib import Path

from planner.errors import FileError


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
