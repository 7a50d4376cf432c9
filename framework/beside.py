"""What goes on beside the events of a job: reports of progress, a calm garbage collector, a look at the memory."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import TYPE_CHECKING, TypeAlias

from .module import Source
from .report import Progress

if TYPE_CHECKING:
    from .engine import Engine
    from .process import Process

MEGABYTE = 1_000_000
COLLECTOR = (50_000, 10, 10)
"""Thresholds of Python's cycle collector while a job runs."""
ProgressCallback: TypeAlias = Callable[[Progress], None]


@contextmanager
def ticking(engine: Engine, progress: ProgressCallback | None, period: float, total: int | None) -> Iterator[None]:
    """Report progress every `period` seconds."""
    if progress is None:
        yield
        return
    loop, begin = asyncio.get_running_loop(), perf_counter()
    marks = [(begin, 0)]
    handle: list[asyncio.TimerHandle] = []

    def tick() -> None:
        now = perf_counter()
        marks.append((now, engine.events_done))
        del marks[:-10]
        since, events = marks[0]
        rate = (engine.events_done - events) / (now - since) if now > since else 0.0
        progress(engine.progress(now - begin, rate, total))
        handle[:] = [loop.call_later(period, tick)]

    tick()
    try:
        yield
    finally:
        handle[0].cancel()


@contextmanager
def sources_in_job(process: Process) -> Iterator[None]:
    """Let sources keep what they open to see what it offers until it is read; closes what was not."""
    sources = [module for module in process.modules.values() if isinstance(module, Source)]
    for source in sources:
        source._in_job = True
    try:
        yield
    finally:
        for source in sources:
            source._in_job = False
            source._let_go()


@contextmanager
def calm_collector() -> Iterator[None]:
    """Events have no cycles: let Python's cycle collector look at them rarely, and never at what was there before."""
    before = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(*COLLECTOR)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()


def peak_memory_mb() -> float:
    """Largest resident memory of this process so far, MB."""
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024) / MEGABYTE
