"""The queue of one model: takes submissions, sends requests, retries, hands back answers.

What leaves when is the batcher's decision; this is the thin part that awaits.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

from evproc.framework.errors import DeadlineExceeded, InferenceError, ServerUnavailable
from evproc.framework.observing import Observers

from .batching import Batcher, Request, Submission
from .contract import check_answer
from .latency import LatencyRecord
from .tensors import Array, ModelMetadata
from .transport import Transport, is_retryable

BACK_OFF = 0.05
"""Pause before the first retry, seconds; doubles with each."""
LONGEST_BACK_OFF = 2.0


@dataclass(slots=True, eq=False)
class Server:
    """A server, and what is under way to it."""

    url: str
    transport: Transport
    in_flight_limit: int
    outstanding: int = 0
    explain: Callable[[], str] = str
    """Why the server is no more, if that is known; empty if not."""


@dataclass(frozen=True, slots=True)
class Policy:
    """How requests for a model are made."""

    outputs: tuple[str, ...]
    timeout: float
    tries: int
    max_rows: int
    max_bytes: int
    max_wait: float
    coalesce: bool


@dataclass(slots=True, eq=False)
class _Ticket:
    future: asyncio.Future[Any]
    finish: Callable[[dict[str, Array]], Any]


@dataclass(slots=True)
class ModelQueue:
    """Requests for one model."""

    metadata: ModelMetadata
    version: str
    servers: list[Server]
    policy: Policy
    records: dict[str, LatencyRecord] = field(default_factory=dict)
    """Server -> what was sent to it."""
    observers: Observers = field(default_factory=Observers)
    _batcher: Batcher = field(init=False)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _in_flight: int = 0
    _flushing: bool = False
    _turn: bool = False
    _timer: asyncio.TimerHandle | None = None
    _sent: int = 0
    _closed: bool = False

    def __post_init__(self) -> None:
        policy = self.policy
        rows = min(policy.max_rows, max(1, self.metadata.max_batch_size))
        self._batcher = Batcher(max_rows=rows, max_bytes=policy.max_bytes, coalesce=policy.coalesce)

    def submit(
        self, inputs: Mapping[str, Array], rows: int, finish: Callable[[dict[str, Array]], Any]
    ) -> asyncio.Future[Any]:
        """Hand over rows; the future has what `finish` makes of their outputs.

        inputs: name -> (rows, ...), rows >= 1.
        """
        if self._closed:
            raise RuntimeError(f"the queue of model '{self.metadata.name}' is closed")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        self._batcher.add(Submission(inputs, rows, _Ticket(future, finish)))
        self._pump()
        if self._batcher.waiting_rows:
            if not self._in_flight and not self._turn:
                self._turn = True
                loop.call_soon(self._next_turn)
            if self._timer is None:
                self._timer = loop.call_later(self.policy.max_wait, self._waited)
        return future

    def flush(self) -> None:
        """No more rows will come before an answer does: send what there is."""
        if self._batcher.waiting_rows:
            self._flushing = True
            self._pump()

    @property
    def in_flight(self) -> int:
        """Requests under way."""
        return self._in_flight

    def _next_turn(self) -> None:
        self._turn = False
        if not self._in_flight:
            self._pump(partial=True)

    def _waited(self) -> None:
        self._timer = None
        self.flush()

    def _pump(self, *, partial: bool = False) -> None:
        """Send what may be sent now."""
        while not self._closed:
            server = min(self.servers, key=lambda server: server.outstanding)
            if server.outstanding >= server.in_flight_limit:
                return
            request = self._batcher.next_request(partial=partial or self._flushing)
            if request is None:
                if not self._batcher.waiting_rows:
                    self._flushing = False
                return
            partial = False
            server.outstanding += 1
            self._in_flight += 1
            task = asyncio.get_running_loop().create_task(self._send(request, server))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _send(self, request: Request, server: Server) -> None:
        """One request, with its retries; ends its submissions, whatever happens."""
        try:
            await self._answered(request, server)
        except asyncio.CancelledError:
            for submission in Batcher.fail(request):
                submission.ticket.future.cancel()
            raise
        finally:
            server.outstanding -= 1
            self._in_flight -= 1
            self._pump(partial=not self._in_flight)

    async def _answered(self, request: Request, server: Server) -> None:
        """Ask, and give the answer or the error to the submissions.

        One that has wrong rows must not fail those that merely share its request, so they are then sent apart.
        """
        try:
            outputs = await self._attempts(request, server)
        except Exception as error:
            if len(request.parts) > 1 and not isinstance(error, (ServerUnavailable, DeadlineExceeded)):
                for part in request.parts:
                    await self._answered(Request([part], part.stop - part.start), server)
                return
            for submission in Batcher.fail(request):
                _settle(submission.ticket.future, error)
        else:
            for submission in Batcher.answer(request, outputs):
                self._complete(submission)

    def _complete(self, submission: Submission) -> None:
        ticket: _Ticket = submission.ticket
        if ticket.future.done():
            return
        try:
            ticket.future.set_result(ticket.finish(submission.outputs()))
        except Exception as error:
            _settle(ticket.future, error)

    async def _attempts(self, request: Request, server: Server) -> dict[str, Array]:
        inputs = request.inputs()
        model, policy = self.metadata.name, self.policy
        record = self.records.setdefault(server.url, LatencyRecord())
        self._sent += 1
        nbytes = sum(array.nbytes for array in inputs.values())
        request_id = f"{model}-{self._sent}"
        for attempt in range(1, policy.tries + 1):
            begin = perf_counter()
            try:
                with self.observers.request(server.url, model, request.rows, nbytes, attempt):
                    outputs = await server.transport.infer(
                        model, self.version, inputs, policy.outputs, timeout=policy.timeout, request_id=request_id
                    )
                    check_answer(outputs, request.rows, self.metadata, server.url, policy.outputs)
            except InferenceError as error:
                record.failures += 1
                if not is_retryable(error) or attempt == policy.tries:
                    tried = f" (after {attempt} attempts)" if attempt > 1 else ""
                    reason = server.explain()
                    if tried or reason:
                        raise type(error)(f"{error}{tried}{f'; {reason}' if reason else ''}") from error
                    raise
                record.retries += 1
                pause = min(LONGEST_BACK_OFF, BACK_OFF * 2 ** (attempt - 1))
                await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            else:
                record.add(perf_counter() - begin, request.rows)
                return outputs
        raise AssertionError("a request is tried once at least")

    async def close(self) -> None:
        """Cancel what waits and what is under way, and wait for its end."""
        self._closed = True
        if self._timer:
            self._timer.cancel()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.gather(*tasks, return_exceptions=True)
        for submission in self._batcher.drain():
            submission.ticket.future.cancel()


def _settle(future: asyncio.Future[Any], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
        future.exception()  # seen: a job that fails elsewhere first must not warn about this one


def gather_futures(futures: Sequence[asyncio.Future[Any]]) -> asyncio.Future[list[Any]]:
    """The results of several futures as one list, in order; an exception of one ends all."""
    return asyncio.gather(*futures)
