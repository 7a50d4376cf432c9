"""The files of one friend: what they offer, where each event is in them, and its products."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from evproc.framework import Block, Parameter
from evproc.framework.column_making import concatenate
from evproc.framework.columns import Array, Column
from evproc.framework.errors import InputError, did_you_mean
from evproc.framework.input_report import Entries

from .chunking import Run, runs
from .event_index import EventIndex, repeated
from .event_ranges import Keys, keys_of
from .input_files import InputFile, expand_files
from .input_ledger import InputLedger
from .root_reading import Reader, open_reader
from .sound_reading import read_sound
from .source_layout import USUAL_NAMES, Layout, agree, identities, layout_of

CACHE_BYTES = 32_000_000
OPEN_FILES = 4
SCAN = 500_000
"""Entries whose identities are read in one go."""


class Friend(Block):
    """Other files with more products of the same events."""

    files: str | list[str] = Parameter(description="files of the friend: paths, globs, URLs", min_length=1)
    tree: str = Parameter("Events", description="name of the TTree or RNTuple", min_length=1)
    prefix: str = Parameter("", description="put before the names of its products")
    match: Literal["identity", "position"] = Parameter(
        "identity",
        description="how events find theirs: by run, luminosity block and event; or by the place in the list of files",
    )
    missing: Literal["error", "skip", "absent"] = Parameter(
        "error",
        description="what to do with events that are not in the friend's files; absent: its products are None for them",
    )
    run: str | None = Parameter("auto", description="branch with the run number, as for the source")
    luminosity_block: str | None = Parameter("auto", description="branch with the luminosity block, as for the source")
    event: str | None = Parameter("auto", description="branch with the event number, as for the source")

    def input_files(self) -> list[InputFile]:
        """The files, in order. Raises InputError."""
        return expand_files([self.files] if isinstance(self.files, str) else self.files, self.tree)

    @property
    def asked(self) -> dict[str, str | None]:
        """Part of the identity -> branch; parts of an identity are no products."""
        return {part: getattr(self, part) for part in USUAL_NAMES}


@dataclass(slots=True)
class _Piece:
    """Some entries of a friend that were read: those between them may be lost."""

    parts: list[tuple[int, int, dict[str, Column]]]
    nbytes: int


@dataclass(slots=True)
class _Place:
    """Where the entries of a friend file begin, in the count over all its files; None while it is not known."""

    file: InputFile
    first: int = -1
    entries: int = -1
    pieces: list[tuple[int, int]] = field(default_factory=list)
    """Entries that are read in one go."""


class FriendFiles:
    """The files of one friend."""

    def __init__(self, friend: Friend, keys: Collection[str], ledger: InputLedger, *, skip_bad: bool) -> None:
        self.friend = friend
        self.keys = list(keys)
        self._ledger = ledger
        self._skip_bad = skip_bad
        self._places = [_Place(file) for file in friend.input_files()]
        self._scanned = 0
        self._entries = 0
        self._layout: Layout | None = None
        self._index = EventIndex(values=True)
        self._open: OrderedDict[str, Reader] = OrderedDict()
        self._cache: OrderedDict[tuple[int, int], _Piece] = OrderedDict()
        self.name = f"friend '{friend.prefix}'" if friend.prefix else f"friend {self._places[0].file.name}"

    def find(self, wanted: Keys | Array) -> Array:
        """The entry of each event in the count over all files: (events,) int64, -1 where there is none.

        wanted: identities, or for `position` the places of the events in the list of files.
        """
        if isinstance(wanted, Keys):
            while True:
                found = self._index.find(self._index.hashed(wanted))
                if not (found < 0).any() or not self._scan():
                    return found
        while len(wanted) and int(wanted.max()) >= self._entries and self._scan():
            pass
        return np.where(wanted < self._entries, wanted, -1)

    def _scan(self) -> bool:
        """Look through the next file; False if there is none."""
        if self._scanned == len(self._places):
            return False
        place = self._places[self._scanned]
        self._scanned += 1
        try:
            reader = self._reader(place)
        except InputError as error:
            if not self._skip_bad:
                raise
            self._ledger.lose(Entries(place.file.path, None, None, None, str(error)))
            return True
        assert self._layout is not None
        place.first, place.entries = self._entries, reader.entries
        place.pieces = [at for run in reader.plan(self.keys, 0, reader.entries, None) for at in run.chunks()]
        self._entries += reader.entries
        if self.friend.match == "identity":
            names = sorted(self._layout.identity.values())
            for run in runs(reader.pieces(names), 0, reader.entries, SCAN):
                for begin, end, columns in read_sound(reader, names, [run], self._lose(place)):
                    keys = keys_of(identities(self._layout.identity, columns, 0, end - begin), reader.where)
                    self._enter(keys, place.first + begin, reader.where, begin)
        return True

    def _enter(self, keys: Keys, first: int, where: str, begin: int) -> None:
        """Make events known. Raises InputError if one is there already: which of the two would be the friend?"""
        hashed = self._index.hashed(keys)
        again = (self._index.find(hashed) >= 0) | repeated(hashed)
        if again.any():
            at = int(np.flatnonzero(again)[0])
            raise InputError(
                f"{where}, entry {begin + at}: {keys.name(at)} comes twice in the files of {self.name}; "
                "which of the two belongs to it cannot be told"
            )
        self._index.add(hashed, np.arange(first, first + len(keys.event)))

    def _reader(self, place: _Place) -> Reader:
        """The file, opened; a few stay open."""
        path = f"{place.file.path}:{place.file.tree}"
        reader = self._open.pop(path, None)
        if reader is None:
            reader = open_reader(place.file)
            try:
                if self._layout is None:
                    asked = self.friend.asked if self.friend.match == "identity" else dict.fromkeys(USUAL_NAMES)
                    self._layout = layout_of(reader, self.keys, asked)
                agree(self._layout, reader)
            except InputError:
                reader.close()
                raise
        self._open[path] = reader
        while len(self._open) > OPEN_FILES:
            self._open.popitem(last=False)[1].close()
        return reader

    def _lose(self, place: _Place) -> Any:
        if not self._skip_bad:
            return None
        return lambda begin, end, why: self._ledger.lose(Entries(place.file.path, begin, end - 1, None, why))

    def read(self, entries: Array) -> tuple[dict[str, Column], Array]:
        """The products of some entries, in their order; (entries,) bool says which could be read, and only these come.

        entries: in the count over all files: (entries,) int64
        """
        order = np.argsort(entries, kind="stable")
        ordered = entries[order]
        sound = np.zeros(len(entries), np.bool_)
        taken: list[dict[str, Column]] = []
        for number, place in enumerate(self._places):
            if place.first < 0:
                continue
            low, high = np.searchsorted(ordered, (place.first, place.first + place.entries))
            for begin, end in place.pieces if low < high else ():
                one, two = np.searchsorted(ordered, (place.first + begin, place.first + end))
                if one == two:
                    continue
                local = ordered[one:two] - place.first
                for start, stop, columns in self._piece(number, begin, end).parts:
                    inside = np.flatnonzero((local >= start) & (local < stop))
                    if len(inside):
                        sound[order[one + inside]] = True
                        index = local[inside] - start
                        taken.append({key: column.take(index) for key, column in columns.items()})
        if not taken:
            return {}, sound
        columns = {key: concatenate([part[key] for part in taken]) for key in self.keys}
        back = np.argsort(order[sound[order]], kind="stable")
        if not np.array_equal(back, np.arange(len(back))):
            columns = {key: column.take(back) for key, column in columns.items()}
        return columns, sound

    def _piece(self, number: int, begin: int, end: int) -> _Piece:
        """A piece of a file: from the cache, or read."""
        piece = self._cache.pop((number, begin), None)
        if piece is None:
            place = self._places[number]
            reader = self._reader(place)
            parts = list(read_sound(reader, self.keys, [Run(begin, end, end - begin)], self._lose(place)))
            piece = _Piece(parts, sum(column.nbytes for _, _, columns in parts for column in columns.values()))
        self._cache[number, begin] = piece
        while len(self._cache) > 1 and sum(held.nbytes for held in self._cache.values()) > CACHE_BYTES:
            self._cache.popitem(last=False)
        return piece

    def empty(self, key: str) -> Any:
        """An awkward array of no events, of the type of a product."""
        import awkward as ak

        assert self._layout is not None
        kind: Any = ak.types.from_datashape(self._layout.types[key], highlevel=False)
        form = ak.forms.from_type(kind)
        return ak.Array(form.length_zero_array(highlevel=False))

    def close(self) -> None:
        """Close all files, and forget what was read."""
        while self._open:
            self._open.popitem()[1].close()
        self._cache.clear()


def friend_products(friend: Friend, *, skip_bad: bool) -> Layout:
    """What the first file of a friend says (that can be read, if `skip_bad`), without its identity. Raises InputError."""
    *files, last = friend.input_files()
    for file in files:
        try:
            return _layout(friend, open_reader(file))
        except InputError:
            if not skip_bad:
                raise
    return _layout(friend, open_reader(last))


def friend_entries(friend: Friend) -> int:
    """The entries of all files of a friend. Raises InputError."""
    entries = 0
    for file in friend.input_files():
        reader = open_reader(file)
        entries += reader.entries
        reader.close()
    return entries


def _layout(friend: Friend, reader: Reader) -> Layout:
    try:
        by_identity = friend.match == "identity"
        layout = layout_of(reader, reader.names, friend.asked if by_identity else dict.fromkeys(USUAL_NAMES))
        if by_identity and not layout.identity:
            near = did_you_mean("event", reader.names)
            raise InputError(
                f"friend {reader.where}: it has no identity of events{near}; name the branches with run, luminosity_block and "
                "event, or set match to 'position'"
            )
        for name in {*layout.identity.values(), *(USUAL_NAMES.values() if not by_identity else ())}:
            layout.types.pop(name, None)
            layout.unreadable.pop(name, None)
        return layout
    finally:
        reader.close()


__all__ = ["Friend", "FriendFiles", "friend_entries", "friend_products"]
