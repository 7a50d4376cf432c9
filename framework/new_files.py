"""Files that appear under their name only when they are complete."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import OutputError


def part_path(path: Path) -> Path:
    """The temporary name of a file that is being written: in the same directory, so that renaming is one step."""
    return path.with_name(f".{path.name}.part-{os.getpid()}").absolute()


@contextmanager
def in_one_step(path: str | Path) -> Iterator[Path]:
    """A temporary name for a file, which gets its own when the block ends, and is gone if the block raises.

    The directory is made. Raises OSError if that, or the renaming, cannot be.
    """
    path = Path(path)
    path.absolute().parent.mkdir(parents=True, exist_ok=True)
    part = part_path(path)
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def directory_problem(path: Path) -> str:
    """Why no file `path` can be made; empty if it can. Directories that are not there will be made."""
    if path.is_dir():
        return f"'{path}' is a directory"
    directory = path.absolute().parent
    while not directory.exists():
        directory = directory.parent
    if not directory.is_dir():
        return f"'{directory}' is a file, so there can be no '{path}' below it"
    try:
        with tempfile.TemporaryFile(dir=directory):
            return ""
    except OSError as error:
        return f"nothing can be written to the directory '{directory}': {error.strerror}"


def make_directory(path: Path) -> None:
    """Make the directory that a file will be in. Raises OutputError."""
    try:
        path.absolute().parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot make the directory of '{path}': {error.strerror}") from error


def why_not_written(error: Exception, path: Path) -> str:
    """Why a file could not be written, in words."""
    origin: BaseException | None = error
    while origin is not None and not isinstance(origin, OSError):
        origin = origin.__cause__ or origin.__context__
    if not isinstance(origin, OSError):
        said = str(error).strip()
        return f"{said.splitlines()[0] if said else 'no reason given'} ({type(error).__name__})"
    if origin.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"the disk is full ({shutil.disk_usage(path.parent).free / 1e6:.1f} MB left)"
    if origin.errno == errno.EFBIG:
        return "the file would be larger than this process may write (ulimit -f)"
    return origin.strerror or str(origin)
