"""Runs a service of grpclib on loopback until it is told to end: for services that stand in for hardware.

The one line that it prints, `listening on trtis://127.0.0.1:5001`, is what a `LocalService` waits for.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from grpclib.server import Server

LISTENING = "listening on "


@asynccontextmanager
async def served(service: Any, scheme: str, port: int = 0, path: str = "") -> AsyncIterator[str]:
    """The address of a service, which answers on 127.0.0.1 within this block; port 0 is a free one.

    service: what grpclib serves, with a `codec` for its messages and a `close()`

    raises: OSError if the port is taken
    """
    server = Server([service], codec=service.codec)
    await server.start("127.0.0.1", port)
    assert isinstance(server._server, asyncio.Server)
    number = server._server.sockets[0].getsockname()[1]
    try:
        yield f"{scheme}://127.0.0.1:{number}{path}"
    finally:
        server.close()
        await server.wait_closed()
        service.close()


def serve(make: Callable[[], Any], scheme: str, port: int = 0, path: str = "") -> None:
    """Say where the service that `make` returns listens, and answer until SIGINT or SIGTERM.

    raises: SystemExit if the port is taken, or none
    """

    async def main() -> None:
        ended = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, ended.set)
        async with served(make(), scheme, port, path) as address:
            print(f"{LISTENING}{address}", flush=True)  # noqa: T201 - that is how it is found
            await ended.wait()

    try:
        asyncio.run(main())
    except (OSError, OverflowError) as error:
        raise SystemExit(f"port {port} of 127.0.0.1 cannot be had: {error}") from error
