"""External work: `acquire` hands it out piece by piece, `collect` takes back what has been answered.

A piece is some consecutive events of a block whose work goes out together: few enough bytes that memory stays bounded
(one event of FACILE is 2.3 MB), many enough events that the call costs nothing. Between the two, pieces are futures.
When work in flight holds all the memory that it may, `acquire` pauses in the middle of the block, and the answers that
are there are produced first, whichever step they belong to: that frees memory, and no block can wait for memory that
itself holds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from enum import Enum
from functools import partial
from inspect import CORO_CREATED, getcoroutinestate
from time import perf_counter
from types import CoroutineType
from typing import Any

from .binding import Binding
from .block import Block, Harvest, Piece
from .event import Columns
from .handed_out import HandedOut
from .module import ExternalWork, close_work
from .state import RunState, Status
from .sweep import PIECE_SECONDS, Sweep

PIECE_BYTES = 4 << 20
"""Bytes of work in one piece, about."""
LOOK_EVERY = 128
"""After how many events the bytes of a growing piece are looked at: large events may follow after small ones."""


class Outcome(Enum):
    """How a call of a step ended."""

    ENDED = "ended"
    MORE = "more"
    """Its time was up."""
    WAITS = "waits"


class ExternalSteps:
    """The steps of modules with external work."""

    def __init__(self, state: RunState, answered: Callable[[Block], None]) -> None:
        self._state = state
        self._answered = answered
        self._piece_bytes = min(PIECE_BYTES, max(1, state.in_flight.limit // 4))
        #: the collecting step of each module, by label; for answers that are produced before their step
        self._collecting: dict[str, Binding] = {}

    def acquire(
        self, block: Block, binding: Binding, todo: Callable[[Block, Binding], Sequence[int] | None], until: float
    ) -> Outcome:
        """Hand out the work of the events of a step."""
        if block.view is None:
            block.view = binding.view(block)
            block.todo = todo(block, binding)
            block.acquired = 0
            block.pieces.setdefault(binding.label, [])
            if not binding.columnar and (events := block.store.selected(block.todo)):
                block.sweep = binding.sweep(binding.acquire, events, piece=binding.piece_events)
        total = block.store.size if block.todo is None else len(block.todo)
        self._collecting.setdefault(binding.label, binding)
        while block.acquired < total:
            if not self._state.in_flight.open:
                if not self._free_some(block, until):
                    self._state.waits(block.number, Status.BUDGET)
                    if self._state.status[block.number] is Status.BUDGET:
                        return Outcome.WAITS
                if perf_counter() >= until:
                    return Outcome.MORE
                continue
            if binding.columnar:
                self._launch_block(block, binding, total)
            else:
                self._launch_piece(block, binding, total)
            if perf_counter() >= until and block.acquired < total:
                return Outcome.MORE
        return Outcome.ENDED

    def _launch_piece(self, block: Block, binding: Binding, total: int) -> None:
        sweep, first = block.sweep, block.acquired
        assert sweep is not None
        assert block.view is not None
        block.store.view = block.view
        module = binding.module
        assert isinstance(module, ExternalWork)
        spent, end, held, limit = sweep.seconds, perf_counter() + 2 * PIECE_SECONDS, 0, self._piece_bytes
        last = first + min(binding.piece_events, total - first)
        try:
            while (stop := len(sweep.results)) < last and held < limit and (stop == first or perf_counter() < end):
                sweep.advance(0.0, limit=min(LOOK_EVERY, last - stop))
                held += self._work_bytes(module, sweep, stop)
        except Exception as error:
            close_work(sweep.results[first:])
            place = sweep.place
            raise binding.failure(block, place if block.todo is None else block.todo[place], error) from error
        binding.tally.cpu_s += sweep.seconds - spent
        work = sweep.results[first:]
        sweep.results[first:] = [None] * len(work)
        index = range(first, stop) if block.todo is None else block.todo[first:stop]
        block.acquired = stop
        if isinstance(index, range):
            work = HandedOut(work, block.store, first)
        self._launch(block, binding, work, index)

    def _work_bytes(self, module: ExternalWork, sweep: Sweep, first: int) -> int:
        """The bytes of the work that a sweep of `acquire` has made since there were `first`."""
        return module.work_bytes(sweep.results[first:])

    def _launch_block(self, block: Block, binding: Binding, total: int) -> None:
        assert block.view is not None
        block.store.view = block.view
        begin = perf_counter()
        try:
            work = binding.acquire(Columns(block.view, block.todo))
        except Exception as error:
            raise binding.failure(block, None, error) from error
        binding.tally.cpu_s += perf_counter() - begin
        block.acquired = total
        self._launch(block, binding, [work], block.todo)

    def _launch(self, block: Block, binding: Binding, work: list[Any], index: Sequence[int] | None) -> None:
        module = binding.module
        assert isinstance(module, ExternalWork)
        if module._names_events:
            name_events(module, block, index)
        try:
            answer, nbytes = module.launch(work)
        except Exception as error:
            close_work(work)
            place = getattr(error, "place", None)
            number = index[place] if index is not None and isinstance(place, int) and not binding.columnar else None
            raise binding.failure(block, number, error) from error
        self._started(block, binding, work, index, answer, nbytes)

    def _started(
        self,
        block: Block,
        binding: Binding,
        work: list[Any],
        index: Sequence[int] | None,
        answer: asyncio.Future[Sequence[Any]],
        nbytes: int,
    ) -> None:
        """Keep a piece of work that has been started."""
        module = binding.module
        assert isinstance(module, ExternalWork)
        if isinstance(work[0], CoroutineType):
            answer.add_done_callback(partial(_close_if_cancelled, work))
        events = len(work)
        budget = self._state.in_flight
        nbytes = nbytes or events * max(1, budget.limit // module.MAX_EVENTS)
        budget.take(nbytes)
        binding.piece_events = max(1, min(8 * binding.piece_events, self._piece_bytes * events // nbytes))
        block.pieces[binding.label].append(Piece(index, answer, nbytes, perf_counter(), binding.columnar))
        answer.add_done_callback(lambda _: self._answered(block))

    def collect(self, block: Block, binding: Binding, until: float) -> Outcome:
        """Produce what has been answered; ends when all has."""
        label = binding.label
        while block.pieces[label] or (block.collecting and block.collecting[0] == label):
            if not self._produce_some(block, binding, until):
                self._state.waits(block.number, Status.ANSWERS)
                return Outcome.WAITS
            if perf_counter() >= until:
                return Outcome.MORE
        harvest = block.harvest.pop(label, None)
        if harvest is None:
            if label not in block.whole_done:
                binding.put_nothing(block)
            return Outcome.ENDED
        values, index = harvest.gathered()
        binding.put(block, values, index)
        return Outcome.ENDED

    def _free_some(self, block: Block, until: float) -> bool:
        """Produce answers of this block, of whichever step, for the sake of their memory."""
        for label, binding in self._collecting.items():
            if (block.collecting or block.pieces.get(label)) and self._produce_some(block, binding, until):
                return True
        return False

    def _produce_some(self, block: Block, binding: Binding, until: float) -> bool:
        """Produce for one answered piece, as far as time allows; returns whether there was one."""
        label = binding.label
        if block.collecting is None:
            pieces = block.pieces[label]
            piece = next((piece for piece in pieces if piece.answer.done()), None)
            if piece is None:
                return False
            pieces.remove(piece)
            results = self._results(block, binding, piece)
            if results is None:
                return True
            count = block.store.size if piece.index is None else len(piece.index)
            binding.tally.external_wait_s += (perf_counter() - piece.since) * count  # divided by all events at the end
            if piece.columns:
                self._produce_block(block, binding, piece, results)
                return True
            events = block.store.selected(piece.index)
            block.collecting = (label, piece, binding.sweep(binding.function, events, results))
        label, piece, sweep = block.collecting
        binding = self._collecting[label]
        assert piece.index is not None
        view = block.store.view = binding.view(block)
        spent = sweep.seconds
        try:
            ended = sweep.advance(until)
        except Exception as error:
            raise binding.failure(block, piece.index[sweep.place], error) from error
        view.clear()
        binding.tally.cpu_s += sweep.seconds - spent
        if ended:
            if label not in block.harvest:
                block.harvest[label] = Harvest(block.store.size)
            block.harvest[label].add(*self._produced(block, binding, piece.index, sweep))
            block.collecting = None
            self._state.freed(piece.nbytes)
        return True

    def _produced(
        self, block: Block, binding: Binding, index: Sequence[int], sweep: Sweep
    ) -> tuple[Sequence[int], list[Any]]:
        """Which events of a piece have been produced, and what for each."""
        return index, sweep.results

    def _produce_block(self, block: Block, binding: Binding, piece: Piece, results: Sequence[Any]) -> None:
        index = piece.index
        view = block.store.view = binding.view(block)
        begin = perf_counter()
        try:
            result = binding.function(Columns(view, index), results[0])
        except Exception as error:
            raise binding.failure(block, None, error) from error
        binding.tally.cpu_s += perf_counter() - begin
        view.clear()
        binding.put_columns(block, result, index)
        block.whole_done.add(binding.label)
        self._state.freed(piece.nbytes)

    def _results(self, block: Block, binding: Binding, piece: Piece) -> Sequence[Any] | None:
        """What came of the work of a piece; raises the first error in it, with its event. None: nothing to produce."""
        try:
            results = self._answer(piece)
        except Exception as error:
            raise binding.failure(block, piece.event(getattr(error, "place", None)), error) from error
        sound = getattr(results, "sound", False)
        if not sound and any(issubclass(kind, BaseException) for kind in set(map(type, results))):
            place, cause = next((i, item) for i, item in enumerate(results) if isinstance(item, BaseException))
            raise binding.failure(block, piece.event(place), cause) from cause
        return results

    def _answer(self, piece: Piece) -> Sequence[Any]:
        """One result for each event of a piece, or one for all of a columnar one. Raises what the work raised."""
        if piece.answer.cancelled():
            raise RuntimeError("its external work was cancelled")
        results = piece.answer.result()
        expected = 1 if piece.columns or piece.index is None else len(piece.index)
        if not hasattr(results, "__len__"):
            got = f"{type(results).__name__}, not one result for each of {expected} events"
            raise TypeError(f"`external` returned {got}")
        if len(results) != expected:
            raise ValueError(f"`external` returned {len(results)} results for {expected} events")
        return results


def name_events(module: ExternalWork, block: Block, index: Sequence[int] | None) -> None:
    """Tell a module of which events the work is that it launches now."""
    store = block.store
    first, last = (0, store.size - 1) if index is None else (index[0], index[-1])
    module._launched = store.event_id(first), store.event_id(last)


def _close_if_cancelled(work: Sequence[Any], answer: asyncio.Future[Any]) -> None:
    """Close coroutines that were cancelled before they began, so that Python does not warn of them."""
    if answer.cancelled():
        for item in work:
            if isinstance(item, CoroutineType) and getcoroutinestate(item) == CORO_CREATED:
                item.close()
