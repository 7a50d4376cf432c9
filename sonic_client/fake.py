"""A server for tests: it speaks KServe v2 over gRPC, computes what you tell it, and fails when you tell it.

    def double(inputs):
        return {"y": 2 * inputs["x"]}

    spec = TensorSpec("x", np.dtype("float32"), (16,))
    model = FakeModel("double", [spec], [replace(spec, name="y")], double, max_batch_size=64)
    with FakeServer([model], faults=[Unavailable(), None, Delay(0.5)]) as server:
        ...  # a job with servers=[server.url]
    assert [request.rows for request in server.requests] == [64, 64, 3]

It is a real server on a real socket (127.0.0.1, a free port), so that what is tested is the real client.
`with` gives it a thread and an event loop of its own; `async with` runs it in the loop of the test.

Time. `latency` is added to every answer, to all at the same time, as a network does. `compute_time` keeps
the server busy, one request after another, as a GPU does: a request is answered `compute_time` after the
later of its arrival and the end of the one before. Neither burns CPU. The function is called in the
server's thread.

Faults are given to inference requests in the order of their arrival: a sequence (None: no fault; used up:
none more), or a function of the request. All else about a request is checked as Triton checks it, and
refused in like words.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from evproc.framework.errors import InternalError

from .fake_faults import (
    Crash,
    Delay,
    Fault,
    HalfOpen,
    Refuse,
    Reject,
    Truncated,
    Unavailable,
    WrongAnswer,
    WrongDtype,
    WrongName,
    WrongRows,
    WrongShape,
)
from .tensors import Array, TensorSpec

__all__ = [
    "Crash",
    "Delay",
    "FakeModel",
    "FakeServer",
    "Fault",
    "HalfOpen",
    "Received",
    "Refuse",
    "Reject",
    "Truncated",
    "Unavailable",
    "WrongAnswer",
    "WrongDtype",
    "WrongName",
    "WrongRows",
    "WrongShape",
]

Arrays = Mapping[str, Array]


@dataclass(frozen=True)
class FakeModel:
    """A model of a fake server."""

    name: str
    inputs: Sequence[TensorSpec]
    outputs: Sequence[TensorSpec]
    function: Callable[[dict[str, Array]], Arrays]
    """Inputs by name, with the batch dimension first if there is one, to outputs by name."""
    max_batch_size: int = 1024
    """0: no batch dimension."""
    latency: float = 0.0
    """s, added to every answer, concurrently."""
    compute_time: float | Callable[[int], float] = 0.0
    """s for which a request keeps the server to itself; or a function of its rows."""

    def busy(self, rows: int) -> float:
        """The time that a request of so many rows takes, s."""
        return self.compute_time(rows) if callable(self.compute_time) else self.compute_time


@dataclass
class Received:
    """A request that a fake server received."""

    model: str
    version: str
    request_id: str
    rows: int
    bytes: int
    """Of the input tensors."""
    inputs: dict[str, Array] = field(repr=False)
    """Empty unless the server was made with `keep_inputs=True`."""
    fault: Fault | None = None
    """The scripted fault that it met."""
    outcome: str = "open"
    """`open`, then `answered`, `refused`, or `cancelled` (by the client, or because its connection is gone)."""


class FakeServer:
    """A KServe v2 server for tests (see the head of this file).

    `not_ready` is the number of times it says that it is not ready before it says that it is. `keep_inputs` keeps the
    tensors of each request in `requests`; off by default, because of their size.
    """

    def __init__(
        self,
        models: Sequence[FakeModel],
        *,
        faults: Sequence[Fault | None] | Callable[[Received], Fault | None] = (),
        not_ready: int = 0,
        keep_inputs: bool = False,
    ) -> None:
        self.models = {model.name: model for model in models}
        self.requests: list[Received] = []
        """In the order of their arrival."""
        self.peak = 0
        """The largest number of requests that were open at once."""
        self.connections = 0
        """The number of connections made to it."""
        self.ready_calls = 0
        self.not_ready = not_ready
        self.keep_inputs = keep_inputs
        self._script = faults if callable(faults) else None
        self._faults: Iterator[Fault | None] = iter(() if callable(faults) else faults)
        self._changed = threading.Condition()
        self._open = 0
        self._port = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._service: Any = None  # fake_service.FakeService, imported with grpclib when the server starts

    @property
    def url(self) -> str:
        """Its address for the default transport; it stays the same over `restart`."""
        return self.address("grpc")

    def address(self, scheme: str) -> str:
        """Its address for the transport of this scheme."""
        if not self._port:
            raise InternalError("the fake server has no address before it is started")
        return f"{scheme}://127.0.0.1:{self._port}"

    @property
    def outcomes(self) -> list[str]:
        """What became of each request, in the order of their arrival."""
        return [request.outcome for request in self.requests]

    def wait_until(self, condition: Callable[[FakeServer], bool], timeout: float = 10.0) -> None:
        """Wait (blocking: with a server in a thread) until something is true of it. Raises TimeoutError."""
        with self._changed:
            if not self._changed.wait_for(lambda: condition(self), timeout):
                raise TimeoutError(f"the fake server did not get there within {timeout:g} s: {self.requests}")

    # What the service tells it. All are called in the server's loop.

    def arrived(self, request: Received) -> None:
        """A request arrived: record it, and draw its fault."""
        with self._changed:
            request.fault = self._script(request) if self._script else next(self._faults, None)
            self.requests.append(request)
            self._open += 1
            self.peak = max(self.peak, self._open)
            self._changed.notify_all()

    def left(self, request: Received, outcome: str) -> None:
        """A request was answered, refused or cancelled."""
        with self._changed:
            request.outcome = outcome
            self._open -= 1
            self._changed.notify_all()

    def connected(self) -> None:
        """A connection was made."""
        with self._changed:
            self.connections += 1
            self._changed.notify_all()

    def asked_ready(self) -> bool:
        """A client asked whether the server is ready."""
        with self._changed:
            self.ready_calls += 1
            self._changed.notify_all()
            return self.ready_calls > self.not_ready

    # Its life.

    async def start(self) -> None:
        """Listen, in the running loop, on the same port as before if it had one."""
        from .fake_service import FakeService

        self._loop = asyncio.get_running_loop()
        if self._service is None:
            self._service = FakeService(self)
        self._port = await self._service.listen(self._port)

    async def stop(self) -> None:
        """Stop listening, and drop all connections. What is open is cancelled."""
        if self._service is not None:
            await self._service.stop()

    def restart(self) -> None:
        """Listen again after a Crash, at the same address (for a server in a thread)."""
        self._call(self.start())

    def crash(self) -> None:
        """Drop all connections and stop listening, now (for a server in a thread)."""
        self._call(self.stop())

    def _call(self, work: Any) -> None:
        if self._thread is None or self._loop is None:
            work.close()
            raise InternalError("this fake server runs in the loop of the test: await start() or stop()")
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10.0)

    async def __aenter__(self) -> FakeServer:
        """Start in the running loop."""
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()
        self._service = None

    def __enter__(self) -> FakeServer:
        """Start in a thread of its own."""
        loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=loop.run_forever, name="evproc-fake-server", daemon=True)
        self._thread.start()
        self._loop = loop
        try:
            self._call(self.start())
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._loop is not None
        assert self._thread is not None
        try:
            self._call(self.stop())
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(10.0)
            self._loop.close()
            self._loop = self._thread = self._service = None
