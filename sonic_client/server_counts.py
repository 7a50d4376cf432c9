"""What servers themselves have counted, asked once per interval aside from the requests; nothing is asked per call.

KServe's statistics are sums since a model was loaded, over all clients. The problem: a server that is started again counts
from nothing, and one that comes during the job has counted for others before. So each look adds what the sums have grown
by since the look before; the first look at a model on a server is where counting begins, and a sum that has become smaller
begins anew at nothing.

What is derived from it is the mean time of a request in the server: where other clients use the same model they are part of
that mean, and a request of theirs that differs much from ours makes it differ.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from evproc.framework.errors import InferenceError

if TYPE_CHECKING:
    from .fleet import Server
    from .tensors import ModelStatistics


@dataclass(frozen=True, slots=True)
class Growth:
    """What a server has counted for a model since the look before. Times in seconds, summed over requests."""

    server: str
    model: str
    requests: int
    rows: int
    queue_s: float
    compute_s: float


@dataclass(slots=True)
class ServerCount:
    """What a server has counted for a model since the first look. Pure."""

    last: ModelStatistics
    requests: int = 0
    rows: int = 0
    queue_s: float = 0.0
    compute_s: float = 0.0
    looks: int = 1

    def saw(self, now: ModelStatistics, server: str) -> Growth:
        """Take in what the server says now."""
        last, self.last = self.last, now
        anew = now.requests < last.requests or now.compute < last.compute
        requests = now.requests - (0 if anew else last.requests)
        rows = now.rows - (0 if anew else last.rows)
        queue = now.queue - (0.0 if anew else last.queue)
        compute = now.compute - (0.0 if anew else last.compute)
        self.requests += requests
        self.rows += rows
        self.queue_s += queue
        self.compute_s += compute
        self.looks += 1
        return Growth(server, now.model, requests, rows, queue, compute)

    @property
    def mean_queue_s(self) -> float | None:
        """Mean time of a request in the server's queue; None if there was none."""
        return self.queue_s / self.requests if self.requests else None

    @property
    def mean_compute_s(self) -> float | None:
        """Mean time that a request was computed on, moving its tensors in the server included; None if there was none."""
        return self.compute_s / self.requests if self.requests else None


@dataclass(slots=True)
class ServerCounts:
    """What all servers have counted for the models of a job."""

    timeout: float
    counts: dict[tuple[str, str], ServerCount] = field(default_factory=dict)
    """(server, model) -> its count."""
    silent: dict[tuple[str, str], str] = field(default_factory=dict)
    """Those that could not say at the first look, and why."""

    async def look(self, wanted: Iterable[tuple[Server, str]]) -> list[Growth]:
        """Ask all servers, at the same time; returns what has grown. One that cannot say is left out this time."""
        pairs = list(wanted)
        answers = await asyncio.gather(*(self._ask(server, model) for server, model in pairs))
        grown = []
        for (server, model), now in zip(pairs, answers, strict=True):
            if now is not None:
                key = server.url, model
                count = self.counts.get(key)
                if count is None:
                    self.counts[key] = ServerCount(now)
                else:
                    growth = count.saw(now, server.url)
                    if growth.requests:
                        grown.append(growth)
        return grown

    async def _ask(self, server: Server, model: str) -> ModelStatistics | None:
        try:
            return await server.transport.statistics(model, self.timeout)
        except InferenceError as error:
            if (server.url, model) not in self.counts:
                self.silent.setdefault((server.url, model), str(error))
            return None
