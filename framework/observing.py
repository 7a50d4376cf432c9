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
from dataclasses import dataclass
from time import perf_counter
from typing import Any, ClassVar

from .errors import did_you_mean
from .observations import (
    BlockInfo as BlockInfo,
)
from .observations import (
    CallsInfo as CallsInfo,
)
from .observations import (
    ChangeInfo as ChangeInfo,
)
from .observations import (
    ChunkInfo as ChunkInfo,
)
from .observations import (
    LoadInfo as LoadInfo,
)
from .observations import (
    ProductInfo as ProductInfo,
)
from .observations import (
    RequestInfo as RequestInfo,
)
from .observations import (
    StatisticsInfo as StatisticsInfo,
)
from .observations import (
    StepInfo as StepInfo,
)
from .observations import (
    ThreadInfo as ThreadInfo,
)
from .observations import (
    WaitInfo as WaitInfo,
)
from .observations import (
    WorkInfo as WorkInfo,
)
from .service import Service


class Observer(Service):
    """A service that is told what the engine does. Define the methods that you want; the others are never called."""

    sample_share: float = 0.01
    """What the timing for `on_calls` may cost, as a share of the time of the modules."""

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
        "on_statistics",
        "on_change",
        "on_read",
        "on_chunk",
        "on_wait",
        "on_load",
        "on_calls",
        "on_product",
        "on_release",
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

    def on_statistics(self, statistics: StatisticsInfo) -> None:
        """A server has said what it counted, once per interval."""

    def on_change(self, change: ChangeInfo) -> None:
        """A server has come or gone, or a circuit was opened or closed."""

    def on_read(self, number: int) -> None:
        """The chunk of this number, from 1, begins to be read, if there is one more."""

    def on_chunk(self, chunk: ChunkInfo) -> None:
        """A chunk was read."""

    def on_wait(self, wait: WaitInfo) -> None:
        """The whole job had to wait, and goes on."""

    def on_load(self, load: LoadInfo) -> None:
        """The number of open blocks, or the memory that is in use, has changed."""

    def on_calls(self, calls: CallsInfo) -> None:
        """Some calls of a module for single events were timed."""

    def on_product(self, product: ProductInfo) -> None:
        """A module has made a product for a block."""

    def on_release(self, product: ProductInfo) -> None:
        """Nothing reads a product of a block any more; it is let go."""


@dataclass(slots=True)
class RequestNote:
    """What becomes known of a request while it is under way."""

    received: int = 0
    """Bytes of the outputs."""


class Observers:
    """Who is told of what in a job: for each method of `Observer` one function to call, or None if nobody listens."""

    def __init__(self, services: Iterable[Service] = ()) -> None:
        listening: dict[str, list[Callable[[Any], None]]] = {name: [] for name in Observer.HOOKS}
        sampling: list[Observer] = []
        for service in services:
            if isinstance(service, Observer):
                guard = _Guard(service)
                for name in Observer.HOOKS:
                    if getattr(type(service), name) is not getattr(Observer, name):
                        listening[name].append(guard.guarded(name))
                if type(service).on_calls is not Observer.on_calls:
                    sampling.append(service)
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
        self.statistics = _joined(listening["on_statistics"])
        self.change = _joined(listening["on_change"])
        self.read = _joined(listening["on_read"])
        self.chunk = _joined(listening["on_chunk"])
        self.wait = _joined(listening["on_wait"])
        self.load = _joined(listening["on_load"])
        self.calls = _joined(listening["on_calls"])
        self.product = _joined(listening["on_product"])
        self.release = _joined(listening["on_release"])
        self._sampling = sampling

    def __bool__(self) -> bool:
        """Whether anybody listens to anything."""
        return self._any

    @property
    def sample_share(self) -> float:
        """What the timing of single calls may cost, as a share of the time of the modules."""
        return max((observer.sample_share for observer in self._sampling), default=0.0)

    def request(
        self, server: str, model: str, rows: int, nbytes: int, attempt: int = 1, waited: float = 0.0
    ) -> AbstractContextManager[RequestNote | None]:
        """Round one call of a server: tells of its begin and its end. For services that talk to servers.

        What it gives is None if nobody listens.
        """
        if self.request_begin is None and self.request_end is None:
            return nullcontext()
        self._requests += 1
        begin = perf_counter()
        return self._request(RequestInfo(self._requests, server, model, rows, nbytes, attempt, begin, waited=waited))

    @contextmanager
    def _request(self, request: RequestInfo) -> Iterator[RequestNote | None]:
        if self.request_begin is not None:
            self.request_begin(request)
        error = ""
        note = RequestNote()
        try:
            yield note
        except BaseException as failure:
            error = str(failure) or type(failure).__name__
            raise
        finally:
            if self.request_end is not None:
                self.request_end(request._replace(end=perf_counter(), error=error, received=note.received))


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
