# ruff: noqa: ASYNC109 - a deadline is part of a gRPC call: the server is told of it.
"""The default transport: KServe v2 over `grpc.aio`, the fastest of those that Python has.

The channel moves bytes; `kserve` makes and reads them. That spares two copies of a request and two of an
answer.

Settings that differ from the library's, and why:
- no limit on the size of a message: one FACILE event is 2.3 MB, and the default refuses 4 MB;
- no retries by the library: the layer above counts attempts, and must see each of them;
- reconnecting is tried after 0.1 s and then every 0.5 s, not every 120 s: servers come and go. In between,
  calls fail at once;
- no HTTP proxy to this machine, whatever the environment says.

Two traps of `grpc.aio`. A call that ends with status CANCELLED, as all calls under way do when the channel
is closed, raises `asyncio.CancelledError` in the task that awaits it, as if that task had been cancelled:
here it is told apart by asking the task. And the library binds a channel to the loop in which it was made:
it is made at the first call.
"""

from __future__ import annotations

import asyncio
from math import inf
from typing import Any

import grpc
import grpc.aio

from .address import ServerURL
from .connection import DEFAULT, Connection, Credentials
from .kserve import SERVICE
from .kserve_transport import KServeTransport
from .transport import deadline_error, status_error

_OPTIONS = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.enable_retries", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 5000),  # in spite of its name: how long one attempt may take
    ("grpc.max_reconnect_backoff_ms", 500),
    ("grpc.use_local_subchannel_pool", 1),
)

_COMPRESSION = {
    "none": None,
    "deflate": grpc.Compression.Deflate,
    "gzip": grpc.Compression.Gzip,
}


def channel_arguments(address: ServerURL, connection: Connection) -> dict[str, Any]:
    """Options and compression of a channel."""
    options: list[tuple[str, int | str]] = [*_OPTIONS, ("grpc.enable_http_proxy", int(not address.is_local))]
    if connection.server_name:
        options.append(("grpc.ssl_target_name_override", connection.server_name))
    return {"options": options, "compression": _COMPRESSION[connection.compression]}


def ssl_credentials(credentials: Credentials) -> Any:
    """What gRPC makes of PEM files."""
    return grpc.ssl_channel_credentials(credentials.roots, credentials.key, credentials.certificate)


class GrpcTransport(KServeTransport):
    """KServe v2 over `grpc.aio`: `grpc://host:port`, encrypted `grpcs://host:port`."""

    def __init__(self, url: str, connection: Connection = DEFAULT) -> None:
        super().__init__(url, connection)
        self._credentials = Credentials.read(connection) if self.address.secure else None
        self._channel: Any = None
        self._methods: dict[str, Any] = {}

    async def _call(self, method: str, request: bytes, timeout: float, model: str = "") -> bytes:
        self._own_loop()
        metadata = None if self._headers is None else self._headers.now()
        call = self._method(method)(request, timeout=None if timeout == inf else timeout, metadata=metadata)
        try:
            data: bytes = await call
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                raise deadline_error(timeout, server=self.url, model=model) from error
            raise status_error(error.code().name, error.details() or "", server=self.url, model=model) from error
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            raise status_error("CANCELLED", "the call was cancelled", server=self.url, model=model) from error
        return data

    def open_stream(self, request: bytes, timeout: float) -> Any:
        """A call of ModelStreamInfer with one request, as `grpc_stream` uses it."""
        self._own_loop()
        if self._channel is None:
            self._channel = self._open()
        method = self._channel.stream_stream(SERVICE + "ModelStreamInfer")
        metadata = None if self._headers is None else self._headers.now()
        return method([request], timeout=None if timeout == inf else timeout, metadata=metadata)

    def _method(self, name: str) -> Any:
        method = self._methods.get(name)
        if method is None:
            if self._channel is None:
                self._channel = self._open()
            method = self._methods[name] = self._channel.unary_unary(SERVICE + name)
        return method

    def _open(self) -> Any:
        arguments = channel_arguments(self.address, self.connection)
        if self._credentials is None:
            return grpc.aio.insecure_channel(self.address.address, **arguments)
        return grpc.aio.secure_channel(self.address.address, ssl_credentials(self._credentials), **arguments)

    async def close(self) -> None:
        """Close the channel. Calls under way end with ServerUnavailable."""
        channel, self._channel, self._loop = self._channel, None, None
        self._methods.clear()
        if channel is not None:
            await channel.close()
