"""A way to a server that takes longer: a relay of TCP connections that holds what it is given for half a round trip.

It keeps the bandwidth, and delays all that is under way at the same time, as a long cable does. It runs in a thread of its
own. What comes in pieces goes out in pieces, so HTTP/2 and gRPC do not notice.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from types import TracebackType

_PIECE = 1 << 18


class Delay:
    """Relays connections to `host:port`; `with` opens its own port of 127.0.0.1. round_trip: s."""

    def __init__(self, host: str, port: int, round_trip: float) -> None:
        self._target = host, port
        self._half = round_trip / 2
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="evproc-delay", daemon=True)
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()
        self.port = 0

    def __enter__(self) -> Delay:
        """Listen."""
        self._thread.start()
        try:
            asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10.0)
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(TimeoutError):
            asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10.0)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10.0)
        self._loop.close()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in list(self._open):
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open.add(task)
        writers = [writer]
        try:
            there, back = await asyncio.open_connection(*self._target)
            writers.append(back)
            await asyncio.gather(self._relay(reader, back), self._relay(there, writer))
        except (OSError, asyncio.CancelledError):
            pass  # both ends are closed below, and say so to who is there
        finally:
            self._open.discard(task)
            for each in writers:
                each.close()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One direction, until its end; then the other end is told."""
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
        deliver = asyncio.create_task(self._deliver(under_way, writer))
        loop = asyncio.get_running_loop()
        try:
            while data := await reader.read(_PIECE):
                under_way.put_nowait((loop.time() + self._half, data))
            under_way.put_nowait((loop.time() + self._half, b""))
            await deliver
        finally:
            deliver.cancel()

    async def _deliver(self, under_way: asyncio.Queue[tuple[float, bytes]], writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        while True:
            moment, data = await under_way.get()
            if (left := moment - loop.time()) > 0:
                await asyncio.sleep(left)
            if not data:
                with suppress(OSError):
                    writer.write_eof()
                return
            writer.write(data)
            await writer.drain()
