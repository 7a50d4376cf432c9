"""The connections of a fake server, and what can befall one: silence, GOAWAY, the end."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any, cast

from grpclib.protocol import H2Protocol
from grpclib.server import Server
from hyperframe.frame import GoAwayFrame

from .bytes_codec import BytesCodec

_CALM = 11  # HTTP/2's error code ENHANCE_YOUR_CALM
_LAST = 2**31 - 1  # the highest number of a stream


class _Wire:
    """The socket of a connection, as asyncio's transport; a silent one takes what is written, and sends nothing."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self.silent = False

    def write(self, data: bytes) -> None:
        if not self.silent:
            self._transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class FakeConnection(H2Protocol):
    """One connection of a client."""

    wire: _Wire
    made = False
    """Whether there is a wire: a connection whose TLS failed never gets one."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Put the wire between HTTP/2 and the socket."""
        self.wire = _Wire(transport)
        self.made = True
        super().connection_made(cast("asyncio.Transport", self.wire))

    def silence(self) -> None:
        """Read and write nothing any more, and stay open."""
        self.wire.silent = True
        self.wire.pause_reading()

    def go_away(self, last: int = _LAST, *, drop: bool = False) -> None:
        """Tell the client to take another connection: requests with numbers above `last` were not taken."""
        self.wire.write(GoAwayFrame(0, last_stream_id=last, error_code=_CALM if drop else 0).serialize())
        if drop:
            self.wire.close()

    def abort(self) -> None:
        """Close it, at once."""
        if self.made and not self.wire.is_closing():
            self.wire.abort()


class Listener(Server):
    """A grpclib server that knows its connections, and keeps its port when it is gone."""

    def __init__(self, service: Any, connected: Callable[[], None]) -> None:
        super().__init__([service], codec=BytesCodec())
        self.connections: list[FakeConnection] = []
        self._connected = connected

    def _protocol_factory(self) -> H2Protocol:
        connection = FakeConnection(super()._protocol_factory().handler, self._config, self._h2_config)
        self.connections = [
            *(known for known in self.connections if not (known.made and known.wire.is_closing())),
            connection,
        ]
        self._connected()
        return connection

    def drop(self) -> None:
        """Stop listening and cut all connections, at once."""
        self.close()
        for connection in self.connections:
            connection.abort()


def hold(port: int) -> socket.socket:
    """A port of 127.0.0.1 (0: a free one) that refuses connections, and is kept from others; we may take it once more."""
    held = socket.socket()
    try:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind(("127.0.0.1", port))
    except BaseException:
        held.close()
        raise
    return held
