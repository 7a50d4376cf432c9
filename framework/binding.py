"""A step bound to its module: what to call, with what, and where its results go."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .aliases import AliasNames
from .block import Block
from .column_making import as_column
from .columns import Column
from .errors import EvprocError, in_context
from .event import Columns, Event
from .flow import KINDS, Flow, kind_of
from .module import ExternalWork, products_of, uses_columns
from .report import ModuleReport
from .resources import needs_of
from .schedule import Schedule, Step
from .store import View
from .sweep import NO_FAILURES, Sweep

if TYPE_CHECKING:
    from .failures import Note

BOOLEANS = frozenset((bool, np.bool_))


class Binding:
    """A step of the schedule, ready to run."""

    def __init__(self, step: Step, flow: Flow, tally: ModuleReport, paths: list[str]) -> None:
        module = step.module
        self.step = step
        self.label = step.node.label
        self.module = module
        self.phase = step.node.phase
        self.mask = step.node.mask
        self.tally = tally
        self.paths = paths
        self.kind = kind_of(module)
        self.allowed = flow.reads.get(self.label, {})
        names = flow.renamed.get(self.label)
        self._make_view = View if names is None else AliasNames(self.allowed, names)
        self.products = list(products_of(module))
        #: whether it returns a dict of products
        self.several = bool(self.products) and self.products != [self.label]
        #: the modules that make what it reads
        self.upstream = sorted({flow.makers[key] for key in flow.products(self.label)} - {flow.source})
        base, method = next((kind, name) for kind, _, name in KINDS if isinstance(module, kind))
        if isinstance(module, ExternalWork):
            self.columnar = uses_columns(module, ExternalWork, "acquire")
        else:
            self.columnar = uses_columns(module, base, method)
        suffix = "_columns" if self.columnar else ""
        #: whether it is called though what it reads, or a module before it on its path, has failed
        self.anyway = False
        #: what it must have for itself while it runs
        self.needs = () if isinstance(module, ExternalWork) else needs_of(module)
        #: what is called for each event, or for the block
        self.function: Callable[..., Any] = getattr(module, f"{method}{suffix}")
        if self.label in flow.compiled:
            self.columnar, self.function = True, flow.compiled[self.label]
        self.acquire: Callable[..., Any] = getattr(module, f"acquire{suffix}", self.function)
        #: events in a piece of a sweep; follows the time that they take
        self.piece = 64
        #: events whose work is handed out together; follows their size
        self.piece_events = 1

    def view(self, block: Block) -> View:
        """What the module may read of a block."""
        return self._make_view(block.store, self.allowed, self.label, block.todo)

    def sweep(
        self,
        function: Callable[..., Any],
        events: Sequence[Event],
        second: Sequence[Any] | None = None,
        *,
        piece: int = 64,
    ) -> Sweep:
        """A sweep of one of the module's methods over some events."""
        return Sweep(function, events, second, piece=piece)

    def harmed(self, block: Block) -> set[int]:
        """The events of a block that the module cannot be called for, because something that it reads has failed."""
        return set()

    def left_behind(self, block: Block, index: Sequence[int] | None, schedule: Schedule) -> None:
        """Of the events that would come to the module, only those of `index` do, because a module before it has failed."""

    def unharmed(self, block: Block, index: Sequence[int] | None) -> Sequence[int] | None:
        """Of the events of `index`, those that the module can be called for though something has failed in the block."""
        return index

    def call_columns(self, block: Block, index: Sequence[int] | None) -> Any:
        """Call the columnar method for the events of `index`."""
        assert block.view is not None
        try:
            return self.function(Columns(block.view, index))
        except Exception as error:
            place = getattr(error, "place", None)  # of a compiled method, which knows the event
            number = index[place] if isinstance(place, int) and index is not None else place
            raise self.failure(block, number, error) from error

    def put(
        self,
        block: Block,
        results: list[Any],
        index: Sequence[int] | None,
        failures: Mapping[int, Note] = NO_FAILURES,
    ) -> None:
        """Keep what the per-event calls returned for the events of `index` (None: all); `failures` are places of it."""
        wrong = self.wrong(results)
        if wrong:
            place, error = next(iter(wrong.items()))
            raise self.failure(block, place if index is None else index[place], error)
        if self.kind == "filter":
            passed = block.note_passed(self.label, results, index)
            self.tally.passed = (self.tally.passed or 0) + passed
        elif not self.several:
            if self.products:
                block.store.put_values(self.label, results, index)
        else:
            for key in self.products:
                instance = key.partition(":")[2]
                block.store.put_values(key, [result[instance] for result in results], index)
        self.tally.calls += len(results)

    def wrong(self, results: Sequence[Any]) -> dict[int, TypeError]:
        """What the per-event calls should not have returned: place -> what is wrong there."""
        if self.kind == "filter":
            if BOOLEANS.issuperset(map(type, results)):
                return {}
            strange = {place: value for place, value in enumerate(results) if type(value) not in BOOLEANS}
            return {
                place: TypeError(f"a filter returns True or False, not {value!r}") for place, value in strange.items()
            }
        if not self.several:
            return {}
        wanted = {product.partition(":")[2] for product in self.products}
        found: dict[int, TypeError] = {}
        for place, result in enumerate(results):
            if not isinstance(result, dict) or result.keys() != wanted:
                got = sorted(result) if isinstance(result, dict) else type(result).__name__
                found[place] = TypeError(f"it should return a dict of {sorted(wanted)}, not {got}")
        return found

    def put_columns(self, block: Block, result: Any, index: Sequence[int] | None) -> None:
        """Keep what the columnar call returned for the events of `index` (None: all)."""
        events = block.store.size if index is None else len(index)
        try:
            columns = self.columns_of(result, events)
        except (TypeError, ValueError) as error:
            raise self.failure(block, None, error) from error
        self.keep_columns(block, columns, index, events)

    def columns_of(self, result: Any, events: int) -> Any:
        """What a columnar call returned, held against what it should: (events,) bool of a filter, or product -> column.

        Raises TypeError or ValueError.
        """
        if self.kind == "filter":
            answers = np.asarray(result)
            if answers.dtype != np.bool_ or answers.shape != (events,):
                raise TypeError(f"a filter returns ({events},) bool, not {answers.shape} {answers.dtype}")
            return answers
        several, wanted = self.several, [key.partition(":")[2] for key in self.products]
        if several and (not isinstance(result, dict) or sorted(result) != sorted(wanted)):
            got = sorted(result) if isinstance(result, dict) else type(result).__name__
            raise TypeError(f"it should return a dict of {wanted}, not {got}")
        columns: dict[str, Column] = {}
        for key in self.products:
            column = columns[key] = as_column(result[key.partition(":")[2]] if several else result)
            if len(column) != events:
                raise ValueError(f"product '{key}' has {len(column)} entries for {events} events")
        return columns

    def keep_columns(self, block: Block, columns: Any, index: Sequence[int] | None, events: int) -> None:
        """Keep what `columns_of` made, for the events of `index` (None: all)."""
        if self.kind == "filter":
            passed = block.note_passed(self.label, columns, index)
            self.tally.passed = (self.tally.passed or 0) + passed
        else:
            for key, column in columns.items():
                block.store.put_column(key, column, index)
        self.tally.calls += events

    def put_nothing(self, block: Block) -> None:
        """No event reaches this module."""
        if self.kind == "filter":
            block.note_passed(self.label, [], [])
        else:
            for key in self.products:
                if key not in block.store.columns and key not in block.store.lists:
                    block.store.put_values(key, [], [])

    def failure(self, block: Block, number: int | None, error: BaseException) -> EvprocError:
        """The error of a module, with its context: method, module, path, event and file."""
        store = block.store
        number = 0 if store.size == 1 else number
        first, last = store.event_id(0), store.event_id(store.size - 1)
        event = f"{store.event_id(number)}" if number is not None else f"{store.size} events from {first} to {last}"
        path = f" on path '{', '.join(self.paths)}'" if self.paths else ""
        file = f" ({store.where})" if store.where else ""
        where = f"module '{self.label}' ({type(self.module).__name__}){path} failed at {event}{file}"
        return in_context(error, where)
