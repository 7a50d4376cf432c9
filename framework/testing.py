"""Helpers for the tests of module authors: a few events in, products out, without a file or a workflow.

    def test_sum():
        products = run_module(SumPt(), [{"Jet_pt": [40.0, 30.0]}, {"Jet_pt": []}])
        assert products == [70.0, 0.0]

`run_module` is a whole job, with the schedule and the engine of a real one; a module that passes here passes there.
`make_events`, `make_columns` and `make_store` make what a module is given, for calling one of its methods alone.
`Stepwise` runs a job step by step and answers external work in the order that the test says (stepping.py); within
`virtual_clock()` nothing that waits takes time (virtual_clock.py).

Events are a list with a dict for each, or a dict with an array for each product. In the first form a list is made an
array, so that a module sees what it would see of a file; a dict is a collection: `{"Jet": {"pt": [40.0], "eta": [0.1]}}`
gives the products `Jet_pt` and `Jet_eta`, and the collection `Jet`. Give NumPy arrays where the type matters: files
mostly hold float32, lists become float64.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from .column_making import column_from_array, column_from_events
from .columns import Column, Flat, Jagged, Nested
from .config import Parameter
from .errors import did_you_mean
from .event import Columns, Event, EventID, EventIDs
from .flow import kind_of
from .module import Analyzer, Catalog, Chunk, Module, Source, products_of
from .process import EndPath, Path, Process
from .service import Service
from .stepping import Stepwise
from .stepping_gate import HeldWork
from .store import Store, View
from .virtual_clock import VirtualClock, virtual_clock

Events: TypeAlias = Sequence[Mapping[str, Any]] | Mapping[str, Any]
"""A dict for each event, or an array for each product."""


def run_module(
    module: Module,
    events: Events,
    *,
    ids: Sequence[tuple[int, int, int]] | None = None,
    services: Sequence[Service] | Mapping[str, Service] = (),
    **options: Any,
) -> list[Any]:
    """Run a module alone over some events; returns what it made of each, in their order.

    That is the product of a producer (a dict instance -> product if it makes several), whether the event passes for a
    filter, and None for analyzers and output modules. `services` are those that the module needs, conditions too: a list,
    or label -> service; `options` are those of `Process`. Raises what a job raises: ConfigurationError, ModuleError,
    InferenceError ...
    """
    process = Process("TEST", **options)
    source = process.events_of_the_test = EventSource(events, ids)
    if not isinstance(services, Mapping):
        services = {service.label or f"service_{number}": service for number, service in enumerate(services)}
    for label, service in services.items():
        setattr(process, label, service)
    setattr(process, module.label or "module", module)
    kind = kind_of(module)
    kept = process.kept = _Keep(products_of(module) if kind == "producer" else {})
    if kind in ("producer", "filter"):
        process.path = Path(module, kept)
    else:
        process.path = EndPath(module)
    process.run()
    if kind == "filter":
        return [number in kept.seen for number in range(source.size)]
    if kind != "producer":
        return [None] * source.size
    products = [kept.seen[number] for number in range(source.size)]
    if list(products_of(module)) == [module.label]:
        return [made[module.label] for made in products]
    return [{key.partition(":")[2]: value for key, value in made.items()} for made in products]


def make_columns(events: Events, *, ids: Sequence[tuple[int, int, int]] | None = None) -> Columns:
    """Some events as a columnar module sees them."""
    return Columns(make_store(events, ids=ids).view, None)


def make_events(events: Events, *, ids: Sequence[tuple[int, int, int]] | None = None) -> list[Event]:
    """Some events as a per-event module sees them."""
    return make_store(events, ids=ids).events


def make_store(events: Events, *, ids: Sequence[tuple[int, int, int]] | None = None) -> Store:
    """A block of some events, whose view allows all of their products."""
    columns, collections, size = _columns_of(events)
    store = Store(size, _ids_of(ids, size), 0, "events of the test")
    store.columns.update(columns)
    store.view = View(store, {**dict.fromkeys(columns), **collections}, "test")
    return store


class EventSource(Source):
    """Yields the events of a test, `chunk` at a time."""

    class Config(Source.Config):
        """How many events come in one chunk."""

        chunk: int = Parameter(1 << 40, description="events handed out in one go", placement=True, ge=1)

    def __init__(
        self, events: Events | None = None, ids: Sequence[tuple[int, int, int]] | None = None, **parameters: Any
    ) -> None:
        super().__init__(**parameters)
        self.columns, self.collections, self.size = _columns_of(events or [])
        self.ids = _ids_of(ids, self.size)

    def catalog(self) -> Catalog:
        """The products of the events."""
        kinds = {key: _type_of(column) for key, column in self.columns.items()}
        return Catalog(kinds, dict(self.collections), {}, self.size, "events of the test")

    def chunks(self, keys: frozenset[str]) -> Iterator[Chunk]:
        """The events, in slices of their columns."""
        for start in range(0, self.size, self.config.chunk):
            stop = min(start + self.config.chunk, self.size)
            columns = {key: self.columns[key].slice(start, stop) for key in keys}
            yield Chunk(self.ids.slice(start, stop), columns, "events of the test")


class _Keep(Analyzer):
    """Keeps the products of each event that reaches it, under the number of the event."""

    def __init__(self, products: Mapping[str, str]) -> None:
        super().__init__()
        self.consumes = [*products]  # type: ignore[misc]  # of this instance: the products of the module under test
        self.seen: dict[int, dict[str, Any]] = {}

    def analyze(self, event: Event) -> None:
        self.seen[event._block.store.first + event._number] = {key: event[key] for key in self.consumes}


def _columns_of(events: Events) -> tuple[dict[str, Column], dict[str, tuple[str, ...]], int]:
    """The columns of events in either form, their collections, and how many events there are."""
    if isinstance(events, Mapping):
        columns = {key: _column_of(values) for key, values in events.items()}
        sizes = {key: len(column) for key, column in columns.items()}
        if len(set(sizes.values())) > 1:
            raise ValueError(f"the arrays have different numbers of events: {sizes}")
        return columns, {}, next(iter(sizes.values()), 0)
    flat: list[dict[str, Any]] = []
    collections: dict[str, tuple[str, ...]] = {}
    for number, event in enumerate(events):
        products: dict[str, Any] = {}
        for key, value in event.items():
            if isinstance(value, Mapping):
                collections[key] = tuple(value)
                products.update({f"{key}_{field}": _array_of(inner) for field, inner in value.items()})
            else:
                products[key] = _array_of(value)
        if flat and products.keys() != flat[0].keys():
            key = next(iter(products.keys() ^ flat[0].keys()))
            near = did_you_mean(key, products if key in flat[0] else flat[0])
            raise ValueError(f"event {number} and the first do not hold the same products: '{key}'{near}")
        flat.append(products)
    columns = {key: column_from_events([products[key] for products in flat]) for key in (flat[0] if flat else ())}
    return columns, collections, len(flat)


def _column_of(values: Any) -> Column:
    if isinstance(values, Flat | Jagged | Nested):
        return values
    if isinstance(values, list | tuple):
        return column_from_events([_array_of(value) for value in values])
    return column_from_array(values)


def _array_of(value: Any) -> Any:
    """A list of numbers as an array; all else as it is."""
    if isinstance(value, list | tuple):
        try:
            array = np.asarray(value)
        except ValueError:
            return value
        return array if array.dtype.kind in "biufc" else value
    return value


def _ids_of(ids: Sequence[tuple[int, int, int]] | None, size: int) -> EventIDs:
    if ids is None:
        return EventIDs.numbered(0, size)
    if len(ids) != size:
        raise ValueError(f"there are {len(ids)} identities for {size} events")
    named = [EventID(*one) for one in ids]
    return EventIDs(
        np.array([one.run for one in named], np.uint32),
        np.array([one.luminosity_block for one in named], np.uint32),
        np.array([one.event for one in named], np.uint64),
    )


def _type_of(column: Column) -> str:
    if isinstance(column, Nested):
        import awkward as ak

        return " ".join(str(ak.type(column.data).content).split())
    values, first = (column.values, "") if isinstance(column, Flat) else (column.content, "var * ")
    return first + "".join(f"{extent} * " for extent in values.shape[1:]) + values.dtype.name


__all__ = [
    "EventSource",
    "Events",
    "HeldWork",
    "Stepwise",
    "VirtualClock",
    "make_columns",
    "make_events",
    "make_store",
    "run_module",
    "virtual_clock",
]
