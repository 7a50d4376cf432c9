"""Files that appear under their name only when they are complete."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def part_path(path: Path) -> Path:
    """The temporary name of a file that is being written: in the same directory, so that renaming is one step."""
    return path.with_name(f".{path.name}.part-{os.getpid()}").absolute()


def directory_problem(path: Path) -> str:
    """Why no file `path` can be made in its directory; empty if it can."""
    directory = path.parent
    if not directory.is_dir():
        return f"there is no directory '{directory}' for '{path.name}'"
    if path.is_dir():
        return f"'{path}' is a directory"
    try:
        with tempfile.TemporaryFile(dir=directory):
            return ""
    except OSError as error:
        return f"nothing can be written to the directory '{directory}': {error.strerror}"
