# ruff: noqa: ASYNC109 - a deadline is part of a gRPC call: the server is told of it.
"""Clients that only block, as transports: in threads, or in place.

CMSSW's client has three modes: Async, PseudoAsync (a thread that blocks) and Sync. Here, a transport is asynchronous, which is
`async`, the default. `thread` and `sync` are for libraries that have no such calls, and for one question, which is
whether a fault lies in the asynchronous machinery: with `sync` nothing happens at the same time.

    thread   each call in a thread of a pool; as many calls are under way as there are threads. A call that is cancelled or
             late is cancelled at the server; its thread comes back then.
    sync     each call in place: the event loop stands still until the answer is there, and there is one call at a time. No
             other block computes meanwhile.

`BlockingClient` is what must be written for such a library: one function. `BlockingGrpc` is that for gRPC's blocking
channel, and what `Connection(mode="thread")` gives for `grpc://`.

The cost, measured with `BlockingGrpc` beside `grpc.aio`: a thread's start and end, some 100 us a call; and the interpreter's
lock, for which threads and modules compete.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import Future, ThreadPoolExecutor
from math import inf
from typing import Any, Protocol

import grpc

from .address import ServerURL
from .connection import DEFAULT, Connection, Credentials
from .grpc_transport import channel_arguments, ssl_credentials
from .kserve import SERVICE
from .kserve_transport import KServeTransport
from .transport import deadline_error, status_error

THREADS = 16
"""Calls under way at once in the mode `thread`."""


class Call(Protocol):
    """A call under way, of a client that blocks."""

    def result(self) -> bytes:
        """Wait for the answer. Raises grpc.RpcError."""
        ...

    def cancel(self) -> object:
        """Give it up; `result` then raises."""
        ...


class BlockingClient(Protocol):
    """A client library that only blocks: bytes of a call of KServe v2 to the bytes of its answer."""

    def start(self, method: str, request: bytes, timeout: float | None, headers: Any) -> Call:
        """Begin a call; from any thread."""
        ...

    def close(self) -> None:
        """Give the connection back."""
        ...


class BlockingGrpc:
    """gRPC's blocking channel."""

    def __init__(self, address: ServerURL, connection: Connection, credentials: Credentials | None) -> None:
        arguments = channel_arguments(address, connection)
        if credentials is None:
            self._channel = grpc.insecure_channel(address.address, **arguments)
        else:
            self._channel = grpc.secure_channel(address.address, ssl_credentials(credentials), **arguments)
        self._methods: dict[str, Any] = {}

    def start(self, method: str, request: bytes, timeout: float | None, headers: Any) -> Call:
        """Begin a call."""
        if method not in self._methods:
            self._methods[method] = self._channel.unary_unary(SERVICE + method)
        call: Call = self._methods[method].future(request, timeout=timeout, metadata=headers)
        return call

    def close(self) -> None:
        """Close the channel; calls under way are cancelled."""
        self._channel.close()


class _BlockingTransport(KServeTransport):
    """KServe v2 by a client that blocks."""

    def __init__(self, url: str, connection: Connection = DEFAULT) -> None:
        super().__init__(url, connection)
        self._credentials = Credentials.read(connection) if self.address.secure else None
        self._client: BlockingClient | None = None

    def _begin(self, method: str, request: bytes, timeout: float) -> Call:
        self._own_loop()
        if self._client is None:
            self._client = BlockingGrpc(self.address, self.connection, self._credentials)
        headers = None if self._headers is None else self._headers.now()
        return self._client.start(method, request, None if timeout == inf else timeout, headers)

    def _mapped(self, error: BaseException, timeout: float, model: str) -> Exception:
        code = error.code() if isinstance(error, grpc.RpcError) and isinstance(error, grpc.Call) else None
        if code is grpc.StatusCode.DEADLINE_EXCEEDED:
            return deadline_error(timeout, server=self.url, model=model)
        if code is None or isinstance(error, grpc.FutureCancelledError):
            return status_error("CANCELLED", "the call was cancelled", server=self.url, model=model)
        words = (error.details() if isinstance(error, grpc.Call) else "") or ""
        return status_error(code.name, words, server=self.url, model=model)

    async def close(self) -> None:
        """Close the channel. Calls under way end with ServerUnavailable."""
        client, self._client, self._loop = self._client, None, None
        if client is not None:
            client.close()


class SyncTransport(_BlockingTransport):
    """KServe v2, one call after the other, in place."""

    async def _call(self, method: str, request: bytes, timeout: float, model: str = "") -> bytes:
        try:
            return self._begin(method, request, timeout).result()
        except (grpc.RpcError, grpc.FutureCancelledError) as error:
            raise self._mapped(error, timeout, model) from error


class ThreadTransport(_BlockingTransport):
    """KServe v2, each call in a thread."""

    def __init__(self, url: str, connection: Connection = DEFAULT) -> None:
        super().__init__(url, connection)
        self._pool: ThreadPoolExecutor | None = None

    async def _call(self, method: str, request: bytes, timeout: float, model: str = "") -> bytes:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="evproc-inference")
        call = self._begin(method, request, timeout)
        waiting: Future[bytes] = self._pool.submit(call.result)
        try:
            return await asyncio.wrap_future(waiting)
        except asyncio.CancelledError:
            call.cancel()
            raise
        except (grpc.RpcError, grpc.FutureCancelledError) as error:
            raise self._mapped(error, timeout, model) from error

    async def close(self) -> None:
        """Close the channel and end the threads. Calls under way end with ServerUnavailable."""
        pool, self._pool = self._pool, None
        await super().close()
        if pool is not None:
            await asyncio.to_thread(pool.shutdown)
