"""Whether servers are ready, polled aside from the requests; and servers that come, go and come back during a job.

No request ever waits for a poll: a task of its own asks every server once per period, all at the same time, and changes what
the balancer sees. A server that is not ready twice in a row (once may be a hiccup) gets no more requests as long as another
can take them; when it is ready again, its circuits are tried at once. A server that was not there at the begin, or that the
file of servers names since, is asked for its models and takes part from then on, if they fit. A model that a server has
loaded since, or has no more, is found in the same way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum

from .fleet import Server, Turns

MISSES = 2
"""Polls in a row that find a server not ready, before it counts as such."""


class Change(Enum):
    """What a poll has changed."""

    DOWN = "is not ready"
    UP = "is ready again"


@dataclass(slots=True)
class Health:
    """What polls have found of one server. Pure."""

    missed: int = 0
    down: bool = False
    polls: int = 0

    def saw(self, ready: bool) -> Change | None:
        """A poll found it ready, or not."""
        self.polls += 1
        if ready:
            self.missed = 0
            if self.down:
                self.down = False
                return Change.UP
            return None
        self.missed += 1
        if self.missed >= MISSES and not self.down:
            self.down = True
            return Change.DOWN
        return None


@dataclass(slots=True, eq=False)
class Watch:
    """Polls servers for as long as a job runs."""

    period: float
    timeout: float
    servers: Callable[[], Iterable[Server]]
    """Those that are connected now."""
    find: Callable[[], Awaitable[None]]
    """Connects servers that were not there; brings up to date which models each has."""
    turns: Turns
    changes: list[str] = field(default_factory=list)
    """What has happened, in words."""
    aside: Callable[[], Awaitable[None]] | None = None
    """What else is to be asked at each poll."""
    health: dict[str, Health] = field(default_factory=dict)
    _task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, unless the period is 0."""
        if self.period > 0:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """End, and wait for it."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self.period)
            await self.look()

    async def look(self) -> None:
        """Ask all servers once."""
        servers = list(self.servers())
        found = await asyncio.gather(*(server.transport.ready(self.timeout) for server in servers))
        for server, ready in zip(servers, found, strict=True):
            change = self.health.setdefault(server.url, Health()).saw(ready)
            if change is not None:
                server.ready = change is Change.UP
                self.changes.append(f"server {server.url} {change.value}")
            if ready:
                for circuit in server.circuits.values():
                    if change is Change.UP:
                        circuit.try_now()
        await self.find()
        self.turns.serve()
        if self.aside is not None:
            await self.aside()
