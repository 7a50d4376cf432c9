"""A fake server in a process of its own: for what only a process can suffer, and for measurements.

In a thread it would share the interpreter with the client, and whoever computes would make the other wait,
by up to 5 ms a switch.

    def make():                         # at the top of a module, so that the new process finds it
        return FakeServer([FakeModel("mlp", inputs, outputs, function, latency=0.06)])

    with FakeProcess(make) as server:
        ...                             # server.url
        server.pause()                  # SIGSTOP: the kernel takes connections, nobody answers
        server.resume()
        server.kill()                   # SIGKILL: connections are reset, and then refused
        server.restart()                # at the same address
        server.condition = Unavailable()

Its address stays its own from the start to the end of the block. It ends with the process that started it,
whatever way that ends, for it holds one end of a pipe.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from socket import socket
from types import TracebackType
from typing import Any

from evproc.framework.errors import InternalError

from .fake import Condition, FakeServer


class FakeProcess:
    """Runs the server that `make` returns, in a process of its own."""

    def __init__(self, make: Callable[[], FakeServer]) -> None:
        self._make = make
        self._held: socket | None = None
        self._process: SpawnProcess | None = None
        self._pipe: Connection[Any, Any] | None = None

    @property
    def url(self) -> str:
        """Its address for the default transport."""
        return self.address("grpc")

    def address(self, scheme: str) -> str:
        """Its address for the transport of this scheme."""
        if self._held is None:
            raise InternalError("the fake server has no address before it is started")
        return f"{scheme}://127.0.0.1:{self._held.getsockname()[1]}"

    @property
    def pid(self) -> int:
        """Its process. Raises InternalError while there is none."""
        if self._process is None or self._process.pid is None:
            raise InternalError("the fake server's process is not running")
        return self._process.pid

    def hold(self) -> str:
        """Take the address, which is returned, and refuse connections until the start."""
        from .fake_connection import hold

        if self._held is None:
            self._held = hold(0)
        return self.url

    def __enter__(self) -> FakeProcess:
        """Start it, and wait until it listens."""
        self.hold()
        try:
            self.restart()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end(patience=10.0)
        if self._held is not None:
            self._held.close()
            self._held = None

    def restart(self, make: Callable[[], FakeServer] | None = None) -> None:
        """Start it again, at the same address; with another `make`, another server from now on."""
        self._end(patience=10.0)
        self._make = make or self._make
        assert self._held is not None, "the address is taken"
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        arguments = (self._make, self._held.getsockname()[1], theirs)
        process = context.Process(target=_run, args=arguments, daemon=True)
        process.start()
        self._process = process
        theirs.close()
        try:
            self._pipe.recv()
        except EOFError:
            self._end(patience=10.0)
            raise InternalError("the fake server's process ended before it listened") from None

    def kill(self) -> None:
        """Kill it (SIGKILL), and return when it is gone. Its address stays, and refuses connections."""
        self._end(patience=0.0)

    def pause(self) -> None:
        """Stop it (SIGSTOP): what is sent to it is taken by the kernel, and nothing is answered."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on (SIGCONT)."""
        os.kill(self.pid, signal.SIGCONT)

    @property
    def condition(self) -> Condition:
        """What meets every call until it is changed."""
        return self._call(("condition",))  # type: ignore[no-any-return]

    @condition.setter
    def condition(self, value: Condition) -> None:
        self._call(("condition", value))

    @property
    def outcomes(self) -> list[str]:
        """What became of each request, in the order of their arrival, since the last start."""
        return self._call(("outcomes",))  # type: ignore[no-any-return]

    def _call(self, words: tuple[Any, ...]) -> Any:
        if self._pipe is None:
            raise InternalError("the fake server's process is not running")
        self._pipe.send(words)
        return self._pipe.recv()

    def _end(self, patience: float) -> None:
        """End the process, if there is one, and wait for its end; kill it after `patience` s."""
        pipe, process, self._pipe, self._process = self._pipe, self._process, None, None
        if pipe is not None:
            pipe.close()
        if process is None:
            return
        if patience:
            with suppress(ProcessLookupError):
                os.kill(process.pid or 0, signal.SIGCONT)  # a stopped one would not see the end of the pipe
            process.join(patience)
        if process.is_alive():
            process.kill()
            process.join()
        process.close()


def _run(make: Callable[[], FakeServer], port: int, pipe: Connection[Any, Any]) -> None:
    async def serve() -> None:
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        server = make()

        def told() -> None:
            try:
                name, *values = pipe.recv()
            except (EOFError, OSError):
                loop.remove_reader(pipe.fileno())
                ended.set()
                return
            if values:
                setattr(server, name, values[0])
            pipe.send(None if values else getattr(server, name))

        await server.start_at(port)
        try:
            pipe.send(server.url)
            loop.add_reader(pipe.fileno(), told)
            await ended.wait()
        finally:
            await server.stop()

    asyncio.run(serve())
