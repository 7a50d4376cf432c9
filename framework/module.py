"""The whole contract of a module author.

A module is a class with a nested `Config` (its parameters, as pydantic fields) and one or two methods. There are five
kinds, and two that hand out work:

    Source             chunks(keys)                     yields `Chunk`s of events
    Producer           produce(event)                   returns the product
    Filter             filter(event)                    returns whether the event goes on along the path
    Analyzer           analyze(event)                   looks
    OutputModule       write(event)                     writes
    ExternalProducer   acquire(event), produce(event, result)
    ExternalFilter     acquire(event), filter(event, result)

Each method has a twin for a whole block, `produce_columns(columns)` and so on, that gets all events at once as arrays
and returns an array; a module defines one of the two. Analyzers and output modules see the events in the order of the
input.

What a module reads is declared by its `InputTag` parameters and by `consumes`; what it makes by `produces`. The product
of a module is named by the module's label; with several, `produce` returns a dict, and they are named `label:instance`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from inspect import isawaitable, iscoroutine
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import Field

from .columns import Column
from .config import Parameter, add_inputs, input_tags
from .configured import Configured
from .event import Columns, Event, EventID, EventIDs
from .randomness import RandomNumbers
from .resources import thread_limit
from .transitions import TransitionMethods

if TYPE_CHECKING:
    from .errors import Fault
    from .input_report import InputReport
    from .paths import Marked
    from .report import OutputReport
    from .service import Job

T = TypeVar("T")
WORK_BYTES = 256
"""What the work of one event is taken to hold, where many are done in one go."""


class Module(Configured, TransitionMethods, RandomNumbers):
    """The base of all modules. `~module` is the member of a path that lets pass what the filter rejects."""

    consumes: ClassVar[Sequence[str]] = ()
    """Products that it reads, beside those that its `InputTag` parameters name."""
    threaded: ClassVar[bool | int] = False
    """Whether its methods block, or leave Python for long: they are then called in a thread of the pool, those of a producer
    or filter for several blocks at once; a number says for how many at most. Modules with external work have threads by
    `in_thread` instead, whose calls a number limits in the same way."""
    conditions: ClassVar[Sequence[str]] = ()
    """Labels of the conditions that it reads, beside those that its `ConditionTag` parameters name."""
    resources: ClassVar[Sequence[str]] = ()
    """Names of what it cannot share: of all modules that name one of them, only one is at work at a time."""

    all_or_nothing: ClassVar[bool] = False
    """Of an analyzer by columns: whether a call that raises has noted nothing, and may be made again for fewer events."""
    compiled: ClassVar[bool] = False
    """Whether the `produce` of a producer, or the `filter` of a filter, becomes machine code; needs evproc[compiled]."""

    def inputs(self) -> dict[str, tuple[str, ...]]:
        """The products that it reads: name -> fields, where it is a collection of which only some fields are read."""
        tags: dict[str, tuple[str, ...]] = dict.fromkeys(self.consumes, ())
        add_inputs(tags, input_tags(self.config))
        return tags

    def check(self) -> list[Fault]:
        """What would keep the module from running, found before the first event."""
        return []

    def begin_job(self, job: Job) -> None:
        """Called once, before the first event."""

    def end_job(self) -> None:
        """Called once, after the last event, also when the job ends early."""

    def job_results(self) -> Mapping[str, Any]:
        """What it hands over to who called `process.run()`, after the job: name -> histogram, array, number ..."""
        return {}

    def __invert__(self) -> Marked:
        from .paths import inverted

        return inverted(self)

    def commit(self) -> None:
        """The job ended well: give what was written its final name. Raises OutputError."""

    def discard(self) -> None:
        """The job failed: leave nothing under a final name."""


@dataclass(slots=True)
class Chunk:
    """Consecutive entries of a file, read in one go."""

    ids: EventIDs
    columns: dict[str, Column]
    where: str = ""
    """Where they come from, for messages: file, tree and entries."""
    nbytes: int = 0
    """Memory that the columns hold; 0 means: count it."""
    file: str = ""
    """The input file, if there is one; a chunk never has events of two."""

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(slots=True)
class Catalog:
    """What a source offers."""

    products: dict[str, str]
    """Name -> type, as `float32` or `var * float32`."""
    collections: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Name -> fields: `Jet` -> (`pt`, `eta` ...), where `Jet_pt` is a product."""
    unreadable: dict[str, str] = field(default_factory=dict)
    """Name -> why it cannot be read."""
    events: int | None = None
    """How many events there will be, if that is known."""
    where: str = ""
    """What was looked at, for messages."""
    files: tuple[str, ...] = ()
    """The files that are read."""
    quiet: frozenset[str] = frozenset()
    """Products that a pattern with wildcards means only if it begins with their collection, as `PathStatus_*`."""


