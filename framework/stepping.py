"""A job step by step, for tests: one step of one block at a time, and external work answered in the order that the test says.

    with Stepwise(process) as job:
        step = job.step()                      # StepInfo(module='energy', phase='acquire', block=0, ...)
        job.run_until_idle()                   # nothing can go on: all that is left waits for answers
        second, first = reversed(job.held)     # HeldWork(number=2, module='energy', block=1, events=10) ...
        job.answer(second)
        job.step()                             # 'energy', phase 'collect', block 1
        result = job.finish()

The job is the real one, with the real engine: it runs in a thread of its own, is stopped before each step of a module and
waits there for the test. What external work brings is kept back until the test lets it through; the work itself begins when
the module hands it out. All is told through the hooks that observers have, so the engine knows nothing of tests.

A step is a stretch for which a module has the CPU. One that has to wait for answers ends with the outcome `waits`, and comes
again when there are some.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from .module import Chunk, ExternalWork
from .observing import ChunkInfo, Observer, StepInfo, WorkInfo
from .service import Job

if TYPE_CHECKING:
    from .process import Process
    from .result import Result

LABEL = "steps_of_the_test"
PATIENCE = 30.0
"""How long the test waits for the job, seconds; more means that something hangs."""


@dataclass(slots=True, eq=False)
class HeldWork:
    """External work of some events of a block, whose answer is kept back."""

    number: int
    """From 1, in the order in which it was handed out."""
    module: str
    block: int
    events: int
    _let_through: Callable[[], None] = field(repr=False)


class Stepwise:
    """Runs a process step by step. A context manager: on leaving, whatever is left of the job is broken off.

    All methods wait for the job at most `patience` seconds, and raise TimeoutError then; what the job raises, they raise.
    """

    def __init__(self, process: Process, *, patience: float = PATIENCE) -> None:
        self._process = process
        self._patience = patience
        self._gate = _Gate()
        self._thread = threading.Thread(target=self._run, name="evproc-stepwise", daemon=True)
        self._result: Result | None = None
        self._error: BaseException | None = None

    def __enter__(self) -> Stepwise:
        external = [module for module in self._process.modules.values() if isinstance(module, ExternalWork)]
        source = self._process.source_module
        if source is not None:
            source.__dict__["chunks"] = partial(_ending, source.chunks, self._gate)
        for module in external:
            module.__dict__["launch"] = partial(_launch, module.launch, self._gate)
        steps = _Steps()
        steps.gate = self._gate
        setattr(self._process, LABEL, steps)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        gate = self._gate
        with gate.changed:
            if gate.cancel is not None and not gate.over:
                gate.cancel()
        gate.open()
        self._thread.join(self._patience)

    def _run(self) -> None:
        try:
            self._result = self._process.run(progress=False)
        except BaseException as error:
            self._error = error
        finally:
            self._gate.ended()

    @property
    def held(self) -> list[HeldWork]:
        """External work that was handed out and not yet let through, in the order in which it was handed out."""
        with self._gate.changed:
            return list(self._gate.held)

    def step(self) -> StepInfo | None:
        """Let the next step run until it gives the CPU back; None if none can before work is answered, or at the end."""
        gate = self._gate
        with gate.changed:
            self._wait(gate.settled)
            if gate.at is None:
                return self._nothing()
            gate.let_go()
            self._wait(lambda: gate.done is not None or gate.over)
            return gate.done or self._nothing()

    def run_until_idle(self) -> list[StepInfo]:
        """All steps that can run before external work is answered, or up to the end."""
        steps = []
        while (step := self.step()) is not None:
            steps.append(step)
        return steps

    def run_to(self, module: str, phase: str = "") -> StepInfo:
        """Steps up to and including the next one of a module. Raises LookupError if none comes."""
        passed = []
        while (step := self.step()) is not None:
            if step.module == module and phase in ("", step.phase):
                return step
            passed.append(step.module)
        waits = f"; work is held: {self.held}" if self.held else ""
        raise LookupError(f"no step of '{module}' {phase} comes after {passed}{waits}")

    def answer(self, *work: HeldWork) -> None:
        """Let the answers of some work through, in this order; all that is held if none is named."""
        gate = self._gate
        for one in work or self.held:
            with gate.changed:
                if one not in gate.held:
                    raise LookupError(f"{one} has been answered")
                gate.held.remove(one)
                gate.running.add(one.number)
                gate.idle = False
                one._let_through()
                self._wait(lambda one=one: one.number not in gate.running or gate.over)  # type: ignore[misc]

    def finish(self) -> Result:
        """Let the job run to its end, answers coming in the order in which the work was handed out. Raises what it raises."""
        self._gate.open()
        self._thread.join(self._patience)
        if self._thread.is_alive():
            raise TimeoutError(f"the job has not ended after {self._patience:g} s")
        if self._error is not None:
            raise self._error
        assert self._result is not None
        return self._result

    def _nothing(self) -> None:
        if self._error is not None:
            raise self._error

    def _wait(self, until: Callable[[], bool]) -> None:
        if not self._gate.changed.wait_for(until, self._patience):
            raise TimeoutError(f"the job came to no step in {self._patience:g} s")


class _Gate:
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
        #: the step that the test has let run, when it has given the CPU back
        self.done: StepInfo | None = None
        #: the engine has nothing to do until something comes
        self.idle = False
        #: number of the chunk that was asked for and has not come; 0 if none
        self.reading = 0
        #: (block, module) of steps that run in a thread
        self.threads: set[tuple[int, str]] = set()
        self.held: list[HeldWork] = []
        #: numbers of work that was let through and has not ended
        self.running: set[int] = set()
        self.numbers = 0
        self.launched: list[tuple[int, Callable[[], None]]] = []

    def settled(self) -> bool:
        """Whether the job waits for the test, or has ended."""
        waits = self.idle and not self.reading and not self.threads and not self.running and bool(self.held)
        return self.at is not None or self.over or waits

    def let_go(self) -> None:
        """Let the step run before which the job waits."""
        self.at, self.done, self.go = None, None, True
        self.changed.notify_all()

    def open(self) -> None:
        """Let everything go on."""
        with self.changed:
            self.free = True
            for work in self.held:
                work._let_through()
            self.held.clear()
            self.changed.notify_all()

    def ended(self) -> None:
        """The job has ended."""
        with self.changed:
            self.over = True
            self.changed.notify_all()


class _Steps(Observer):
    """Stops the job before each step."""

    gate: _Gate

    async def begin_job(self, job: Job) -> None:
        """Now the job can be broken off."""
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        assert task is not None
        self.gate.cancel = partial(loop.call_soon_threadsafe, task.cancel)

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
            self.gate.done = step
            if step.outcome == "waits" and step.phase == "run":
                self.gate.threads.add((step.block, step.module))
            self.gate.changed.notify_all()

    def on_work_begin(self, work: WorkInfo) -> None:
        """Keep its answer back."""
        gate = self.gate
        with gate.changed:
            number, let_through = gate.launched.pop(0)
            gate.held.append(HeldWork(number, work.module, work.block, work.events, let_through))
            if gate.free:
                gate.held.pop()._let_through()

    def on_work_end(self, work: WorkInfo) -> None:
        """It has been answered."""
        with self.gate.changed:
            self.gate.running.discard(work.number)
            self.gate.changed.notify_all()

    def on_read(self, number: int) -> None:
        """A chunk may come."""
        with self.gate.changed:
            self.gate.reading = number

    def on_chunk(self, chunk: ChunkInfo) -> None:
        """It has come, and the engine will look."""
        with self.gate.changed:
            self.gate.reading = 0 if self.gate.reading == chunk.number else self.gate.reading
            self.gate.idle = False


def _ending(chunks: Callable[[frozenset[str]], Iterator[Chunk]], gate: _Gate, keys: frozenset[str]) -> Iterator[Chunk]:
    """The chunks of a source; says when there are no more."""
    try:
        yield from chunks(keys)
    finally:
        with gate.changed:
            gate.reading = 0


def _launch(
    launch: Callable[[list[Any]], tuple[asyncio.Future[Sequence[Any]], int]], gate: _Gate, work: list[Any]
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
        gate.numbers += 1
        gate.launched.append((gate.numbers, let_through))
    return outer, nbytes
