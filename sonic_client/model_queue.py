"""The queue of one model: takes submissions, sends requests, hands back answers.

What leaves when is the batcher's decision, where it goes the balancer's, what happens when it fails that of the retry chain;
this is the thin part between them. The life of one request is in `sending`.

Invariants: a submission ends exactly once, with its answer, an error or by being cancelled, whatever servers do and in
whatever order; a place on a server that was taken is given back; after `close` nothing is under way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any

from evproc.framework.event import EventID
from evproc.framework.observing import Observers

from .balancing import Balancer, Balancing
from .batching import Batcher, Request, Submission
from .fleet import Server as Server
from .fleet import Turns
from .hedging import Hedge, Hedging
from .latency import LatencyRecord
from .outcomes import Outcomes
from .retry import RetryAction, RetryBudget, default_chain
from .sending import NOBODYS_FAULT, Sender
from .tensors import Array, ModelMetadata


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
    deadline: float = inf
    """Seconds for all attempts of a request."""
    patience: float = 60.0
    """Seconds for which a request is sent again to servers that have too much to do."""
    prefer: tuple[str, ...] = ()
    """Names or addresses of servers that are asked as long as they can be."""
    retry: tuple[RetryAction, ...] | None = field(default=None, hash=False)
    """The retry chain; None is the usual one."""
    hedge: Hedge | None = field(default=None, hash=False)
    event_deadline: float = inf
    """Seconds from when rows are handed over to when their outputs are there."""
    priority: int = 0
    """1 is the most urgent; 0 the model's own default."""


@dataclass(slots=True, eq=False)
class _Ticket:
    future: asyncio.Future[Any]
    finish: Callable[[dict[str, Array]], Any]


