"""What a module sees of an event, and of a block of events.

`Event` is a number in a block and nothing more, so a thousand of them cost little, and all modules share them. What they show
is in a dict that they hold in common: before each step the engine clears it, and it fills as this module reads what it has
declared. A look-up is then two dictionary accesses; reading an undeclared product is an error that names it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .columns import Array, Column, Jagged
from .errors import did_you_mean
from .records import records, with_vectors

if TYPE_CHECKING:
    from .conditions import ModuleConditions
    from .store import Store, View


class EventID(NamedTuple):
    """The identity of an event."""

    run: int
    luminosity_block: int
    event: int

    def __str__(self) -> str:
        return f"run {self.run}, luminosity block {self.luminosity_block}, event {self.event}"


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

    @property
    def conditions(self) -> ModuleConditions:
        """The conditions that the module declares, by label, as they are valid for this event."""
        block = self._block
        return block.store.conditions.of(block.view.label)

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


class Columns:
    """A block of events as a columnar module sees it.

    `columns["Jet_pt"]` is an awkward array (events * var * float32), or a NumPy array for one number per event;
    `columns["Jet"]` an awkward array of records; `columns.jagged("Jet_pt")` the bare (offsets, content);
    `columns.vectors("Jet")` the records as vectors.
    """

    __slots__ = ("_index", "_rows", "_view")

    def __init__(self, view: View, index: Sequence[int] | None) -> None:
        self._view = view
        self._index = index
        #: the same as an array, made once for all columns
        self._rows: Array | None = None

    def __len__(self) -> int:
        return self._view.store.size if self._index is None else len(self._index)

    def column(self, key: str) -> Column:
        """The column of a product, for the events that reach this module."""
        if key not in self._view.allowed:
            raise self._view.undeclared(key)
        if self._index is not None and self._rows is None:
            self._rows = np.asarray(self._index, dtype=np.int64)
        return self._view.column(key, self._rows)

    def __getitem__(self, key: str) -> Any:
        fields = self._view.allowed.get(key)
        if fields is None:
            return self.column(key).array()
        return records({field: self.column(f"{key}_{field}") for field in fields})

    def vectors(self, key: str) -> Any:
        """A collection, or a product that holds momenta, as vectors: `a + b`, `.mass`, `.deltaR(b)`; needs evproc[vector].

        Raises TypeError if the fields are not those of a momentum.
        """
        try:
            return with_vectors(self[key])
        except TypeError as error:
            raise TypeError(f"'{key}' is {error}") from None

    def jagged(self, key: str) -> tuple[Array, Array]:
        """(offsets, content) of a jagged product: offsets (events + 1,) int64 that begin at 0, content (rows, ...)."""
        column = self.column(key)
        if not isinstance(column, Jagged):
            raise TypeError(f"product '{key}' is not jagged but {type(column).__name__.lower()}")
        compact = column.compact()
        return compact.offsets, compact.content

    @property
    def conditions(self) -> ModuleConditions:
        """The conditions that the module declares, by label, as they are valid for all of these events."""
        return self._view.store.conditions.of(self._view.label)

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
