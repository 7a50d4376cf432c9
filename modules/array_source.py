"""`ArraySource`: events from arrays in memory, for tests, benchmarks and notebooks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from evproc.framework import Catalog, Chunk, Parameter, Source
from evproc.framework.columns import Flat
from evproc.framework.errors import InputError, did_you_mean
from evproc.framework.event import EventIDs

from .collections_of import find_collections
from .column_types import as_column, column_type

_IDENTITY = ("run", "luminosityBlock", "event")


class ArraySource(Source):
    """Yields events from arrays: NumPy arrays, awkward arrays, lists, or columns; one entry per event.

    The arrays are no parameters: a workflow that holds them cannot be written to YAML.

    >>> source = ArraySource({"energy": [1.0, 2.0, 3.0], "Jet_pt": [[40.0, 30.0], [], [20.0]]}, chunk=2)
    >>> source.catalog().products
    {'energy': 'float64', 'Jet_pt': 'var * float64'}
    """

    class Config(Source.Config):
        """How many events come in one chunk."""

        chunk: int = Parameter(20_000, description="events handed out in one go", placement=True, ge=1)

    def __init__(self, arrays: Mapping[str, Any] | None = None, **parameters: Any) -> None:
        super().__init__(**parameters)
        self.columns = {name: as_column(array) for name, array in (arrays or {}).items()}

    def _events(self) -> int:
        lengths = {name: len(column) for name, column in self.columns.items()}
        if len(set(lengths.values())) > 1:
            raise InputError(f"the arrays have different numbers of events: {lengths}")
        return next(iter(lengths.values()), 0)

    def catalog(self) -> Catalog:
        """What the arrays are. Raises InputError if their lengths differ."""
        products = {name: column_type(column) for name, column in self.columns.items()}
        return Catalog(products, find_collections(products), {}, self._events(), "arrays in memory")

    def chunks(self, keys: frozenset[str]) -> Iterator[Chunk]:
        """The events, in slices of the arrays. Raises InputError."""
        for key in sorted(keys):
            if key not in self.columns:
                raise InputError(f"there is no array '{key}'{did_you_mean(key, self.columns)}")
        events = self._events()
        numbered = EventIDs.numbered(0, events)
        run, block, event = (
            column.values if isinstance(column := self.columns.get(name), Flat) else otherwise
            for name, otherwise in zip(
                _IDENTITY, (numbered.run, numbered.luminosity_block, numbered.event), strict=True
            )
        )
        ids = EventIDs(run, block, event)
        for start in range(0, events, self.config.chunk):
            stop = min(start + self.config.chunk, events)
            columns = {key: self.columns[key].slice(start, stop) for key in keys}
            yield Chunk(ids.slice(start, stop), columns, f"arrays in memory, entries {start} to {stop - 1}")
