"""One pass over the files of a source: which entries, in which order of reading, and what is done when they cannot be read.

Problem: a mask may want one event in a thousand, and reading all branches of all events would waste nearly everything. Policy:
where anything depends on identities, these are read first, for up to `SEGMENT` entries; then the other branches are read only
in the pieces of the file (baskets, clusters) that hold an event that is wanted, and what is wanted is taken out of them. Where
little comes of a piece, several make one chunk. Without such parameters, chunks are read as they lie in the file.
Cost: identities are 16 bytes an entry for the segment that is being read; events of a piece that are not wanted are
decompressed and dropped.
"""

from __future__ import annotations

import gc
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from evproc.framework import Chunk
from evproc.framework.columns import Array
from evproc.framework.errors import InputError
from evproc.framework.event import EventIDs
from evproc.framework.input_report import Entries

from .chunk_parts import Part, Parts, nbytes_of, plan_of
from .chunking import TARGET_BYTES, Run, events_per_chunk, runs
from .duplicates import Duplicates
from .event_ranges import Keys, keys_of
from .event_selection import selection_of
from .friends import Friends
from .input_files import InputFile
from .input_ledger import NO_PLACE, Fate, InputLedger, Segment
from .processed_lumis import blocks_of_file
from .root_reading import Reader, open_reader
from .sound_reading import read_sound
from .source_layout import Layout, agree, identities, layout_of, require

SEGMENT = 500_000
"""Entries whose identities are looked at together."""


@dataclass(slots=True)
class _File:
    """The file that is being read."""

    reader: Reader
    path: str
    layout: Layout
    number: int
    """Number in the job of its first entry."""
    keys: list[str]


