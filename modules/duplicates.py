"""Events that come twice, in a file or in a job: found by identity, and either an error that names both places or skipped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from evproc.framework.columns import Array
from evproc.framework.errors import InputError

from .chunking import runs
from .event_index import EventIndex, repeated
from .event_ranges import Keys, keys_of
from .input_files import InputFile
from .input_ledger import Fate, Segment
from .root_reading import Reader, open_reader
from .sound_reading import read_sound
from .source_layout import Layout, identities

SCAN = 500_000
"""Entries whose identities are read in one go to find where an event came first."""


class Duplicates:
    """The events that are to be processed, each once."""

    def __init__(self, config: Any, files: Sequence[InputFile]) -> None:
        self._within_file = config.duplicates == "file"
        self._skip = config.on_duplicate == "skip"
        self._files = files
        self._seen = EventIndex()

    def begin_file(self) -> None:
        """Another file is begun."""
        if self._within_file:
            self._seen.clear()

    def drop(self, reader: Reader, layout: Layout, segment: Segment, batch: Array, keys: Keys) -> Array:
        """The places of a batch in the segment of which the events have not come before. Raises InputError for others.

        If duplicates are to be skipped, that is noted in the segment instead.
        """
        hashed = self._seen.hashed(keys.at(batch))
        again = (self._seen.find(hashed) >= 0) | repeated(hashed)
        if again.any():
            if not self._skip:
                at = int(batch[np.flatnonzero(again)[0]])
                raise InputError(self._message(reader, layout, segment.first + at, keys, at, int(again.sum())))
            segment.codes[batch[again]] = Fate.DUPLICATE
            batch, hashed = batch[~again], hashed.at(~again)
        self._seen.add(hashed)
        return batch

    def forget(self, keys: Keys) -> None:
        """These events were lost after all: if they come again, they are processed."""
        self._seen.forget(self._seen.hashed(keys))

    def _message(self, reader: Reader, layout: Layout, entry: int, keys: Keys, at: int, count: int) -> str:
        """What is said of an event that comes again."""
        before = self._first_place(reader, layout, int(keys.place[at]), int(keys.event[at]))
        more = f"; so have {count - 1} more events" if count > 1 else ""
        return (
            f"{reader.where}, entry {entry}: {keys.name(at)} has come before, in {before}{more}; "
            "set on_duplicate to 'skip' to process each event once, or duplicates to 'off'"
        )

    def _first_place(self, reader: Reader, layout: Layout, place: int, event: int) -> str:
        """Where an event is for the first time; looks through the files again."""
        names = sorted(layout.identity.values())
        for file in self._files:
            try:
                other = open_reader(file)
            except InputError:
                continue
            try:
                if self._within_file and other.where != reader.where:
                    continue
                for begin, end, columns in read_sound(
                    other, names, runs(other.pieces(names), 0, other.entries, SCAN), lambda *_: None
                ):
                    keys = keys_of(identities(layout.identity, columns, 0, end - begin), other.where)
                    same = np.flatnonzero((keys.place == place) & (keys.event == event))
                    if len(same):
                        return f"{other.where}, entry {begin + int(same[0])}"
            finally:
                other.close()
        return "this job"
