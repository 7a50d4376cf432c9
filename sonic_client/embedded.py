"""A real Triton of the job's own: started when it is needed, stopped with the job, never left behind.

    server = EmbeddedServer("models")          # an ordinary model repository
    await server.start()                       # or: with server: ...
    transport = open_transport(server.url)

Three processes: the job; a supervisor (`embedded_supervisor`), which ends the server when the job ends in
whatever way, kill -9 included; and `tritonserver`, which starts one more for each model instance. Both of
ours have sessions of their own: Ctrl-C in a terminal reaches the job alone, which finishes its requests and
then stops the server.

Ports: one, on 127.0.0.1 only, chosen free; if another process takes it before the server does, it is tried
again with another. Metrics are off, and HTTP unless it is asked for. Ready is when the server's log says that
it listens, which it does after all models are loaded: no port is probed, nothing waits for longer than 20 ms.
If the server ends before that, the error quotes the log: the line of each model that failed, or else the last
lines.

A configuration that leaves something out is completed by the server from the model's file, for which it
starts a process for each model only to ask, 1.4 s. Where no configuration of the repository leaves anything
out, that is switched off.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from shutil import rmtree
from types import TracebackType

from evproc.framework.errors import DeadlineExceeded, InternalError, ServerUnavailable

from .embedded_command import GRACE, models_to_load, server_command
from .embedded_layout import lay_out
from .embedded_log import ServerLog
from .triton_wheel import TritonFiles, locate

_POLL = 0.02  # s
_PORT_ATTEMPTS = 5
_NUMBER = itertools.count()


class EmbeddedServer:
    """A Triton server on loopback, for this job.

    `models` is a model repository, or several. `load` names the models to load; None is all of them. `log` is the file
    for the server's log; None is a temporary one, which is removed when the server is stopped without a fault.
    `threads` is what one instance of a model computes on, unless its configuration says otherwise; one by default, so that
    the CPU is left to the modules. `http` opens a second port, for KServe's HTTP.
    """

    def __init__(
        self,
        models: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        load: Sequence[str] | None = None,
        log: str | os.PathLike[str] | None = None,
        threads: int = 1,
        http: bool = False,
    ) -> None:
        folders = [models] if isinstance(models, str | os.PathLike) else list(models)
        self.models = tuple(Path(folder).absolute() for folder in folders)
        self.load = None if load is None else tuple(load)
        self.threads = threads
        self._own_log = log is None
        self._log = None if log is None else Path(log).absolute()
        self._supervisor: subprocess.Popen[bytes] | None = None
        self._ports: list[int] = []
        self._keep_ports = False
        self._http = http

    @property
    def url(self) -> str:
        """The address of the server. Raises InternalError while it is not running."""
        if self._supervisor is None:
            raise InternalError("the embedded server has no address before it is started")
        return f"grpc://127.0.0.1:{self._ports[0]}"

    @property
    def http_url(self) -> str:
        """The address for HTTP, if that was asked for. Raises InternalError if not, or while it is not running."""
        if self._supervisor is None or not self._http:
            raise InternalError("the embedded server was not started with http=True")
        return f"http://127.0.0.1:{self._ports[1]}"

    @property
    def log_path(self) -> Path | None:
        """The file of the server's log; None if there is none (yet)."""
        return self._log

    @property
    def running(self) -> bool:
        """Whether the server was started and has not ended."""
        return self._supervisor is not None and self._supervisor.poll() is None

    @property
    def pid(self) -> int:
        """The process that watches over the server, whose parent it is. Raises InternalError while there is none."""
        if self._supervisor is None:
            raise InternalError("the embedded server has no process before it is started")
        return self._supervisor.pid

    async def start(self, timeout: float = 60.0) -> None:  # noqa: ASYNC109  # the same for both forms
        """Start the server, and return when all models are ready.

        Raises ServerUnavailable if something that it needs is missing, or if it ends, with the reason from its log;
        DeadlineExceeded after `timeout` seconds. Nothing is left running then.
        """
        self._check_idle()
        try:
            for _ in self._starting(timeout):
                await asyncio.sleep(_POLL)
        except BaseException:
            self._stop_now(failed=True)
            raise

    async def stop(self) -> None:
        """Stop the server, and return when all its processes are gone. May be called at any time, and twice."""
        died = self._supervisor is not None and not self.running
        supervisor = self._hang_up()
        while supervisor is not None and supervisor.poll() is None:  # noqa: ASYNC110  # a process tells nobody
            await asyncio.sleep(_POLL)
        self._forget(failed=died)

    def wait(self) -> None:
        """Wait, blocking, until the server ends by itself. Raises ServerUnavailable then, with the end of its log."""
        if self._supervisor is not None:
            self._supervisor.wait()
            raise ServerUnavailable(self.why_ended())

    def why_ended(self) -> str:
        """Why the server, which was started, ended by itself: a sentence, with the end of its log."""
        log = self._read_log()
        if reasons := log.failures():
            return f"the embedded Triton cannot load its models (log: {self._log}):\n{reasons}"
        code = None if self._supervisor is None else self._supervisor.poll()
        return f"the embedded Triton ended with code {code}; its log ({self._log}) ends with:\n{log.tail()}"

    def start_now(self, timeout: float = 60.0) -> None:
        """As `start`, without an event loop: it blocks."""
        self._check_idle()
        try:
            for _ in self._starting(timeout):
                time.sleep(_POLL)
        except BaseException:
            self._stop_now(failed=True)
            raise

    def start_again(self, timeout: float = 60.0) -> None:
        """Start it at the address that it had, whether it runs, was stopped or has ended by itself; it blocks."""
        self.stop_now()
        self._keep_ports = True
        try:
            self.start_now(timeout)
        finally:
            self._keep_ports = False

    def stop_now(self) -> None:
        """As `stop`, without an event loop: it blocks."""
        self._stop_now(failed=False)

    def let_go(self, first: Callable[[int], None]) -> None:
        """Leave the server running beyond this process, from when `first`, given the supervisor's pid, has returned.

        From then on SIGTERM to the supervisor ends it. If this process ends before, the server does.
        """
        supervisor = self._supervisor
        assert supervisor is not None
        assert supervisor.stdin is not None
        first(supervisor.pid)
        supervisor.stdin.write(b"beyond")
        supervisor.stdin.close()
        supervisor.returncode = 0  # nobody waits for it any more
        self._supervisor = None

    def __enter__(self) -> EmbeddedServer:
        """Start the server without an event loop, unless it runs."""
        if self._supervisor is None:
            self.start_now()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop_now()

    async def __aenter__(self) -> EmbeddedServer:
        """Start the server."""
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    def _starting(self, timeout: float) -> Iterator[None]:
        """The start, as steps between which the caller waits."""
        if self._own_log:
            self._log = None  # one that is there tells of an earlier failure, and stays
        files = locate()
        names = models_to_load(self.models, self.load)
        deadline = time.monotonic() + timeout
        for attempt in range(1, _PORT_ATTEMPTS + 1):
            if not self._keep_ports:
                self._ports = [free_port() for _ in range(1 + self._http)]
            self._launch(files, names)
            assert self._supervisor is not None
            while not ((log := self._read_log()).listening(*self._ports) and all(map(accepts, self._ports))):
                if self._supervisor.poll() is not None:
                    if log.port_taken and attempt < _PORT_ATTEMPTS:
                        self._hang_up()
                        break
                    raise ServerUnavailable(self.why_ended())
                if time.monotonic() > deadline:
                    words = log.tail()
                    raise DeadlineExceeded(
                        f"the embedded Triton was not ready within {timeout:g} s; its log ({self._log}) ends with:\n{words}"
                    )
                yield
            else:
                return

    def _check_idle(self) -> None:
        if self._supervisor is not None:
            raise InternalError("the embedded server is started already; stop it before")

    def _launch(self, files: TritonFiles, names: Sequence[str]) -> None:
        folder = Path(tempfile.mkdtemp(prefix="evproc-triton-"))
        shared = f"evproc_{os.getpid()}_{next(_NUMBER)}_"
        try:
            environment = lay_out(folder, files, self.threads)
            if self._log is None:
                handle, path = tempfile.mkstemp(prefix="evproc-triton-", suffix=".log")
                os.close(handle)
                self._log = Path(path)
            command = server_command(files, folder, self.models, names, self._ports, shared)
            supervisor = [sys.executable, "-I", "-S", str(Path(__file__).with_name("embedded_supervisor.py"))]
            supervisor += [str(os.getpid()), str(GRACE), str(folder), shared, "--"]
            with self._log.open("wb") as log:
                self._supervisor = subprocess.Popen(  # noqa: S603  # our own words
                    [*supervisor, *command],
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    cwd=folder,
                    env=environment,
                    start_new_session=True,
                )
        except BaseException as error:
            rmtree(folder, ignore_errors=True)
            if isinstance(error, OSError):
                raise ServerUnavailable(f"the embedded Triton cannot be started: {error}") from error
            raise

    def _read_log(self) -> ServerLog:
        assert self._log is not None
        return ServerLog(self._log.read_text(errors="replace"))

    def _hang_up(self) -> subprocess.Popen[bytes] | None:
        """Close the pipe to the supervisor, which is what tells it to end the server."""
        if self._supervisor is not None and self._supervisor.stdin is not None:
            self._supervisor.stdin.close()
        return self._supervisor

    def _stop_now(self, *, failed: bool) -> None:
        died = self._supervisor is not None and not self.running
        if (supervisor := self._hang_up()) is not None:
            supervisor.wait()
        self._forget(failed=failed or died)

    def _forget(self, *, failed: bool) -> None:
        self._supervisor = None
        if self._own_log and self._log is not None and not failed:
            self._log.unlink(missing_ok=True)
            self._log = None


def free_port() -> int:
    """A port of 127.0.0.1 that no process has at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def accepts(port: int) -> bool:
    """Whether somebody listens on this port of 127.0.0.1."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
