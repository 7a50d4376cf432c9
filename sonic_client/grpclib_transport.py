# ruff: noqa: ASYNC109 - a deadline is part of a gRPC call: the server is told of it.
"""KServe v2 over grpclib: asyncio all the way, no threads and no C library.

Slower than `grpc` for large tensors (HTTP/2 in pure Python), and the base for servers of other protocols.

Two traps of grpclib, both cured here:
- When a connection is lost or a deadline passes, it cancels the task that awaits the call, once or more,
  and then raises its own error there. The task's count of cancellations stays raised, and `asyncio.timeout`
  and task groups further up take the task for cancelled. So each exchange has a task of its own, which
  nobody looks at afterwards (10 us).
- A connection that breaks inside an answer shows as an AssertionError.
"""

from __future__ import annotations

import asyncio
from math import inf

import h2.exceptions
from grpclib.client import Channel
from grpclib.config import Configuration
from grpclib.const import Cardinality
from grpclib.exceptions import GRPCError, ProtocolError, StreamTerminatedError

from evproc.framework.errors import InferenceError

from .bytes_codec import BytesCodec, spare_frame_texts
from .connection import DEFAULT, Connection, ssl_context
from .corked_channel import CorkedChannel
from .kserve import SERVICE
from .kserve_transport import KServeTransport
from .transport import deadline_error, status_error

_BROKEN = (OSError, StreamTerminatedError, ProtocolError, h2.exceptions.H2Error, AssertionError, AttributeError)


class GrpclibTransport(KServeTransport):
    """KServe v2 over grpclib: `grpclib://host:port`."""

    def __init__(self, url: str, connection: Connection = DEFAULT) -> None:
        super().__init__(url, connection)
        if connection.compression != "none":
            raise ValueError(f"grpclib knows no compression ('{connection.compression}'); grpc:// and http:// do")
        self._tls = ssl_context(connection, "h2") if self.address.secure else None
        self._channel: Channel | None = None
        self._exchanges: set[asyncio.Task[bytes]] = set()
        spare_frame_texts()

    async def _call(self, method: str, request: bytes, timeout: float, model: str = "") -> bytes:
        self._own_loop()
        task = asyncio.current_task()
        assert task is not None
        cancellations = task.cancelling()
        exchange = asyncio.create_task(self._exchange(method, request, None if timeout == inf else timeout))
        self._exchanges.add(exchange)
        exchange.add_done_callback(self._exchanges.discard)
        try:
            return await exchange
        except (Exception, asyncio.CancelledError) as error:
            if task.cancelling() > cancellations:
                raise asyncio.CancelledError from error
            raise self._mapped(error, timeout, model) from error

    def _mapped(self, error: BaseException, timeout: float, model: str) -> InferenceError:
        status, words = "UNAVAILABLE", str(error) or type(error).__name__
        if isinstance(error, GRPCError):
            status, words = error.status.name, error.message or ""
        elif isinstance(error, asyncio.CancelledError):
            status, words = "CANCELLED", "the call was cancelled"
        elif not isinstance(error, (*_BROKEN, TimeoutError)):
            status = "UNKNOWN"
        if status == "DEADLINE_EXCEEDED" or isinstance(error, TimeoutError):
            return deadline_error(timeout, server=self.url, model=model)
        return status_error(status, words, server=self.url, model=model)

    async def _exchange(self, method: str, request: bytes, timeout: float | None) -> bytes:
        if self._channel is None:
            self._channel = self._open()
        metadata = None if self._headers is None else self._headers.now()
        async with self._channel.request(
            self._path(method), Cardinality.UNARY_UNARY, bytes, bytes, timeout=timeout, metadata=metadata
        ) as stream:
            await stream.send_message(request, end=True)
            answer = await stream.recv_message()
        if answer is None:
            raise ProtocolError("the answer is empty")
        return answer

    def _open(self) -> Channel:
        name = self.connection.server_name
        settings = Configuration(ssl_target_name_override=name) if name and self._tls else None
        return CorkedChannel(self.address.host, self.address.port, codec=BytesCodec(), ssl=self._tls, config=settings)

    def _path(self, method: str) -> str:
        """The path of a call."""
        return SERVICE + method

    async def close(self) -> None:
        """Close the connection. Calls under way end with ServerUnavailable."""
        channel, self._channel, self._loop = self._channel, None, None
        exchanges = list(self._exchanges)
        for exchange in exchanges:
            exchange.cancel()
        await asyncio.gather(*exchanges, return_exceptions=True)
        if channel is not None:
            wire = getattr(getattr(channel._protocol, "connection", None), "_transport", None)
            channel.close()
            if self._tls is not None and wire is not None:
                # a polite end of TLS waits for the other side's; nothing is under way that could be lost
                wire.abort()
                await asyncio.sleep(0)
