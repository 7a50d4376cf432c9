"""The life of one request, from its first attempt to its only end: an answer, a default, or an error.

This is the part that awaits; what to do after a failure is decided by the retry chain, where to do it by the balancer, when
to send a hedge by `hedging`. Places: each attempt has one place on one server, taken before it begins (`Server.take`) and
given back when it ends, in whatever way; a pause before a retry holds none. A retry takes a place even where there is none
free, for what has been begun holds memory and goes before what has not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from logging import DEBUG
from math import inf
from random import Random
from typing import TYPE_CHECKING

from evproc.framework.errors import (
    DeadlineExceeded,
    EventSkipped,
    InferenceError,
    ServerBusy,
    ServerUnavailable,
)
from evproc.framework.observing import Observers

from .balancing import Balancer
from .changes import CLIENT, FAILURE
from .contract import check_answer
from .fleet import Server, Turns
from .hedging import Hedging
from .latency import LatencyRecord
from .outcomes import Outcomes
from .retry import Again, Answer, Chain, Failure, RetryAction, RetryBudget, Where
from .transport import is_retryable

if TYPE_CHECKING:
    from .batching import Request
    from .tensors import Array, ModelMetadata, Tensor

NOBODYS_FAULT = (ServerUnavailable, DeadlineExceeded, EventSkipped)
"""Errors that say nothing of the rows of a request."""


@dataclass(slots=True, eq=False)
class Sender:
    """Sends the requests of one queue."""

    metadata: ModelMetadata
    version: str
    outputs: tuple[str, ...]
    timeout: float
    """Seconds, for one attempt."""
    deadline: float
    """Seconds, for all attempts of a request."""
    patience: float
    actions: tuple[RetryAction, ...]
    servers: list[Server]
    """Those that have the model; it changes when servers come and go."""
    balancer: Balancer
    budget: RetryBudget
    turns: Turns
    observers: Observers
    hedging: Hedging | None = None
    start_fallback: Callable[[], Awaitable[Server]] | None = None
    """Starts the job's own server with the model, or returns the one that runs."""
    records: dict[str, LatencyRecord] = field(default_factory=dict)
    outcomes: Outcomes = field(default_factory=Outcomes)
    random: Random = field(default_factory=Random)
    event_deadline: float = inf
    """Seconds, from when the oldest rows of a request were handed over."""
    priority: Mapping[str, int] = field(default_factory=dict)
    """What is said of it to a transport; nothing, if it is the model's own."""
    _sent: int = 0

    async def send(self, request: Request, server: Server | None = None) -> Mapping[str, Array]:
        """The outputs for a request, whose place on `server` is taken; without one it is sent where it can be.

        Raises the InferenceError with which it failed for good. Of a request that several submissions share, one that may
        be the fault of a single one is raised as it is, so that they can be sent apart.
        """
        loop = asyncio.get_running_loop()
        began = loop.time()
        inputs = request.inputs()
        self._sent += 1
        request_id = f"{self.metadata.name}-{self._sent} {request.events}".rstrip()
        limit = self.deadline
        if self.event_deadline < inf:
            limit = min(limit, min(part.submission.born for part in request.parts) + self.event_deadline - began)
        if server is None:
            server = self._any(())
            server.take(self.metadata.name, began)
        tried = [server]
        chain: Chain | None = None
        while True:
            left = limit - (loop.time() - began)
            try:
                return await self._ask(request, inputs, request_id, server, tried, min(self.timeout, left))
            except InferenceError as error:
                failure = error
            record = self.records[server.url]
            shared = len(request.parts) > 1
            if shared and not is_retryable(failure):
                raise failure
            if chain is None:
                chain = Chain(self.actions, self.patience, self.budget, self.random)
            while True:
                elapsed = loop.time() - began
                situation = self._situation(failure, server, tried, elapsed, request.rows)
                decision = chain.decide(situation, limit - elapsed)
                if not isinstance(decision, Again):
                    if shared and not isinstance(failure, NOBODYS_FAULT):
                        raise failure
                    if isinstance(decision, Answer):
                        self.outcomes.defaulted_rows += request.rows
                        return decision.outputs
                    if isinstance(decision.error, EventSkipped):
                        self.outcomes.skipped_rows += request.rows
                    raise _explained(decision.error, server)
                if decision.after:
                    await asyncio.sleep(decision.after)
                found = await self._server_for(decision.where, server, tried)
                if found is not None and (not decision.hold or self._may_ask(found)):
                    break
            record.retries += 1
            FAILURE.info("model '%s': %s; sent again, to %s", self.metadata.name, failure, found.url)
            server = found
            server.take(self.metadata.name, loop.time())
            tried.append(server)

    def _situation(
        self, error: InferenceError, server: Server, tried: list[Server], elapsed: float, rows: int
    ) -> Failure:
        now, model = asyncio.get_running_loop().time(), self.metadata.name
        others = [one for one in self.servers if one not in tried and not one.fallback and one.allowed(model, now)]
        circuit = server.circuits.get(model)
        return Failure(
            error=error,
            server=server.url,
            attempts=len(tried),
            used=0,
            elapsed=elapsed,
            rows=rows,
            metadata=self.metadata,
            outputs=self.outputs,
            others=len(others),
            dead=not server.ready or (circuit is not None and not circuit.allows(now)),
            fallback=self.start_fallback is not None and not any(one.fallback for one in tried),
            random=self.random,
        )

    async def _server_for(self, where: Where, server: Server, tried: list[Server]) -> Server | None:
        """The server for the next attempt; None if there is none of the kind."""
        now = asyncio.get_running_loop().time()
        if where is Where.ANY:
            return self._any(())
        if where is not Where.FALLBACK:
            if where is Where.SAME and server.allowed(self.metadata.name, now):
                return server
            others = [one for one in self.servers if not one.fallback]
            other = self.balancer.again(others, now, tried)
            if other is None and where is Where.SAME:  # all were tried: the one that may have come back meanwhile
                return self.balancer.again(others, now) or self.balancer.anyhow(others or self.servers, now)
            return other
        if self.start_fallback is None:
            return None
        try:
            return await self.start_fallback()
        except InferenceError:
            self.start_fallback = None  # the service has said why; it is not tried again
            return None

    def _may_ask(self, server: Server) -> bool:
        """Whether a request may be sent to a server, as far as its circuit is concerned."""
        circuit = server.circuits.get(self.metadata.name)
        return circuit is None or circuit.allows(asyncio.get_running_loop().time())

    def _any(self, avoid: tuple[Server, ...]) -> Server:
        now = asyncio.get_running_loop().time()
        return self.balancer.again(self.servers, now, avoid) or self.balancer.anyhow(self.servers, now)

    async def _ask(
        self,
        request: Request,
        inputs: Mapping[str, Tensor],
        request_id: str,
        server: Server,
        tried: list[Server],
        timeout: float,  # noqa: ASYNC109 - the server is told of it
    ) -> Mapping[str, Array]:
        """One attempt; or two, if the first is late and hedges are on."""
        hedging = self.hedging
        if hedging is None or len(self.servers) < 2:
            return await self._attempt(request, inputs, request_id, server, timeout, len(tried))
        delay = hedging.delay(self.records.setdefault(server.url, LatencyRecord()))
        loop = asyncio.get_running_loop()
        first = loop.create_task(self._attempt(request, inputs, request_id, server, timeout, len(tried)))
        racing = {first: server}
        try:
            await asyncio.wait(racing, timeout=delay)
            if not first.done():
                other = self.balancer.again(self.servers, loop.time(), tried)
                if other is not None and hedging.take():
                    other.take(self.metadata.name, loop.time())
                    tried.append(other)
                    left = timeout if delay is None else timeout - delay
                    second = loop.create_task(
                        self._attempt(request, inputs, request_id, other, max(left, 0.001), len(tried))
                    )
                    racing[second] = other
            while True:
                pending = [task for task in racing if not task.done()]
                won = next((task for task in racing if task.done() and task.exception() is None), None)
                if won is not None:
                    if won is not first:
                        hedging.won += 1
                        if not first.done():
                            self._failed(server)  # late is as bad as failed, if it happens all the time
                    return won.result()
                if not pending:
                    return first.result()
                await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in racing:
                task.cancel()
            await asyncio.gather(*racing, return_exceptions=True)

    async def _attempt(
        self,
        request: Request,
        inputs: Mapping[str, Tensor],
        request_id: str,
        server: Server,
        timeout: float,  # noqa: ASYNC109
        number: int,
    ) -> dict[str, Array]:
        """Ask a server once. Its place is given back, and what is known of the server is brought up to date."""
        model = self.metadata.name
        record = self.records.get(server.url)
        if record is None:
            record = self.records[server.url] = LatencyRecord()
        loop = asyncio.get_running_loop()
        began = loop.time()
        if number == 1:
            request.sent = began
        nbytes = sum(array.nbytes for array in inputs.values())
        try:
            if timeout <= 0:
                raise DeadlineExceeded(
                    f"{server.url}, model '{model}': no time is left of {min(self.deadline, self.event_deadline):g} s"
                )
            with self.observers.request(
                server.url, model, request.rows, nbytes, number, max(0.0, request.sent - request.since)
            ) as note:
                outputs = await server.transport.infer(
                    model, self.version, inputs, self.outputs, timeout=timeout, request_id=request_id, **self.priority
                )
                check_answer(outputs, request.rows, self.metadata, server.url, self.outputs)
                received = sum(array.nbytes for array in outputs.values())
                if note is not None:
                    note.received = received
        except InferenceError as error:
            record.failures += 1
            FAILURE.debug("%s, attempt %d of a request of %d rows failed: %s", server.url, number, request.rows, error)
            if isinstance(error, ServerBusy):
                self.outcomes.busy += 1
                server.refused(model, loop.time())
            elif is_retryable(error):
                self._failed(server)
            else:
                server.rejected(model)
            raise
        except BaseException:
            server.gave_up(model)
            raise
        else:
            now = loop.time()
            record.add(now - began, request.rows)
            record.moved(nbytes, received, request.sent - request.since, began - request.sent)
            record.answered_by(getattr(outputs, "version", ""), request.rows)
            server.answered(model, began, now, request.rows)
            if CLIENT.isEnabledFor(DEBUG):
                took = 1000 * (now - began)
                CLIENT.debug(
                    "%s, model '%s': %d rows, attempt %d, %.1f ms", server.url, model, request.rows, number, took
                )
            return outputs
        finally:
            server.give_back()
            if self.turns.line:
                self.turns.serve()

    def _failed(self, server: Server) -> None:
        if server.failed(self.metadata.name, asyncio.get_running_loop().time()):
            self.outcomes.opened += 1


def _explained(error: InferenceError, server: Server) -> InferenceError:
    """The error, with why its server is no more, if that is known."""
    reason = server.explain()
    if not reason:
        return error
    explained = type(error)(f"{error}; {reason}")
    explained.__cause__ = error
    return explained
