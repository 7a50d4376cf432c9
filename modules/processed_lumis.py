"""The luminosity blocks that a job has processed completely: those without events, and the file that is written.

A skim may have left no event of a block, which has been processed all the same, and counts for the luminosity. NanoAOD keeps a
tree `LuminosityBlocks` that lists every block of a file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np

from evproc.framework import OutputError
from evproc.framework.columns import Array
from evproc.framework.errors import InputError
from evproc.framework.input_report import Lumis
from evproc.framework.new_files import directory_problem, make_directory, part_path

from .chunking import Run
from .event_ranges import Keys, keys_of
from .input_files import InputFile
from .root_reading import Reader, open_beside
from .source_layout import identities

REPORT_ONLY = "-"
BLOCKS_TREE = "LuminosityBlocks"


def blocks_of_file(events: Reader, path: str, identity: Mapping[str, str]) -> Keys:
    """The luminosity blocks that an open file lists in a tree of their own, none if it has no such tree; with event 0."""
    names = [identity[part] for part in ("run", "luminosity_block")]
    places: list[Array] = []
    try:
        reader = open_beside(events.directory, InputFile(path, BLOCKS_TREE))
    except InputError:
        return Keys(np.empty(0, np.uint64), np.empty(0, np.uint64))
    if reader.entries and all(name in reader.names for name in names):
        for start, stop, columns in reader.read(names, [Run(0, reader.entries, reader.entries)]):
            ids = identities(dict(zip(("run", "luminosity_block"), names, strict=True)), columns, 0, stop - start)
            places.append(keys_of(ids, reader.where).place)
    found = np.unique(np.concatenate(places)) if places else np.empty(0, np.uint64)
    return Keys(found, np.zeros(len(found), np.uint64))


class LumiFile:
    """A file that exists under its name only when the job has ended well."""

    def __init__(self, name: str) -> None:
        self.path = Path(name).expanduser() if name and name != REPORT_ONLY else None

    def problem(self) -> str:
        """Why it cannot be written; empty if it can."""
        return "" if self.path is None else directory_problem(self.path)

    def write(self, lumis: Lumis) -> None:
        """Write it and give it its name. Raises OutputError."""
        if self.path is None:
            return
        make_directory(self.path)
        part = part_path(self.path)
        try:
            part.write_text(json.dumps(lumis, indent=1) + "\n")
            part.replace(self.path)
        except OSError as error:
            with suppress(OSError):
                part.unlink(missing_ok=True)
            raise OutputError(f"'{self.path}' cannot be written: {error.strerror}") from error
