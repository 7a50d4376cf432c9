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

Time. `latency` is added to every answer, to all at the same time, as a network does; it may be a
distribution. `compute_time` keeps the server busy, one request after another, as a GPU does: a request is
answered `compute_time` after the later of its arrival and the end of the one before (`instances` are so many
GPUs). Neither burns CPU. The function is called in the server's thread. With `capacity`, a request that
finds so many open is refused at once, as by a server whose queue is full.

Faults are given to inference requests in the order of their arrival: a sequence (None: no fault; used up:
none more), or a function of the request. A `condition` meets every call, those for health and metadata too,
until it is changed: `server.condition = Unavailable()`; or it is a function of the time. All else about a
request is checked as Triton checks it, and refused in like words.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from ssl import SSLContext
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
    Saturated,
    Truncated,
    Unavailable,
    WrongAnswer,
    WrongDtype,
    WrongName,
    WrongRows,
    WrongShape,
)
from .fake_model import FakeModel, Received

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

Condition = Fault | None | Callable[[float], Fault | None]


class FakeServer:
    """A KServe v2 server for tests (see the head of this file).

    `condition` meets every call until it is changed. `capacity` is the number of requests that may be open at once, None
    any; `instances` of them compute at the same time. `not_ready` is the number of times it says that it is not ready before
    it says that it is. `keep_inputs` keeps the tensors of each request in `requests`; off by default, because of their size.
    With `ssl` it speaks TLS. `seed` is for latencies that are drawn.
    """

    def __init__(
        self,
        models: Sequence[FakeModel],
        *,
        faults: Sequence[Fault | None] | Callable[[Received], Fault | None] = (),
        condition: Condition = None,
        capacity: int | None = None,
        instances: int = 1,
        not_ready: int = 0,
        keep_inputs: bool = False,
        ssl: SSLContext | None = None,
        seed: int = 0,
    ) -> None:
        self.models = {model.name: model for model in models}
        self.loaded = {model.name for model in models if model.loaded}
        """The models that are ready."""
        self.repository_calls: list[tuple[str, str]] = []
        """`("load", model)` and `("unload", model)`, as clients asked for them."""
        self.condition = condition
        self.capacity = capacity
        self.instances = instances
        self.ssl = ssl
        self.requests: list[Received] = []
        """In the order of their arrival."""
        self.peak = 0
        """The largest number of requests that were open at once."""
        self.connections = 0
        """The number of connections made to it."""
        self.ready_calls = 0
        self.not_ready = not_ready
        self.keep_inputs = keep_inputs
        self.lots = random.Random(seed)
        self._begin = 0.0
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
    def port(self) -> int:
        """Its port of 127.0.0.1; 0 before it has one."""
        return self._port

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

    @property
    def time(self) -> float:
        """s since it was started for the first time."""
        return time.monotonic() - self._begin

    def condition_now(self) -> Fault | None:
        """What meets every call at this moment."""
        return self.condition(self.time) if callable(self.condition) else self.condition

    def arrived(self, request: Received) -> None:
        """A request arrived: record it, and draw its fault."""
        with self._changed:
            request.time = self.time
            request.fault = self.condition_now()
            if request.fault is None:
                request.fault = self._script(request) if self._script else next(self._faults, None)
            if request.fault is None and self.capacity is not None and self._open >= self.capacity:
                request.fault = Saturated()
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

    def hold(self) -> str:
        """Take the address, which is returned, and refuse connections until the start: for a client that comes first."""
        self._port = self._make_service().hold(self._port)
        return self.url

    def _make_service(self) -> Any:
        from .fake_service import FakeService

        if self._service is None:
            self._service = FakeService(self)
        return self._service

    async def start(self) -> None:
        """Listen, in the running loop, on the same port as before if it had one."""
        self._loop = asyncio.get_running_loop()
        service = self._make_service()
        if not self._begin:
            self._begin = time.monotonic()
        self._port = await service.listen(self._port)

    async def start_at(self, port: int) -> None:
        """Listen on this port of 127.0.0.1, in the running loop."""
        self._port = port
        await self.start()

    async def stop(self) -> None:
        """Stop listening, and drop all connections. What is open is cancelled."""
        if self._service is not None:
            await self._service.stop()

    def restart(self, models: Sequence[FakeModel] | None = None) -> None:
        """Listen again after a Crash, at the same address, with other models if given (for a server in a thread)."""
        if models is not None:
            self.replace(models)
        self._call(self.start())

    def replace(self, models: Sequence[FakeModel]) -> None:
        """Have other models from now on, or other versions."""
        self.models = {model.name: model for model in models}
        self.loaded = {model.name for model in models if model.loaded}

    def go_away(self) -> None:
        """Give up all connections with GOAWAY; what is open is answered (for a server in a thread)."""
        self._call(self._service.go_away())

    def crash(self) -> None:
        """Drop all connections and refuse new ones, now (for a server in a thread)."""
        self._call(self._crash())

    async def _crash(self) -> None:
        self._service.crash()

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
