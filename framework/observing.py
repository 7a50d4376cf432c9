"""Observers: services that are told what the engine does. Tracer, timing and memory are such services; so may be your own.

    class SlowSteps(Observer):
        def on_step_end(self, step: StepInfo) -> None:
            if step.end - step.begin > 1.0:
                print(step.module, step.block)

An observer defines the methods that it wants, out of those of `Observer`, and only these are called. Which they are is found
once, when the job begins; a job without observers runs an engine that has never heard of them, so they cost it nothing
(`observed.py`). All are called in the event loop of the job, between the steps of modules and never for single events, so
they should be short: what an observer takes, the job takes longer. Times are those of `time.perf_counter`, seconds.

Observing never changes results, and never ends a job: an observer that raises is switched off, and the report warns.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from time import perf_counter
from typing import Any, ClassVar, NamedTuple

from .errors import did_you_mean
from .event import EventID
from .service import Service


class BlockInfo(NamedTuple):
    """A block of events."""

    number: int
    events: int
    first: EventID
    last: EventID
    where: str
    """File and entries."""
    begin: float
    end: float = 0.0


class StepInfo(NamedTuple):
    """A stretch of a step: a module computes for a block, until the step has ended, waits, or gives way to others."""

    module: str
    phase: str
    """`acquire`, `run` or `collect`; `tail` for analyzers and output modules."""
    block: int
    resumed: bool
    """Whether this step has had the CPU before."""
    begin: float
    end: float = 0.0
    events: int = 0
    """Events that the step is for; known at its end."""
    outcome: str = ""
    """At its end: `ended`, `more` (it goes on soon), `waits` (for answers, memory or a thread) or `failed`."""


class ThreadInfo(NamedTuple):
    """A module that was called in a thread, for a block."""

    module: str
    block: int
    thread: str
    begin: float
    end: float


class WorkInfo(NamedTuple):
    """External work of some events of a block, on its way."""

    number: int
    """Counts the pieces of work of a job."""
    module: str
    block: int
    events: int
    nbytes: int
    begin: float
    end: float = 0.0
    error: str = ""


class RequestInfo(NamedTuple):
    """One call of a server. A request that is sent again counts anew, with the next `attempt`."""

    number: int
    """Counts the calls of a job."""
    server: str
    model: str
    rows: int
    nbytes: int
    """Of the inputs."""
    attempt: int
    """1 for the first."""
    begin: float
    end: float = 0.0
    error: str = ""


class ChunkInfo(NamedTuple):
    """A chunk that the source has read, in a thread of its own."""

    number: int
    events: int
    nbytes: int
    where: str
    begin: float
    end: float


class WaitInfo(NamedTuple):
    """A time when no block could use the CPU."""

    reason: str
    """`external work`, `input` or `a thread`."""
    begin: float
    end: float


class LoadInfo(NamedTuple):
    """What is held at a moment."""

    time: float
    blocks: int
    """Blocks open."""
    in_flight: int
    """External work that was handed out and not yet produced, bytes."""
    input: int
    """Chunks that were read and are still needed, bytes."""


class Observer(Service):
    """A service that is told what the engine does. Define the methods that you want; the others are never called."""

    HOOKS: ClassVar[tuple[str, ...]] = (
        "on_block_begin",
        "on_block_end",
        "on_step_begin",
        "on_step_end",
        "on_thread",
        "on_work_begin",
        "on_work_end",
        "on_request_begin",
        "on_request_end",
        "on_chunk",
        "on_wait",
        "on_load",
    )

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Refuse a method that looks like one of these and is none. Raises TypeError."""
        super().__init_subclass__(**kwargs)
        for name in vars(cls):
            if name.startswith("on_") and name not in Observer.HOOKS:
                near = did_you_mean(name, Observer.HOOKS) or f"; there are {', '.join(Observer.HOOKS)}"
                raise TypeError(f"{cls.__name__}.{name} would never be called: no such thing is observed{near}")

    def on_block_begin(self, block: BlockInfo) -> None:
        """A block was opened."""

    def on_block_end(self, block: BlockInfo) -> None:
        """The last step of a block has ended."""

    def on_step_begin(self, step: StepInfo) -> None:
        """A step gets the CPU, for the first time or again."""

    def on_step_end(self, step: StepInfo) -> None:
        """A step gives the CPU back."""

    def on_thread(self, call: ThreadInfo) -> None:
        """A module was called in a thread, and has returned."""

    def on_work_begin(self, work: WorkInfo) -> None:
        """External work was handed out."""

    def on_work_end(self, work: WorkInfo) -> None:
        """External work was answered, has failed or was cancelled."""

    def on_request_begin(self, request: RequestInfo) -> None:
        """A request is sent to a server."""

    def on_request_end(self, request: RequestInfo) -> None:
        """A request was answered or has failed."""

    def on_chunk(self, chunk: ChunkInfo) -> None:
        """A chunk was read."""

    def on_wait(self, wait: WaitInfo) -> None:
        """The whole job had to wait, and goes on."""

    def on_load(self, load: LoadInfo) -> None:
        """The number of open blocks, or the memory that is in use, has changed."""


