"""Steps that go on behind a failed event; used in place of the plain ones when the job has a policy that asks for it.

Per event, the sweep notes the failure and calls on for the next event; each event is called once, as ever. By columns, the
failure of a call says nothing of whose it is. So the events are halved and each half is called alone, until what is left
fails alone or is a single event: the answer is that of blocks of one event, at the price of 2 log2(events) calls for each
event that fails. A producer or filter may be called again, because nothing is kept of a call that raised. An analyzer may
have counted half of its events by then: its error ends the job, unless the class says that it is `all_or_nothing`.

What depends on a failed module is known when the job begins. At run time a step looks at the makers of its own inputs, and
only in blocks where something has failed: a module that was left out counts as failed for those behind it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

from .binding import Binding
from .block import Block
from .column_making import concatenate
from .errors import EvprocError, ProductNotFound
from .event import Columns, Event
from .exception_policy import Action
from .failures import Failures, Note
from .flow import Flow
from .module import ExternalWork
from .report import ModuleReport
from .schedule import Schedule, Step
from .sweep import NO_FAILURES, PIECE_SECONDS, Sweep

FAILED: Any = type("Failed", (), {"__repr__": lambda self: "<failed>"})()
"""Stands in the results of a sweep for what a failed call did not return."""
Judge = Callable[[Exception], Note | None]


class TolerantSweep(Sweep):
    """A sweep that goes on behind an event whose failure does not end the job."""

    __slots__ = ("_judge", "_noted")

    def __init__(
        self,
        judge: Judge,
        function: Callable[..., Any],
        events: Sequence[Any],
        second: Sequence[Any] | None = None,
        *,
        piece: int = 64,
    ) -> None:
        super().__init__(function, events, second, piece=piece)
        self._judge = judge
        self._noted: dict[int, Note] = {}
        self.failures = self._noted

    def forget(self) -> None:
        """Forget the failures: they have been taken up."""
        self._noted.clear()

    def advance(self, until: float, limit: int = 0) -> bool:
        """As of a sweep; an exception passes through only if it ends the job."""
        results, append, function, total = self.results, self.results.append, self._function, self.total
        stop = min(total, len(results) + limit) if limit else total
        now = perf_counter()
        while (first := len(results)) < stop:
            begin = now
            last = min(stop, first + self.piece)
            events = iter(self._events[first:last])
            second = None if self._second is None else iter(self._second[first:last])
            while len(results) < last:
                try:
                    if second is None:
                        for event in events:
                            append(function(event))
                    else:
                        for event, result in zip(events, second, strict=True):
                            append(function(event, result))
                except Exception as error:
                    self.place = len(results)
                    note = self._judge(error)
                    if note is None:
                        raise
                    self._noted[self.place] = note
                    append(FAILED)
                finally:
                    now = perf_counter()
            self.seconds += now - begin
            self.place = last - 1
            self.piece = max(1, min(int((last - first) * PIECE_SECONDS / max(now - begin, 1e-7)), 8 * (last - first)))
            if now >= until:
                break
        return len(results) >= total


class Gathered(NamedTuple):
    """What the calls of a columnar method returned for the parts of a block."""

    parts: list[tuple[Sequence[int], Any]]
    """(numbers of the events, checked result), in the order of the events."""
    failed: dict[int, Note]


class TolerantBinding(Binding):
    """A step whose module may fail on an event without ending the job."""

    def __init__(self, step: Step, flow: Flow, tally: ModuleReport, paths: list[str], failures: Failures) -> None:
        super().__init__(step, flow, tally, paths)
        self.failures = failures
        self.anyway = self.label in failures.anyway
        self.external = isinstance(self.module, ExternalWork)
        #: whether any error of it does not end the job
        self.tolerant = failures.rules.tolerant(self.label) and self.kind != "output"
        #: whether a columnar call that raised may be done again in parts
        self.divisible = self.tolerant and (self.kind in ("producer", "filter") or self.module.all_or_nothing)

    # Judging

    def judge(self, error: BaseException) -> Note | None:
        """What becomes of an error; None if it ends the job. May be called in any thread."""
        return self.failures.judge(self.label, error) if self.tolerant else None

    def fail(self, block: Block, number: int, error: BaseException) -> None:
        """The module has failed on an event. Raises if that ends the job."""
        note = self.judge(error)
        if note is None:
            raise self.failure(block, number, error) from error
        self.note(block, number, note)

    def note(self, block: Block, number: int, note: Note, *, called: bool = True) -> None:
        """The module has failed on an event, and the job goes on."""
        if self.anyway:
            note = note._replace(action=Action.IGNORE)
        self.failures.note(block, number, self.label, note)
        self.tally.calls += called
        if note.action is Action.TRY_TO_CONTINUE:
            failed = block.failing if self.external else block.failed
            failed.setdefault(self.label, set()).add(number)
            return
        block.ignored.setdefault(self.label, set()).add(number)
        if self.kind == "filter":
            self.tally.passed = (self.tally.passed or 0) + block.note_passed(self.label, [True], [number])

    def failure(self, block: Block, number: int | None, error: BaseException) -> EvprocError:
        """The error of a module that ends the job, with its context; its event is noted too."""
        if number is not None:
            note = Note(Action.RETHROW, type(error).__name__, str(error), "")
            self.failures.note(block, number, self.label, note)
        return super().failure(block, number, error)

    # Leaving out

    def unharmed(self, block: Block, index: Sequence[int] | None) -> Sequence[int] | None:
        """Of the events of `index`, those for which nothing that the module reads has failed."""
        failed, absent = self._failed(block), self._absent(block)
        if not failed and not absent:
            return index
        wanted = range(block.store.size) if index is None else index
        skipped = [number for number in wanted if number in failed]
        if skipped:
            block.failed.setdefault(self.label, set()).update(skipped)
            self.tally.not_run += len(skipped)
        for number in wanted:
            if number in absent and number not in failed:
                self._reads_nothing(block, number)
        return [number for number in wanted if number not in failed and number not in absent]

    def left_behind(self, block: Block, index: Sequence[int] | None, schedule: Schedule) -> None:
        """Count as failed the events whose way ended before they came to the module, so that its readers do not run either.

        One that comes to it later by another path counts no more.
        """
        ended: set[int] = set()
        for label, mask in {place for way in schedule.ways(self.label, self.mask) for place in way}:
            if label in block.failed:
                reached = block.events_of(mask, schedule.masks)
                ended |= block.failed[label] if reached is None else block.failed[label].intersection(reached)
        if not ended and not block.failed.get(self.label):
            return
        done = block.done.get((self.label, self.phase.name), set())
        comes = set(range(block.store.size) if index is None else index) - done
        failed = block.failed.setdefault(self.label, set())
        self.tally.not_run += len(ended - comes - done - failed) - len(failed & comes)
        failed |= ended - comes - done
        failed -= comes

    def harmed(self, block: Block) -> set[int]:
        """The events of a block that the module cannot be called for, because something that it reads has failed."""
        return self._failed(block) | self._absent(block)

    def _failed(self, block: Block) -> set[int]:
        """The events for which it does not run."""
        return set() if self.anyway else _events_of(block.failed, self.upstream)

    def _absent(self, block: Block) -> set[int]:
        """The events for which it reads what is not there; a per-event module finds that out when it reads."""
        if not self.columnar and self.kind != "output":
            return set()
        failed = _events_of(block.failed, self.upstream) if self.anyway else set()
        return failed | _events_of(block.ignored, self.upstream)

    def _reads_nothing(self, block: Block, number: int) -> None:
        tables = (block.ignored, block.failed) if self.anyway else (block.ignored,)
        maker = next(label for label in self.upstream if any(number in table.get(label, ()) for table in tables))
        error = ProductNotFound(f"what module '{maker}' makes is not there, because '{maker}' failed on this event")
        note = self.failures.judge(self.label, error)
        if note is None:
            raise self.failure(block, number, error)
        self.note(block, number, note, called=False)

    # Per event

    def sweep(
        self,
        function: Callable[..., Any],
        events: Sequence[Event],
        second: Sequence[Any] | None = None,
        *,
        piece: int = 64,
    ) -> Sweep:
        """A sweep of one of the module's methods over some events."""
        if self.tolerant:
            return TolerantSweep(self.judge, function, events, second, piece=piece)
        return Sweep(function, events, second, piece=piece)

    def put(
        self,
        block: Block,
        results: list[Any],
        index: Sequence[int] | None,
        failures: Mapping[int, Note] = NO_FAILURES,
    ) -> None:
        """Keep what the per-event calls returned, for the events for which the module has not failed."""
        super().put(block, *self.kept(block, results, index, failures))

    def kept(
        self, block: Block, results: list[Any], index: Sequence[int] | None, failures: Mapping[int, Note]
    ) -> tuple[list[Any], Sequence[int] | None]:
        """Note the failures of a sweep; returns the other results, and the events that they are for."""
        if not self.tolerant:
            return results, index
        good = [value for value in results if value is not FAILED] if failures else results
        wrong = self.wrong(good)
        if not failures and not wrong:
            return results, index
        numbers: Sequence[int] = range(block.store.size) if index is None else index
        for place, note in failures.items():
            self.note(block, numbers[place], note)
        numbers = [number for place, number in enumerate(numbers) if place not in failures]
        for place, error in wrong.items():
            self.fail(block, numbers[place], error)
        return (
            [value for place, value in enumerate(good) if place not in wrong],
            [number for place, number in enumerate(numbers) if place not in wrong],
        )

    # By columns

    def call_columns(self, block: Block, index: Sequence[int] | None) -> Any:
        """Call the columnar method for the events of `index`, in parts if it fails."""
        if not self.divisible:
            return super().call_columns(block, index)
        assert block.view is not None
        gathered = Gathered([], {})
        pending: list[Sequence[int]] = [range(block.store.size) if index is None else index]
        while pending:
            part = pending.pop()
            some = None if len(part) == block.store.size else part
            try:
                columns = self.columns_of(self.function(Columns(block.view, some)), len(part))
            except Exception as error:
                if len(part) > 1:
                    pending += reversed(halves(part))
                    continue
                note = self.judge(error)
                if note is None:
                    raise self.failure(block, part[0], error) from error
                gathered.failed[part[0]] = note
            else:
                gathered.parts.append((part, columns))
        return gathered

    def put_columns(self, block: Block, result: Any, index: Sequence[int] | None) -> None:
        """Keep what the columnar calls returned, for the events for which the module has not failed."""
        if not isinstance(result, Gathered):
            super().put_columns(block, result, index)
            return
        for number, note in result.failed.items():
            self.note(block, number, note)
        if not result.parts:
            self.put_nothing(block)
        elif len(result.parts) == 1:
            part, columns = result.parts[0]
            self.keep_columns(block, columns, None if len(part) == block.store.size else part, len(part))
        else:
            numbers = [number for part, _ in result.parts for number in part]
            joined = self._joined([columns for _, columns in result.parts])
            self.keep_columns(block, joined, None if len(numbers) == block.store.size else numbers, len(numbers))

    def _joined(self, parts: list[Any]) -> Any:
        if self.kind == "filter":
            return np.concatenate(parts)
        return {key: concatenate([columns[key] for columns in parts]) for key in self.products}


def halves(events: Sequence[int]) -> list[Sequence[int]]:
    """The two halves of some events."""
    middle = len(events) // 2
    return [events[:middle], events[middle:]]


def _events_of(table: Mapping[str, set[int]], labels: Collection[str]) -> set[int]:
    """The events that a table has for some modules."""
    return {number for label in labels if label in table for number in table[label]}
