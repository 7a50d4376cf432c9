"""Checksums of files that hold no events and yet change results: corrections, luminosity masks, lists of events.

The hash of a configuration sees the names of such files, not what is in them. So each part of a process says which files it
reads besides events (`auxiliary_files`), and outputs say their SHA-256. They are read before the first event, in a thread;
files with events are not among them, because to read them whole would cost as much as the job.
"""

from __future__ import annotations

import hashlib
from collections.abc import Container, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import InputError

if TYPE_CHECKING:
    from .configured import Configured
    from .process import Process


def checksums(process: Process, running: Container[str]) -> dict[str, list[dict[str, str]]]:
    """Label -> [{file, sha256}] of the source, modules that run, services, and the option `only`. Raises InputError."""
    parts: list[Configured] = [*process.modules.values(), *process.services.values()]
    needed = [
        part
        for part in parts
        if part.label in running or part.label in process.services or part is process.source_module
    ]
    named: dict[str, Iterable[str]] = {part.label: part.auxiliary_files() for part in needed}
    if process.options.only:
        named["options"] = [process.options.only]
    said = {
        label: [{"file": file, "sha256": sha256(file)} for file in dict.fromkeys(files)]
        for label, files in named.items()
    }
    return {label: files for label, files in said.items() if files}


def sha256(file: str) -> str:
    """SHA-256 of a file, in hexadecimal. Raises InputError if it cannot be read."""
    try:
        with Path(file).expanduser().open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"'{file}' cannot be read: {error.strerror or error}") from error
