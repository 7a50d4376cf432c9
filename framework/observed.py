"""The engine of a job that has observers: the same engine, with a word to them round what it does.

Kept apart so that the engine of other jobs does not ask, for each step of each block, whether anybody listens. Nothing here
decides anything: each method calls the one that it stands for.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from functools import partial
from time import perf_counter
from typing import Any

from .binding import Binding
from .block import Block
from .engine import Engine, Waiting
from .event import Event
from .external import ExternalSteps, Outcome
from .module import Chunk
from .observing import BlockInfo, CallsInfo, ChunkInfo, LoadInfo, Observers, StepInfo, ThreadInfo, WaitInfo, WorkInfo
from .product_bytes import Products
from .reader import Reader
from .sampling import Sampler
from .schedule import Phase, Schedule
from .state import RunState
from .sweep import Sweep
from .tolerant_external import TolerantExternalSteps


def observed(observers: Observers) -> tuple[Callable[..., Engine], Callable[..., Reader]]:
    """What makes the engine and the reader of a job with these observers."""
    return partial(ObservedEngine, observers), partial(ObservedReader, observers)


PHASES = {phase: phase.name.lower() for phase in Phase}
OUTCOMES = {outcome: outcome.value for outcome in Outcome}
Todo = Callable[[Block, Binding], Sequence[int] | None]


class ObservedEngine(Engine):
    """An engine that tells observers what it does."""

    def __init__(
        self, observers: Observers, schedule: Schedule, bindings: list[Binding], state: RunState, *others: Any
    ) -> None:
        super().__init__(schedule, bindings, state, *others)
        self._observers = observers
        self._products = Products(observers) if observers.product or observers.release else None
        self._steps = _Steps(schedule, observers, self._products)
        steps = _ObservedExternal if self._failures is None else _ObservedTolerant
        self._external = steps(state, self._answered, observers, self._steps, self._tell_load)
        self._opened: dict[int, BlockInfo] = {}
        self._quiet = self._steps.quiet
        if observers.calls:
            _sample(bindings, observers.calls, observers.sample_share)
        self._loop: asyncio.AbstractEventLoop | None = None

    def _open(self, reader: Reader) -> Block:
        block = super()._open(reader)
        if not (self._observers.block_begin or self._observers.block_end or self._observers.load):
            return block
        store = block.store
        first, last = store.event_id(0), store.event_id(store.size - 1)
        info = BlockInfo(block.number, store.size, first, last, store.where, perf_counter())
        self._opened[block.number] = info
        if self._observers.block_begin:
            self._observers.block_begin(info)
        self._tell_load()
        return block

    def _end(self, block: Block) -> None:
        super()._end(block)
        if self._products:
            self._products.block_ended(block)
        info = self._opened.pop(block.number, None)
        if self._observers.block_end and info:
            self._observers.block_end(info._replace(end=perf_counter()))
        self._tell_load()

    def _tell_load(self) -> None:
        if self._observers.load:
            held = self._reader.held if self._reader else 0
            self._observers.load(LoadInfo(perf_counter(), len(self._blocks), self.state.in_flight.used, held))

    async def _pause(self, reason: Waiting) -> None:
        begin = perf_counter()
        try:
            await super()._pause(reason)
        finally:
            if self._observers.wait:
                self._observers.wait(WaitInfo(reason.value, begin, perf_counter()))

    def _run_step(self, block: Block, binding: Binding, until: float) -> Outcome:
        if self._quiet:
            return super()._run_step(block, binding, until)
        return self._steps.run(block, binding, partial(super()._run_step, block, binding, until))

    def _run_whole(self, block: Block, binding: Binding) -> Outcome:
        self._loop = asyncio.get_running_loop()
        return super()._run_whole(block, binding)

    def _call_whole(self, binding: Binding, block: Block) -> tuple[object, float]:
        tell, begin = self._observers.thread, perf_counter()
        try:
            return super()._call_whole(binding, block)
        finally:
            if binding.module.threaded and tell and self._loop:
                name = threading.current_thread().name
                self._loop.call_soon_threadsafe(
                    tell, ThreadInfo(binding.label, block.number, name, begin, perf_counter())
                )


def _sample(bindings: list[Binding], tell: Callable[[CallsInfo], None], share: float) -> None:
    """Let calls of single events be timed."""
    loop = asyncio.get_running_loop()
    samplers: dict[str, Sampler] = {}
    for binding in bindings:
        sampler = samplers.get(binding.label)
        if sampler is None:
            told = _in_loop(loop, tell) if binding.module.threaded else tell
            sampler = samplers[binding.label] = Sampler(binding.tally, share, told)
        binding.sweep = _sampled(binding.sweep, sampler, PHASES[binding.phase])  # type: ignore[method-assign]


def _in_loop(loop: asyncio.AbstractEventLoop, tell: Callable[[CallsInfo], None]) -> Callable[[CallsInfo], None]:
    """What may be called in a thread."""

    def told(calls: CallsInfo) -> None:
        loop.call_soon_threadsafe(tell, calls)

    return told


def _sampled(sweep: Callable[..., Sweep], sampler: Sampler, phase: str) -> Callable[..., Sweep]:
    def made(
        function: Callable[..., Any], events: Sequence[Event], second: Sequence[Any] | None = None, *, piece: int = 64
    ) -> Sweep:
        plain = sweep(function, events, second, piece=piece)
        return sampler.timed(plain, phase if second is None else "collect", events)

    return made


class _Steps:
    """Tells of the begin and the end of each stretch of a step."""

    def __init__(self, schedule: Schedule, observers: Observers, products: Products | None) -> None:
        self._schedule = schedule
        self._observers = observers
        self._products = products
        #: whether nobody listens to any of it
        self.quiet = not (observers.step_begin or observers.step_end or products)
        #: block -> the step that it was in the middle of
        self._begun: dict[int, int] = {}

    def run(self, block: Block, binding: Binding, call: Callable[[], Outcome]) -> Outcome:
        """Make the call, and tell of it."""
        observers, number, place = self._observers, block.number, block.place
        label, phase, resumed = binding.label, PHASES[binding.phase], self._begun.get(number) == place
        begin = perf_counter()
        if observers.step_begin:
            observers.step_begin(StepInfo(label, phase, number, resumed, begin))
        outcome = "failed"
        try:
            done = call()
            outcome = OUTCOMES[done]
        finally:
            if observers.step_end:
                events = self._events(block, binding)
                observers.step_end(StepInfo(label, phase, number, resumed, begin, perf_counter(), events, outcome))
        if done is Outcome.ENDED:
            self._begun.pop(number, None)
            if self._products:
                self._products.step_ended(block, binding)
        else:
            self._begun[number] = place
        return done

    def _events(self, block: Block, binding: Binding) -> int:
        index = block.todo if block.view is not None else block.events_of(binding.mask, self._schedule.masks)
        return block.store.size if index is None else len(index)


class _ObservedExternal(ExternalSteps):
    """The steps of modules with external work, observed."""

    def __init__(
        self,
        state: RunState,
        answered: Callable[[Block], None],
        observers: Observers,
        steps: _Steps,
        tell_load: Callable[[], None],
    ) -> None:
        super().__init__(state, answered)
        self._observers = observers
        self._steps = steps
        self._quiet = self._steps.quiet
        self._tell_load = tell_load
        self._number = 0

    def acquire(self, block: Block, binding: Binding, todo: Todo, until: float) -> Outcome:
        """Hand out the work of the events of a step."""
        if self._quiet:
            return super().acquire(block, binding, todo, until)
        return self._steps.run(block, binding, partial(super().acquire, block, binding, todo, until))

    def collect(self, block: Block, binding: Binding, until: float) -> Outcome:
        """Produce what has been answered."""
        try:
            if self._quiet:
                return super().collect(block, binding, until)
            return self._steps.run(block, binding, partial(super().collect, block, binding, until))
        finally:
            self._tell_load()

    def _started(
        self,
        block: Block,
        binding: Binding,
        work: list[Any],
        index: Sequence[int] | None,
        answer: asyncio.Future[Sequence[Any]],
        nbytes: int,
    ) -> None:
        super()._started(block, binding, work, index, answer, nbytes)
        piece = block.pieces[binding.label][-1]
        events = block.store.size if index is None else len(index)
        self._number += 1
        info = WorkInfo(self._number, binding.label, block.number, events, piece.nbytes, piece.since)
        if self._observers.work_begin:
            self._observers.work_begin(info)
        if self._observers.work_end:
            piece.answer.add_done_callback(partial(self._ended, info))
        self._tell_load()

    def _ended(self, info: WorkInfo, answer: asyncio.Future[Any]) -> None:
        if answer.cancelled():
            error = "cancelled"
        else:
            failure = answer.exception()
            error = "" if failure is None else str(failure) or type(failure).__name__
        if self._observers.work_end:
            self._observers.work_end(info._replace(end=perf_counter(), error=error))


class _ObservedTolerant(_ObservedExternal, TolerantExternalSteps):
    """The same in a job that goes on behind failed events."""


class ObservedReader(Reader):
    """A reader that tells observers of its chunks."""

    def __init__(self, observers: Observers, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._observers = observers
        self._number = self._reads = 0
        self._begin = self._end = 0.0

    def read_ahead(self) -> None:
        """Start to read the next chunk, if none is being read and the budget allows; and say so."""
        before = self.reading
        super().read_ahead()
        if self.reading and not before and self._observers.read:
            self._reads += 1
            self._observers.read(self._reads)

    def _next_chunk(self) -> Chunk | None:
        self._begin = perf_counter()
        try:
            return super()._next_chunk()
        finally:
            self._end = perf_counter()

    def _came(self, reading: asyncio.Future[Chunk | None]) -> None:
        begin, end = self._begin, self._end  # the next chunk may begin to be read in the call below
        super()._came(reading)
        if self._observers.chunk and not reading.cancelled() and not reading.exception():
            chunk = reading.result()
            if chunk is not None:
                self._number += 1
                nbytes = chunk.nbytes or sum(column.nbytes for column in chunk.columns.values())
                self._observers.chunk(ChunkInfo(self._number, len(chunk), nbytes, chunk.where, begin, end))
