"""A clock that jumps: for tests of what waits, without waiting.

Within `virtual_clock()` a job's event loop does not sleep. When nothing is left to be done but wait, its time jumps to the
next timer, so that an hour of back-off takes no time; timers go off in the order of their times, as they would. What truly
happens elsewhere (threads, sockets) is still waited for, but timers do not wait for it: a time-out beside it goes off at once.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from .interrupts import loop_factory


class VirtualClock:
    """The time of the loops that are made within `virtual_clock()`."""

    def __init__(self) -> None:
        self.now = 0.0
        """Seconds since the begin."""

    def loop(self) -> asyncio.AbstractEventLoop:
        """A new event loop with this time."""
        return _VirtualLoop(self)


@contextmanager
def virtual_clock() -> Iterator[VirtualClock]:
    """Jobs that are run within have a loop whose time jumps; `clock.now` says how far it has come."""
    clock = VirtualClock()
    token = loop_factory.set(clock.loop)
    try:
        yield clock
    finally:
        loop_factory.reset(token)


class _VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self, clock: VirtualClock) -> None:
        self._virtual = clock
        super().__init__(_Jumping(clock))

    def time(self) -> float:
        return self._virtual.now

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - asyncio's, since 3.12
        """Wait for the threads, however long they take: a time-out would go off at once."""
        await super().shutdown_default_executor()


class _Jumping(selectors.BaseSelector):
    """A selector that, asked to wait for some time with nothing to be had, lets that time pass at once."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self._real = selectors.DefaultSelector()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            return self._real.select(None)
        ready = self._real.select(0)
        if not ready:
            self._clock.now += max(0.0, timeout)
        return ready

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._real.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.modify(fileobj, events, data)

    def close(self) -> None:
        self._real.close()

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._real.get_map()
