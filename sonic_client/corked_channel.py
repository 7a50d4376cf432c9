"""A channel of grpclib that writes to its socket once per turn of the event loop.

The problem: grpclib writes the headers of a request, its message and each of its 16 kB pieces as they are made, and asyncio
hands each write to the kernel at once. At 64 B that is two calls of the kernel for a request and a wake-up of the server for
each of them: more than half of the time (the rest is HTTP/2 in Python).

The policy: what is written within one turn of the loop is kept and handed over together at its end, whichever requests it
belongs to; or as soon as there are `LARGEST` bytes, so that the back pressure of the socket is felt.

The cost: a copy of what is small. A request leaves at most one turn of the loop later than it could.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

from grpclib.client import Channel, Handler
from grpclib.protocol import H2Protocol
from h2.settings import SettingCodes

from .header_blocks import know_headers

LARGEST = 128 << 10
"""Bytes that are kept."""
LARGEST_FRAME = 1 << 20
"""Bytes of a frame that a server may send. With the protocol's default, 16 kB, taking frames takes most of the time."""


class _Corked:
    """The socket of a connection, as asyncio's transport, whose writes are kept until the end of the turn."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._kept: list[bytes] = []
        self._size = 0

    def write(self, data: bytes) -> None:
        """Keep some bytes, or hand over all."""
        if not self._kept:
            self._loop.call_soon(self._flush)
        self._kept.append(data)
        self._size += len(data)
        if self._size >= LARGEST:
            self._flush()

    def _flush(self) -> None:
        if self._kept:
            data = self._kept[0] if len(self._kept) == 1 else b"".join(self._kept)
            self._kept, self._size = [], 0
            if not self._transport.is_closing():
                self._transport.write(data)

    def close(self) -> None:
        """Hand over what is kept, and close."""
        self._flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class _Protocol(H2Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Put the cork between HTTP/2 and the socket; no header has been sent or received yet."""
        super().connection_made(cast("asyncio.Transport", _Corked(cast("asyncio.Transport", transport))))
        know_headers(self.connection._connection)
        self.connection._connection.update_settings({SettingCodes.MAX_FRAME_SIZE: LARGEST_FRAME})
        self.connection.flush()


class CorkedChannel(Channel):
    """grpclib's channel, with few writes."""

    def _protocol_factory(self) -> H2Protocol:
        return _Protocol(Handler(), self._config, self._h2_config)
