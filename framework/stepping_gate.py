"""Where a job that is run step by step stops, and what keeps its answers back: the lower half of stepping.py.

Two threads meet here, that of the job and that of the test. The job's stands in `Steps.on_step_begin`, before each step, until
the test lets it go; so its event loop stands too, and what else happens in it happens between steps.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from .module import Chunk
from .observing import ChunkInfo, Observer, StepInfo, WorkInfo
from .service import Job


@dataclass(slots=True, eq=False)
class HeldWork:
    """External work of some events of a block, whose answer is kept back."""

    number: int
    """From 1, in the order in which it was handed out."""
    module: str
    block: int
    events: int
    _let_through: Callable[[], None] = field(repr=False)


class Gate:
    """What the thread of the job and that of the test tell one another; all of it is read and written under `changed`."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.free = False
        self.over = False
        #: breaks the job off
        self.cancel: Callable[[], object] | None = None
        #: the step before which the job waits for the test
        self.at: StepInfo | None = None
        self.go = False
        #: where the step goes that the test has let run
        self.done: list[StepInfo] = []
        #: the engine has nothing to do until something comes
        self.idle = False
        #: number of the chunk that was asked for and has not come; 0 if none
        self.reading = 0
        #: the source has no more
        self.read_all = False
        #: (block, module) of steps that run in a thread
        self.threads: set[tuple[int, str]] = set()
        self.held: list[HeldWork] = []
        #: work that was let through and has not ended; the first of it is on its way
        self.running: list[HeldWork] = []
        #: what lets through the work that has been launched and not been told of
        self.launched: list[Callable[[], None]] = []

    def settled(self) -> bool:
        """Whether the job waits for the test, or has ended."""
        waits = self.idle and not self.reading and not self.threads and not self.running and bool(self.held)
        return self.at is not None or self.over or waits

    def let_go(self, done: list[StepInfo]) -> None:
        """Let the step run before which the job waits; it comes into the list when it has given the CPU back."""
        self.at, self.go, self.done = None, True, done
        self.changed.notify_all()

    def let_through(self, work: Sequence[HeldWork]) -> None:
        """Let answers come, each when the one before has."""
        if work:
            self.idle = False
            begin = not self.running
            self.running += work
            if begin:
                self.running[0]._let_through()

    def answered(self, number: int) -> None:
        """Work has ended, answered or broken off."""
        first = self.running and self.running[0].number == number
        self.held = [work for work in self.held if work.number != number]
        self.running = [work for work in self.running if work.number != number]
        self.idle = False  # the engine will look
        if first and self.running and not self.free:
            self.running[0]._let_through()
        self.changed.notify_all()

    def open(self) -> None:
        """Let everything go on."""
        with self.changed:
            self.free = True
            for work in [*self.running[1:], *self.held]:
                work._let_through()
            self.held.clear()
            self.changed.notify_all()

    def ended(self) -> None:
        """The job has ended."""
        with self.changed:
            self.over = True
            self.changed.notify_all()


class Steps(Observer):
    """Stops the job before each step."""

    gate: Gate

    async def begin_job(self, job: Job) -> None:
        """Now the job can be broken off."""
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        assert task is not None
        self.gate.cancel = lambda: loop.call_soon_threadsafe(task.cancel)

    def idle(self) -> None:
        """The engine has nothing to do."""
        with self.gate.changed:
            self.gate.idle = True
            self.gate.changed.notify_all()

    def on_step_begin(self, step: StepInfo) -> None:
        """Wait for the test."""
        gate = self.gate
        with gate.changed:
            gate.idle = False
            gate.threads.discard((step.block, step.module))
            if not gate.free:
                gate.at = step
                gate.changed.notify_all()
                gate.changed.wait_for(lambda: gate.go or gate.free)
            gate.at, gate.go = None, False

    def on_step_end(self, step: StepInfo) -> None:
        """Say so."""
        with self.gate.changed:
            self.gate.done.append(step)
            if step.outcome == "waits" and step.phase == "run":
                self.gate.threads.add((step.block, step.module))
            self.gate.changed.notify_all()

    def on_work_begin(self, work: WorkInfo) -> None:
        """Keep its answer back."""
        gate = self.gate
        with gate.changed:
            let_through = gate.launched.pop(0)
            if gate.free:
                let_through()
            else:
                gate.held.append(HeldWork(work.number, work.module, work.block, work.events, let_through))

    def on_work_end(self, work: WorkInfo) -> None:
        """It has been answered."""
        with self.gate.changed:
            self.gate.answered(work.number)

    def on_read(self, number: int) -> None:
        """A chunk may come."""
        with self.gate.changed:
            self.gate.reading = 0 if self.gate.read_all else number

    def on_chunk(self, chunk: ChunkInfo) -> None:
        """It has come, and the engine will look."""
        with self.gate.changed:
            self.gate.reading = 0 if self.gate.reading == chunk.number else self.gate.reading
            self.gate.idle = False


def ending(chunks: Callable[[frozenset[str]], Iterator[Chunk]], gate: Gate, keys: frozenset[str]) -> Iterator[Chunk]:
    """The chunks of a source; says when there are no more."""
    try:
        yield from chunks(keys)
    finally:
        with gate.changed:
            gate.reading, gate.read_all, gate.idle = 0, True, False


def held_back(
    launch: Callable[[list[Any]], tuple[asyncio.Future[Sequence[Any]], int]], gate: Gate, work: list[Any]
) -> tuple[asyncio.Future[Sequence[Any]], int]:
    """Begin external work; its answer comes when the test lets it through."""
    inner, nbytes = launch(work)
    loop = asyncio.get_running_loop()
    outer: asyncio.Future[Sequence[Any]] = loop.create_future()

    def copy(answered: asyncio.Future[Sequence[Any]]) -> None:
        if outer.done():
            return
        if answered.cancelled():
            outer.cancel()
        elif (error := answered.exception()) is not None:
            outer.set_exception(error)
        else:
            outer.set_result(answered.result())

    def broken_off(answered: asyncio.Future[Sequence[Any]]) -> None:
        if answered.cancelled():
            inner.cancel()

    def let_through() -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(inner.add_done_callback, copy)

    outer.add_done_callback(broken_off)
    with gate.changed:
        gate.launched.append(let_through)
    return outer, nbytes