class Observers:
    """Who is told of what in a job: for each method of `Observer` one function to call, or None if nobody listens."""

    def __init__(self, services: Iterable[Service] = ()) -> None:
        listening: dict[str, list[Callable[[Any], None]]] = {name: [] for name in Observer.HOOKS}
        for service in services:
            if isinstance(service, Observer):
                guard = _Guard(service)
                for name in Observer.HOOKS:
                    if getattr(type(service), name) is not getattr(Observer, name):
                        listening[name].append(guard.guarded(name))
        self._requests = 0
        self._any = any(listening.values())
        self.block_begin = _joined(listening["on_block_begin"])
        self.block_end = _joined(listening["on_block_end"])
        self.step_begin = _joined(listening["on_step_begin"])
        self.step_end = _joined(listening["on_step_end"])
        self.thread = _joined(listening["on_thread"])
        self.work_begin = _joined(listening["on_work_begin"])
        self.work_end = _joined(listening["on_work_end"])
        self.request_begin = _joined(listening["on_request_begin"])
        self.request_end = _joined(listening["on_request_end"])
        self.chunk = _joined(listening["on_chunk"])
        self.wait = _joined(listening["on_wait"])
        self.load = _joined(listening["on_load"])

    def __bool__(self) -> bool:
        """Whether anybody listens to anything."""
        return self._any

    def request(
        self, server: str, model: str, rows: int, nbytes: int, attempt: int = 1
    ) -> AbstractContextManager[None]:
        """Round one call of a server: tells of its begin and its end. For services that talk to servers."""
        if self.request_begin is None and self.request_end is None:
            return nullcontext()
        self._requests += 1
        return self._request(RequestInfo(self._requests, server, model, rows, nbytes, attempt, perf_counter()))

    @contextmanager
    def _request(self, request: RequestInfo) -> Iterator[None]:
        if self.request_begin is not None:
            self.request_begin(request)
        error = ""
        try:
            yield
        except BaseException as failure:
            error = str(failure) or type(failure).__name__
            raise
        finally:
            if self.request_end is not None:
                self.request_end(request._replace(end=perf_counter(), error=error))


class _Guard:
    """Switches an observer off when it raises."""

    def __init__(self, service: Observer) -> None:
        self._service = service
        self._on = True

    def guarded(self, name: str) -> Callable[[Any], None]:
        """A method of the observer that never raises."""
        method = getattr(self._service, name)

        def call(info: Any) -> None:
            if self._on:
                try:
                    method(info)
                except Exception as error:
                    self._on = False
                    kind, label = type(self._service).__name__, self._service.label
                    why = f"{name} raised {type(error).__name__}: {error}"
                    self._service.warnings.append(f"service '{label}' ({kind}) was switched off: {why}")

        return call


def _joined(calls: list[Callable[[Any], None]]) -> Callable[[Any], None] | None:
    """One function that calls all; None if there are none."""
    if len(calls) < 2:
        return calls[0] if calls else None

    def call(info: Any) -> None:
        for one in calls:
            one(info)

    return call
