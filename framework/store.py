"""The products of a block: for each a column, a list with a value per event, or both; one is made of the other when needed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import repeat
from operator import itemgetter
from sys import getrefcount
from typing import Any

import numpy as np

from .column_making import column_from_events, concatenate
from .columns import Array, Column, Jagged, Nested
from .conditions import NO_CONDITIONS
from .errors import ProductNotFound, did_you_mean
from .event import BlockHandle, CollectionColumns, Event, EventID, EventIDs
from .handed_out import cut_from, same
from .some_events import Partial, Sparse


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


class Store:
    """The products of one block: for each key a column, a list with one value per event, or both."""

    __slots__ = (
        "_all",
        "_events",
        "_gaps",
        "_handle",
        "_pool",
        "_selected",
        "_shared",
        "_sparse",
        "_view",
        "columns",
        "conditions",
        "first",
        "ids",
        "lists",
        "size",
        "where",
    )

    def __init__(self, size: int, ids: EventIDs, first: int, where: str, pool: EventPool | None = None) -> None:
        self.size = size
        self.ids = ids
        #: what holds for all of its events
        self.conditions = NO_CONDITIONS
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
        #: key -> values of some events, where no step has needed those of most
        self._sparse: dict[str, Sparse] = {}
        #: id of an array of offsets -> that array, and the slices that it stands for
        self._shared: dict[int, tuple[Array, list[slice]]] = {}
        self._view = View(self, {}, "")
        self._pool = pool or EventPool()
        self._handle: BlockHandle | None = None
        #: the list that the pool gave, which may be longer than the block
        self._all: list[Event] = []
        self._events: list[Event] | None = None
        #: id of a list of numbers -> that list, and its events
        self._selected: dict[int, tuple[Sequence[int], Sequence[Event]]] = {}

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

    def selected(self, index: Sequence[int] | None) -> Sequence[Event]:
        """The events of `index` (None: all); made once for all steps with the same index."""
        events = self.events
        if index is None:
            return events
        if isinstance(index, range):
            return events[index.start : index.stop]
        if len(index) < 2:
            return [events[number] for number in index]
        known = self._selected.get(id(index))
        if known is None:
            known = self._selected[id(index)] = (index, itemgetter(*index)(events))
        return known[1]

    def event_id(self, number: int) -> EventID:
        """The identity of an event of the block."""
        return self.ids[number]

    def per_event(self, key: str, index: Sequence[int] | None = None) -> Any:
        """The per-event values of a product, made from its column when first needed; at least those of `index` (None: all)."""
        values = self.lists.get(key)
        if values is None:
            column = self.columns[key]
            if index is not None and 2 * len(index) < self.size and key not in self._gaps:
                if key in self._sparse:
                    return self._sparse[key]
                if not isinstance(column, Nested):
                    values = self._sparse[key] = Sparse(column, index)
                    return values
            values = (
                column.per_event(self._slices(column.offsets)) if isinstance(column, Jagged) else column.per_event()
            )
            made = self._gaps.get(key)
            if made is not None:
                values = Partial(key, values, made.tolist())
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
            known.add(values, index)
        else:
            self.lists[key] = Partial(key, values, index)

    def put_column(self, key: str, column: Column, index: Sequence[int] | None) -> None:
        """Keep what a columnar call returned for the events of `index` (None: all)."""
        self.lists.pop(key, None)
        self._sparse.pop(key, None)
        if index is None:
            self.columns[key] = column
        elif key in self._gaps:
            order = np.concatenate([self._gaps[key], np.asarray(index, dtype=np.int64)])
            self.columns[key] = concatenate([self.columns[key], column])
            self._gaps[key] = order
        else:
            self.columns[key] = column
            self._gaps[key] = np.asarray(index, dtype=np.int64)

    def column(self, key: str, index: Sequence[int] | Array | None) -> Column:
        """The column of a product for the events of `index` (None: all)."""
        column = self.columns.get(key)
        if column is None:
            values = self.lists[key]
            if index is not None:
                values = [values[number] for number in np.asarray(index).tolist()]
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

    def uncut(self, values: Iterable[Any], one: Any, first: int, count: int) -> Column | None:
        """The column that these values were cut from, for `count` events from `first` on; None if they are not such values.

        one: the first of them
        """
        last = first + count
        for key, cut in self.lists.items():
            if type(cut) is list and cut[first] is one:
                column = self.columns.get(key)
                if column is None or not cut_from(one, column) or not same(values, cut[first:last]):
                    return None
                return column.slice(first, last)
        return None

    def close(self) -> None:
        """Release everything. Events, views and the store refer to one another, so they would live on until a collection."""
        self.conditions = NO_CONDITIONS
        self.columns.clear()
        self.lists.clear()
        self._gaps.clear()
        self._shared.clear()
        self._sparse.clear()
        self._selected.clear()
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
        self._sparse.pop(key, None)


class View(dict[str, Any]):
    """What one module may read of a block: its declared products, each turned into per-event values when first read."""

    __slots__ = ("allowed", "index", "label", "store")

    def __init__(
        self,
        store: Store,
        allowed: dict[str, tuple[str, ...] | None],
        label: str,
        index: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        self.store = store
        #: the events that the module reads; None: all, or not known
        self.index = index
        #: key -> None for a product, or the fields of a collection
        self.allowed = allowed
        self.label = label

    def __missing__(self, key: str) -> Any:
        try:
            fields = self.allowed[key]
        except KeyError:
            raise self.undeclared(key) from None
        values = self.store.per_event(key, self.index) if fields is None else CollectionColumns(self, key, fields)
        self[key] = values
        return values

    def column(self, key: str, index: Sequence[int] | Array | None) -> Column:
        """The column of a product for the events of `index` (None: all)."""
        return self.store.column(key, index)

    def undeclared(self, key: str) -> ProductNotFound:
        """The error for reading a product that the module does not declare."""
        near = did_you_mean(key, self.allowed)
        return ProductNotFound(f"module '{self.label}' reads '{key}', which it does not declare as an input{near}")
