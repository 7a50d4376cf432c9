"""The engine: the one place that awaits.

It asks the run's state what to do, does it, and says what happened. Blocks are not tasks: a block is parked by leaving
it at its step, and resumed by looking at that step again, so that a parked block costs nothing and a run with blocks of
one event is not slower than the loop that it is. The loop gives way to the event loop after `SLICE` seconds at the
latest, so that answers of servers are taken, and requests sent, while modules compute.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from enum import Enum
from time import perf_counter

from .binding import Binding
from .block import Block
from .boundaries import Boundaries
from .early_end import OutputQuota, below, cut_block
from .external import ExternalSteps, Outcome
from .failures import Failures
from .path_results import PathCounter, make_result
from .reader import Reader
from .report import Progress
from .resources import Resources, places_of
from .schedule import Phase, Schedule
from .service import Service
from .state import Action, RunState, Status
from .sweep import Sweep
from .tolerant_external import TolerantExternalSteps
from .whole_steps import call_whole

SLICE = 0.005
"""How long modules may compute before the event loop has a turn, seconds."""
LOOK = 0.001
"""The same before another block is opened beside some that wait: what they wait for may have come, seconds."""


class Waiting(Enum):
    """What the whole job waits for, when no block can use the CPU."""

    EXTERNAL = "external work"
    INPUT = "input"
    THREAD = "a thread"


class Engine:
    """Runs blocks through a schedule."""

    def __init__(
        self,
        schedule: Schedule,
        bindings: list[Binding],
        state: RunState,
        services: Mapping[str, Service],
        pool: ThreadPoolExecutor,
        boundaries: Boundaries | None = None,
        failures: Failures | None = None,
    ) -> None:
        self.state = state
        self.events_done = 0
        self.waited = dict.fromkeys(Waiting, 0.0)
        self.paths = PathCounter(schedule)
        self._schedule = schedule
        self._bindings = bindings
        self._services = services
        self._pool = pool
        self._boundaries = boundaries
        if boundaries:
            boundaries.call_when_loaded(self.changed)
        self._resources = Resources(places_of(step.module for step in schedule.steps))
        self._wake = asyncio.Event()
        self._blocks: dict[int, Block] = {}
        self._failures = failures
        steps = ExternalSteps if failures is None else TolerantExternalSteps
        self._external = steps(state, self._answered)
        self._reader: Reader | None = None
        self.blocks_done = 0
        self.gave_way = 0.0
        self.quota: OutputQuota | None = None
        """How many events output modules may still write, if that ends the job."""
        self.filled = False
        """Whether it has."""

    async def run(self, reader: Reader) -> None:
        """Run until the source is at its end, or `stop` was called. An error of a module ends it at once."""
        self._reader = reader
        reader.read_ahead()
        state, given_way = self.state, perf_counter()
        try:
            while True:
                state.available, state.exhausted = reader.available, reader.exhausted
                action, number = state.decide()
                if action is Action.RUN:
                    self._advance(self._blocks[number], perf_counter() + SLICE)
                    if self.filled:
                        return
                elif action is Action.OPEN:
                    if state.status and perf_counter() - given_way > LOOK:
                        given_way = await self._give_way()
                        continue
                    self._open(reader)
                elif action is Action.WAIT:
                    await self._wait()
                    given_way = perf_counter()
                else:
                    reader.raise_failure()
                    return
                if perf_counter() - given_way > SLICE:
                    given_way = await self._give_way()
        finally:
            await self._abandon()

    async def _give_way(self) -> float:
        """Let the event loop have a turn; returns when it had."""
        begin = perf_counter()
        await asyncio.sleep(0)
        end = perf_counter()
        self.gave_way += end - begin
        return end

    def stop(self) -> None:
        """Open no more blocks; those that are open are finished."""
        if self._reader:
            self._reader.stop()
        self._wake.set()

    def changed(self) -> None:
        """Something that the engine may be waiting for has happened."""
        self._wake.set()

    def progress(self, elapsed: float, rate: float, total: int | None) -> Progress:
        """How far the run has come."""
        status = {key: text for service in self._services.values() for key, text in service.status().items()}
        return Progress(self.events_done, total, elapsed, rate, len(self._blocks), status)

    async def _wait(self) -> None:
        """The CPU has nothing to do until something happens."""
        self._wake.clear()
        for service in self._services.values():
            service.idle()
        statuses = set(self.state.status.values())
        if statuses & {Status.ANSWERS, Status.BUDGET}:
            reason = Waiting.EXTERNAL
        else:
            reason = Waiting.THREAD if Status.THREAD in statuses else Waiting.INPUT
        if not statuses and self._reader and not self._reader.reading:
            self._reader.read_ahead()
        await self._pause(reason)

    async def _pause(self, reason: Waiting) -> None:
        begin = perf_counter()
        await self._wake.wait()
        self.waited[reason] += perf_counter() - begin

    def _open(self, reader: Reader) -> Block:
        store, chunk = reader.take()
        number = self.state.opened()
        block = self._blocks[number] = Block(number, store, chunk)
        if self._boundaries:
            self._boundaries.opened(block)
        return block

    def _answered(self, block: Block) -> None:
        self.state.answered(block.number)
        self._wake.set()

    def _came_back(self, block: Block) -> None:
        self.state.ready(block.number)
        self._wake.set()

    def _advance(self, block: Block, until: float) -> None:
        """Take a block through its steps until it waits, has ended, or the time is up."""
        steps, tail = self._bindings, self._schedule.tail
        while True:
            if block.place == tail:
                self.state.waits(block.number, Status.TURN)
                if self.state.status[block.number] is Status.TURN:
                    return
                if self._boundaries:
                    self._boundaries.at_tail(block)
                if self.quota is not None and block.limits is None:
                    cut_block(self.quota, block, steps[tail:], self._schedule)
            if block.place == len(steps):
                self._end(block)
                return
            binding = steps[block.place]
            if binding.phase is Phase.ACQUIRE:
                outcome = self._external.acquire(block, binding, self._todo, until)
            elif binding.phase is Phase.COLLECT:
                outcome = self._external.collect(block, binding, until)
            elif binding.phase is Phase.RESULT:
                outcome = self._make_result(block, binding)
            else:
                outcome = self._run_step(block, binding, until)
            if outcome is not Outcome.ENDED:
                return
            if binding.needs:
                self._give_back(block)
            for key in binding.step.release:
                block.store.drop(key)
            block.next_step()
            if perf_counter() >= until:
                return

    def _todo(self, block: Block, binding: Binding) -> Sequence[int] | None:
        """The events that a step is for; None: all."""
        step, masks = binding.step, self._schedule.masks
        if not block.failed and block.limits is None:
            index = block.left(binding.mask, step.before, masks)
            return binding.unharmed(block, index) if block.ignored else index
        key = (binding.label, binding.phase.name)
        if step.repeated and key not in block.done:
            block.done[key] = block.union(step.before, masks)
        index = block.events_of(binding.mask, masks)
        if block.failed and not binding.anyway:
            index = block.going_on(binding.label, binding.mask, self._schedule)
            binding.left_behind(block, index, self._schedule)
        if block.limits is not None:
            limit = min(block.limits[""], block.limits.get(binding.label, block.store.size))
            index = below(index, limit, block.store.size)
        if step.repeated:
            done = block.done[key]
            every = range(block.store.size) if index is None else index
            left = [number for number in every if number not in done]
            done.update(left)
            index = None if len(left) == block.store.size else left
        return binding.unharmed(block, index) if block.failed or block.ignored else index

    def _make_result(self, block: Block, binding: Binding) -> Outcome:
        """What a path has come to, for the modules that read it."""
        begin = perf_counter()
        make_result(block, binding.label, self._schedule)
        binding.tally.cpu_s += perf_counter() - begin
        return Outcome.ENDED

    def _run_step(self, block: Block, binding: Binding, until: float) -> Outcome:
        """A step without external work."""
        store = block.store
        if block.view is None:
            if binding.needs and not self._resources.take(block.number, binding.needs):
                self.state.waits(block.number, Status.RESOURCE)
                return Outcome.WAITS
            block.todo = self._todo(block, binding)
            if block.todo is not None and not len(block.todo):
                binding.put_nothing(block)
                return Outcome.ENDED
            block.view = binding.view(block)
            if binding.columnar or binding.module.threaded:
                return self._run_whole(block, binding)
            block.sweep = binding.sweep(binding.function, block.store.selected(block.todo), piece=binding.piece)
        elif block.thread is not None:
            return self._finish_thread(block, binding)
        store.view = block.view
        sweep = block.sweep
        assert sweep is not None
        try:
            ended = sweep.advance(until)
        except Exception as error:
            place = sweep.place
            raise binding.failure(block, place if block.todo is None else block.todo[place], error) from error
        if not ended:
            return Outcome.MORE
        binding.tally.cpu_s += sweep.seconds
        binding.piece = sweep.piece
        binding.put(block, sweep.results, block.todo, sweep.failures)
        return Outcome.ENDED

    def _give_back(self, block: Block) -> None:
        """A step has ended: others may have what it needed."""
        for number in self._resources.give(block.number):
            self.state.ready(number)

    def _run_whole(self, block: Block, binding: Binding) -> Outcome:
        """A step that is not cut into pieces: a columnar one, or one in a thread."""
        assert block.view is not None
        block.store.view = block.view
        if binding.module.threaded:
            self.state.waits(block.number, Status.THREAD)
            block.thread = asyncio.get_running_loop().run_in_executor(self._pool, self._call_whole, binding, block)
            block.thread.add_done_callback(lambda _: self._came_back(block))
            return Outcome.WAITS
        self._keep_whole(block, binding, self._call_whole(binding, block))
        return Outcome.ENDED

    def _call_whole(self, binding: Binding, block: Block) -> tuple[object, float]:
        return call_whole(binding, block)

    def _finish_thread(self, block: Block, binding: Binding) -> Outcome:
        assert block.thread is not None
        if not block.thread.done():
            return Outcome.WAITS
        result, block.thread = block.thread.result(), None
        self._keep_whole(block, binding, result)
        return Outcome.ENDED

    def _keep_whole(self, block: Block, binding: Binding, called: tuple[object, float]) -> None:
        result, seconds = called
        binding.tally.cpu_s += seconds
        if binding.columnar:
            binding.put_columns(block, result, block.todo)
        else:
            assert isinstance(result, Sweep)
            binding.put(block, result.results, block.todo, result.failures)

    def _end(self, block: Block) -> None:
        size = block.store.size if block.limits is None else block.limits[""]
        self.paths.add(block, size)
        self.events_done += size
        self.filled = self.quota is not None and self.quota.full
        self.blocks_done += 1
        if self._failures is not None:
            self._failures.ended(block.number, size)
        self.state.ended(block.number)
        del self._blocks[block.number]
        block.store.close()
        if self._reader:
            self._reader.give_back(block.chunk)
        if self._boundaries:
            self._boundaries.ended(self.state.turn)

    async def _abandon(self) -> None:
        """Leave nothing running: cancel external work, wait for threads."""
        work = [piece.answer for block in self._blocks.values() for pieces in block.pieces.values() for piece in pieces]
        for future in work:
            future.cancel()
        threads = [block.thread for block in self._blocks.values() if block.thread is not None]
        await asyncio.gather(*work, *threads, return_exceptions=True)
        self._blocks.clear()
        if self._boundaries:
            await self._boundaries.close()
        if self._reader:
            await self._reader.close()