class EventReading:
    """Yields the chunks of a source, once."""

    def __init__(
        self,
        config: Any,
        files: Sequence[InputFile],
        keys: Collection[str],
        ledger: InputLedger,
        opened: tuple[InputFile, Reader] | None = None,
    ) -> None:
        self._config = config
        self._files = files
        #: a file that is open already
        self._opened = opened
        self._asked = frozenset(keys)
        self._friends = Friends(config.friends, keys, ledger, skip_bad=config.skip_bad_files)
        self._ledger = ledger
        self._selection = selection_of(config)
        self._duplicates = Duplicates(config, files) if config.duplicates != "off" else None
        self._lumis = bool(config.processed_lumis)
        self._identify = (
            bool(self._selection) or self._lumis or self._duplicates is not None or self._friends.by_identity
        )
        self._skip: int = config.skip_events
        self._left: int | None = None if config.max_events < 0 else config.max_events

    def chunks(self) -> Iterator[Chunk]:
        """The chunks. Raises InputError."""
        layout: Layout | None = None
        number = 0
        failed = ""
        for file in self._files:
            if self._left == 0 and layout is not None:
                self._ledger.stopped = True
                return
            try:
                reader = self._open(file)
            except InputError as error:
                if not self._config.skip_bad_files:
                    raise
                failed = failed or str(error)
                self._ledger.lose(Entries(file.path, None, None, None, str(error)))
                continue
            try:
                if layout is None:
                    layout = self._begin(reader)
                agree(layout, reader)
                keys = sorted(layout.types.keys() & self._asked)
                yield from self._file(_File(reader, file.path, layout, number, keys))
                number += reader.entries
            finally:
                reader.close()
                gc.collect()  # what uproot made of a file refers to itself: megabytes that nothing else frees soon
        if layout is None:
            raise InputError(f"none of the {len(self._files)} files can be read; the first: {failed}")

    def _open(self, file: InputFile) -> Reader:
        opened = self._opened
        if opened is None or opened[0] != file:
            return open_reader(file)
        self._opened = None
        return opened[1]

    def close(self) -> None:
        """Close what is still open."""
        if self._opened is not None:
            self._opened[1].close()
        self._friends.close()

    def _begin(self, reader: Reader) -> Layout:
        """What the first file says."""
        own = self._asked - self._friends.keys
        layout = layout_of(reader, own, self._config.identity)
        require(own, layout, reader)
        return layout

    def _file(self, file: _File) -> Iterator[Chunk]:
        if self._duplicates is not None:
            self._duplicates.begin_file()
        reader, names = file.reader, sorted(file.layout.identity.values())
        for run in runs(reader.pieces([*file.keys, *names]), 0, reader.entries, SEGMENT):
            for first, stop in run.chunks():
                if self._left == 0:
                    self._ledger.stopped = True
                    return
                yield from self._segment(file, first, stop)
        if self._lumis and not self._ledger.stopped:
            blocks = blocks_of_file(file.reader, file.path, file.layout.identity)
            whole = self._selection.codes(blocks) == Fate.PROCESS
            self._ledger.list_blocks(blocks.place[whole])

    def _segment(self, file: _File, first: int, stop: int) -> Iterator[Chunk]:
        """The chunks of some entries of a file."""
        segment = Segment(file.path, first, np.zeros(stop - first, np.uint8), None)
        self._ledger.begin(segment)
        try:
            ids = self._identities(file, segment) if self._identify else None
            keys = None if ids is None else keys_of(ids, file.reader.where)
            if keys is not None:
                known = segment.codes == Fate.PROCESS
                if self._selection:
                    segment.codes[known] = self._selection.codes(keys.at(known))
                if self._lumis:
                    segment.places = np.where(known, keys.place, NO_PLACE)
            queue = np.flatnonzero(segment.codes == Fate.PROCESS)
            while len(queue) and self._left != 0:
                count = len(queue) if self._left is None else self._skip + self._left
                batch, queue = queue[:count], queue[count:]
                if self._duplicates is not None and keys is not None:
                    batch = self._duplicates.drop(file.reader, file.layout, segment, batch, keys)
                batch = self._with_friends(file, segment, batch, keys)
                skipped, batch = batch[: self._skip], batch[self._skip :]
                segment.codes[skipped] = Fate.SKIP_EVENTS
                self._skip -= len(skipped)
                if len(batch):
                    yield from self._deliver(file, segment, batch, ids, keys)
            if len(queue):
                segment.codes[queue] = Fate.NOT_REACHED
                self._ledger.stopped = True
        finally:
            self._ledger.end()

    def _identities(self, file: _File, segment: Segment) -> EventIDs:
        """The identities of a segment; entries whose identity cannot be read are lost."""
        first, count = segment.first, len(segment.codes)
        names = sorted(file.layout.identity.values())
        numbered = identities({}, {}, file.number + first, count)
        if not names:
            return numbered
        found: dict[str, Array] = {}
        for begin, end, columns in read_sound(
            file.reader, names, [Run(first, first + count, count)], self._lose(file, segment, None)
        ):
            ids = identities(file.layout.identity, columns, file.number + begin, end - begin)
            for part in ("run", "luminosity_block", "event"):
                values = getattr(ids, part)
                if part not in found:
                    found[part] = np.zeros(count, values.dtype)
                found[part][begin - first : end - first] = values
        return EventIDs(**found) if found else numbered

    def _lose(self, file: _File, segment: Segment, keys: Keys | None) -> Any:
        """What to call for entries that cannot be read; None if that is an error."""
        if not self._config.skip_bad_files:
            return None

        def lose(begin: int, end: int, why: str) -> None:
            codes = segment.codes[begin - segment.first : end - segment.first]
            lost = np.flatnonzero(codes == Fate.PROCESS) + (begin - segment.first)
            if not len(lost):
                return
            segment.codes[lost] = Fate.LOST
            if keys is not None and self._duplicates is not None:
                self._duplicates.forget(keys.at(lost))
            counted = None if keys is None and self._selection else len(lost)
            first, last = (segment.first + int(lost[at]) for at in (0, -1))
            self._ledger.lose(Entries(file.path, first, last, counted, why))

        return lose

    def _with_friends(self, file: _File, segment: Segment, batch: Array, keys: Keys | None) -> Array:
        """The entries of a batch of which all friends are there, or that may be without."""
        if not self._friends:
            return batch
        there = self._friends.look_up(batch, segment, keys, file.number, file.reader.where)
        segment.codes[batch[~there]] = Fate.FRIENDS
        return batch[there]

    def _deliver(
        self, file: _File, segment: Segment, batch: Array, ids: EventIDs | None, keys: Keys | None
    ) -> Iterator[Chunk]:
        """The chunks with the events of a batch: places in the segment, ascending."""
        names = sorted({*file.keys, *(file.layout.identity.values() if ids is None else ())})
        entries = batch + segment.first
        nbytes = sum(file.reader.branch(name).uncompressed for name in names) / max(1, file.reader.entries)
        size = None if isinstance(self._config.chunk, str) else self._config.chunk
        target = size or events_per_chunk(nbytes)
        plan = plan_of(file.reader.pieces(names), entries, size, target)
        held = Parts()
        for begin, end, columns in read_sound(file.reader, names, plan, self._lose(file, segment, keys)):
            low, high = np.searchsorted(entries, (begin, end))
            chosen = entries[low:high]
            if not len(chosen):
                continue
            if ids is None:
                found = identities(file.layout.identity, columns, file.number + begin, end - begin)
            else:
                found = ids.slice(begin - segment.first, end - segment.first)
            columns = {key: columns[key] for key in file.keys}
            if len(chosen) < end - begin:
                index = chosen - begin
                found = EventIDs(found.run[index], found.luminosity_block[index], found.event[index])
                columns = {key: column.take(index) for key, column in columns.items()}
            held.add(Part(chosen, found, columns, nbytes_of(columns)))
            del columns
            if 2 * held.events >= target or 2 * held.nbytes >= TARGET_BYTES:
                yield from self._emit(file, segment, held)
                held = Parts()
        yield from self._emit(file, segment, held)

    def _emit(self, file: _File, segment: Segment, held: Parts) -> Iterator[Chunk]:
        """The parts as one chunk, with the products of friends."""
        if not held.held:
            return
        entries, ids, columns = held.joined()
        nbytes = held.nbytes
        if self._friends:
            more, sound = self._friends.columns(entries - segment.first, segment)
            if not sound.all():
                segment.codes[entries[~sound] - segment.first] = Fate.FRIENDS
                index = np.flatnonzero(sound)
                entries = entries[index]
                ids = EventIDs(ids.run[index], ids.luminosity_block[index], ids.event[index])
                columns = {key: column.take(index) for key, column in columns.items()}
            columns = {**columns, **more}
            nbytes = nbytes_of(columns)
        if not len(entries):
            return
        first, last = int(entries[0]), int(entries[-1])
        which = f"entries {first} to {last}"
        if len(entries) <= last - first:
            which = f"{len(entries)} of the {which}"
        if self._left is not None:
            self._left -= len(entries)
        yield Chunk(ids, columns, f"{file.reader.where}, {which}", nbytes, file.path)
