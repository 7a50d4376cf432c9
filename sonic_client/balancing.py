"""Which server gets a request: decided for each request, from what is known at that moment. Pure; the time is passed in.

    least_outstanding   the one with the fewest requests under way, as a share of what it may have; of those the fastest.
                        A server that is slow keeps its places occupied and so gets less: this is the default.
    round_robin         one after the other, whatever they do
    fastest             where the request is expected back first: latency of late times the requests under way and itself.
                        A server that has not been asked yet counts as the fastest.

Before that, servers are left out that may not be asked: not ready, circuit open, or busy by their own word. Of the rest those
that the model prefers are taken, if any is there; and the job's own fallback only if no other is there at all.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from enum import Enum
from typing import NamedTuple

from .fleet import Server


class Balancing(Enum):
    """How a server is chosen for a request."""

    LEAST_OUTSTANDING = "least_outstanding"
    ROUND_ROBIN = "round_robin"
    FASTEST = "fastest"


class Choice(NamedTuple):
    """The server for a request, or why there is none."""

    server: Server | None
    allowed: bool
    """Whether any server may be asked at all, though it has no place now."""


class Balancer:
    """Chooses servers for one model."""

    def __init__(
        self, model: str, balancing: Balancing = Balancing.LEAST_OUTSTANDING, prefer: Collection[str] = ()
    ) -> None:
        self.model = model
        self.balancing = balancing
        self.prefer = frozenset(prefer)
        self._turns = 0
        #: address -> when it had its turn last
        self._last: dict[str, int] = {}

    def choose(self, servers: Sequence[Server], now: float) -> Choice:
        """The server for a new request: one that may be asked and has a place."""
        if len(servers) == 1:
            server = servers[0]
            if not server.allowed(self.model, now):
                return Choice(None, allowed=False)
            return Choice(None if server.full else server, allowed=True)
        allowed = self._best_kind([server for server in servers if server.allowed(self.model, now)])
        free = [server for server in allowed if not server.full]
        return Choice(self._pick(free, now) if free else None, allowed=bool(allowed))

    def again(self, servers: Sequence[Server], now: float, avoid: Collection[Server] = ()) -> Server | None:
        """The server for a request that failed or is late: not one of `avoid`, and one that may be asked.

        It need not have a place: what has been begun goes before what has not. None if there is no such server.
        """
        allowed = [server for server in servers if server not in avoid and server.allowed(self.model, now)]
        allowed = self._best_kind(allowed)
        return self._pick(allowed, now) if allowed else None

    def anyhow(self, servers: Sequence[Server], now: float) -> Server:
        """A server when none may be asked, because one has to be: the one that may be asked again first."""
        ready = [server for server in servers if server.ready] or servers
        return min(ready, key=lambda server: (server.again_at(self.model, now), server.outstanding))

    def _best_kind(self, servers: list[Server]) -> list[Server]:
        """Of several kinds of servers the best that there is: preferred, ordinary, fallback."""
        if self.prefer:
            preferred = [server for server in servers if server.name in self.prefer or server.url in self.prefer]
            if preferred:
                return preferred
        return [server for server in servers if not server.fallback] or servers

    def _pick(self, servers: Sequence[Server], now: float) -> Server:
        if len(servers) == 1:
            return servers[0]
        if self.balancing is Balancing.ROUND_ROBIN:
            server = min(servers, key=lambda server: self._last.get(server.url, 0))
            self._turns += 1
            self._last[server.url] = self._turns
            return server
        if self.balancing is Balancing.FASTEST:
            return min(
                servers,
                key=lambda server: (server.latency.get(self.model, 0.0) * (server.outstanding + 1), server.outstanding),
            )
        return min(
            servers,
            key=lambda server: (server.outstanding / server.places.value, server.latency.get(self.model, 0.0)),
        )
