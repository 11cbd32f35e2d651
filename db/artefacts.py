"""The Parquet file of a run: its replication-level arrays, whole or not there at all.

A file is written under a temporary name in its folder, synced and renamed, so that a reader never meets half
of one; the run's row holds its SHA-256, and reading checks it. What is in the file: db/arrays.py.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from db.errors import ArtefactError, DatabaseError, DatabaseReadOnlyError, DiskFullError

FILE_NAME = "replications.parquet"

if TYPE_CHECKING:
    import numpy.typing as npt

    from db.arrays import Arrays


@dataclass(frozen=True)
class Artefact:
    """Where a run's file lies, and which file it is."""

    path: str
    """Relative to the folder of the runs, with / between the parts."""
    sha256: str
    size: int
    """Bytes."""


class ArtefactStore:
    """The folder of the runs: ``<run id>/<epoch>/replications.parquet``.

    The epoch is the number of the attempt, so that one that lost its lease cannot overwrite the file of
    the one that took over.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, run_id: str, epoch: int, arrays: Arrays) -> Artefact:
        """Write the arrays of one attempt.

        ``arrays``: by name; the first axis counts replications; booleans, integers or floats.
        Raises :class:`DiskFullError` or :class:`DatabaseReadOnlyError`; nothing half-written stays.
        """
        from db.arrays import write_arrays

        return self._written(run_id, epoch, partial(write_arrays, arrays))

    def put(self, run_id: str, epoch: int, content: bytes) -> Artefact:
        """Write a whole file for one attempt."""
        return self._written(run_id, epoch, lambda temporary: temporary.write_bytes(content))

    def _written(self, run_id: str, epoch: int, write: Callable[[Path], object]) -> Artefact:
        path = self.folder / run_id / str(epoch) / FILE_NAME
        replace_file(path, write)
        content = path.read_bytes()
        relative = path.relative_to(self.folder).as_posix()
        return Artefact(relative, hashlib.sha256(content).hexdigest(), len(content))

    def read(self, artefact: Artefact) -> dict[str, npt.NDArray[Any]]:
        """The arrays, in their shapes and types. Raises :class:`ArtefactError` if the file is not the one
        that was written."""
        from db.arrays import read_arrays

        return read_arrays(self.content(artefact))

    def content(self, artefact: Artefact) -> bytes:
        """The file's bytes, checked against the SHA-256 of the row."""
        path = self.folder / artefact.path
        try:
            content = path.read_bytes()
        except OSError as error:
            raise ArtefactError(
                f"{path}: the run's file cannot be read ({error.strerror}): it lies on the machine that "
                "computed it, unless WAFERLAG_RUNS_FOLDER names a folder that all share"
            ) from error
        found = hashlib.sha256(content).hexdigest()
        if found != artefact.sha256:
            raise ArtefactError(
                f"{path}: not the file that the run wrote (SHA-256 {found[:12]}…, recorded "
                f"{artefact.sha256[:12]}…): restore it from a backup, or run the scenario again with --again"
            )
        return content

    def remove(self, run_id: str, keep_epoch: int | None = None) -> int:
        """Remove a run's folder, or all its attempts but one. Returns how many bytes became free."""
        folder = self.folder / run_id
        if not folder.is_dir():
            return 0
        doomed = [folder] if keep_epoch is None else [f for f in folder.iterdir() if f.name != str(keep_epoch)]
        freed = sum(_size(path) for path in doomed)
        for path in doomed:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        return freed

    def run_ids(self) -> list[str]:
        """Runs that have a folder, whether or not the database knows them."""
        return sorted(path.name for path in self.folder.iterdir()) if self.folder.is_dir() else []


def private_folder(folder: Path) -> None:
    """Make a folder that its owner alone can enter, whatever the umask, with those above it."""
    if folder.is_dir():
        return
    private_folder(folder.parent)
    try:
        folder.mkdir(mode=0o700)
        folder.chmod(0o700)
    except FileExistsError:
        if not folder.is_dir():  # else another process was there first
            raise


def private_file(path: Path) -> None:
    """Make an empty file that its owner alone can read, whatever the umask; what is there is left as it is."""
    try:
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError:
        return
    try:
        os.fchmod(handle, 0o600)
    finally:
        os.close(handle)


def replace_file(path: Path, write: Callable[[Path], object]) -> None:
    """Put a whole new file at ``path``, its owner's alone; ``write`` fills a temporary one, synced and renamed."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        private_folder(path.parent)
        temporary.unlink(missing_ok=True)
        private_file(temporary)
        write(temporary)
        _sync(temporary)
        os.replace(temporary, path)
        _sync(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise file_error(path, error) from error


def file_error(path: Path, error: OSError) -> DatabaseError:
    """Our error for the operating system's."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return DiskFullError(f"{path}: no room left on the disk; free some, then run it again")
    if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
        return DatabaseReadOnlyError(f"{path} may not be written ({error.strerror}): mend the folder's rights")
    return ArtefactError(f"{path} cannot be written ({error.strerror or error})")


def _sync(path: Path) -> None:
    """Have the disk hold it, not only the operating system."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _size(path: Path) -> int:
    if path.is_file():
        return path.stat().st_size
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
