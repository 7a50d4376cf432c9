"""`NtupleSource`: events from ntuples, TTree or RNTuple, in one file or thousands.

A job must not learn at event 10,000,000 that a branch is missing in file 37. So `catalog` opens every file where there are few
of them, and holds names and types of branches against the first file. With many files, or slow ones, it stops after a while
(`CATALOG_FILES`, `CATALOG_SECONDS`); the others are checked when they are read.

Events need an identity. Where the tree has none, events are numbered by their place in the list of files, from 0: that number
depends neither on chunks nor on `skip_events`.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from evproc.framework import Catalog, Chunk, Parameter, Source
from evproc.framework.columns import Array, Column, Flat, Jagged
from evproc.framework.errors import InputError, did_you_mean
from evproc.framework.event import EventIDs

from .collections_of import find_collections
from .column_types import number_type
from .input_files import InputFile, expand_files
from .root_reading import Reader, Unreadable, open_reader

CATALOG_FILES = 100
CATALOG_SECONDS = 5.0
_USUAL_NAMES = {"run": "run", "luminosity_block": "luminosityBlock", "event": "event"}


@dataclass(slots=True)
class _Layout:
    """What the first file says; all others must agree."""

    types: dict[str, str]
    unreadable: dict[str, str]
    where: str
    identity: dict[str, str]
    """Part of the identity -> branch; empty where events are numbered."""
    counters: dict[str, str] = field(default_factory=dict)


class NtupleSource(Source):
    """Reads events from ntuples in ROOT files: TTrees and RNTuples."""

    class Config(Source.Config):
        """Which files, which entries, and how events are named."""

        files: str | list[str] = Parameter(
            description="files to read: paths, globs, URLs; each may end in `:tree`", min_length=1
        )
        tree: str = Parameter("Events", description="name of the TTree or RNTuple", min_length=1)
        max_events: int = Parameter(-1, description="events to read at most; -1 reads all", ge=-1)
        skip_events: int = Parameter(0, description="events to leave out at the begin", ge=0)
        chunk: Annotated[int, Field(ge=1)] | Literal["auto"] = Parameter(
            "auto", description="events read in one go; auto fits the file: about 20,000, or 32 MB", placement=True
        )
        run: str | None = Parameter(
            "auto",
            description="branch with the run number; auto is `run`; empty for none, all events are then of run 1",
        )
        luminosity_block: str | None = Parameter(
            "auto", description="branch with the luminosity block; auto is `luminosityBlock`; empty for none"
        )
        event: str | None = Parameter(
            "auto",
            description="branch with the event number; auto is `event`; empty for none: events are numbered from 0",
        )

    def files(self) -> list[InputFile]:
        """The files that are read, in order. Raises InputError for a glob that matches nothing."""
        named = self.config.files
        return expand_files([named] if isinstance(named, str) else named, self.config.tree)

    def catalog(self) -> Catalog:
        """What the files offer. Raises InputError."""
        files = self.files()
        products: dict[str, str] = {}
        unreadable: dict[str, str] = {}
        layout: _Layout | None = None
        entries = opened = 0
        begin = time.monotonic()
        for file in files[:CATALOG_FILES]:
            reader = open_reader(file)
            try:
                if layout is None:
                    layout = self._layout(reader, reader.names)
                    products, unreadable = dict(layout.types), dict(layout.unreadable)
                for name, why in _differences(layout, reader).items():
                    products.pop(name, None)
                    unreadable.setdefault(name, why)
                entries += reader.entries
                opened += 1
            finally:
                reader.close()
            if time.monotonic() - begin > CATALOG_SECONDS or self._enough(entries):
                break
        assert layout is not None
        for part, name in layout.identity.items():
            if name in unreadable:
                raise InputError(f"the branch '{name}' names the {part} of events: {unreadable[name]}")
        return Catalog(
            products,
            find_collections(products, layout.counters),
            unreadable,
            self._count(entries) if opened == len(files) or self._enough(entries) else None,
            layout.where if len(files) == 1 else f"{layout.where} and {len(files) - 1} more files",
            tuple(file.path for file in files),
        )

    def _enough(self, entries: int) -> bool:
        """Whether no further file is needed."""
        return bool(self.config.max_events >= 0 and entries >= self.config.skip_events + self.config.max_events)

    def _count(self, entries: int) -> int:
        """How many of the entries are read."""
        rest: int = max(0, entries - self.config.skip_events)
        return rest if self.config.max_events < 0 else min(rest, self.config.max_events)

    def chunks(self, keys: frozenset[str]) -> Iterator[Chunk]:
        """The events, with the products named by `keys` and no others. Raises InputError."""
        layout: _Layout | None = None
        wanted: list[str] = []
        first = 0
        last = self.config.skip_events + self.config.max_events if self.config.max_events >= 0 else None
        for file in self.files():
            if last is not None and first >= last and layout is not None:
                return
            reader = open_reader(file)
            try:
                if layout is None:
                    layout = self._layout(reader, keys)
                    _require(keys, layout, reader)
                    wanted = sorted({*keys, *layout.identity.values()})
                _agree(layout, reader)
                start = min(max(0, self.config.skip_events - first), reader.entries)
                stop = reader.entries if last is None else min(reader.entries, last - first)
                if start < stop:
                    yield from self._chunks_of(reader, layout, keys, wanted, start, stop, first, file.path)
                first += reader.entries
            finally:
                reader.close()
                gc.collect()  # what uproot made of a file refers to itself: megabytes that nothing else frees soon

    def _chunks_of(
        self,
        reader: Reader,
        layout: _Layout,
        keys: frozenset[str],
        wanted: list[str],
        start: int,
        stop: int,
        first: int,
        path: str,
    ) -> Iterator[Chunk]:
        """The chunks of one file; `first` is the number in the job of its first entry."""
        size = None if isinstance(self.config.chunk, str) else self.config.chunk
        plan = reader.plan(wanted, start, stop, size)
        for begin, end, columns in reader.read(wanted, plan):
            ids = _identities(layout.identity, columns, first + begin, end - begin)
            for name in layout.identity.values():
                if name not in keys:
                    columns.pop(name, None)
            yield Chunk(ids, columns, f"{reader.where}, entries {begin} to {end - 1}", _nbytes(columns), path)
            del ids, columns

    def _layout(self, reader: Reader, names: Collection[str]) -> _Layout:
        """What a file says of some products, and of the identity."""
        identity = self._identity(reader)
        layout = _Layout({}, {}, reader.where, identity)
        for name in dict.fromkeys([*names, *identity.values()]):
            if name not in reader.names:
                continue
            try:
                branch = reader.branch(name)
            except Unreadable as error:
                layout.unreadable[name] = str(error)
                continue
            layout.types[name] = branch.type
            if branch.counter:
                layout.counters[name] = branch.counter
        return layout

    def _identity(self, reader: Reader) -> dict[str, str]:
        """Part of the identity -> the branch that holds it."""
        asked = {part: getattr(self.config, part) for part in _USUAL_NAMES}
        usual = {part: name for part, name in _USUAL_NAMES.items() if asked[part] == "auto"}
        there = [name for name in usual.values() if name in reader.names]
        found = {}
        for part, name in asked.items():
            if not name or (name == "auto" and not there):
                continue
            if name == "auto" and usual[part] not in reader.names:
                raise InputError(
                    f"{reader.where}: there is a branch '{there[0]}' but no '{usual[part]}'"
                    f"{did_you_mean(usual[part], reader.names)}; set {part} to the branch that holds it, or to '' if none does"
                )
            found[part] = _identity_branch(reader, part, usual.get(part, name))
        return found


def _identity_branch(reader: Reader, part: str, name: str) -> str:
    """The name of a branch that can be a part of the identity. Raises InputError if it cannot."""
    what = f"{reader.where}: branch '{name}', the {part} of events,"
    if name not in reader.names:
        raise InputError(f"{what} is not there{did_you_mean(name, reader.names)}")
    try:
        kind = reader.branch(name).type
    except Unreadable as error:
        raise InputError(f"{what} cannot be read: {error}") from error
    if not np.issubdtype(number_type(kind) or object, np.integer) or " * " in kind:
        raise InputError(
            f"{what} must hold one integer per event, not {kind}; set {part} to another branch, or to '' if there is none"
        )
    return name


def _require(keys: frozenset[str], layout: _Layout, reader: Reader) -> None:
    """Raise InputError unless all keys can be read."""
    for key in sorted(keys):
        if key in layout.unreadable:
            raise InputError(f"{layout.where}: branch '{key}' cannot be read: {layout.unreadable[key]}")
        if key not in layout.types:
            raise InputError(f"{layout.where}: there is no branch '{key}'{did_you_mean(key, reader.names)}")


def _differences(layout: _Layout, reader: Reader) -> dict[str, str]:
    """Branch -> how this file differs from the first."""
    found: dict[str, str] = {}
    if reader.where == layout.where:
        return found
    for name, kind in layout.types.items():
        if name not in reader.names:
            found[name] = f"it is missing in {reader.where}"
            continue
        try:
            other = reader.branch(name).type
        except Unreadable as error:
            found[name] = f"cannot be read in {reader.where}: {error}"
        else:
            if other != kind:
                found[name] = f"it is {kind} in {layout.where}, but {other} in {reader.where}"
    return found


def _agree(layout: _Layout, reader: Reader) -> None:
    """Raise InputError unless this file has the branches of the layout, with the same types."""
    for name, difference in _differences(layout, reader).items():
        near = did_you_mean(name, reader.names) if name not in reader.names else ""
        raise InputError(f"branch '{name}' changes between files: {difference}{near}")


def _identities(identity: dict[str, str], columns: dict[str, Column], first: int, count: int) -> EventIDs:
    """The identities of `count` events, the first of which is number `first` of the job."""
    numbered = EventIDs.numbered(first, count)
    if not identity:
        return numbered

    def values(part: str, otherwise: Array) -> Array:
        column = columns[identity[part]] if part in identity else None
        return column.values if isinstance(column, Flat) else otherwise

    return EventIDs(
        values("run", numbered.run),
        values("luminosity_block", numbered.luminosity_block),
        values("event", numbered.event),
    )


def _nbytes(columns: dict[str, Column]) -> int:
    """Memory that columns hold; offsets that several share count once."""
    total = 0
    shared: set[int] = set()
    for column in columns.values():
        total += column.nbytes
        if isinstance(column, Jagged):
            if id(column.offsets) in shared:
                total -= column.offsets.nbytes
            shared.add(id(column.offsets))
    return total
