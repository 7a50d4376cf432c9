"""A fake server in a process of its own, for measurements: in a thread it would share the interpreter with the
client, and whoever computes would make the other wait, by up to 5 ms a switch.

    def make():                         # at the top of a module, so that the new process finds it
        return FakeServer([FakeModel("mlp", inputs, outputs, function, latency=0.06)])

    with FakeProcess(make) as server:
        ...  # server.url

What the server counted stays in its process; ask for it with `transport.statistics`. It ends with the
process that started it, whatever way that ends, for it holds one end of a pipe.
"""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import Callable
from multiprocessing.connection import Connection
from types import TracebackType

from evproc.framework.errors import InternalError

from .fake import FakeServer


class FakeProcess:
    """Runs the server that `make` returns, in a process of its own."""

    def __init__(self, make: Callable[[], FakeServer]) -> None:
        self._make = make
        self._url = ""

    @property
    def url(self) -> str:
        """Its address for the default transport."""
        return self.address("grpc")

    def address(self, scheme: str) -> str:
        """Its address for the transport of this scheme."""
        if not self._url:
            raise InternalError("the fake server has no address before it is started")
        return self._url.replace("grpc://", f"{scheme}://")

    def __enter__(self) -> FakeProcess:
        """Start it, and wait until it listens."""
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_run, args=(self._make, theirs), daemon=True)
        self._process.start()
        theirs.close()
        try:
            self._url = self._pipe.recv()
        except EOFError:
            self._process.join()
            raise InternalError("the fake server's process ended before it listened") from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pipe.close()
        self._process.join(10.0)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._url = ""


def _run(make: Callable[[], FakeServer], pipe: Connection[str, str]) -> None:
    async def serve() -> None:
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        async with make() as server:
            pipe.send(server.url)
            loop.add_reader(pipe.fileno(), ended.set)
            await ended.wait()

    asyncio.run(serve())
