"""What a module sees of an event, and of a block of events.

The values of a block live in one `Store`: a column per product, for all events of the block. `Event` is a pair (store,
number) and nothing more, so a thousand of them cost little, and all modules share them. Before each step the engine
points `store.view` at what this module declared; a look-up is then two dictionary accesses, and reading an undeclared
product is an error that names it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import repeat
from sys import getrefcount
from typing import Any, NamedTuple

import numpy as np

from .columns import Array, Column, Flat, Jagged, Nested, column_from_events, concatenate
from .errors import ProductNotFound, did_you_mean


class EventID(NamedTuple):
    """The identity of an event."""

    run: int
    luminosity_block: int
    event: int

    def __str__(self) -> str:
        return f"run {self.run}, luminosity block {self.luminosity_block}, event {self.event}"


class Event:
    """One event: `event["Jet_pt"]` is a product, `event["Jet"].pt` a field of a collection, `event.id` its identity."""

    __slots__ = ("_block", "_number", "_values")

    def __init__(self, block: BlockHandle, number: int) -> None:
        self._block = block
        self._values = block.values
        self._number = number

    def __getitem__(self, key: str) -> Any:
        try:
            return self._values[key][self._number]
        except KeyError:
            return self._block.fetch(key)[self._number]

    @property
    def id(self) -> EventID:
        """Run, luminosity block and event number."""
        return self._block.store.event_id(self._number)

    def __repr__(self) -> str:
        return f"<Event: {self.id}>"


class BlockHandle:
    """What the events of a block hold in common: its products, and what the present module may read of them."""

    __slots__ = ("store", "values", "view")

    def __init__(self) -> None:
        self.store: Store
        self.view: View
        #: what of the view has been read so far; a bare dict, because looking up is what events do all the time
        self.values: dict[str, Any] = {}

    def show(self, store: Store, view: View) -> None:
        """Let the events show a view of a store."""
        self.store, self.view = store, view
        self.values.clear()
        self.values.update(view)

    def fetch(self, key: str) -> Any:
        """The per-event values of a product that is read for the first time. Raises ProductNotFound."""
        values = self.values[key] = self.view[key]
        return values


class EventPool:
    """Events of blocks that have ended, to be used again: making one costs as much as three calls of a small module.

    Only events that nobody else refers to are taken back, so that no module can hold one and see it become another.
    """

    KEPT = 16
    """Lists of events that are kept at most."""

    def __init__(self) -> None:
        self._spare: list[tuple[BlockHandle, list[Event]]] = []
        #: references to an event that only its list holds, as `max(map(getrefcount, ...))` counts them
        self._alone = max(map(getrefcount, [Event(BlockHandle(), 0)]))
        self._ended = Store(0, EventIDs.numbered(0, 0), 0, "", self)

    def take(self, size: int) -> tuple[BlockHandle, list[Event]]:
        """A handle and `size` events on it."""
        if self._spare:
            handle, events = self._spare.pop()
            if len(events) >= size:
                return handle, events
        handle = BlockHandle()
        return handle, list(map(Event, repeat(handle), range(size)))

    def give(self, handle: BlockHandle, events: list[Event]) -> None:
        """A block has ended. Events of it that somebody still holds can be read no more."""
        handle.show(self._ended, self._ended.view)
        if len(self._spare) < self.KEPT and max(map(getrefcount, events)) <= self._alone:
            self._spare.append((handle, events))


class Collection:
    """The objects of one kind in one event, as `event["Jet"]`: `jets.pt` is an array with a value per jet."""

    __slots__ = ("_columns", "_number")

    def __init__(self, columns: CollectionColumns, number: int) -> None:
        self._columns = columns
        self._number = number

    def __getattr__(self, field: str) -> Any:
        return self._columns.field(field)[self._number]

    def __getitem__(self, field: str) -> Any:
        return self._columns.field(field)[self._number]

    def __len__(self) -> int:
        return len(self._columns.field(self._columns.fields[0])[self._number])

    def __repr__(self) -> str:
        return f"<{self._columns.name}: {', '.join(self._columns.fields)}>"


class CollectionColumns:
    """The fields of a collection for all events of a block; indexed by the number of the event."""

    __slots__ = ("_cache", "_view", "fields", "name")

    def __init__(self, view: View, name: str, fields: Sequence[str]) -> None:
        self._view = view
        self._cache: dict[str, Any] = {}
        self.name = name
        self.fields = tuple(fields)

    def __getitem__(self, number: int) -> Collection:
        return Collection(self, number)

    def field(self, field: Any) -> Any:
        """The per-event values of one field."""
        try:
            return self._cache[field]
        except KeyError:
            pass
        if not isinstance(field, str):
            first = self.fields[0] if self.fields else "pt"
            wrong = f"collection '{self.name}' is no list of objects; its fields are arrays: event['{self.name}'].{first}[0]"
            raise TypeError(wrong)
        if field not in self.fields:
            near = did_you_mean(field, self.fields) or f"; it has {', '.join(self.fields)}"
            raise AttributeError(f"collection '{self.name}' has no field '{field}' here{near}")
        values = self._cache[field] = self._view[f"{self.name}_{field}"]
        return values


class Partial(list[Any]):
    """Per-event values of a product that only some events of the block have."""

    ABSENT: Any = type("Absent", (), {"__repr__": lambda self: "<absent>"})()

    def __init__(self, key: str, values: Sequence[Any], index: Sequence[int], size: int) -> None:
        super().__init__([self.ABSENT] * size)
        self.key = key
        self.update(values, index)

    def update(self, values: Sequence[Any], index: Sequence[int]) -> None:
        """Set the values of the events named by `index`."""
        put = super().__setitem__
        for number, value in zip(index, values, strict=True):
            put(number, value)

    def __getitem__(self, number: Any) -> Any:
        value = super().__getitem__(number)
        if value is Partial.ABSENT:
            raise ProductNotFound(
                f"product '{self.key}' was not made for this event: its path had ended before its module"
            )
        return value


class Store:
    """The products of one block: for each key a column, a list with one value per event, or both."""

    __slots__ = (
        "_all",
        "_events",
        "_gaps",
        "_handle",
        "_pool",
        "_shared",
        "_view",
        "columns",
        "first",
        "ids",
        "lists",
        "size",
        "where",
    )

    def __init__(self, size: int, ids: EventIDs, first: int, where: str, pool: EventPool | None = None) -> None:
        self.size = size
        self.ids = ids
        #: entry number in the job of the block's first event
        self.first = first
        #: file and entries, for messages
        self.where = where
        #: key -> column over all events of the block
        self.columns: dict[str, Column] = {}
        #: key -> one value per event; made from the column when first needed
        self.lists: dict[str, Any] = {}
        #: key -> the numbers of the events that a columnar module has made it for, where these are not all
        self._gaps: dict[str, Array] = {}
        #: id of an array of offsets -> that array, and the slices that it stands for
        self._shared: dict[int, tuple[Array, list[slice]]] = {}
        self._view = View(self, {}, "")
        self._pool = pool or EventPool()
        self._handle: BlockHandle | None = None
        #: the list that the pool gave, which may be longer than the block
        self._all: list[Event] = []
        self._events: list[Event] | None = None

    @property
    def view(self) -> View:
        """What the module that runs at present may read."""
        return self._view

    @view.setter
    def view(self, view: View) -> None:
        self._view = view
        if self._handle is not None:
            self._handle.show(self, view)

    @property
    def events(self) -> list[Event]:
        """The events of the block; made when first needed."""
        if self._events is None:
            self._handle, self._all = self._pool.take(self.size)
            self._handle.show(self, self._view)
            self._events = self._all if len(self._all) == self.size else self._all[: self.size]
        return self._events

    def event_id(self, number: int) -> EventID:
        """The identity of an event of the block."""
        return self.ids[number]

    def per_event(self, key: str) -> Any:
        """The per-event values of a product, made from its column when first needed."""
        values = self.lists.get(key)
        if values is None:
            column = self.columns[key]
            values = (
                column.per_event(self._slices(column.offsets)) if isinstance(column, Jagged) else column.per_event()
            )
            index = self._gaps.get(key)
            if index is not None:
                values = Partial(key, values, index.tolist(), self.size)
            self.lists[key] = values
        return values

    def _slices(self, offsets: Array) -> list[slice]:
        """One slice per event; made once for all columns that share their offsets."""
        known = self._shared.get(id(offsets))
        if known is None:
            bounds = offsets.tolist()
            known = self._shared[id(offsets)] = (offsets, list(map(slice, bounds[:-1], bounds[1:])))
        return known[1]

    def put_values(self, key: str, values: list[Any], index: Sequence[int] | None) -> None:
        """Keep what per-event calls returned for the events of `index` (None: all)."""
        if index is None:
            self.lists[key] = values
            return
        known = self.lists.get(key)
        if isinstance(known, Partial):
            known.update(values, index)
        else:
            self.lists[key] = Partial(key, values, index, self.size)

    def put_column(self, key: str, column: Column, index: Sequence[int] | None) -> None:
        """Keep what a columnar call returned for the events of `index` (None: all)."""
        self.lists.pop(key, None)
        if index is None:
            self.columns[key] = column
        elif key in self._gaps:
            order = np.concatenate([self._gaps[key], np.asarray(index, dtype=np.int64)])
            self.columns[key] = concatenate([self.columns[key], column])
            self._gaps[key] = order
        else:
            self.columns[key] = column
            self._gaps[key] = np.asarray(index, dtype=np.int64)

    def column(self, key: str, index: Sequence[int] | None) -> Column:
        """The column of a product for the events of `index` (None: all)."""
        column = self.columns.get(key)
        if column is None:
            values = self.lists[key]
            if index is not None:
                values = [values[number] for number in index]
            elif isinstance(values, Partial):
                values = [values[number] for number in range(self.size)]
            try:
                column = column_from_events(values)
            except TypeError as error:
                raise TypeError(f"product '{key}': {error}") from error
            if index is None:
                self.columns[key] = column
            return column
        gaps = self._gaps.get(key)
        if gaps is not None:
            wanted = np.arange(self.size) if index is None else np.asarray(index, dtype=np.int64)
            places = np.full(self.size, -1, dtype=np.int64)
            places[gaps] = np.arange(len(gaps))
            rows = places[wanted]
            if (rows < 0).any():
                raise ProductNotFound(f"product '{key}' was not made for all of these events")
            return column.take(rows)
        if index is None or len(index) == self.size:
            return column
        return column.take(np.asarray(index, dtype=np.int64))

    def close(self) -> None:
        """Release everything. Events, views and the store refer to one another, so they would live on until a collection."""
        self.columns.clear()
        self.lists.clear()
        self._gaps.clear()
        self._shared.clear()
        self._events = None
        if self._handle is not None:
            self._pool.give(self._handle, self._all)
            self._handle = None
        self._view = View(self, {}, "(its block has ended)")

    def drop(self, key: str) -> None:
        """Release a product."""
        self.columns.pop(key, None)
        self.lists.pop(key, None)
        self._gaps.pop(key, None)


class EventIDs:
    """The identities of the events of a block, as three arrays (events,)."""

    __slots__ = ("event", "luminosity_block", "run")

    def __init__(self, run: Array, luminosity_block: Array, event: Array) -> None:
        self.run = run
        self.luminosity_block = luminosity_block
        self.event = event

    @classmethod
    def numbered(cls, first: int, count: int) -> EventIDs:
        """Identities for events that have none: run 1, luminosity block 1, events numbered from `first`."""
        ones = np.ones(count, dtype=np.uint32)
        return cls(ones, ones, np.arange(first, first + count, dtype=np.uint64))

    def __len__(self) -> int:
        return len(self.event)

    def __getitem__(self, number: int) -> EventID:
        return EventID(int(self.run[number]), int(self.luminosity_block[number]), int(self.event[number]))

    def slice(self, start: int, stop: int) -> EventIDs:
        """The identities from `start` to `stop`."""
        return EventIDs(self.run[start:stop], self.luminosity_block[start:stop], self.event[start:stop])


class View(dict[str, Any]):
    """What one module may read of a block: its declared products, each turned into per-event values when first read."""

    __slots__ = ("allowed", "label", "store")

    def __init__(self, store: Store, allowed: dict[str, tuple[str, ...] | None], label: str) -> None:
        super().__init__()
        self.store = store
        #: key -> None for a product, or the fields of a collection
        self.allowed = allowed
        self.label = label

    def __missing__(self, key: str) -> Any:
        try:
            fields = self.allowed[key]
        except KeyError:
            raise self.undeclared(key) from None
        values = self.store.per_event(key) if fields is None else CollectionColumns(self, key, fields)
        self[key] = values
        return values

    def undeclared(self, key: str) -> ProductNotFound:
        """The error for reading a product that the module does not declare."""
        near = did_you_mean(key, self.allowed)
        return ProductNotFound(f"module '{self.label}' reads '{key}', which it does not declare as an input{near}")


class Columns:
    """A block of events as a columnar module sees it.

    `columns["Jet_pt"]` is an awkward array (events * var * float32), or a NumPy array for one number per event;
    `columns["Jet"]` an awkward array of records; `columns.jagged("Jet_pt")` the bare (offsets, content).
    """

    __slots__ = ("_index", "_view")

    def __init__(self, view: View, index: Sequence[int] | None) -> None:
        self._view = view
        self._index = index

    def __len__(self) -> int:
        return self._view.store.size if self._index is None else len(self._index)

    def column(self, key: str) -> Column:
        """The column of a product, for the events that reach this module."""
        if key not in self._view.allowed:
            raise self._view.undeclared(key)
        return self._view.store.column(key, self._index)

    def __getitem__(self, key: str) -> Any:
        fields = self._view.allowed.get(key)
        if fields is None:
            return self.column(key).array()
        import awkward as ak

        return ak.zip({field: self.column(f"{key}_{field}").array() for field in fields}, depth_limit=2)

    def jagged(self, key: str) -> tuple[Array, Array]:
        """(offsets, content) of a jagged product: offsets (events + 1,) int64 that begin at 0, content (rows, ...)."""
        column = self.column(key)
        if not isinstance(column, Jagged):
            raise TypeError(f"product '{key}' is not jagged but {type(column).__name__.lower()}")
        compact = column.compact()
        return compact.offsets, compact.content

    def keys(self) -> Iterator[str]:
        """The products that the module declares, collections not counted."""
        return (key for key, fields in self._view.allowed.items() if fields is None)

    @property
    def ids(self) -> EventIDs:
        """The identities of the events that reach this module."""
        ids = self._view.store.ids
        if self._index is None:
            return ids
        index = np.asarray(self._index, dtype=np.int64)
        return EventIDs(ids.run[index], ids.luminosity_block[index], ids.event[index])


__all__ = [
    "Collection",
    "Columns",
    "Event",
    "EventID",
    "EventIDs",
    "Flat",
    "Jagged",
    "Nested",
    "Store",
    "View",
]
