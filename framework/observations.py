"""What observers are given: facts of a job, as named tuples. Times are those of `time.perf_counter`, seconds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from .event import Event, EventID


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
    waited: float = 0.0
    """From when its oldest row was handed over until its first attempt, s."""
    received: int = 0
    """Bytes of the outputs; known at its end."""


class StatisticsInfo(NamedTuple):
    """What a server says that it did for a model, since it was asked before. All its clients count."""

    time: float
    server: str
    model: str
    requests: int
    rows: int
    queue_s: float
    """Time that these requests waited in the server, summed, s."""
    compute_s: float
    """Time that they were computed on, summed, s."""


class ChangeInfo(NamedTuple):
    """Something has happened to a server."""

    time: float
    text: str
    server: str = ""
    """Its address, where it is one whose circuit was opened or closed."""
    model: str = ""


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


class ProductInfo(NamedTuple):
    """The values of a product for the events of a block."""

    product: str
    module: str
    block: int
    events: int
    """Events of the block; the product may be there for some of them only."""
    nbytes: int
    """Memory that it holds; where it is a list of Python objects, estimated from some of them."""
    time: float


class CallsInfo(NamedTuple):
    """Calls of a module for single events, timed: a sample of them all (`sampling.py`)."""

    module: str
    phase: str
    """`acquire`, `run`, `collect` or `tail`."""
    events: Sequence[Event]
    """The events of the calls. Valid during the call of the observer: note `event.id`, not the event."""
    seconds: Sequence[float]
    """What each took."""