class Source(Module):
    """Yields the events, in chunks. `catalog` and `chunks` are called in a thread of their own."""

    _in_job = False
    """Whether a job follows `catalog`, so that what it opened may stay open for `chunks`."""

    def catalog(self) -> Catalog:
        """What it offers. Raises InputError."""
        raise NotImplementedError

    def chunks(self, keys: frozenset[str]) -> Iterator[Chunk]:
        """The events, with the products named by `keys` and no others. Raises InputError."""
        raise NotImplementedError

    def _let_go(self) -> None:
        """The job has ended, or has not begun: close what `catalog` left open."""

    def input_report(self, events: int, *, early: bool) -> InputReport | None:
        """What it did, once no more is read: the first `events` that it yielded have been processed; `early`: it had more."""
        return None


class Producer(Module):
    """Puts products into the event."""

    produces: ClassVar[str | Mapping[str, str]] = ""
    """The type of its product (`float32`, `var * float32`; empty if unsaid), or instance -> type if it makes several."""

    def produce(self, event: Event) -> Any:
        """The product of one event; a dict instance -> product if there are several."""
        raise NotImplementedError

    def produce_columns(self, columns: Columns) -> Any:
        """The products of a block, as one array with an entry per event; a dict of them if there are several."""
        raise NotImplementedError


class Filter(Module):
    """Decides which events go on along a path."""

    def filter(self, event: Event) -> bool:
        """Whether the event goes on."""
        raise NotImplementedError

    def filter_columns(self, columns: Columns) -> Any:
        """Which events of the block go on: (events,) bool."""
        raise NotImplementedError


class Analyzer(Module):
    """Looks at events, in the order of the input: histograms, checks, printing."""

    def analyze(self, event: Event) -> None:
        """Look at one event."""
        raise NotImplementedError

    def analyze_columns(self, columns: Columns) -> None:
        """Look at a block of events."""
        raise NotImplementedError


class OutputModule(Module):
    """Writes events, in the order of the input. Each sees the events that `select` accepts, by the results of paths."""

    class Config(Module.Config):
        """No parameters but `select` and `max_events`."""

        select: list[str] = Parameter(
            default_factory=list,
            description="events to write: PATH (passed), !PATH, exception@PATH, PATH&noexception, with * and ?; "
            "those that any entry accepts; all events if there is none",
        )
        max_events: Annotated[int, Field(ge=1)] | Literal[-1] = Parameter(
            -1,
            description="events to write at most; the job ends when all outputs with such a limit have reached theirs; "
            "-1 for no limit",
        )

    def resolve(self, offered: Catalog) -> dict[str, tuple[str, ...]]:
        """The products that it reads, given all that there are (products of modules included)."""
        return self.inputs()

    def write(self, event: Event) -> None:
        """Write one event."""
        raise NotImplementedError

    def write_columns(self, columns: Columns) -> None:
        """Write a block of events."""
        raise NotImplementedError

    def report(self) -> OutputReport | None:
        """The file that was written, after `commit`."""
        return None


