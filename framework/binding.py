"""A step bound to its module: what to call, with what, and where its results go."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .block import Block
from .columns import column_from_array
from .errors import EvprocError, InternalError, in_context
from .flow import KINDS, Flow, kind_of
from .module import ExternalWork, products_of, uses_columns
from .report import ModuleReport
from .schedule import Step
from .store import View

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
        self.products = list(products_of(module))
        base, method = next((kind, name) for kind, _, name in KINDS if isinstance(module, kind))
        if isinstance(module, ExternalWork):
            self.columnar = uses_columns(module, ExternalWork, "acquire")
        else:
            self.columnar = uses_columns(module, base, method)
        suffix = "_columns" if self.columnar else ""
        #: what is called for each event, or for the block
        self.function: Callable[..., Any] = getattr(module, f"{method}{suffix}")
        self.acquire: Callable[..., Any] = getattr(module, f"acquire{suffix}", self.function)
        #: events whose work is handed out together; follows their size
        self.piece_events = 1

    def view(self, block: Block) -> View:
        """What the module may read of a block."""
        return View(block.store, self.allowed, self.label, block.todo)

    def put(self, block: Block, results: list[Any], index: Sequence[int] | None) -> None:
        """Keep what the per-event calls returned for the events of `index` (None: all)."""
        if self.kind == "filter":
            if not BOOLEANS.issuperset(map(type, results)):
                wrong = next(place for place, value in enumerate(results) if type(value) not in BOOLEANS)
                number = wrong if index is None else index[wrong]
                raise self.failure(block, number, TypeError(f"a filter returns True or False, not {results[wrong]!r}"))
            passed = block.note_passed(self.label, results, index)
            self.tally.passed = (self.tally.passed or 0) + passed
        elif len(self.products) == 1 and self.products[0] == self.label:
            block.store.put_values(self.label, results, index)
        elif self.products:
            for key in self.products:
                block.store.put_values(key, self._instance(block, key, results, index), index)
        self.tally.calls += len(results)

    def _instance(self, block: Block, key: str, results: list[Any], index: Sequence[int] | None) -> list[Any]:
        """The values of one of several products; checks that the module returned just those that it declares."""
        instance = key.partition(":")[2]
        wanted = {product.partition(":")[2] for product in self.products}
        for place, result in enumerate(results):
            if not isinstance(result, dict) or result.keys() != wanted:
                got = sorted(result) if isinstance(result, dict) else type(result).__name__
                number = place if index is None else index[place]
                raise self.failure(block, number, TypeError(f"it should return a dict of {sorted(wanted)}, not {got}"))
        return [result[instance] for result in results]

    def put_columns(self, block: Block, result: Any, index: Sequence[int] | None) -> None:
        """Keep what the columnar call returned for the events of `index` (None: all)."""
        events = block.store.size if index is None else len(index)
        if self.kind == "filter":
            answers = np.asarray(result)
            if answers.dtype != np.bool_ or answers.shape != (events,):
                wrong = f"a filter returns ({events},) bool, not {answers.shape} {answers.dtype}"
                raise self.failure(block, None, TypeError(wrong))
            passed = block.note_passed(self.label, answers, index)
            self.tally.passed = (self.tally.passed or 0) + passed
        elif self.products:
            several = self.products != [self.label]
            wanted = [key.partition(":")[2] for key in self.products]
            if several and (not isinstance(result, dict) or sorted(result) != sorted(wanted)):
                got = sorted(result) if isinstance(result, dict) else type(result).__name__
                raise self.failure(block, None, TypeError(f"it should return a dict of {wanted}, not {got}"))
            for key in self.products:
                try:
                    column = column_from_array(result[key.partition(":")[2]] if several else result)
                except TypeError as error:
                    raise self.failure(block, None, error) from error
                if len(column) != events:
                    wrong = f"product '{key}' has {len(column)} entries for {events} events"
                    raise self.failure(block, None, ValueError(wrong))
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
        if isinstance(error, InternalError):
            return error
        store = block.store
        number = 0 if store.size == 1 else number
        first, last = store.event_id(0), store.event_id(store.size - 1)
        event = f"{store.event_id(number)}" if number is not None else f"{store.size} events from {first} to {last}"
        path = f" on path '{', '.join(self.paths)}'" if self.paths else ""
        file = f" ({store.where})" if store.where else ""
        where = f"module '{self.label}' ({type(self.module).__name__}){path} failed at {event}{file}"
        return in_context(error, where)