@dataclass(slots=True, eq=False)
class ModelQueue:
    """Requests for one model."""

    metadata: ModelMetadata
    version: str
    servers: list[Server]
    """Those that have the model; may change while the queue lives, but is never empty."""
    policy: Policy
    records: dict[str, LatencyRecord] = field(default_factory=dict)
    """Server -> what was sent to it."""
    observers: Observers = field(default_factory=Observers)
    turns: Turns = field(default_factory=Turns)
    """Who waits for a place on a server; shared by all queues of a job."""
    balancing: Balancing = Balancing.LEAST_OUTSTANDING
    budget: RetryBudget = field(default_factory=lambda: RetryBudget(share=1.0, least=1 << 40))
    start_fallback: Callable[[], Awaitable[Server]] | None = None
    held_bytes: int = 0
    """Inputs of submissions that have not ended."""
    peak_bytes: int = 0
    _batcher: Batcher = field(init=False)
    _sender: Sender = field(init=False)
    _tasks: dict[asyncio.Task[None], tuple[Request, Server] | None] = field(default_factory=dict)
    """What is under way; None once it has begun."""
    _in_flight: int = 0
    _flushing: bool = False
    _turn: bool = False
    _timer: asyncio.TimerHandle | None = None
    _wake: asyncio.TimerHandle | None = None
    _closed: bool = False

    def __post_init__(self) -> None:
        policy = self.policy
        rows = min(policy.max_rows, max(1, self.metadata.max_batch_size))
        self._batcher = Batcher(max_rows=rows, max_bytes=policy.max_bytes, coalesce=policy.coalesce)
        self._sender = Sender(
            metadata=self.metadata,
            version=self.version,
            outputs=policy.outputs,
            timeout=policy.timeout,
            deadline=policy.deadline,
            event_deadline=policy.event_deadline,
            priority={"priority": policy.priority} if policy.priority else {},
            patience=policy.patience,
            actions=default_chain(policy.tries) if policy.retry is None else policy.retry,
            servers=self.servers,
            balancer=Balancer(self.metadata.name, self.balancing, policy.prefer),
            budget=self.budget,
            turns=self.turns,
            observers=self.observers,
            hedging=Hedging(policy.hedge) if policy.hedge is not None else None,
            start_fallback=self.start_fallback,
            records=self.records,
        )

    def submit(
        self,
        inputs: Mapping[str, Array],
        rows: int,
        finish: Callable[[dict[str, Array]], Any],
        events: tuple[EventID, EventID] | None = None,
    ) -> asyncio.Future[Any]:
        """Hand over rows; the future has what `finish` makes of their outputs.

        inputs: name -> (rows, ...), rows >= 1. events: the first and the last whose rows they are.
        """
        if self._closed:
            raise RuntimeError(f"the queue of model '{self.metadata.name}' is closed")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        nbytes = sum(array.nbytes for array in inputs.values())
        self.held_bytes += nbytes
        self.peak_bytes = max(self.peak_bytes, self.held_bytes)
        future.add_done_callback(lambda _: self._let_go(nbytes))
        self._batcher.add(Submission(inputs, rows, _Ticket(future, finish), events, loop.time()))
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
        """Requests that have been sent and have not ended."""
        return self._in_flight

    @property
    def outcomes(self) -> Outcomes:
        """What became of requests, beside answers and errors."""
        return self._sender.outcomes

    @property
    def hedging(self) -> Hedging | None:
        """The hedges, if they are on."""
        return self._sender.hedging

    def _let_go(self, nbytes: int) -> None:
        self.held_bytes -= nbytes

    def _next_turn(self) -> None:
        self._turn = False
        if not self._in_flight:
            self._pump(partial=True)

    def _waited(self) -> None:
        self._timer = None
        self.flush()

    def _pump(self, *, partial: bool = False) -> None:
        """Send what may be sent now; line up for what may not."""
        while not self._closed:
            sent = self.send_one(partial=partial)
            if sent is None:
                return
            if not sent:
                self.turns.join(self)
                return
            partial = False

    def send_one(self, *, partial: bool = False) -> bool | None:
        """Send one request, if a server has a place for it. None: there is nothing to send."""
        if self._closed or not self._batcher.waiting_rows:
            self._flushing = False
            return None
        loop = asyncio.get_running_loop()
        now = loop.time()
        balancer = self._sender.balancer
        server, allowed = balancer.choose(self.servers, now)
        if server is None:
            if allowed or self._in_flight:
                if not allowed:
                    self._wake_up(loop, now)
                return False
            server = balancer.anyhow(self.servers, now)
        partial = partial or self._flushing or (not self._in_flight and self in self.turns.line)
        request = self._batcher.next_request(partial=partial)
        if request is None:
            if not self._batcher.waiting_rows:
                self._flushing = False
            return None
        server.take(self.metadata.name, now)
        self._in_flight += 1
        task = loop.create_task(self._send(request, server))
        self._tasks[task] = request, server
        task.add_done_callback(self._ended)
        return True

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A request has ended; one that was cancelled before its first step has nobody else to clear up after it."""
        flight = self._tasks.pop(task, None)
        if flight is not None:
            request, server = flight
            server.gave_up(self.metadata.name)
            server.give_back()
            self._in_flight -= 1
            for submission in Batcher.fail(request):
                submission.ticket.future.cancel()

    def _wake_up(self, loop: asyncio.AbstractEventLoop, now: float) -> None:
        """No server may be asked now: look again when one may."""
        if self._wake is None:
            at = min(server.again_at(self.metadata.name, now) for server in self.servers)
            if at > now:
                self._wake = loop.call_at(at, self._woken)

    def _woken(self) -> None:
        self._wake = None
        self._pump()

    async def _send(self, request: Request, server: Server) -> None:
        """One request, with its retries; ends its submissions, whatever happens."""
        task = asyncio.current_task()
        assert task is not None
        self._tasks[task] = None
        try:
            await self._answered(request, server)
        except asyncio.CancelledError:
            for submission in Batcher.fail(request):
                submission.ticket.future.cancel()
            raise
        finally:
            self._in_flight -= 1
            if self.turns.line:
                self.turns.serve()
            self._pump(partial=not self._in_flight)

    async def _answered(self, request: Request, server: Server | None) -> None:
        """Ask, and give the answer or the error to the submissions.

        One that has wrong rows must not fail those that merely share its request, so they are then sent apart.
        """
        try:
            outputs = await self._sender.send(request, server)
        except Exception as error:
            if len(request.parts) > 1 and not isinstance(error, NOBODYS_FAULT):
                for part in request.parts:
                    await self._answered(Request([part], part.stop - part.start), None)
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

    async def close(self) -> None:
        """Cancel what waits and what is under way, and wait for its end."""
        self._closed = True
        self.turns.leave(self)
        for timer in (self._timer, self._wake):
            if timer:
                timer.cancel()
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