class ExternalWork(Module):
    """A module that hands out work in `acquire` and gets the result when the work has ended.

    Many events are between the two at once, so nothing of an event is kept on the module: what `acquire` returns is the work,
    and what came of it is handed back with the event. Nothing is produced in `acquire`. The event is read in these two
    methods and nowhere else: the work itself, which runs between them, is given what it needs.
    """

    _pool: Executor | None = None
    _turns: asyncio.Semaphore | None = None
    _names_events: ClassVar[bool] = False
    """Whether `launch` reads `_launched`; for base classes of authors' classes."""
    _launched: tuple[EventID, EventID] | None = None
    """The first and the last event whose work is launched."""

    MAX_EVENTS: ClassVar[int] = 1000
    """Events with work in flight, at most, where each has work of its own."""

    def acquire(self, event: Event) -> Any:
        """The work of one event: an awaitable, for instance `self.in_thread(function, argument)`."""
        raise NotImplementedError

    def acquire_columns(self, columns: Columns) -> Any:
        """The work of a whole block."""
        raise NotImplementedError

    def in_thread(self, function: Callable[..., T], *arguments: Any) -> Awaitable[T]:
        """Call a function in the thread pool of the job; awaits to its result."""
        if self._turns is not None:
            return self._in_turn(self._turns, function, arguments)
        return asyncio.get_running_loop().run_in_executor(self._pool, function, *arguments)

    async def _in_turn(self, turns: asyncio.Semaphore, function: Callable[..., T], arguments: tuple[Any, ...]) -> T:
        async with turns:
            return await asyncio.get_running_loop().run_in_executor(self._pool, function, *arguments)

    def _use_threads(self, pool: Executor) -> None:
        """The job begins: its threads, and how many of them this module may use at once."""
        limit = thread_limit(self)
        self._pool, self._turns = pool, asyncio.Semaphore(limit) if limit else None

    async def external(self, work: list[Any]) -> Sequence[Any]:
        """Do the work of several events at once; returns one result per event. By default, awaits each.

        A module that can do the work of many events in one go overrides this. To fail some events only, return exceptions in
        the place of their results.
        """
        for place, item in enumerate(work):
            if not isawaitable(item):
                wrong = TypeError(f"`acquire` returned {type(item).__name__}, which is no awaitable")
                wrong.place = place  # type: ignore[attr-defined]  # read by the engine, for the event's name
                close_work(work)
                raise wrong
        return await asyncio.gather(*work, return_exceptions=True)

    def work_bytes(self, work: list[Any]) -> int:
        """The bytes that the work of some events holds; 0 if that is not known. For base classes of authors' classes."""
        return 0

    def launch(self, work: list[Any]) -> tuple[asyncio.Future[Sequence[Any]], int]:
        """Start the work of some events: a future of their results, and the bytes that it holds (0: not known).

        For base classes of authors' classes; an author overrides `external`.
        """
        together = type(self).external is not ExternalWork.external
        return asyncio.ensure_future(self.external(work)), WORK_BYTES * len(work) if together else 0


class ExternalProducer(ExternalWork):
    """A producer with external work."""

    produces: ClassVar[str | Mapping[str, str]] = ""

    def produce(self, event: Event, result: Any) -> Any:
        """The product of one event, from the result of its work."""
        raise NotImplementedError

    def produce_columns(self, columns: Columns, result: Any) -> Any:
        """The products of a block, from the result of its work."""
        raise NotImplementedError


class ExternalFilter(ExternalWork):
    """A filter with external work."""

    def filter(self, event: Event, result: Any) -> bool:
        """Whether the event goes on, from the result of its work."""
        raise NotImplementedError

    def filter_columns(self, columns: Columns, result: Any) -> Any:
        """Which events of the block go on: (events,) bool."""
        raise NotImplementedError


def close_work(work: Sequence[Any]) -> None:
    """Close coroutines that will not be run, so that Python does not warn of them."""
    for item in work:
        if iscoroutine(item):
            item.close()


def products_of(module: Module) -> dict[str, str]:
    """The products that a module makes: name -> type, where an empty type means unsaid."""
    produces = getattr(module, "produces", None)
    if produces is None:
        return {}
    if isinstance(produces, str):
        return {module.label: produces}
    return {f"{module.label}:{instance}" if instance else module.label: kind for instance, kind in produces.items()}


def uses_columns(module: Module, kind: type[Module], method: str) -> bool:
    """Whether a module defines the columnar twin of a method of its kind."""
    twin = f"{method}_columns"
    return getattr(type(module), twin) is not getattr(kind, twin)
